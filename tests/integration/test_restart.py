"""
The rolling restart, under a client that writes all the time: what waits for it is restarted once, one host after
another, and nothing else is.
"""

import re

import pytest
from integration import formula
from integration.cluster import UNITS, main_pid, service
from lab.tools import wait_for

RESTART = "pgha.restart"
SYNCHRONOUS = {"patroni": {"synchronous_mode": "on"}}
RAISED = {"consul": {"raft_multiplier": 2}, "postgres": {"parameters": {"max_connections": 150}}}


@pytest.fixture(autouse=True, scope="module")
def settings(cluster, pillar):
    """The cluster as the pillar had it, with a synchronous replica; afterwards too."""
    applied(cluster, pillar, {})
    yield
    applied(cluster, pillar, {})
    assert formula.run(cluster.lab, sls=RESTART).code == 0


def applied(cluster, pillar, over):
    """Run the main job with ``over`` in the pillar; it must not restart anything."""
    before = cluster.services(), starts(cluster)
    pillar.put({**SYNCHRONOUS, **over})
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    assert (cluster.services(), starts(cluster)) == before
    standby(cluster)


def starts(cluster):
    """{host: how often Patroni there has started PostgreSQL}"""
    log = "/var/log/patroni/patroni.log"
    return {host.name: len(re.findall("postmaster pid=", host.read(log))) for host in cluster.db}


def pending(cluster):
    """What the status names as waiting for a restart: {(host, service)}."""
    said = cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False).stdout
    return set(re.findall(r"- (\S+): (\S+) waits for a restart", said))


def turns(run):
    """The hosts in the order of their turns, as the orchestration named them."""
    found = [re.match(r"\d+ (\S+) runs", name) for name in run.states]
    return [match[1] for match in found if match]


def setting(cluster, name):
    return {cluster.psql(host, f"SHOW {name}") for host in cluster.db}


def standby(cluster):
    """The host of the synchronous replica, waited for."""

    def found():
        return [member["name"] for member in cluster.members() if member["role"] == "sync_standby"]

    return cluster.lab[wait_for(found, timeout=60, what="a replica is the synchronous standby")[0]]


def nothing_is_left(cluster):
    """The cluster is whole, nothing waits for a restart, and another run restarts nothing."""
    cluster.wait_healthy()
    assert pending(cluster) == set()
    before = cluster.services(), starts(cluster)
    formula.changes_nothing(cluster.lab, sls=RESTART)
    assert (cluster.services(), starts(cluster)) == before


def test_raised_parameters_are_taken_up_replicas_first(cluster, pillar, ledger, observer, measured):
    applied(cluster, pillar, RAISED)
    everything = {(host.name, "Consul") for host in cluster.dcs} | {(host.name, "PostgreSQL") for host in cluster.db}
    wait_for(lambda: pending(cluster) == everything, timeout=30, what="the status names all that waits")
    leader, server, last = cluster.leader(), cluster.dcs_leader(), standby(cluster)
    before, started = cluster.services(), starts(cluster)

    dry = formula.run(cluster.lab, "test=True", sls=RESTART)
    assert dry.code == 0, dry.text
    assert len(dry.changed()) == 6, dry.changed()
    assert (cluster.services(), starts(cluster)) == (before, started)

    run = formula.run(cluster.lab, sls=RESTART)
    assert run.code == 0, run.text
    followers = [host.name for host in cluster.dcs if host is not server]
    replicas = [host.name for host in cluster.db if host not in (leader, last)]
    assert turns(run) == [*followers, server.name, *replicas, last.name, leader.name]
    assert len(run.changed()) == 6, run.changed()

    ledger.wait_for_writes()
    now = cluster.services()
    restarted = {key for key in now if now[key] != before[key]}
    assert restarted == {(host.name, "consul") for host in cluster.dcs}
    assert starts(cluster) == {name: count + 1 for name, count in started.items()}
    assert cluster.leader() is not leader
    assert setting(cluster, "max_connections") == {"150"}
    measured("rolling restart: Consul's servers and PostgreSQL", 20)
    assert pending(cluster) == set()


