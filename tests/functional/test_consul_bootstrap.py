"""ACL bootstrap against a real server older than 1.15: interrupted, repeated, done before by somebody else."""

import json
import re

import listeners
import pytest
from salt.exceptions import CommandExecutionError

PRESET = "acl-bootstrap.json"


@pytest.fixture
def server(datacenter):
    return datacenter().servers[0]


def management_tokens(server):
    answer = server.ask("GET", "/v1/acl/tokens", server.datacenter.management["secret"])
    linked = [one for one in answer["body"] if "global-management" in str(one.get("Policies"))]
    return [one["AccessorID"] for one in linked]


def test_dry_run_before_anything_is_there(server):
    for name, changes in (
        ("configured", 2),
        ("acl_bootstrapped", 1),
        ("policies_and_tokens", 1),
        ("agent_token_set", 1),
    ):
        ret = server.run_state(name, test=True)
        assert (ret["result"], len(ret["changes"])) == (None, changes), ret
        assert not any(secret in json.dumps(ret) for secret in server.datacenter.secrets)
    for name in ("quorum_formed", "tokens_visible", "joined"):
        ret = server.run_state(name, test=True)
        assert (ret["result"], ret["changes"]) == (None, {}), ret
    assert list((server.place / "conf").iterdir()) == []


def test_who_listens_before_consul_gets_no_token(server):
    """On a new host anybody can have the port before Consul does."""
    with listeners.listening(address=server.address, port=8500) as thief:
        server.state("configured")
        assert (server.place / "conf" / PRESET).exists()
        server.start()
        server.datacenter.consul["startup_timeout"] = server.settings["consul"]["startup_timeout"] = 1
        for name in ("configured", "quorum_formed", "acl_bootstrapped", "policies_and_tokens", "agent_token_set"):
            ret = server.run_state(name)
            assert ret["result"] is (name == "configured"), ret
        assert f"process {thief.pid}" in ret["comment"]
        assert thief.heard() == []
    server.stop(9)
    server.start()
    server.settings["consul"]["startup_timeout"] = 30
    server.state("quorum_formed")
    server.state("acl_bootstrapped")


@pytest.mark.parametrize("delay", [0, 0.3, 0.8, 1.2, 1.6])
def test_killed_at_any_moment_the_next_run_completes_with_the_same_token(server, delay):
    """Consul is killed that many seconds after its start; the leader is elected and gets the token after 1 to 2."""
    server.state("configured")
    assert (server.place / "conf" / PRESET).exists()
    server.start()
    seen = []
    if delay:
        with pytest.raises(AssertionError):
            server.eventually(lambda: seen.append(server.consul.leader()), delay)
    server.stop(9)
    server.state("configured")
    server.start()
    for _ in range(2):
        server.state("quorum_formed")
        server.state("acl_bootstrapped")
        assert not (server.place / "conf" / PRESET).exists()
    assert len(management_tokens(server)) == 1
    # The file is not needed any more: a server without it leads and knows the token.
    server.restart()
    server.state("quorum_formed")
    assert server.state("acl_bootstrapped")["changes"] == {}
    assert server.call("PUT", "/v1/acl/bootstrap") == 403


def test_preset_left_behind_is_removed(server):
    server.state("configured")
    text = (server.place / "conf" / PRESET).read_text()
    server.start()
    server.state("quorum_formed")
    server.state("acl_bootstrapped")
    (server.place / "conf" / PRESET).write_text(text)
    assert server.run_state("configured", test=True)["result"] is None
    assert list(server.state("configured")["changes"]) == [str(server.place / "conf" / PRESET)]
    assert not (server.place / "conf" / PRESET).exists()


def test_server_that_never_had_the_preset_gets_the_same_token(server):
    server.state("configured")
    (server.place / "conf" / PRESET).unlink()
    server.start()
    server.state("quorum_formed")
    server.consul_acl.PRESET_PATIENCE = 0
    assert server.state("acl_bootstrapped")["changes"] == {"management token": {"old": None, "new": "works"}}
    # The one that Consul made is gone.
    assert management_tokens(server) == [server.datacenter.management["accessor"]]
    server.state("policies_and_tokens")


def test_somebody_elses_bootstrap_is_named_and_the_remedy_works(server):
    server.state("configured")
    (server.place / "conf" / PRESET).unlink()
    server.start()
    server.state("quorum_formed")
    server.eventually(lambda: server.call("PUT", "/v1/acl/bootstrap") == 200)
    server.consul_acl.PRESET_PATIENCE = server.consul_acl.REFUSED_PATIENCE = 0
    ret = server.run_state("acl_bootstrapped")
    assert ret["result"] is False
    found = re.search(r"write (\d+) to (\S+/data/acl-bootstrap-reset),", ret["comment"])
    assert found, ret
    with open(found.group(2), "w") as stream:
        stream.write(found.group(1))
    server.state("acl_bootstrapped")
    assert server.datacenter.management["accessor"] in management_tokens(server)


def test_without_a_leader_it_says_so(datacenter):
    server = datacenter(servers=3, startup_timeout=1).servers[0]
    server.state("configured")
    server.start()
    server.eventually(lambda: server.call("GET", "/v1/status/leader") == 200)
    with pytest.raises(CommandExecutionError, match="Not within 1 s: the management token works"):
        server.consul_acl.bootstrap()
    ret = server.run_state("quorum_formed")
    assert ret["result"] is False
    assert server.datacenter.servers[1].address in ret["comment"]
