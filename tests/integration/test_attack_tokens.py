"""Tokens and passwords go to Consul and to Patroni alone: not to a proxy, not to whoever has taken Consul's port."""

import contextlib
import json

import listeners
import pytest
from lab.tools import wait_for

HEARD = "/run/pgha-test-listener"


@contextlib.contextmanager
def listener(host, port):
    """The user nobody tries to have a port of loopback on a host until he has it; gives a function: what he heard."""
    host.write("/run/pgha-test-listener.py", listeners.SCRIPT)
    command = ["python3", "/run/pgha-test-listener.py", "127.0.0.1", port, 200, 65534]
    host.run(["systemd-run", "--quiet", "--unit=pgha-test-listener", f"-pStandardOutput=truncate:{HEARD}", *command])
    try:
        # systemd makes the file only when it starts the program.
        yield lambda: host.run(["cat", HEARD], check=False).stdout.splitlines()
    finally:
        host.run(["systemctl", "stop", "pgha-test-listener"])
        host.run(["rm", "-f", HEARD, "/run/pgha-test-listener.py"])


def call(host, *words, env=None):
    """What a function returns by salt-call; the text of its error when it fails."""
    done = host.run(["salt-call", "--out=json", "--retcode-passthrough", *words], env=env, check=False)
    return json.loads(done.stdout)["local"] if done.stdout.strip().startswith("{") else done.stdout + done.stderr


def test_a_proxy_in_the_environment_of_the_minion_sees_nothing(cluster):
    leader = cluster.leader()
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    env = dict.fromkeys(names, "http://127.0.0.1:3128")
    other = cluster.replicas()[0]
    with listener(leader, 3128) as heard:
        wait_for(heard, timeout=10, what="the proxy listens")
        asked = ("pgha_patroni.dcs", "pgha_patroni.wake", "pgha_vip.leads_by_patroni", "pgha_consul.members")
        dcs, wake, leads, members = (call(leader, function, env=env) for function in asked)
        wake_other = call(leader, "pgha_patroni.wake", other.address, env=env)
        assert heard() == ["listening on 3128"]
    assert dcs["leader"] == leader.name
    assert (wake, wake_other, leads) == (True, True, True)
    assert [member["name"] for member in members] == [leader.name]


@pytest.fixture
def robbed(cluster):
    """A server of Consul whose port another user takes while Consul restarts, and what he hears."""
    server = next(host for host in cluster.dcs if host is not cluster.dcs_leader())
    try:
        with listener(server, 8500) as heard:
            server.run(["systemctl", "restart", "consul"], check=False)
            wait_for(heard, timeout=20, what="nobody has the port of Consul")
            yield server, heard
    finally:

        def back():
            told = call(server, "pgha_consul.autopilot")
            return isinstance(told, dict) and told["healthy"]

        server.run(["systemctl", "restart", "consul"])
        wait_for(back, timeout=60, what=f"Consul on {server.name} is back", interval=0.5)


def test_who_takes_consuls_port_gets_no_token(robbed):
    server, heard = robbed
    health = call(server, "pgha_consul.health")
    acls = [call(server, f"pgha_consul_acl.{name}") for name in ("token_works", "differences", "agent_token_set")]
    assert heard() == ["listening on 8500"]
    assert health["leader"] is None
    assert any("listens uid 65534 (nobody), process" in error for error in health["errors"]), health
    # Asked while systemd tries to start Consul, or between two tries.
    for said in map(str, acls):
        assert "uid 65534 (nobody)" in said or "Consul does not run on this host" in said, said


def test_consul_that_is_stopped_is_not_asked(cluster):
    """By no function of its ACLs, whoever listens."""
    server = next(host for host in cluster.dcs if host is not cluster.dcs_leader())
    server.run(["systemctl", "stop", "consul"])
    try:
        assert "Consul does not run on this host" in str(call(server, "pgha_consul_acl.token_works"))
        assert any(
            "Nobody listens on 127.0.0.1:8500" in error for error in call(server, "pgha_consul.health")["errors"]
        )
    finally:
        server.run(["systemctl", "start", "consul"])
    cluster.wait_healthy()
    wait_for(lambda: len(cluster.voters()) == 3, timeout=60, what="three servers vote")
