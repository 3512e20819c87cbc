"""The states of Patroni in both modes: what they change, what they only say, what they refuse and with which remedy."""

import json

import pghalib.host.files
import pghalib.services
import pghalib.services.owed
import pytest
from salt.exceptions import CommandExecutionError

SETTINGS = {
    "name": "db2",
    "address": "198.51.100.22",
    "cluster": {
        "name": "test",
        "hosts": [
            {"id": "db1", "name": "db1", "address": "198.51.100.21"},
            {"id": "db2", "name": "db2", "address": "198.51.100.22"},
        ],
        "founder": {"id": "db1", "name": "db1", "address": "198.51.100.21"},
        "vip": {"address": "198.51.100.40"},
    },
    "consul": {"config": {}, "startup_timeout": 0.05},
    "tls": {"enabled": False},
    "postgres": {"user": "postgres", "group": "postgres", "port": 5432},
    "patroni": {"config_dir": "/etc/patroni", "loop_wait": 0, "restapi_port": 8008},
}
PARAMETERS = {"shared": {}, "host": {}, "source": "pgpro_tune", "left_out": {"wal_compression": "no lz4"}}
LEADER = {"state": "running", "role": "primary", "timeline": 1}
REPLICA = {"state": "running", "role": "replica", "timeline": 1, "replication_state": "streaming"}
CATCHING = {"state": "running", "role": "replica", "timeline": 1}


def fail(text):
    def raises(*_args):
        raise CommandExecutionError(text)

    return raises


def series(*values):
    """A function that returns one value after the other, and the last one for ever."""
    left = list(values)
    return lambda *_args: left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture(autouse=True)
def notes(tmp_path, monkeypatch):
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path / "run"))


@pytest.fixture
def states(loader_module, monkeypatch, tmp_path):
    """A function (test, utils, **functions of pgha_patroni) -> the state module with these answers."""
    (tmp_path / "postgres").touch()
    settings = {**SETTINGS, "postgres": {**SETTINGS["postgres"], "bin_dir": str(tmp_path)}}

    def build(test=False, utils=None, salt=None, secrets=True, listening=None, **functions):
        names = {
            "pgha.settings": lambda: settings,
            "pgha_tls.stays": lambda: True,
            "service.status": lambda _name: False,
            "pgha_postgres.parameters": lambda: PARAMETERS,
            "pgha_parameters.last_words": lambda: ["FATAL: no slot"],
            "pgha_patroni.log_tail": lambda _lines: ["waiting for leader\x1b[2J", "to bootstrap"],
            "pgha_patroni.version": lambda: "4.1.5",
            "pgha_vip.outdated": lambda: None,
            "pgha_dynamic.loop": lambda: 0,
            "pgha_member.astray": lambda: False,
            "pgha_founding.elsewhere": dict,
            **{f"pgha_patroni.{name}": value for name, value in functions.items()},
            **(salt or {}),
        }
        module = loader_module(
            "_states/pgha_patroni.py",
            salt=names,
            utils=utils,
            opts={"test": test},
            pillar={"pgha_secrets": {"restapi": "canary"}} if secrets else {},
        )
        monkeypatch.setattr(module.pghalib.wait, "listening", listening or (lambda *_args: True))
        return module

    return build


def environment(installed, complete=True):
    return {"wanted": {"patroni": "4.1.5", "click": "8.5.1"}, "installed": installed, "complete": complete}


GOOD = environment({"patroni": "4.1.5", "click": "8.5.1"})


