"""The status of all clusters, from what the hosts told, and the progress of a run."""

import pytest
from pghalib.master.watching import progress

PLAN = {
    "hosts": ["dcs1", "dcs2", "dcs3", "db1", "db2"],
    "datacenters": {"dc": ["dcs1", "dcs2", "dcs3"]},
    "clusters": {"one": ["db1", "db2"]},
    "names": {host: host for host in ("dcs1", "dcs2", "dcs3", "db1", "db2")},
}


EVIL = {"name": "db2", "address": "192.0.2.12", "raft_address": "192.0.2.12:8300", "voter": True}


@pytest.fixture
def report(loader_module):
    return loader_module("_utils/pghalib/master/report.py")


def server(name, leader="dcs1", tokens=None, **over):
    members = [{"name": f"dcs{n}", "address": f"192.0.2.{n}", "type": "server", "status": "alive"} for n in (1, 2, 3)]
    health = {"leader": leader, "voters": ["dcs1", "dcs2", "dcs3"], "members": members, **over}
    return {"role": "dcs", "name": name, "consul": health, "foreign_tokens": tokens}


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
        "undeclared": None,
        "vip": "192.0.2.40",
        "holds_vip": name == (holds or leader),
        "proof": None,
    }


def told(**over):
    answers = {host: server(host) for host in ("dcs1", "dcs2", "dcs3")}
    return {**answers, "db1": database("db1"), "db2": database("db2"), **over}


def test_what_is_only_in_the_dcs_is_named_and_no_fault(report):
    state = report.summary(PLAN, told(db2={**database("db2"), "undeclared": ["postgresql.parameters.jit", "slots.x"]}))
    assert state["faults"] == []
    assert "only in the DCS, not in the pillar: postgresql.parameters.jit, slots.x\n" in report.text(state)
    assert "only in the DCS" not in report.text(report.summary(PLAN, told()))


@pytest.mark.parametrize(
    ("role", "lag", "fault"),
    [
        ("replica", 2**30, None),
        ("replica", 80 * 2**30, "one: db2 (replica) is 80.0 GiB behind the leader"),
        ("sync_standby", 3 * 2**29, "one: db2 (sync_standby) is 1.5 GiB behind the leader"),
        ("replica", "unknown", None),
        ("replica", None, None),
    ],
)
def test_a_replica_that_is_far_behind_is_named(report, role, lag, fault):
    state = report.summary(PLAN, told(db2=database("db2", role=role, lag=lag)))
    assert state["faults"] == ([fault] if fault else [])


DAY = 86400


@pytest.mark.parametrize(
    ("proofs", "days"),
    [
        ([(None, 2 * DAY), (None, 3 * DAY)], None),
        # The timer of a host that is new says nothing of the others.
        ([(None, 9 * DAY), (None, 60)], "9"),
        ([(9 * DAY, 90 * DAY), (60, 90 * DAY)], None),
        ([(11 * DAY, 90 * DAY), (20 * DAY, 90 * DAY)], "11"),
        ([(11 * DAY, 90 * DAY), None], "11"),
        ([None, None], None),
    ],
)
def test_backups_that_nobody_has_proven_for_too_long_are_a_fault(report, proofs, days):
    proofs = [one and dict(zip(("proven", "since"), one, strict=True)) for one in proofs]
    answers = {host: {**database(host), "proof": one} for host, one in zip(("db1", "db2"), proofs, strict=True)}
    faults = report.summary(PLAN, told(**answers))["faults"]
    assert [fault.split(" nothing ")[0] for fault in faults] == ([f"one: for {days} days"] if days else [])
    # It may have been the one that does not answer.
    silent = told(**answers)
    del silent["db2"]
    assert not [fault for fault in report.summary(PLAN, silent)["faults"] if "proven" in fault]


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


@pytest.mark.parametrize("own", [True, False, None])
def test_who_renews_a_certificate_is_said_by_whose_authority_it_is(report, own):
    """The main job takes the user's certificates as they are, so it renews none of them."""
    authority = None
    if own is not None:
        authority = {"until": "2036-01-20T10:00:00+00:00", "days": 3000.0, "due": False, "own": own}
    tls = {"until": "2027-01-20T10:00:00+00:00", "days": 40.2, "due": True, "outdated": [], "authority": authority}
    (fault,) = report.summary(PLAN, told(db2={**database("db2"), "tls": tls}))["faults"]
    assert fault.startswith("db2: the certificate ends in 40 days (2027-01-20); ")
    assert fault.endswith(", and run the main job" if own is False else "; the main job renews it")
    assert ("tls:certificate and tls:key" in fault) == (own is False)