def test_lowered_parameters_are_taken_up_by_the_leader_first(cluster, pillar, ledger, observer, measured):
    applied(cluster, pillar, {"consul": RAISED["consul"]})
    leader, timeline, started = cluster.leader(), cluster.timeline(), starts(cluster)
    run = formula.run(cluster.lab, sls=RESTART)
    assert run.code == 0, run.text
    assert turns(run)[0] == leader.name
    ledger.wait_for_writes()
    assert (cluster.leader(), cluster.timeline()) == (leader, timeline)
    assert starts(cluster) == {name: count + 1 for name, count in started.items()}
    assert setting(cluster, "max_connections") == {"100"}
    measured("rolling restart: a lowered parameter", 20)
    assert pending(cluster) == set()


def test_a_server_whose_package_was_updated_is_restarted(cluster, ledger, observer):
    """As dpkg does it: another file comes in the place of the former one."""
    update = (
        'program=$(readlink "/proc/$(head -n1 /pgdata/test/postmaster.pid)/exe");'
        ' cp -p "$program" "$program.new"; mv "$program.new" "$program"'
    )
    for host in cluster.db:
        host.run(["sh", "-c", update])
    assert pending(cluster) == {(host.name, "PostgreSQL") for host in cluster.db}
    leader, started = cluster.leader(), starts(cluster)
    run = formula.run(cluster.lab, sls=RESTART)
    assert run.code == 0, run.text
    ledger.wait_for_writes()
    assert cluster.leader() is not leader
    assert starts(cluster) == {name: count + 1 for name, count in started.items()}
    assert pending(cluster) == set()


def test_all_services_of_the_database_hosts_after_an_update_of_their_units(cluster, ledger, observer, measured):
    """Killed on its way, and run again."""
    # As if each had been started with another unit than the one that is there.
    for host in cluster.db:
        host.run(["sh", "-c", 'for unit; do rm "/run/pgha/$unit.started-with"; done', "sh", *UNITS])
    leader, last, before, started = cluster.leader(), standby(cluster), cluster.services(), starts(cluster)
    first = next(host for host in cluster.db if host not in (leader, last))

    def reached():
        return main_pid(first, "patroni") not in ("0", before[first.name, "patroni"][1])

    formula.run_until(cluster.lab, reached, what=f"Patroni of {first.name} is restarted", sls=RESTART)
    wait_for(lambda: formula.idle(cluster.hosts), timeout=120, what="no minion works any more")
    run = formula.run(cluster.lab, sls=RESTART)
    assert run.code == 0, run.text
    assert turns(run)[-1] == leader.name

    ledger.wait_for_writes()
    now = cluster.services()
    assert {key for key in now if now[key] != before[key]} == {
        (host.name, unit) for host in cluster.db for unit in UNITS
    }
    assert cluster.leader() is not leader
    # The leader's was started by the switchover, and once more with Patroni.
    assert starts(cluster) == {name: count + (2 if name == leader.name else 1) for name, count in started.items()}
    measured("rolling restart: all services of the database hosts", 20)
    nothing_is_left(cluster)


def test_nothing_is_restarted_while_a_host_is_missing_elsewhere(cluster):
    """A server of Consul that waits stays as it is while another one is down."""
    waiting, down = cluster.dcs[0], cluster.dcs[1]
    waiting.run(["rm", "/run/pgha/consul.started-with"])
    before = service(waiting, "consul")
    down.run(["systemctl", "stop", "consul"])
    try:
        run = formula.run(cluster.lab, sls=RESTART)
    finally:
        down.run(["systemctl", "start", "consul"])
    assert run.code == 1
    assert down.name in run.text
    assert service(waiting, "consul") == before