def test_environment_that_is_there_is_left_alone(states):
    module = states(salt={"pgha_patroni_env.venv_state": lambda: GOOD, "pgha_patroni_env.build": fail("built")})
    ret = module.environment("x")
    assert (ret["result"], ret["changes"]) == (True, {})


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (environment({"patroni": "4.1.4", "click": "8.5.1"}), {"patroni": {"old": "4.1.4", "new": "4.1.5"}}),
        ({**GOOD, "complete": False}, {"environment": {"old": None, "new": "complete"}}),
    ],
)
def test_environment_is_built_when_something_differs(states, test, before, changes):
    built = []
    salt = {"pgha_patroni_env.venv_state": series(before, GOOD), "pgha_patroni_env.build": lambda: built.append(1)}
    ret = states(test, salt=salt).environment("x")
    assert ret["result"] is (None if test else True)
    assert ret["changes"] == changes
    assert len(built) == (0 if test else 1)


def test_new_version_under_a_running_patroni_leaves_the_restart_to_a_person(states):
    salt = {
        "pgha_patroni_env.venv_state": series(environment({}, complete=False), GOOD),
        "pgha_patroni_env.build": lambda: None,
        "service.status": lambda _name: True,
    }
    assert "restart of Patroni is pending" in states(salt=salt).environment("x")["comment"]


def test_same_versions_under_a_running_patroni_need_no_restart(states):
    salt = {
        "pgha_patroni_env.venv_state": series({**GOOD, "complete": False}, GOOD),
        "pgha_patroni_env.build": lambda: None,
        "service.status": lambda _name: True,
    }
    assert "restart" not in states(salt=salt).environment("x")["comment"]


@pytest.mark.parametrize(
    ("build", "after", "said"),
    [(fail("pip: no matching hash"), GOOD, "no matching hash"), (lambda: None, environment({}), "click, patroni")],
)
def test_environment_that_cannot_be_built_fails(states, build, after, said):
    salt = {
        "pgha_patroni_env.venv_state": series(environment({}, complete=False), after),
        "pgha_patroni_env.build": build,
    }
    ret = states(salt=salt).environment("x")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert said in ret["comment"]


@pytest.fixture
def configured(states):
    """A function (test, running, written) -> (the state's return, what was managed, what was reloaded)."""

    def run(test=False, running=False, written=None, old=False, reload=True, passwords=None, **functions):
        managed, reloaded = {}, []
        answer = written or {"result": None if test else True, "changes": {"diff": "+ttl"}, "comment": "Written."}

        real = pghalib.host.files.manage

        def manage(path, content, **kwargs):
            if path.startswith(pghalib.services.DIRECTORY):
                return real(path, content, **kwargs)
            managed[path] = (content, kwargs)
            return answer if path.endswith("patroni.yml") else {"result": True, "changes": passwords, "comment": ""}

        utils = {
            "pghalib.host.files.manage": manage,
            "pghalib.patroni.config.document": lambda *_args: {"ttl": 30},
            "pghalib.patroni.config.secret_values": lambda _secrets: ["canary"],
            "pghalib.patroni.config.pgpass": lambda *_args: "*:canary",
        }
        salt = {
            "service.status": lambda _name: running,
            "service.reload": lambda name: reloaded.append(name) or reload,
            "pgha_patroni.makes_files_beside_configuration": lambda: old,
        }
        module = states(test, utils=utils, salt=salt, validate=lambda _path: None, **functions)
        return module.configured("/etc/patroni/patroni.yml"), managed, reloaded

    return run


@pytest.mark.parametrize("running", [False, True])
def test_new_configuration_is_read_by_a_running_patroni(configured, running):
    ret, managed, reloaded = configured(running=running)
    assert ret["result"] is True
    assert ret["changes"] == {"/etc/patroni/patroni.yml": {"diff": "+ttl"}}
    assert reloaded == (["patroni"] if running else [])
    assert "wal_compression is left out: no lz4" in ret["comment"]
    for path, user, mode in (("patroni.yml", "root", "0640"), ("pgpass.check", "postgres", "0600")):
        kwargs = managed[f"/etc/patroni/{path}"][1]
        assert (kwargs["user"], kwargs["group"], kwargs["mode"]) == (user, "postgres", mode)
        assert (kwargs["secrets"], kwargs["sticky"]) == (["canary"], False)
    assert managed["/etc/patroni/patroni.yml"][1]["check"]("x") is None
    assert "canary" not in json.dumps(ret)


