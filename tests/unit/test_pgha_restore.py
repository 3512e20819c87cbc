"""A restore on a host: what it tells, when its server has recovered, and what an interrupted run goes on with."""

import re

import pghalib.backup.recovering
import pghalib.backup.target
import pghalib.master.restore
import pghalib.secrets.restores
import pghalib.secrets.store
import pytest
import shipped
from salt.exceptions import CommandExecutionError

SETTINGS = {"postgres": {"data_dir": "/pgdata/one", "user": "postgres", "group": "postgres", "bin_dir": "/bin",
                         "port": 5432, "socket_dir": "/run"}}  # fmt: skip
NOTE = {"id": "20261129-120000", "cluster": "one", "host": "db1", "target": {"type": "default", "text": "newest"}}


@pytest.fixture
def module(loader_module):
    """A function (answers of the loader's functions) -> the module."""

    def build(**answers):
        salt = {name.replace("__", "."): value for name, value in answers.items()}
        salt = {
            "pgha.settings": lambda: SETTINGS,
            "pgha_kept.positions": dict,
            "pgha_timeline.now": lambda: [3, 0],
            **salt,
        }
        return loader_module("_modules/pgha_restore.py", salt=salt)

    return build


def refuse(*_arguments):
    raise CommandExecutionError("it does not start")


def test_a_repository_that_does_not_answer_is_told_and_not_raised(module):
    told = module(pgha_backup__told=refuse, pgha_patroni__member=lambda: None).conditions()
    assert (told["fault"], told["leads"], told["first"]) == ("it does not start", False, None)


def test_one_repository_that_answers_is_enough(module):
    answer = {
        "backups": [{"stop": 20, "size": 6}, {"stop": 10, "size": 5}],
        "repositories": [{"fault": "refused"}, {"fault": None}],
    }
    member = {"role": "primary", "pause": True}
    told = module(pgha_backup__told=lambda: answer, pgha_patroni__member=lambda: member).conditions()
    assert (told["first"], told["newest"], told["fault"]) == (10, 20, None)
    assert (told["leads"], told["paused"], told["timeline"]) == (True, True, [3, 0])
    assert told["backups"] == [[20, 6], [10, 5]]


@pytest.mark.parametrize(
    ("last", "there"),
    [
        ("000000010000000000000006", False),
        ("000000010000000000000007", True),
        # A later timeline has gone on with the same numbers.
        ("000000020000000100000000", True),
        ("00000002.history", False),
        ("", False),
    ],
)
def test_when_a_file_of_wal_is_in_the_archive(module, last, there):
    run = {"retcode": 0, "stdout": last, "stderr": ""}
    assert module(cmd__run_all=lambda *_, **_how: run).archived("000000010000000000000007") is there


def test_a_server_that_has_ended_is_not_waited_for(module):
    salt = {
        "service__show": lambda _unit: {"ActiveState": "inactive"},
        "pgha_parameters__last_words": lambda: ["FATAL: recovery ended before the target"],
    }
    with pytest.raises(pghalib.backup.recovering.Ended, match="FATAL: recovery ended before the target"):
        module(**salt).recovering()
    assert not issubclass(pghalib.backup.recovering.Ended, CommandExecutionError)


def test_an_archive_that_ends_too_early_is_told_with_the_remedy():
    said = "2026-11-30 UTC [8] FATAL: recovery ended before configured recovery target was reached"
    assert "The archive ends before that moment." in str(pghalib.backup.recovering.ended(said))
    assert "archive" not in str(pghalib.backup.recovering.ended("FATAL: could not map memory"))


class Host:
    """A host in a restore; what is done there is noted in ``done``."""

    def __init__(self, runs=False, note=None, ends=False):
        self.done, self.runs, self.noted, self.ends = [], runs, note or {}, ends
        self.answers = [True, False]

    def salt(self):
        def recovering():
            if self.ends:
                raise pghalib.backup.recovering.Ended("it has ended")
            return self.answers.pop(0)

        notes = {name: lambda *_, name=name: self.done.append(name) for name in ("fetched", "start", "stop")}
        return {
            "pgha.settings": lambda: SETTINGS,
            "pgha_restore.note": lambda: self.noted,
            "pgha_restore.running": lambda: self.runs,
            "pgha_restore.halt": lambda: None,
            "pgha_copy.own_passwords": lambda: self.done.append("passwords"),
            "pgha_restore.recovering": recovering,
            **{f"pgha_restore.{name}": function for name, function in notes.items()},
        }


