"""A second database cluster on the same Consul, with Debian's PostgreSQL 15 and Patroni's callback for its address."""

import json

import pytest
from integration import formula, ground
from integration.cluster import UNITS, Cluster

SECOND = {
    "clusters": {
        "test2": {
            "vip": {"address": "198.51.100.50/24", "name": "test2-db-cl", "manager": "callback"},
            "hosts": {f"test2-db{n}": f"198.51.100.{30 + n}" for n in (1, 2, 3)},
            "postgres": {"distribution": "debian", "version": 15},
            "patroni": {"synchronous_mode": "on"},
        }
    },
}


@pytest.fixture(scope="module")
def second(cluster, pillar):
    before = cluster.services()
    ground.fresh(cluster.lab, "test2")
    pillar.put(SECOND)
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    assert cluster.services() == before, "the first cluster was restarted"
    touched = [line for line in run.changed() if line.startswith("test-db")]
    assert touched == [], "the first cluster's hosts were changed"
    yield Cluster(cluster.lab, "test2", "198.51.100.50")
    pillar.put({})
    assert formula.run(cluster.lab).code == 0
    ground.forget(cluster, "test2")


def test_it_serves_writes_through_its_own_address(second):
    second.wait_healthy()
    with second.connect() as connection:
        connection.execute("CREATE TABLE here (is_what text)")
        assert connection.execute("SHOW server_version_num").fetchone()[0].startswith("15")


def test_its_address_follows_its_leader_without_a_daemon(second):
    second.wait_synchronous()
    leader = second.switch_over()
    second.wait_healthy()
    assert second.holders() == [second.leader().name]
    assert second.leader() is not leader
    with second.connect() as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)


def test_a_run_over_both_changes_nothing(second, cluster):
    units = UNITS[:2]
    before = (cluster.services(), second.services(units))
    formula.changes_nothing(second.lab)
    assert (cluster.services(), second.services(units)) == before


@pytest.fixture
def silent(second):
    """The minions of the second cluster's hosts do not answer."""
    for host in second.db:
        host.run(["systemctl", "stop", "salt-minion"])
    yield
    for host in second.db:
        host.run(["systemctl", "start", "salt-minion"])
    second.lab.wait_ready()


@pytest.mark.usefixtures("silent")
def test_a_run_for_one_of_them_needs_nothing_of_the_other_one(second, cluster):
    before = (cluster.services(), second.services(UNITS[:2]))
    for sls in ("pgha", "pgha.restart"):
        run = formula.run(cluster.lab, "pillar=" + json.dumps({"pgha": {"only": ["test"]}}), sls=sls)
        assert run.code == 0, run.text
        assert run.states, run.text
        # A host on which nothing changed is named in a comment.
        assert [host.name for host in second.db if host.name in run.text] == []
    assert (cluster.services(), second.services(UNITS[:2])) == before
