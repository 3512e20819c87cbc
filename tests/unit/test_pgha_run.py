"""What is given for one run on its command line."""

import pytest

DATACENTERS = {"dc": ["dcs1", "dcs2", "dcs3"]}
CLUSTERS = {"one": ["db1", "db2"], "two": ["db3"]}


@pytest.fixture
def run(loader_module):
    return loader_module("_utils/pghalib/run.py")


def test_what_came_with_the_run_is_over_the_inventory_and_nothing_else_is(run):
    pillar = {"pgha": {"only": "one", "consul": {}}, "pgha_run": {"only": ["two"], "without": ["db3"], "consul": 7}}
    assert run.of_pillar(pillar) == {"only": ["two"], "without": ["db3"], "consul": {}}
    for nothing in (None, [], "text", 7):
        assert run.of_pillar({"pgha": {"only": "one"}, "pgha_run": nothing}) == {"only": "one"}
    assert run.of_pillar({}) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"only": "oen"}, "pgha:only: there is no cluster 'oen'; did you mean one?"),
        ({"from_backup": "oen"}, "pgha:from_backup: there is no cluster 'oen'; did you mean one?"),
        ({"new_secrets": ["dd/x"]}, "pgha:new_secrets: there is no cluster or datacenter 'dd'"),
        ({"without": "db9"}, "pgha:without: there is no minion 'db9'; did you mean db"),
        ({"without": ["dcs1", "dcs2"]}, "leaves 1 of the 3 servers of dc, which have no quorum then; leave out 1 at"),
        ({"without": ["db3"]}, "leaves no host of the cluster two"),
    ],
)
def test_what_cannot_be_meant_is_a_fault(run, given, said):
    found = run.faults(given, DATACENTERS, CLUSTERS)
    assert len(found) == 1
    assert said in found[0]


def test_a_minority_of_servers_and_a_replica_can_be_left_out(run):
    assert run.faults({"without": ["dcs1", "db1"], "only": ["one"]}, DATACENTERS, CLUSTERS) == []


def test_what_only_the_command_line_has_is_found_by_its_path(run):
    stored = {"consul": {"version": 1}, "clusters": {"one": {"vip": "a"}}}
    same = {**stored, "only": ["one"], "without": [], "new_secrets": ["x"]}
    assert run.strangers(same, stored) == []
    assert run.strangers(None, None) == []
    more = {"consul": {"version": 2, "ui": True}, "clusters": {"one": {"vip": "a", "only": 1}}}
    assert run.strangers(more, stored) == ["pgha:consul:version", "pgha:consul:ui", "pgha:clusters:one:only"]
    assert run.strangers({"a": 1}, None) == ["pgha"]