@pytest.fixture
def restored(loader_module, monkeypatch):
    def apply(host, test=False, **more):
        loaded = loader_module("_states/pgha_restore.py", salt=host.salt(), opts={"test": test})
        write = "pghalib.backup.recovering.write"
        monkeypatch.setattr(write, lambda restore, step: host.done.append(f"{restore} {step}"))
        return loaded.restored("a sentence", {**NOTE, **more})

    return apply


def test_the_data_are_fetched_recovered_and_noted_in_this_order(restored):
    host = Host(note={"id": NOTE["id"], "step": "aside"})
    assert restored(host)["result"] is True
    assert host.done == ["fetched", "start", f"{NOTE['id']} recovered", "stop", f"{NOTE['id']} restored"]


def test_a_recovery_that_an_interrupted_run_began_goes_on(restored):
    host = Host(runs=True)
    assert restored(host)["result"] is True
    assert host.done == [f"{NOTE['id']} recovered", "stop", f"{NOTE['id']} restored"]


@pytest.mark.parametrize("runs", [True, False])
def test_what_has_recovered_is_not_recovered_again_after_a_power_cut(restored, runs):
    host = Host(runs=runs, note={"id": NOTE["id"], "step": "recovered"})
    assert restored(host)["result"] is True
    assert host.done == ["stop", f"{NOTE['id']} restored"]


def test_the_server_of_a_copy_that_has_recovered_runs_again_for_its_passwords(restored):
    host = Host(note={"id": NOTE["id"], "step": "recovered"})
    assert restored(host, source="two")["result"] is True
    assert host.done == ["start", f"{NOTE['id']} recovered", "passwords", "stop", f"{NOTE['id']} restored"]


def test_the_server_that_recovers_is_postgresqls_users_and_has_no_network(module):
    ran = []
    run_all = lambda words, **_how: ran.append(words) or {"retcode": 0, "stdout": "", "stderr": ""}  # noqa: E731
    module(cmd__run_all=run_all).start()
    (words,) = ran
    server = words.index("/bin/postgres")
    assert words[:server] == [
        *("systemd-run", "--quiet", "--unit=pgha-restore", "--collect", "--property=User=postgres"),
        *("--property=Group=postgres", "--property=KillSignal=SIGINT", "--property=TimeoutStopSec=600"),
        *("--property=RuntimeDirectory=pgha-restore", "--property=RuntimeDirectoryMode=0700"),
        "--property=LimitNOFILE=65536",
    ]
    assert words[server + 1 : server + 5] == ["-D", "/pgdata/one", "-c", "listen_addresses="]


@pytest.mark.parametrize(
    ("state", "runs"),
    [
        ("active", True),
        ("activating", True),
        ("deactivating", False),
        ("inactive", False),
        ("failed", False),
        # systemd did not answer: the server may still have the data open.
        (None, False),
    ],
)
def test_a_server_that_is_being_stopped_does_not_run(module, state, runs):
    unit = {} if state is None else {"ActiveState": state}
    loaded = module(service__show=lambda _unit: unit, cmd__run_all=lambda *_, **_how: None)
    assert loaded.running() is runs
    if state in ("inactive", "failed"):
        loaded.halt()
    else:
        with pytest.raises(CommandExecutionError, match="does not stop"):
            loaded.halt()


def test_what_is_restored_is_not_restored_again_and_a_dry_run_does_nothing(restored):
    host = Host(note={"id": NOTE["id"], "step": "restored"})
    assert (restored(host)["changes"], host.done) == ({}, [])
    host = Host(note={"id": "of another restore", "step": "restored"})
    assert (restored(host, test=True)["result"], host.done) == (None, [])