def test_a_patroni_that_makes_files_beside_its_configuration_is_put_up_with(configured):
    _, managed, _ = configured(running=True, old=True)
    assert [kwargs["sticky"] for _, kwargs in managed.values()] == [True, True]


def test_configuration_as_it_should_be_reloads_nothing(configured):
    good = {"result": True, "changes": {}, "comment": "As it should be."}
    ret, _, reloaded = configured(running=True, written=good)
    assert (ret["result"], ret["changes"], reloaded) == (True, {}, [])


GOOD_FILE = {"result": True, "changes": {}, "comment": "As it should be."}


def test_a_reload_that_fails_is_a_failure_and_is_made_up_for(configured):
    ret, _, reloaded = configured(running=True, reload=False)
    assert (ret["result"], reloaded) == (False, ["patroni"])
    assert "systemctl reload patroni failed" in ret["comment"]
    # The file was written all the same.
    assert ret["changes"] == {"/etc/patroni/patroni.yml": {"diff": "+ttl"}}
    assert "Written. Patroni was not told to read its configuration: " in ret["comment"]
    dry, _, reloaded = configured(test=True, running=True, written=GOOD_FILE)
    assert (dry["result"], reloaded) == (None, [])
    assert dry["comment"].endswith("As it should be. Patroni would be told to read its configuration.")
    again, _, reloaded = configured(running=True, written=GOOD_FILE)
    assert (again["result"], again["changes"], reloaded) == (True, dry["changes"], ["patroni"])
    ret, _, reloaded = configured(running=True, written=GOOD_FILE)
    assert (ret["result"], ret["changes"], reloaded) == (True, {}, [])


def test_a_run_that_ends_between_writing_and_reloading_leaves_the_reload_to_the_next_one(configured):
    _, managed, _ = configured(running=False)
    # The last that happens before the file is replaced; then the run is killed.
    assert managed["/etc/patroni/patroni.yml"][1]["check"]("draft") is None
    _, _, reloaded = configured(running=True, written=GOOD_FILE)
    assert reloaded == ["patroni"]


def test_a_patroni_that_does_not_run_is_owed_nothing_as_it_reads_the_file_at_its_start(configured):
    configured(running=False)
    _, _, reloaded = configured(running=True, written=GOOD_FILE)
    assert reloaded == []


def test_refused_configuration_reloads_nothing(configured):
    bad = {"result": False, "changes": {}, "comment": "refused: ttl"}
    ret, _, reloaded = configured(running=True, written=bad)
    assert (ret["result"], ret["changes"], reloaded) == (False, {}, [])
    assert "refused: ttl" in ret["comment"]
    assert "wal_compression is left out: no lz4" in ret["comment"]


def test_a_password_file_that_was_written_is_told_when_the_configuration_is_refused(configured):
    bad = {"result": False, "changes": {"leftovers": {"old": ["x"], "new": None}}, "comment": "refused: ttl"}
    ret, _, _ = configured(written=bad, passwords={"diff": "+password"})
    assert ret["result"] is False
    assert ret["changes"] == {
        "the password file of the check": {"diff": "+password"},
        "/etc/patroni/patroni.yml": bad["changes"],
    }


def test_dry_run_that_would_write_the_password_file_alone_has_something_to_do(configured):
    ret, _, _ = configured(test=True, written=GOOD_FILE, passwords={"diff": "+password"})
    assert (ret["result"], list(ret["changes"])) == (None, ["the password file of the check"])


def test_dry_run_of_the_configuration_reloads_nothing(configured):
    ret, _, reloaded = configured(test=True, running=True)
    assert ret["result"] is None
    assert ret["changes"]
    assert reloaded == []