@pytest.mark.parametrize(
    ("own", "remedy"), [(True, "pgha.authority dc step=add"), (False, "set tls:ca, tls:certificate and tls:key")]
)
def test_an_authority_that_ends_is_told_once_for_a_datacenter(report, own, remedy):
    ending = {"until": "2027-01-20T10:00:00+00:00", "days": 56.3, "due": True, "own": own}
    tls = {"until": "2027-01-20T10:00:00+00:00", "days": 56.3, "due": False, "outdated": [], "authority": ending}
    hosts = {host: {**answer, "tls": tls} for host, answer in told().items()}
    (fault,) = report.summary(PLAN, hosts)["faults"]
    assert fault.startswith("Consul dc: the authority of all certificates ends in 56 days (2027-01-20), ")
    assert remedy in fault
    ending["due"] = False
    assert report.summary(PLAN, hosts)["faults"] == []


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"db2": None}, "db2: did not answer; is the host on, and its salt-minion running?"),
        ({"db2": "Minion did not return. [No response]\nThe minions may"}, "db2: did not answer; is the host on, and"),
        ({"db2": "The function is not there"}, "db2: did not answer as it should: The function"),
        ({"dcs2": server("dcs2", leader="dcs3")}, "the servers disagree about the leader: dcs1, dcs3"),
        ({f"dcs{n}": server(f"dcs{n}", leader=None) for n in (1, 2, 3)}, "no server knows a leader"),
        ({"dcs1": server("dcs1", voters=["dcs1", "dcs2"])}, "2 voters instead of 3"),
        (
            {"dcs1": server("dcs1", voters=["dcs1", "dcs2", "dcs3", "db2"], foreign_servers=[EVIL])},
            "Consul dc: db2 (192.0.2.12) is a server in raft and not in the inventory",
        ),
        (
            {"dcs1": server("dcs1", voters=["dcs1", "dcs2", "db2"], foreign_servers=[EVIL])},
            "2 voters instead of 3",
        ),
        (
            {"dcs2": server("dcs2", tokens=[{"accessor": "1-2", "description": "Mine", "management": True}])},
            'Consul dc: the token 1-2 "Mine", which may do everything,',
        ),
        ({"db1": database("db1", holds="db2"), "db2": database("db2", holds="db2")}, "is on db2, the leader is db1"),
        ({"db2": database("db2", holds="db2")}, "192.0.2.40 is on db1, db2, the leader is db1"),
        ({"db1": database("db1", holds="nobody")}, "is on no host"),
        (
            {"db1": database("db1", state="start failed"), "db2": database("db2", state="start failed")},
            "is start failed",
        ),
        ({"db2": database("db2", state="running")}, "db2 (replica) is running"),
        ({"db1": database("db1", state="running"), "db2": None}, "db2 (replica) is running"),
        ({"db2": {**database("db2"), "pending": {"Consul": ["a", "b"]}}}, "db2: Consul waits for a restart: a; b"),
        ({"db1": database("db1", leader=""), "db2": database("db2", leader="")}, "one: no leader"),
        ({"db2": {**database("db2"), "paused": True}}, "one: Patroni is paused"),
        ({"db2": {**database("db2"), "faults": ["/data is not mounted"]}}, "db2: /data is not mounted"),
    ],
)
def test_what_is_wrong_is_said(report, over, said):
    state = report.summary(PLAN, told(**over))
    assert any(said in fault for fault in state["faults"]), state["faults"]
    assert said in report.text(state)


def test_a_server_that_nobody_knows_is_not_counted_among_the_voters(report):
    voters = ["dcs1", "dcs2", "dcs3", "db2"]
    state = report.summary(PLAN, told(dcs1=server("dcs1", voters=voters, foreign_servers=[EVIL])))
    assert len(state["faults"]) == 1
    assert "consul operator raft remove-peer -address=192.0.2.12:8300" in state["faults"][0]


@pytest.mark.parametrize(
    ("description", "used"),
    [("Virtual IP of the database cluster one", True), ("Patroni of the database cluster one", False), ("Mine", False)],
)
def test_a_token_that_a_vip_manager_may_still_use_is_deleted_after_its_restart_alone(report, description, used):
    token = {"accessor": "1-2", "description": description, "management": False}
    (fault,) = report.summary(PLAN, told(dcs1=server("dcs1", tokens=[token])))["faults"]
    restart = fault.find("first the main job and salt-run state.orchestrate pgha.restart")
    assert restart < fault.find("delete -id")
    assert (restart > 0) is used


def test_what_others_wrote_is_no_command_and_no_escape_sequence(report):
    peer = {**EVIL, "name": "db2; reboot\x1b[2J"}
    token = {"accessor": "$(reboot)", "description": 'x" \n' + "y" * 200, "management": False}
    odd = server("dcs1", tokens=[token], voters=["a", "b", "c", "d"], foreign_servers=[peer])
    state = report.summary(PLAN, told(dcs1=odd))
    server_fault, token_fault = state["faults"]
    assert "force-leave -prune 'db2; reboot?[2J'" in server_fault
    assert token_fault.endswith("consul acl token delete -id '$(reboot)'")
    assert all(fault.isprintable() for fault in state["faults"])
    assert "y" * 80 not in token_fault