class Aside:
    """A host whose data are put aside; ``done`` has what was done there, ``fails`` what fails next, and how."""

    def __init__(self, loader_module, monkeypatch, tmp_path):
        self.done, self.noted, self.fails, self.control = [], {}, {}, 1800

        def told(name, answer=None):
            def call(*_words):
                self.done.append(name)
                if name in self.fails:
                    raise CommandExecutionError(self.fails.pop(name))
                return answer

            return call

        def write(restore, step, control=None):
            self.noted = {"id": restore, "step": step, "control": control}
            told(step)()

        salt = {
            "pgha.settings": lambda: SETTINGS,
            "pgha_restore.note": lambda: self.noted,
            "pgha_restore.halt": lambda: None,
            "pgha_postgres.data_directory": lambda: {"running": False},
            "pgha_archive.push": told("push"),
            "pgha_backup.control_version": lambda: self.control,
            "pgha_member.emptied": told("emptied"),
        }
        monkeypatch.setattr("pghalib.backup.recovering.write", write)
        monkeypatch.setattr("pghalib.backup.recovering.aside", told("moved", "/pgdata/one.before-20261129-120000"))
        monkeypatch.setattr("pghalib.postgres.member_note.NOTE", str(tmp_path / "none"))
        salt["pgha_kept.put_aside"] = loader_module("_modules/pgha_kept.py", salt=salt).put_aside
        self.state = loader_module("_states/pgha_restore.py", salt=salt, opts={"test": False}).aside

    def put(self, keep):
        self.done = []
        return self.state("a sentence", NOTE["id"], keep=keep)


@pytest.fixture
def aside(loader_module, monkeypatch, tmp_path):
    return Aside(loader_module, monkeypatch, tmp_path)


def test_data_are_not_removed_while_wal_of_them_is_in_no_archive(aside):
    aside.fails = {"push": "1 files of WAL on this host are in no archive"}
    refused = aside.put(keep=False)
    assert (refused["result"], aside.done, aside.noted) == (False, ["push"], {})
    assert "are in no archive" in refused["comment"]
    assert aside.put(keep=False)["result"] is True
    assert aside.done == ["push", "begun", "emptied", "aside"]
    again = aside.put(keep=False)
    assert (again["result"], again["changes"], aside.done) == (True, {}, [])


@pytest.mark.parametrize(("keep", "how"), [(False, "emptied"), (True, "moved")])
def test_data_that_were_put_aside_in_part_are_asked_nothing_any_more(aside, keep, how):
    """Their WAL is in the archive, and their pg_control may be gone: neither of both could be told again."""
    aside.fails = {how: "the run was killed"}
    assert aside.put(keep)["result"] is False
    assert aside.noted == {"id": NOTE["id"], "step": "begun", "control": 1800}
    aside.fails, aside.control = {"push": "1 files of WAL would be lost"}, None
    assert aside.put(keep)["result"] is True
    assert aside.done == [how, "aside"]
    assert aside.noted == {"id": NOTE["id"], "step": "aside", "control": 1800}


def test_what_another_restore_has_begun_counts_for_that_one_alone(aside):
    aside.noted = {"id": "20200101-000000", "step": "begun", "control": 1}
    assert aside.put(keep=False)["result"] is True
    assert aside.done == ["push", "begun", "emptied", "aside"]
    assert aside.noted["control"] == 1800


@pytest.mark.parametrize(("step", "restores"), [("begun", None), ("aside", NOTE["id"]), ("restored", NOTE["id"])])
def test_a_host_takes_part_in_a_restore_when_its_data_are_aside(module, step, restores):
    found = module(pgha_backup__told=refuse, pgha_patroni__member=lambda: None)
    found.note = lambda: {"id": NOTE["id"], "step": step}
    assert found.conditions()["restores"] == restores


def test_a_recovery_that_fails_is_told_at_once_and_not_noted(restored):
    host = Host(ends=True)
    done = restored(host)
    assert (done["result"], done["comment"]) == (False, "it has ended")
    assert host.done == ["fetched", "start"]


def test_a_restore_that_has_ended_stays_so_after_a_power_cut_of_the_master(loader_module, monkeypatch, tmp_path):
    """The hosts' notes go after it: with the note back, the same restore would run over the data of its clients."""
    removed = []

    def remove(path, test):
        removed.append((path, test))
        return [path]

    monkeypatch.setattr("pghalib.host.files.remove", remove)
    note = tmp_path / "restore-one.json"
    note.touch()
    for test, asked in ((True, []), (False, [(str(note), False)])):
        ended = loader_module("_states/pgha_restore.py", opts={"test": test, "pgha_store": str(tmp_path)}).ended
        assert ended("a sentence", "one")["changes"] == {"one": {"old": "a restore", "new": None}}
        assert removed == asked