def test_dry_run_before_the_installation_says_so(configured, tmp_path):
    ret, managed, _ = configured(test=True, version=lambda: None)
    assert (ret["result"], ret["changes"], managed) == (None, {}, {})
    # Of another version of PostgreSQL, say.
    (tmp_path / "postgres").unlink()
    ret, managed, _ = configured(test=True)
    assert (ret["result"], ret["changes"], managed) == (None, {}, {})


@pytest.mark.parametrize("test", [True, False])
def test_without_secrets_only_a_dry_run_passes(configured, test):
    ret, managed, _ = configured(test=test, secrets=False)
    assert (ret["result"], ret["changes"], managed) == (None if test else False, {}, {})
    assert "secrets" in ret["comment"]


def directory(**facts):
    found = {"path": "/pgdata/test", "empty": False, "version": "18", "identifier": "1", "patroni": True}
    return {"pgha_postgres.data_directory": lambda: {**found, "running": False, **facts}}


def dcs(initialize, leader=None):
    return lambda: {"initialize": initialize, "leader": leader}


@pytest.mark.parametrize(
    ("facts", "initialize", "result", "said"),
    [
        ({"empty": True}, None, True, "/pgdata/test is empty"),
        ({}, "1", True, "this cluster's data"),
        ({}, None, True, "this cluster's data"),
        ({}, "2", False, "system identifier 1, this cluster has 2"),
        ({"patroni": False}, "1", True, "this cluster's data"),
        ({"patroni": False}, None, False, "PostgreSQL 18 that Patroni has never run"),
        ({"identifier": None}, "1", True, "incomplete copy"),
        ({"identifier": None}, None, False, "no complete PostgreSQL data"),
    ],
)
def test_data_of_others_is_never_taken(states, facts, initialize, result, said):
    ret = states(salt=directory(**facts), dcs=dcs(initialize)).data_directory_ours("x")
    assert ret["result"] is result
    assert ret["changes"] == {}
    assert said in ret["comment"]
    assert result or "mv /pgdata/test /pgdata/test.old" in ret["comment"]


def test_data_under_a_running_patroni_needs_no_consul(states):
    module = states(salt=directory(running=True), member=lambda: LEADER, dcs=fail("Consul is down"))
    ret = module.data_directory_ours("x")
    assert (ret["result"], ret["comment"]) == (True, "Patroni runs a server on /pgdata/test.")


def test_data_cannot_be_judged_without_consul(states):
    ret = states(salt=directory(), dcs=fail("Consul is down")).data_directory_ours("x")
    assert (ret["result"], ret["comment"]) == (False, "Consul is down")
    ret = states(True, salt=directory(), dcs=fail("Consul is down")).data_directory_ours("x")
    assert ret["result"] is None


def test_founder_waits_for_nobody(states):
    assert states(dcs=fail("not asked")).leader_elected("x", 5, first=True)["result"] is True


def test_a_founder_without_data_founds_nothing_beside_members_with_data(states):
    living = {"pgha_founding.elsewhere": lambda: {"db3": "76", "db2": "unknown"}}
    answers = series(None, None, "76")
    module = states(dcs=lambda: {"initialize": answers(), "leader": None}, listening=fail("asked"), salt=living)
    assert module.leader_elected("x", 5, first=True)["comment"] == "The cluster is initialised."
    ret = states(dcs=dcs(None), listening=fail("asked"), salt=living).leader_elected("x", 5, first=True)
    assert ret["result"] is False
    assert "db1 has no data and does not found the cluster anew" in ret["comment"]
    assert "db2 (system identifier unknown), db3 (system identifier 76)" in ret["comment"]
    ret = states(True, dcs=fail("no Consul"), salt=living).leader_elected("x", 5, first=True)
    assert (ret["result"], ret["comment"]) == (True, "The run would wait for the first leader.")


