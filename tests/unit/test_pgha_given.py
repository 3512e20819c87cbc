"""A host whose pillar lacks the inventory, or a cluster of it, says whose fault that is and what would be right."""

from pathlib import Path

import pytest
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
SERVERS = {f"dcs{n}": f"192.0.2.{n}" for n in (1, 2, 3)}
PGHA = {
    "consul": {"hashes": {"1.22.3": "0" * 64}},
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "datacenters": {"dc": {"servers": SERVERS}},
    "clusters": {"one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}}},
}


@pytest.fixture
def module(loader_module):
    def build(pillar, **opts):
        return loader_module(
            "_modules/pgha.py",
            salt={"cp.cache_file": lambda _path: str(ROOT / "salt/pgha/defaults.yaml")},
            opts={"id": "dcs1", "__role": "minion", **opts},
            pillar=pillar,
        )

    return build


@pytest.mark.parametrize(
    ("pillar", "opts", "said"),
    [
        ({"pgha": PGHA}, {"id": "db9"}, "db9 is neither among the servers"),
        ({}, {}, "name the inventory for it in the pillar's top.sls; then salt 'dcs1' saltutil.refresh_pillar"),
        ({"pgha": {"only": ["one"]}}, {}, "dcs1 is given no inventory: its pillar pgha has neither"),
        ({"pgha": {"only": ["one"]}}, {"pillar_source_merging_strategy": "smart"}, "top.sls"),
        (
            {"pgha": {"only": ["one"]}},
            {"pillar_source_merging_strategy": "overwrite"},
            "what the run adds to the pillar pgha replaces it: take pillar_source_merging_strategy out of",
        ),
        ({}, {"pillar_source_merging_strategy": "overwrite"}, "top.sls"),
        ({"pgha": "x"}, {}, "top.sls"),
        ({"_errors": ["Rendering SLS 'pgha'\n failed"]}, {}, "does not render: Rendering SLS 'pgha' failed"),
    ],
)
def test_a_host_without_an_inventory_says_why(module, pillar, opts, said):
    with pytest.raises(CommandExecutionError) as caught:
        module(pillar, **opts).settings()
    assert said in str(caught.value)


def test_a_host_is_asked_for_its_place_without_an_error(module):
    assert module({"pgha": PGHA}).unknown() is None
    asked = module({"pgha": PGHA}, id="db9").unknown
    assert asked().endswith("correct the inventory, or the minion id")
    assert asked(cleaning=True).endswith("put the host back into the pillar for pgha.clean, then remove it")


def told(**run):
    """The pillar of a host in a run over clusters of two datacenters."""
    return {"pgha": PGHA, "pgha_run": {"worked_on": {"one": "dc", "two": "dc", "far": "elsewhere"}, **run}}


def test_a_server_that_lacks_a_cluster_of_its_datacenter_says_that_its_own_pillar_does(module):
    with pytest.raises(CommandExecutionError) as caught:
        module(told()).plan()
    said = str(caught.value)
    assert said.startswith("the pillar of dcs1 lacks the cluster two, which this run is about (it has one): ")
    assert "registers the tokens" in said
    assert said.endswith("top.sls; then salt 'dcs1' saltutil.refresh_pillar")


def test_a_database_host_needs_its_own_cluster_alone(module):
    """As the example of a pillar gives it: one file for each cluster, and each host has that of its own."""
    everybody = {"only": ["one", "two"], "without": ["db2", "db9", "dcs9"], "new_data": ["db9"], "from_backup": ["two"]}
    run = {**everybody, "new_secrets": ["two/superuser", "dc/agents"]}
    plan = module(told(**run), id="db1").plan()
    assert plan["clusters"] == {"one": ["db1"]}
    assert plan["run"] == {
        "only": ["one"], "without": ["db2"], "new_secrets": ["dc/agents"], "new_data": [], "from_backup": []
    }  # fmt: skip


def test_a_name_that_nobody_knows_is_a_fault_of_the_pillar_on_the_master(module):
    with pytest.raises(CommandExecutionError, match=r"pgha:only: there is no cluster 'oen'; did you mean one\?"):
        module({"pgha": {**PGHA, "only": "oen"}}, __role="master").plan()


def test_a_host_that_has_all_clusters_of_the_run_is_told_nothing(module):
    one = {"pgha": PGHA, "pgha_run": {"worked_on": {"one": "dc", "far": "elsewhere"}, "only": ["one"]}}
    assert module(one).plan()["clusters"] == {"one": ["db1", "db2"]}
    assert module({"pgha": PGHA}).plan()["clusters"] == {"one": ["db1", "db2"]}