class Consul:
    """Patroni's keys in Consul, as the client of the formula sees them."""

    def __init__(self, **keys):
        self.keys = keys

    def ask(self, _settings, _secrets, method, path, token=None, payload=None, allow=()):
        assert (token, allow) == ("token", (404,))
        key = path.removeprefix("/v1/kv/db/one/")
        if method == "GET":
            return {"status": 200 if key in self.keys else 404}
        if method == "DELETE":
            del self.keys[key]
        else:
            self.keys[key] = str(payload)
        return {"status": 200}


@pytest.mark.parametrize(
    ("known", "gone"),
    [("7001", ["leader", "history"]), ("6999", ["leader", "history", "initialize"])],
)
def test_patroni_forgets_the_time_before_and_knows_the_restored_data(loader_module, monkeypatch, known, gone):
    consul = Consul(leader="db1", history="[]", config="{}", initialize=known)
    monkeypatch.setattr("pghalib.consul.client.ask", consul.ask)
    salt = {
        "pgha.settings": lambda: {**SETTINGS, "cluster": {"name": "one", "namespace": "/db/"}},
        "pgha_postgres.data_directory": lambda: {"identifier": "7001"},
        "pgha_patroni.dcs": lambda: {"initialize": known},
    }
    pillar = {"pgha_secrets": {"patroni": {"secret": "token"}}}
    module = loader_module("_modules/pgha_restore.py", salt=salt, pillar=pillar)
    assert module.forget_dcs(test=True) == gone
    assert "leader" in consul.keys
    assert module.forget_dcs() == gone
    assert consul.keys == {"config": "{}", "initialize": "7001"}


@pytest.mark.parametrize(
    ("key", "runs"),
    [
        ('{"role":"replica","state":"running"}', True),
        ('{"role":"replica","state":"stopped"}', False),
        ("nonsense", True),
        ("[]", True),
        (None, False),
    ],
)
def test_a_member_that_is_left_out_and_runs_is_found_by_its_key(loader_module, monkeypatch, key, runs):
    def ask(_settings, _secrets, method, path, **how):
        assert (method, path) == ("GET", "/v1/kv/db/one/members/db3")
        assert how["params"] == {"raw": "", "consistent": ""}
        return {"status": 404 if key is None else 200, "text": key or ""}

    monkeypatch.setattr("pghalib.consul.client.ask", ask)
    hosts = [{"id": f"{name}.example.org", "name": name} for name in ("db1", "db2", "db3")]
    cluster = {"name": "one", "namespace": "/db/", "hosts": hosts}
    salt = {"pgha.settings": lambda: {**SETTINGS, "cluster": cluster, "without": ["db3.example.org", "dcs1"]}}
    pillar = {"pgha_secrets": {"patroni": {"secret": "token"}}}
    module = loader_module("_modules/pgha_restore.py", salt=salt, pillar=pillar)
    assert module.left_out() == (["db3"] if runs else [])


def test_nothing_is_stopped_while_a_member_runs_that_is_left_out(loader_module):
    answers = [["db3"], ["db3"], []]
    salt = {
        "pgha.settings": lambda: {"patroni": {"ttl": 0}},
        "pgha_restore.left_out": lambda: answers.pop(0),
    }
    state = loader_module("_states/pgha_restore.py", salt=salt, opts={"test": False}).alone
    first = state("a sentence")
    assert first["result"] is False
    assert "db3 runs, though this run leaves it out (pgha:without)" in first["comment"]
    answers.pop(0)
    assert state("a sentence")["result"] is True


PGHA = {
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.11"}}},
    "clusters": {
        "one": {
            "hosts": {"db1": "192.0.2.21", "db2": "192.0.2.22", "db3": "192.0.2.23"},
            "backup": {"repositories": {"main": {"type": "posix", "path": "/srv/share"}}},
        },
        "trial": {"hosts": {"db7": "192.0.2.27"}},
    },
}
CONDITIONS = {"leads": False, "paused": False, "size": 5, "free": 9, "mount": False, "tablespaces": 0, "first": 1.0,
            "newest": 2.0, "fault": None, "kept": {"20261129-120000": [1, 5]}, "timeline": [3, 0],
              "restores": None}  # fmt: skip


