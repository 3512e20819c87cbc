"""What `clean` of each component takes away and what it leaves, on a replica's host; the main job brings it back."""

import json

import pytest
from integration import formula
from integration.cluster import service
from lab.tools import wait_for

# In the order in which a host is taken down: (component, its service, what is gone, what stays).
COMPONENTS = [
    ("vip", "vip-manager", ["/usr/bin/vip-manager", "/opt/vip-manager", "/etc/vip-manager"], []),
    (
        "patroni",
        "patroni",
        ["/opt/patroni", "/etc/patroni", "/etc/profile.d/pgha-patroni.sh"],
        ["/pgdata/test/PG_VERSION", "/var/log/patroni"],
    ),
    ("postgres", None, ["/etc/apt/sources.list.d/pgha-postgres.list"], ["/opt/pgpro/1c-18/bin/postgres"]),
    ("consul", "consul", ["/usr/bin/consul", "/opt/consul", "/etc/consul.d/config.json"], ["/var/lib/consul/data"]),
    ("hosts", None, [], ["/etc/hosts"]),
]


def clean(host, sls="pgha.clean"):
    """Apply `clean` of a component, or of the whole host, to a host; returns what it changed, a line each."""
    done = host.lab.salt("salt", host.name, "state.apply", sls, "--out=json", "--static")
    return formula.changed_states(host.name, json.loads(done.stdout[done.stdout.index("{") :])[host.name])


def there(host, paths):
    """Those of ``paths`` that are there."""
    script = 'for path; do test ! -e "$path" || echo "$path"; done'
    return host.run(["sh", "-c", script, "sh", *paths]).stdout.split()


@pytest.fixture(scope="module")
def host(cluster):
    """A replica's host, which is cleaned."""
    cluster.wait_healthy()
    return cluster.replicas()[0]


def data(cluster, host):
    """What a second initdb or a new copy of the leader would change: the system's identifier, and a file's inode."""
    identifier = cluster.psql(host, "SELECT system_identifier FROM pg_control_system()")
    return identifier, host.run(["stat", "-c", "%i", "/pgdata/test/PG_VERSION"]).stdout


@pytest.fixture(scope="module")
def before(cluster, host):
    """What ran, and which data the host had, before anything was cleaned."""
    return cluster.services(), data(cluster, host)


def test_a_paused_cluster_is_not_cleaned(cluster, host, before):
    """Patroni would leave PostgreSQL running, and nobody would manage it."""
    host.run(["su", "-", "postgres", "-c", "patronictl pause --wait"])
    try:
        done = host.lab.salt("salt", host.name, "state.apply", "pgha.clean", check=False)
        assert "Patroni of test is paused" in done.stdout, done.stdout
        assert "Traceback" not in done.stdout
    finally:
        host.run(["su", "-", "postgres", "-c", "patronictl resume --wait"])
    assert (cluster.services(), data(cluster, host)) == before


def test_clean_takes_away_what_the_formula_brought_and_no_data(cluster, ledger, host, before):
    for component, unit, brought, stays in COMPONENTS:
        gone = [*brought, *([f"/etc/systemd/system/{unit}.service"] if unit else [])]
        assert there(host, [*gone, *stays]) == [*gone, *stays]
        assert clean(host, f"pgha.{component}.clean") != []
        assert there(host, [*gone, *stays]) == stays
        if unit:
            assert service(host, unit)[:2] == ("inactive", "0")
            assert host.run(["systemctl", "is-enabled", unit], check=False).stdout.strip() in ("", "not-found")
        assert clean(host, f"pgha.{component}.clean") == []
        # The rest goes on.
        ledger.wait_for_writes()
        now = cluster.services()
        others = {key for key in now if key[0] != host.name}
        assert {key: now[key] for key in others} == {key: before[0][key] for key in others}


def test_nothing_of_the_servers_runs_on_the_host(host):
    assert clean(host) != [], "the notes of the host are still there"
    assert clean(host) == []
    assert there(host, ["/etc/pgha"]) == []
    assert json.loads(host.run(["salt-call", "--local", "--out=json", "grains.get", "pgha"]).stdout)["local"] == ""
    assert "test-dcs1" not in host.read("/etc/hosts")
    listening = host.run(["ss", "-Hltn"]).stdout.split()
    assert not [entry for entry in listening if entry.endswith((":5432", ":8008", ":8301"))]
    assert host.run(["su", "-", "postgres", "-c", "echo $PATRONICTL_CONFIG_FILE"]).stdout.strip() == ""


def test_the_main_job_brings_the_host_back_with_its_data(cluster, host, before):
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    cluster.wait_healthy()
    assert data(cluster, host) == before[1]
    formula.changes_nothing(cluster.lab)


def test_a_server_of_consul_comes_back_as_the_voter_that_it_was(cluster, ledger):
    server = next(host for host in cluster.dcs if host is not cluster.dcs_leader())
    assert clean(server) != []
    assert clean(server) == []
    assert there(server, ["/usr/bin/consul", "/etc/consul.d/config.json", "/etc/pgha"]) == []
    others = [host.name for host in cluster.dcs if host is not server]
    assert not [name for name in others if name in server.read("/etc/hosts")]
    assert service(server, "consul")[0] == "inactive"
    ledger.wait_for_writes()
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    # It may bring an election with it (Raft has a pre-vote from Consul 1.20 on), and three vote again.
    wait_for(lambda: len(cluster.voters()) == 3, timeout=60, what="three servers vote again")
    formula.changes_nothing(cluster.lab)
