"""The main job takes six bare hosts to a serving cluster, although it is killed in every stage on its way."""

import json

import pytest
from integration import formula
from integration.cluster import Cluster, service

GROUND = "built"

# Stage by stage: (a state that the stage applies, the host to look at, what else is to be true there by then).
STAGES = [
    ("pgha.stages.preflight", "test-db1", None),
    ("pgha.dcs", "test-dcs1", "systemctl -q is-active consul"),
    ("pgha.stages.packages", "test-db2", "test -e /opt/pgpro"),
    ("pgha.db", "test-db1", "test -e /pgdata/test/PG_VERSION"),
]


@pytest.fixture(scope="module")
def running(bare):
    """(host, unit): what ran when a run was killed, as services() tells it; filled by the tests in their order."""
    return {}


@pytest.mark.parametrize(("sls", "name", "condition"), STAGES, ids=[stage[0] for stage in STAGES])
def test_a_run_can_be_killed_in_each_stage(bare, running, sls, name, condition):
    host = bare[name]

    def reached():
        if not formula.working_on(host, sls):
            return False
        return condition is None or host.run(["sh", "-c", condition], check=False).returncode == 0

    formula.run_until(bare, reached, what=f"{name} applies {sls}, {condition or 'at once'}")
    for unit_host in Cluster(bare).hosts:
        for unit in ("consul", "patroni", "vip-manager"):
            seen = service(unit_host, unit)
            if seen[0] == "active":
                # Not what started while this looked: what ran at the first kill counts.
                running.setdefault((unit_host.name, unit), seen)


def test_the_next_run_completes_it_and_restarts_nothing_that_ran(bare, running):
    run = formula.run(bare)
    assert run.code == 0, run.text
    assert not run.failed()
    cluster = Cluster(bare)
    cluster.wait_healthy()
    assert any(unit == "consul" for _, unit in running), "no kill came when Consul ran already"
    now = cluster.services()
    assert {key: now[key] for key in running} == running


def test_consul_was_bootstrapped_once_with_the_token_of_the_store(cluster):
    store = formula.store(cluster.lab, "datacenter-test-dcs-cluster")
    own = json.loads(cluster.consul("acl", "token", "read", "-self", "-format=json"))
    assert own["SecretID"] == store["management"]["secret"]
    tokens = json.loads(cluster.consul("acl", "token", "list", "-format=json"))
    mighty = [
        token["AccessorID"]
        for token in tokens
        if any(policy["Name"] == "global-management" for policy in token.get("Policies") or [])
    ]
    assert mighty == [own["AccessorID"]]


def test_the_database_was_initialised_once(cluster):
    founded = cluster.consul("kv", "get", "db/test/initialize").strip()
    identifiers = {cluster.psql(host, "SELECT system_identifier FROM pg_control_system()") for host in cluster.db}
    assert identifiers == {founded}
    assert cluster.timeline() == 1


def test_a_second_orchestration_at_the_same_time_is_refused(cluster):
    first = cluster.lab.master.popen(
        ["flock", "/var/lib/pgha/.orchestration.lock", "sh", "-c", "echo held; read line"],
        stdin=-1,
        stdout=-1,
        text=True,
    )
    try:
        assert first.stdout.readline() == "held\n"
        run = formula.run(cluster.lab)
    finally:
        first.communicate("over\n")
    assert run.code == 1
    assert "Another orchestration" in run.text