@pytest.fixture
def plan(loader_module, tmp_path):
    """A function (what a person asks, without) -> the plan; db3 does not answer."""
    defaults = shipped.defaults()

    def build(without=(), noted=None, pgha=PGHA, timeline=(3, 0), restores=None, members=None, silent=(), **given):
        asked = []

        def cmd(hosts, _function, **_how):
            asked.append(list(hosts))
            told = {**CONDITIONS, "timeline": list(timeline), "restores": restores}
            answers = {host: {**told, "leads": host == "db2", **(members or {}).get(host, {})} for host in hosts}
            return {host: {"ret": answer} for host, answer in answers.items() if host not in ("db3", *silent)}

        salt = {
            "pgha_master.plan": lambda restoring: {"refused": [], "restoring": restoring},
            "pgha.defaults": lambda: defaults,
            "saltutil.cmd": cmd,
        }
        opts = {"pgha_store": str(tmp_path)}
        if noted:
            path = pghalib.secrets.store.directory(opts)
            pghalib.secrets.store.prepare(path)
            pghalib.secrets.store.write(pghalib.secrets.restores.file(path, noted["cluster"]), noted)
        pillar = {"pgha_restore": {"cluster": "one", "target": "newest", **given}}
        utils = {"pghalib.master.compiled.inventory": lambda *_: ({**pgha, "without": list(without)}, [])}
        found = loader_module("_modules/pgha_master_restore.py", salt=salt, utils=utils, opts=opts, pillar=pillar)
        return found.plan(), asked

    return build


def test_a_host_that_is_off_stops_a_restore_until_it_is_left_out(plan):
    found, _ = plan()
    assert found["refused"][0] == "db3: did not answer; is the host on, and its salt-minion running?"
    assert 'add "pgha": {"without": ["ID"]} to the pillar of this command' in found["refused"][1]
    assert len(found["refused"]) == 2
    found, asked = plan(without=["db3"])
    assert asked == [["db1", "db2"]]
    assert "db3 is left out: leave it off until the end" in found["refused"][3]
    found, _ = plan(without=["db3"], confirm="one to newest from timeline 3")
    assert (found["refused"], found["hosts"], found["others"]) == ([], ["db1", "db2"], ["db1"])
    assert found["run"] == {"restore": found["note"], "without": ["db3"]}


@pytest.mark.parametrize(
    ("given", "said", "backed"),
    [
        ({}, "the data of now are kept", True),
        ({"keep": False}, "the data of now are removed on every host", True),
        ({"target": "kept:20261129-120000"}, "what was written since is lost", True),
        ({"cluster": "trial", "from": "one"}, "all that is in trial now is replaced", False),
        ({"cluster": "trial", "from": "one", "keep": False}, "the data of now are removed on every host", False),
    ],
)
def test_the_words_that_are_shown_are_those_that_are_taken(plan, given, said, backed):
    refused = plan(without=["db3"], **given)[0]["refused"]
    assert [line for line in refused if said in line], refused
    (words,) = re.findall('add "confirm": "(.*)"', refused[-1])
    # When the restore has ended, or after a failover, the same words begin no other.
    for after in ([4, 0], [3, 5]):
        refused = plan(without=["db3"], confirm=words, timeline=after, **given)[0]["refused"]
        assert refused[0].startswith("this confirm is of another time")
    found, _ = plan(without=["db3"], confirm=words, **given)
    assert found["refused"] == []
    assert found["backed"] is backed
    assert found["note"].get("source") == given.get("from")
    assert found["note"]["keep"] is given.get("keep", True)
    assert ("copied" in found["run"]) is ("from" in given)
    # What the cluster that is copied wrote a moment ago is archived before, also when an interrupted run goes on.
    # Its words count while it is noted, and on whatever timeline once a host has begun it.
    noted = {"noted": found["note"], "without": ["db3"], "confirm": words}
    assert plan(**noted, restores=found["note"]["id"], timeline=[4, 0], **given)[0]["refused"] == []
    (refused,) = plan(**noted, timeline=[4, 0], **given)[0]["refused"]
    assert "that restore has ended, or the cluster has gone on without it" in refused
    again, _ = plan(**noted, **given)
    assert again["refused"] == []
    assert found["flushing"] == again["flushing"] == (["db2"] if "from" in given else [])
    assert found["keepers"] == []