def test_progress_follows_stages_and_knows_the_end():
    jobs = {}
    new = {"tag": "salt/job/1/new", "data": {"fun": "state.sls", "arg": [["pgha.dcs"]], "minions": ["dcs1", "dcs2"]}}
    assert progress(new, jobs) == ("pgha.dcs: started on dcs1, dcs2", None)
    done = {"tag": "salt/job/1/ret/dcs1", "data": {"id": "dcs1", "retcode": 0}}
    assert progress(done, jobs) == ("pgha.dcs: dcs1 done", None)
    failed = {"tag": "salt/job/1/ret/dcs2", "data": {"id": "dcs2", "retcode": 2}}
    assert progress(failed, jobs) == ("pgha.dcs: dcs2 FAILED", None)
    foreign = {"tag": "salt/job/2/ret/dcs2", "data": {"id": "dcs2", "retcode": 0}}
    assert progress(foreign, jobs) == (None, None)
    for success in (True, False):
        data = {"fun": "runner.state.orchestrate", "fun_args": ["pgha", {"test": True}], "success": success}
        assert progress({"tag": "salt/run/3/ret", "data": data}, jobs) == (None, success)
        assert progress({"tag": "salt/run/3/ret", "data": {**data, "return": {"retcode": 1}}}, jobs)[1] is False


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("salt/job/1/new", {"fun": "state.sls", "arg": [], "minions": ["a"]}),
        ("salt/job/1/new", {"fun": "state.sls", "arg": [{"__kwarg__": True, "test": True}], "minions": ["a"]}),
        ("salt/job/1/new", {"fun": "state.sls", "arg": ["webserver"], "minions": ["a"]}),
        ("salt/job/1/new", {"fun": "state.sls", "arg": ["pgha.x\x1b[2J"], "minions": ["a"]}),
        ("salt/job/1/new", {"fun": "state.sls", "arg": {"a": 1}, "minions": 7}),
        ("salt/job/1/new", {"fun": "state.sls"}),
        ("salt/job", {}),
        ("", None),
        (None, {}),
        ("salt/job/1/ret", {"retcode": 0}),
        ("salt/run/3/ret", {"fun": "runner.state.orchestrate", "fun_args": ["webservers"], "success": True}),
        ("salt/run/3/ret", {"fun": "runner.state.orchestrate", "success": True}),
        (
            "salt/run/3/ret",
            {"fun": "runner.state.orchestrate", "fun_args": ["pgha"], "success": True, "cmd": "_minion_event"},
        ),
    ],
)
def test_progress_passes_over_what_is_no_event_of_the_orchestration(tag, data):
    assert progress({"tag": tag, "data": data}, {}) == (None, None)


def test_progress_knows_every_way_to_name_the_states():
    for arguments in (
        ["pgha.dcs,pgha.db"],
        [["pgha.dcs", "pgha.db"]],
        [{"__kwarg__": True, "mods": "pgha.dcs,pgha.db"}],
    ):
        data = {"fun": "state.sls", "arg": arguments, "minions": ["db1", "\x1b]0;x\x07"]}
        said = progress({"tag": "salt/job/1/new", "data": data}, {})[0]
        assert said == "pgha.dcs pgha.db: started on db1, ?]0;x?"
    for arguments in (["pgha.restart"], [["pgha"]], [{"mods": "pgha"}]):
        data = {"fun": "runner.state.orch", "fun_args": arguments, "success": True}
        assert progress({"tag": "salt/run/3/ret", "data": data}, {}) == (None, True)


def test_a_host_that_answers_nonsense_is_named_and_hides_no_other(report):
    state = report.summary(PLAN, told(db2={**database("db2"), "members": [{"name": "db2", "role": 7}]}))
    assert state["faults"] == ["db2: answered nonsense (members:0:role)"]
    assert [member["name"] for member in state["clusters"]["one"]["members"]] == ["db1", "db2"]


def test_a_member_and_a_name_that_the_inventory_does_not_know(report):
    answer = database("db1")
    answer["members"].append({**answer["members"][0], "name": "db9"})
    state = report.summary(PLAN, told(db1=answer, db2=database("db7")))
    assert state["faults"] == [
        "db2: calls itself db7, the pillar db2",
        "one: db9 is a member by what db1 says, and is not in the inventory: put it back, or follow"
        ' "Remove a host" in docs/runbooks.md',
    ]
    assert [member["name"] for member in state["clusters"]["one"]["members"]] == ["db1", "db2"]


def test_servers_that_know_a_leader_and_no_members_are_a_fault_and_no_end_of_the_report(report):
    blind = {f"dcs{n}": server(f"dcs{n}", members=None) for n in (1, 2, 3)}
    state = report.summary(PLAN, told(**blind))
    assert state["faults"] == ["Consul dc: no server tells the members; see salt HOST pgha_consul.health"]
    assert "Consul dc" in report.text(state)
    assert report.summary(PLAN, told(dcs1=blind["dcs1"]))["faults"] == []
