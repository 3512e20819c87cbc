"""A run for one of two clusters needs nothing of the other one's hosts, and leaves them as they are."""

import json

import pytest
from integration import formula, ground

OTHER = {f"test2-db{n}": f"198.51.100.3{n}" for n in (1, 2, 3)}


@pytest.fixture(scope="module")
def second(cluster, pillar):
    """The pillar has a second cluster, whose hosts do not answer."""
    pillar.put({"clusters": {"test2": {"vip": "198.51.100.41/24", "hosts": OTHER}}})
    hosts = [cluster.lab[name] for name in OTHER]
    for host in hosts:
        host.run(["systemctl", "stop", "salt-minion"])
    yield
    for host in hosts:
        host.run(["systemctl", "start", "salt-minion"])
    pillar.put({})
    cluster.lab.wait_ready()
    assert formula.run(cluster.lab).code == 0
    ground.forget(cluster, "test2")


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize("sls", ["pgha", "pgha.restart"])
def test_only_the_named_cluster_is_worked_on(cluster, sls):
    before = cluster.services()
    run = formula.run(cluster.lab, "pillar=" + json.dumps({"pgha": {"only": ["test"]}}), sls=sls)
    assert run.code == 0, run.text
    worked_on = {host for state in run.states.values() for host in state["changes"].get("ret", {})}
    assert worked_on <= {host.name for host in cluster.hosts}
    assert cluster.services() == before
