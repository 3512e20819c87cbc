"""The status of all clusters, from what the hosts told, and the progress of a run."""

import pytest

PLAN = {
    "hosts": ["dcs1", "dcs2", "dcs3", "db1", "db2"],
    "datacenters": {"dc": ["dcs1", "dcs2", "dcs3"]},
    "clusters": {"one": ["db1", "db2"]},
}


EVIL = {"name": "db2", "address": "192.0.2.12", "raft_address": "192.0.2.12:8300", "voter": True}


@pytest.fixture
def report(loader_module):
    return loader_module("_utils/pgha_report.py")


def server(leader="dcs1", tokens=None, **over):
    members = [{"name": f"dcs{n}", "address": f"192.0.2.{n}", "type": "server", "status": "alive"} for n in (1, 2, 3)]
    health = {"leader": leader, "voters": ["dcs1", "dcs2", "dcs3"], "members": members, **over}
    return {"role": "dcs", "name": "dcs", "consul": health, "foreign_tokens": tokens}


def database(name, leader="db1", holds=None, **of_db2):
    members = [
        {"name": "db1", "host": "192.0.2.11", "role": "replica", "state": "streaming", "timeline": 1, "lag": 0},
        {"name": "db2", "host": "192.0.2.12", "role": "replica", "state": "streaming", "timeline": 1, "lag": 0},
    ]
    for member in members:
        if member["name"] == leader:
            member.update(role="leader", state="running")
    members[1].update(of_db2)
    return {
        "role": "db",
        "name": name,
        "members": members,
        "vip": "192.0.2.40",
        "holds_vip": name == (holds or leader),
    }


def told(**over):
    answers = {host: server() for host in ("dcs1", "dcs2", "dcs3")}
    return {**answers, "db1": database("db1"), "db2": database("db2"), **over}


def test_a_healthy_cluster_has_no_fault_and_a_table_with_all_members(report):
    state = report.summary(PLAN, told())
    assert state["faults"] == []
    text = report.text(state)
    for word in (
        "cluster one, virtual IP 192.0.2.40 on db1",
        "192.0.2.12",
        "streaming",
        "Consul dc",
        "Everything is as it",
    ):
        assert word in text


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"db2": None}, "db2: did not answer; is its salt-minion running?"),
        ({"db2": "The function is not there"}, "db2: did not answer as it should: The function"),
        ({"dcs2": server(leader="dcs3")}, "the servers disagree about the leader: dcs1, dcs3"),
        ({f"dcs{n}": server(leader=None) for n in (1, 2, 3)}, "no server knows a leader"),
        ({"dcs1": server(voters=["dcs1", "dcs2"])}, "2 voters instead of 3"),
        (
            {"dcs1": server(voters=["dcs1", "dcs2", "dcs3", "db2"], foreign_servers=[EVIL])},
            "Consul dc: db2 (192.0.2.12) is a server in raft and not in the inventory",
        ),
        (
            {"dcs1": server(voters=["dcs1", "dcs2", "db2"], foreign_servers=[EVIL])},
            "2 voters instead of 3",
        ),
        (
            {"dcs2": server(tokens=[{"accessor": "1-2", "description": "Mine", "management": True}])},
            'Consul dc: the token 1-2 "Mine", which may do everything,',
        ),
        ({"db1": database("db1", holds="db2"), "db2": database("db2", holds="db2")}, "is on db2, the leader is db1"),
        ({"db2": database("db2", holds="db2")}, "192.0.2.40 is on db1, db2, the leader is db1"),
        ({"db1": database("db1", holds="nobody")}, "is on no host"),
        (
            {"db1": database("db1", state="start failed"), "db2": database("db2", state="start failed")},
            "is start failed",
        ),
        ({"db1": database("db1", state="running")}, "db2 (replica) is running"),
        ({"db2": {**database("db2"), "pending": {"Consul": ["a", "b"]}}}, "db2: Consul waits for a restart: a; b"),
        ({"db1": database("db1", leader=""), "db2": database("db2", leader="")}, "one: no leader"),
        ({"db2": {**database("db2"), "paused": True}}, "one: Patroni is paused"),
    ],
)
def test_what_is_wrong_is_said(report, over, said):
    state = report.summary(PLAN, told(**over))
    assert any(said in fault for fault in state["faults"]), state["faults"]
    assert said in report.text(state)


def test_a_server_that_nobody_knows_is_not_counted_among_the_voters(report):
    voters = ["dcs1", "dcs2", "dcs3", "db2"]
    state = report.summary(PLAN, told(dcs1=server(voters=voters, foreign_servers=[EVIL])))
    assert len(state["faults"]) == 1
    assert "consul operator raft remove-peer -address=192.0.2.12:8300" in state["faults"][0]


def test_what_others_wrote_is_no_command_and_no_escape_sequence(report):
    peer = {**EVIL, "name": "db2; reboot\x1b[2J"}
    token = {"accessor": "$(reboot)", "description": 'x" \n' + "y" * 200, "management": False}
    state = report.summary(PLAN, told(dcs1=server(tokens=[token], voters=["a", "b", "c", "d"], foreign_servers=[peer])))
    server_fault, token_fault = state["faults"]
    assert "force-leave -prune 'db2; reboot?[2J'" in server_fault
    assert token_fault.endswith("consul acl token delete -id '$(reboot)'")
    assert all(fault.isprintable() for fault in state["faults"])
    assert "y" * 80 not in token_fault


def test_progress_follows_stages_and_knows_the_end(report):
    jobs = {}
    new = {"tag": "salt/job/1/new", "data": {"fun": "state.sls", "arg": [["pgha.dcs"]], "minions": ["dcs1", "dcs2"]}}
    assert report.progress(new, jobs) == ("pgha.dcs: started on dcs1, dcs2", None)
    done = {"tag": "salt/job/1/ret/dcs1", "data": {"id": "dcs1", "retcode": 0}}
    assert report.progress(done, jobs) == ("pgha.dcs: dcs1 done", None)
    failed = {"tag": "salt/job/1/ret/dcs2", "data": {"id": "dcs2", "retcode": 2}}
    assert report.progress(failed, jobs) == ("pgha.dcs: dcs2 FAILED", None)
    foreign = {"tag": "salt/job/2/ret/dcs2", "data": {"id": "dcs2", "retcode": 0}}
    assert report.progress(foreign, jobs) == (None, None)
    for success in (True, False):
        end = {"tag": "salt/run/3/ret", "data": {"fun": "runner.state.orchestrate", "success": success}}
        assert report.progress(end, jobs) == (None, success)