def test_who_does_not_found_the_cluster_asks_nobody_for_data(states):
    module = states(dcs=dcs("76"), salt={"pgha_founding.elsewhere": fail("asked")})
    assert module.leader_elected("x", 5)["result"] is True


def test_others_wait_until_the_cluster_is_founded(states):
    answers = series(None, None, "76")
    module = states(dcs=lambda: {"initialize": answers(), "leader": None})
    assert module.leader_elected("x", 5)["comment"] == "The cluster is initialised."


@pytest.mark.parametrize(("answer", "said"), [(dcs(None), "Patroni's log on db1"), (fail("no Consul"), "no Consul")])
def test_cluster_that_nobody_founds_fails(states, answer, said):
    ret = states(dcs=answer).leader_elected("x", 0)
    assert ret["result"] is False
    assert said in ret["comment"]


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ((), "journalctl -u consul on db1"),
        ((8301,), "journalctl -u patroni on db1 says why"),
        ((8008, 8301), "log on db1"),
    ],
)
def test_a_founder_that_has_failed_is_named_by_what_does_not_run_on_it(states, runs, said):
    asked = []
    module = states(dcs=dcs(None), listening=lambda address, port: asked.append(address) or port in runs)
    ret = module.leader_elected("x", 0.1)
    assert (ret["result"], set(asked)) == (False, {"198.51.100.21"})
    assert said in ret["comment"]


def test_of_a_founded_cluster_the_founder_need_not_run(states):
    module = states(dcs=dcs("76"), listening=fail("asked"))
    assert module.leader_elected("x", 5)["comment"] == "The cluster is initialised."


@pytest.mark.parametrize(
    ("member", "said"),
    [(LEADER, "This member is the leader."), (REPLICA, "This member streams from the leader.")],
)
@pytest.mark.parametrize("test", [False, True])
def test_healthy_member_changes_nothing(states, test, member, said):
    module = states(test, member=lambda: member, wake=fail("woken"), cluster=fail("asked"))
    ret = module.streaming("x", 5)
    assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, said)


def test_a_server_that_was_started_without_its_configuration_is_restarted_once(states):
    """Patroni waits for ever for it, at the socket that the configuration names."""
    starting, asked = {"state": "starting", "role": "replica"}, []

    def post(what, timeout):
        asked.append((what, timeout))
        if len(asked) < 3:
            raise CommandExecutionError("restarting after failure already in progress")

    module = states(
        member=series(*[starting] * 6, REPLICA),
        cluster=fail("silent"),
        post=post,
        salt={"pgha_member.astray": lambda: True},
    )
    ret = module.streaming("x", 5)
    assert (ret["result"], asked) == (True, [("restart", 5)] * 3)
    assert ret["changes"] == {"PostgreSQL": {"old": "started without its configuration", "new": "restarted"}}


def test_a_dry_run_restarts_no_server_whatever_its_configuration_is(states):
    module = states(
        True, member=lambda: CATCHING, cluster=fail("silent"), post=fail("x"), salt={"pgha_member.astray": lambda: True}
    )
    assert module.streaming("x", 5)["changes"] == {}


def test_pending_restart_is_told_and_not_done(states):
    ret = states(member=lambda: {**REPLICA, "pending_restart": True}).streaming("x", 5)
    assert ret["result"] is True
    assert "restart is pending" in ret["comment"]


def test_leader_is_woken_once_and_only_when_it_knows_of_this_member(states):
    leader = {"name": "db1", "role": "leader", "host": "198.51.100.21"}
    woken = []
    module = states(
        member=series(None, CATCHING, CATCHING, CATCHING, REPLICA),
        cluster=series([leader], [leader, {"name": "db2", "role": "replica"}]),
        wake=lambda address: woken.append(address) or True,
    )
    assert module.streaming("x", 5)["result"] is True
    assert woken == ["198.51.100.21"]