def test_the_repository_hosts_are_told_of_a_copy_and_of_a_way_back_from_one(plan):
    far = {"type": "host", "host": "backup1", "path": "/backup"}
    pgha = {
        "datacenters": {"dc": {**PGHA["datacenters"]["dc"], "repository_hosts": {"backup1": "192.0.2.51"}}},
        "clusters": {**PGHA["clusters"], "one": {**PGHA["clusters"]["one"], "backup": {"repositories": {"far": far}}}},
    }
    copied = {"cluster": "trial", "from": "one", "confirm": "trial from one to newest from timeline 3"}
    found, _ = plan(pgha=pgha, **copied)
    assert (found["refused"], found["keepers"]) == ([], ["backup1"])
    words = "trial to kept:20261129-120000 from timeline 3"
    back = {"cluster": "trial", "target": "kept:20261129-120000", "confirm": words}
    begun = {**found["note"], "id": "20261129-120000"}
    found, _ = plan(pgha=pgha, noted=begun, restores=begun["id"], **back)
    assert (found["refused"], found["keepers"], "source" in found["note"]) == ([], ["backup1"], False)
    found, _ = plan(without=["backup1"], pgha=pgha, noted=begun, **copied)
    assert found["keepers"] == []


def test_a_copy_begins_when_a_member_of_its_source_tells_of_the_backups_and_goes_on_without(plan):
    copied = {"cluster": "trial", "from": "one", "confirm": "trial from one to newest from timeline 3"}
    found, _ = plan(silent=["db1", "db2"], **copied)
    assert found == {"refused": ["no member of one answers, so nobody tells what its repositories have"]}
    begun = plan(silent=["db2"], **copied)[0]
    assert (begun["refused"], begun["flushing"]) == ([], [])
    again, _ = plan(noted=begun["note"], silent=["db1", "db2"], **copied)
    assert (again["refused"], again["flushing"]) == ([], [])


def test_the_way_back_ends_the_restore_that_it_leads_out_of_and_no_other(plan):
    note = {**NOTE, "target": pghalib.backup.target.parsed({"target": "newest"})}
    back = {"target": "kept:20261129-120000", "confirm": "one to kept:20261129-120000 from timeline 3"}
    found, _ = plan(noted=note, without=["db3"], restores=note["id"], **back)
    assert (found["refused"], found["note"]["target"]["type"]) == ([], "kept")
    found, _ = plan(noted={**note, "id": "20261128-120000"}, without=["db3"], **back)
    assert "a restore of one to newest has begun and is not finished" in found["refused"][0]


def test_the_way_back_waits_until_the_data_are_aside_on_every_host(plan):
    """The furthest data may be those that are in their place still; of the kept ones another host would get its own."""
    note = {**NOTE, "target": pghalib.backup.target.parsed({"target": "newest"})}
    back = {"target": "kept:20261129-120000", "confirm": "one to kept:20261129-120000 from timeline 3"}
    aside, in_place = {"restores": note["id"], "leads": False}, {"leads": False, "kept": {}}
    found, _ = plan(noted=note, without=["db3"], members={"db1": aside, "db2": in_place}, **back)
    assert list(found) == ["refused"]
    (said,) = found["refused"]
    assert said.startswith("db2: its data of before are in their place still, and may be the furthest")
    assert "finish that first, by the same words as before (one to newest)" in said
    for members in (
        {"db1": aside, "db2": aside},
        # Had no data, and has got some or none.
        {"db1": aside, "db2": {**in_place, "restores": note["id"]}},
        {"db1": aside, "db2": {**in_place, "size": 0}},
        # Has lost its note.
        {"db1": aside, "db2": {"leads": False}},
        # Was left out, and came back to a cluster that serves.
        {"db1": {**aside, "leads": True}, "db2": in_place},
    ):
        assert plan(noted=note, without=["db3"], members=members, **back)[0]["refused"] == []


def test_a_restore_does_not_go_on_without_the_host_that_has_the_data(plan):
    note = {**NOTE, "target": pghalib.backup.target.parsed({"target": "newest"})}
    found, _ = plan(noted=note, without=["db3"])
    assert (found["leader"], found["others"], found["served"]) == ("db1", ["db2"], False)
    found, _ = plan(noted=note, without=["db1", "db3"])
    assert found == {"refused": ["db1 has the data that are restored: a run without it cannot go on"]}
    found, _ = plan(noted=note)
    assert found == {"refused": ["db3: did not answer; is the host on, and its salt-minion running?"]}


