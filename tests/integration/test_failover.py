"""The profile `fast`, and the guard: how long a client waits, and that a leader without a lease takes no writes."""

import contextlib

import pytest
from integration import formula
from integration.cluster import main_pid
from lab.tools import LabError, wait_for


@pytest.fixture(autouse=True, scope="module")
def fast(cluster, pillar):
    """A living cluster becomes fast, by the main job and a rolling restart of Patroni."""
    pillar.put({"patroni": {"rto": "fast", "synchronous_mode": "on"}})
    for sls in ("pgha", "pgha.restart"):
        run = formula.run(cluster.lab, sls=sls)
        assert run.code == 0, run.text
    cluster.wait_healthy()
    cluster.wait_synchronous()


def leader_key(cluster):
    """The member that the leader key names, or None."""
    with contextlib.suppress(LabError):
        return cluster.consul("kv", "get", f"db/{cluster.name}/leader").strip() or None
    return None


def test_every_layer_has_the_times_of_the_profile(cluster):
    leader = cluster.leader()
    dynamic = cluster.ask(leader, "/config")
    assert [dynamic[key] for key in ("ttl", "loop_wait", "retry_timeout")] == [20, 5, 5]
    assert {cluster.psql(host, "SHOW wal_sender_timeout") for host in cluster.db} == {"8s"}
    assert all("interval: 100" in host.read("/etc/vip-manager/vip-manager.yml") for host in cluster.db)
    assert all("serfHealth" in host.read("/etc/patroni/patroni.yml") for host in cluster.db)


def test_the_power_of_the_leaders_host_is_cut(cluster, ledger, observer, measured):
    cluster.survive_power_off(ledger)
    measured("power-off of the leader's host, fast", 10)


def test_a_leader_whose_patroni_hangs_is_stopped_before_another_one_leads(cluster, ledger, observer):
    cluster.wait_synchronous()
    leader = cluster.leader()
    postmaster, patroni = leader.read("/pgdata/test/postmaster.pid").split()[0], main_pid(leader, "patroni")

    def stopped():
        # The key first: so somebody else had not led when the server was seen to be gone.
        key = leader_key(cluster)
        return leader.run(["kill", "-0", postmaster], check=False).returncode and (key,)

    leader.run(["kill", "-STOP", patroni])
    try:
        (key,) = wait_for(stopped, timeout=30, what="the server without a lease is stopped", interval=0.2)
        assert key in (leader.name, None)
        assert cluster.vip not in leader.addresses()
        assert "PostgreSQL is stopped" in leader.run(["journalctl", "-u", "pgha-guard", "-n", "5"]).stdout
        wait_for(lambda: leader_key(cluster) not in (leader.name, None), timeout=40, what="another one leads")
    finally:
        leader.run(["kill", "-CONT", patroni])
    cluster.wait_healthy()
    ledger.wait_for_writes()
    assert cluster.leader() is not leader


def test_the_guard_leaves_a_healthy_leader_alone_in_all_this(cluster):
    acts = {
        host.name: host.run(["journalctl", "-u", "pgha-guard", "--no-pager", "-o", "cat"]).stdout.count("is stopped:")
        for host in cluster.db
    }
    assert sum(acts.values()) == 1, acts