@pytest.mark.parametrize(("member", "said"), [(None, "does not answer"), (CATCHING, "role: replica, state: running")])
def test_member_that_does_not_stream_fails_with_logs_and_remedy(states, member, said):
    ret = states(member=lambda: member, cluster=fail("silent")).streaming("x", 0)
    assert ret["result"] is False
    for part in (said, "waiting for leader?[2J\nto bootstrap\n", "FATAL: no slot", "patronictl reinit test db2"):
        assert part in ret["comment"]


COPYING = {"state": "creating replica", "role": "replica"}


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only while somebody sleeps."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_a_copy_that_takes_longer_than_the_timeout_is_waited_for(states, clock):
    # Asked each second: 400 seconds.
    answers = series(None, *[COPYING] * 400, {"state": "stopped"}, CATCHING, REPLICA)
    module = states(member=answers, cluster=fail("silent"))
    ret = module.streaming("x", 300)
    assert (ret["result"], ret["comment"]) == (True, "This member streams from the leader.")
    assert 390 < clock[0] < 410


def test_copies_that_fail_again_and_again_are_not_waited_for_without_end(states, clock):
    answers = series(*[*[COPYING] * 100, {"state": "stopped"}] * 3, COPYING)
    ret = states(member=answers, cluster=fail("silent")).streaming("x", 300)
    assert ret["result"] is False
    assert "This member says role: replica, state: creating replica" in ret["comment"]
    assert 590 < clock[0] < 610


def test_a_copy_whose_member_falls_silent_fails_after_the_timeout(states, clock):
    ret = states(member=series(*[COPYING] * 50, None), cluster=fail("silent")).streaming("x", 300)
    assert (ret["result"], "Patroni does not answer" in ret["comment"]) == (False, True)
    assert 340 < clock[0] < 360


def test_a_dry_run_waits_for_no_copy(states, clock):
    ret = states(True, member=lambda: COPYING, cluster=fail("silent")).streaming("x", 300)
    assert (ret["result"], clock[0]) == (False, 0)


def test_dry_run_waits_for_nobody(states):
    assert states(True, member=lambda: None).streaming("x", 500)["result"] is None


@pytest.fixture
def configuration(states):
    """A function (live, test, accepts) -> (the return of dcs_configured, the patches that were sent)."""

    def run(live, test=False, accepts=True, repair=False, **functions):
        sent = []

        def patch(changed):
            sent.append(changed)
            return {**live, **(changed if accepts else {})}

        utils = {"pghalib.patroni.config.dynamic": lambda *_args: {"ttl": 30, "synchronous_mode": False}}
        functions = {"member": lambda: LEADER, "dynamic_config": lambda: live, "patch_config": patch, **functions}
        return states(test, utils=utils, **functions).dcs_configured("x", repair), sent

    return run


@pytest.mark.parametrize("test", [False, True])
def test_equal_configuration_sends_nothing(configuration, test):
    ret, sent = configuration({"ttl": 30, "synchronous_mode": "off", "by_hand": 1}, test)
    assert (ret["result"], ret["changes"], sent) == (True, {}, [])


@pytest.mark.parametrize("test", [False, True])
def test_only_the_difference_is_sent(configuration, test):
    ret, sent = configuration({"ttl": 20, "synchronous_mode": False}, test)
    assert ret["result"] is (None if test else True)
    assert ret["changes"] == {"ttl": {"old": 20, "new": 30}}
    assert sent == ([] if test else [{"ttl": 30}])


def test_what_others_put_into_the_dcs_is_named(configuration):
    for ttl in (20, 30):
        ret, _ = configuration({"ttl": ttl, "synchronous_mode": False, "by_hand": 1})
        assert "by another hand, and left alone: by_hand" in ret["comment"]


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize(
    ("member", "sends"), [(None, False), (LEADER, False), (CATCHING, False), ({"state": "start failed"}, True)]
)
def test_only_a_server_that_cannot_start_has_the_configuration_mended_before_it_serves(
    configuration, member, sends, test
):
    ret, sent = configuration({"ttl": 20, "synchronous_mode": False}, test, repair=True, member=lambda: member)
    assert bool(ret["changes"]) is sends
    assert bool(sent) is (sends and not test)
    assert ret["result"] is (None if sends and test else True)