def test_nobody_is_stopped_again_where_clients_write_to_the_restored_data(plan):
    """Here the restored host has failed meanwhile, and another one leads with its data."""
    note = {**NOTE, "target": pghalib.backup.target.parsed({"target": "newest"})}
    for without, others in ((["db3"], ["db1"]), (["db1", "db3"], [])):
        found, _ = plan(noted=note, without=without, restores=note["id"])
        assert (found["refused"], found["leader"], found["others"], found["served"]) == ([], "db2", others, True)
    # The leader of before, in a restore that has only begun.
    found, _ = plan(noted=note, without=["db3"], restores="20200101-000000")
    assert (found["leader"], found["served"]) == ("db1", False)
    # One that was left out and came back leads with a copy of the restored data.
    back = {"db1": {"restores": note["id"], "member": True}}
    found, _ = plan(noted=note, without=["db3"], members=back)
    assert (found["refused"], found["leader"], found["served"]) == ([], "db2", True)


def test_nobody_is_stopped_again_because_a_leader_of_the_restored_data_does_not_answer(plan):
    """Clients may have written to a member that has taken over since: the restored host does not have that."""
    note = {**NOTE, "target": pghalib.backup.target.parsed({"target": "newest"})}
    silent = {"restores": note["id"], "leads": False}
    for host in ("db1", "db2"):
        members = {"db1": silent, "db2": silent, host: {**silent, "member": True}}
        found, _ = plan(noted=note, without=["db3"], members=members)
        assert list(found) == ["refused"]
        (said,) = found["refused"]
        assert said.startswith("one has served with the data of this restore, and nobody leads it now")
        assert "wait until a member leads" in said
        # The way back asks for its own word.
        back = {"target": "kept:20261129-120000", "confirm": "one to kept:20261129-120000 from timeline 3"}
        assert plan(noted=note, without=["db3"], members=members, **back)[0]["refused"] == []
    # A host that has not put its data aside has the note of its membership of before.
    for members in ({"db1": silent, "db2": silent}, {"db1": silent, "db2": {"leads": False, "member": True}}):
        found, _ = plan(noted=note, without=["db3"], members=members)
        assert (found["refused"], found["leader"], found["served"]) == ([], "db1", False)


def test_a_host_without_a_restore_has_no_note_of_one(module, monkeypatch, tmp_path):
    monkeypatch.setattr("pghalib.backup.recovering.NOTE", str(tmp_path / "restore.json"))
    assert module().note() == {}
    (tmp_path / "restore.json").write_text('{"id": "1", "step": "aside"}\n')
    assert module().note() == {"id": "1", "step": "aside"}


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[]", "7", "null", "[" * 100000, "\0", '{"id"'])
def test_a_damaged_note_is_named_with_the_remedy(module, monkeypatch, tmp_path, text):
    path = tmp_path / "restore.json"
    monkeypatch.setattr("pghalib.backup.recovering.NOTE", str(path))
    path.write_text(text)
    with pytest.raises(CommandExecutionError) as error:
        module().note()
    assert str(error.value).startswith(f"{path} is damaged: remove it")


@pytest.mark.parametrize("member", [True, False])
def test_a_host_tells_whether_it_has_noted_that_it_serves(module, monkeypatch, tmp_path, member):
    monkeypatch.setattr("pghalib.postgres.member_note.NOTE", str(tmp_path / "member.json"))
    if member:
        (tmp_path / "member.json").write_text("{}")
    told = module(pgha_backup__told=refuse, pgha_patroni__member=lambda: None).conditions()
    assert told["member"] is member


@pytest.mark.parametrize(
    ("source", "more", "stanza"), [(None, [], None), ("one", ["--archive-mode=off"], "one")], ids=["own", "copy"]
)
def test_a_copy_reads_the_other_clusters_backups_and_archives_nothing(module, monkeypatch, source, more, stanza):
    ran = []
    answers = {
        "pgha_postgres__data_directory": lambda: {"running": False},
        "pgha_backup__run": lambda *words, **how: ran.append((list(words), how["stanza"])),
        "cmd__run_all": None,
    }
    found = module(**answers)
    monkeypatch.setattr(found.pghalib.host.users, "run", lambda *_, **__: {"retcode": 0})
    found.fetched({"type": "default", "value": None}, source)
    assert ran == [(["--delta", "--type=default", *more, "restore"], stanza)]