def test_before_the_first_configuration_there_is_none_to_repair(configuration):
    member = {"state": "stopped"}
    ret, _ = configuration({}, repair=True, member=lambda: member, dynamic_config=fail("HTTP 502"))
    assert (ret["result"], ret["changes"]) == (True, {})


def test_members_that_send_the_same_at_once_all_succeed(configuration):
    live, tried = {"ttl": 20, "synchronous_mode": False}, []

    def patch(changed):
        tried.append(changed)
        live.update(changed)

    ret, _ = configuration(live, patch_config=patch)
    assert (ret["result"], tried, live["ttl"]) == (True, [{"ttl": 30}], 30)


def test_change_that_does_not_last_fails(configuration):
    ret, _ = configuration({"ttl": 20, "synchronous_mode": False}, accepts=False)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "ttl" in ret["comment"]


def test_configuration_of_a_silent_patroni_fails_but_not_in_a_dry_run(configuration):
    ret, _ = configuration({}, dynamic_config=fail("does not answer"))
    assert ret["result"] is False
    assert "does not answer" in ret["comment"]
    ret, _ = configuration({}, test=True, member=lambda: None)
    assert ret["result"] is None


def test_write_is_tried_until_it_works(states):
    module = states(write_error=series("no route", "recovery", None))
    assert module.serves_writes("x", 5)["result"] is True


def test_write_that_never_works_says_why(states):
    ret = states(write_error=lambda: "in recovery", member=lambda: REPLICA).serves_writes("x", 0)
    assert ret["result"] is False
    assert "in recovery" in ret["comment"]


def test_write_to_an_address_that_vip_manager_does_not_know_yet_says_what_to_do(states):
    salt = {"pgha_vip.outdated": lambda: "a sentence."}
    assert states(write_error=lambda: None, salt=salt).serves_writes("x", 0)["result"] is True
    ret = states(write_error=lambda: "no route", salt=salt, member=lambda: None).serves_writes("x", 0)
    assert ret["result"] is False
    assert ret["comment"].startswith("a sentence. Not within 0 s: a write through the address")


TO = 'psql: error: connection to server at "198.51.100.40", port 5432 failed:'
HERE = "\n\tIs the server running on that host and accepting TCP/IP connections?"


@pytest.mark.parametrize(
    ("error", "member", "asked"),
    [
        (f"{TO} timeout expired", REPLICA, True),
        (f"{TO} No route to host{HERE}", REPLICA, True),
        (f"{TO} Connection timed out{HERE}", None, True),
        # Of versions before 14, as they were.
        (f"psql: could not connect to server: No route to host{HERE}", REPLICA, True),
        ("psql: error: timeout expired", REPLICA, True),
        # The leader reaches its own address without the network.
        (f"{TO} timeout expired", LEADER, False),
        # A host, or PostgreSQL, has answered.
        (f"{TO} Connection refused{HERE}", REPLICA, False),
        (f"{TO} FATAL:  the database system is starting up", REPLICA, False),
        ("ERROR:  cannot execute pg_logical_emit_message() during recovery", REPLICA, False),
    ],
)
def test_a_replica_that_the_network_keeps_from_the_address_asks_for_the_hypervisor(states, error, member, asked):
    ret = states(write_error=lambda: error, member=lambda: member).serves_writes("x", 0)
    assert ret["result"] is False
    assert error in ret["comment"]
    assert all((word in ret["comment"]) is asked for word in ("pgha.status", "allowed_address_pairs", "ipfilter"))


def test_dry_run_writes_nothing(states):
    assert states(True, write_error=fail("written")).serves_writes("x", 5)["result"] is True
