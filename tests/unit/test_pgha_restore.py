"""A restore on a host: what it tells, when its server has recovered, and what an interrupted run goes on with."""

import pghalib.backup.recovering
import pytest
from salt.exceptions import CommandExecutionError

SETTINGS = {"postgres": {"data_dir": "/pgdata/one", "user": "postgres", "group": "postgres", "bin_dir": "/bin",
                         "port": 5432, "socket_dir": "/run"}}  # fmt: skip
NOTE = {"id": "20261129-120000", "cluster": "one", "host": "db1", "target": {"type": "default", "text": "newest"}}


@pytest.fixture
def module(loader_module):
    """A function (answers of the loader's functions) -> the module."""

    def build(**answers):
        salt = {name.replace("__", "."): value for name, value in answers.items()}
        return loader_module("_modules/pgha_restore.py", salt={"pgha.settings": lambda: SETTINGS, **salt})

    return build


def refuse(*_arguments):
    raise CommandExecutionError("it does not start")


def test_a_repository_that_does_not_answer_is_told_and_not_raised(module):
    told = module(pgha_backup__told=refuse, pgha_patroni__member=lambda: None).standing()
    assert (told["fault"], told["leads"], told["first"]) == ("it does not start", False, None)


def test_one_repository_that_answers_is_enough(module):
    answer = {
        "backups": [{"stop": 20}, {"stop": 10}],
        "repositories": [{"fault": "refused"}, {"fault": None}],
    }
    member = {"role": "primary", "pause": True}
    told = module(pgha_backup__told=lambda: answer, pgha_patroni__member=lambda: member).standing()
    assert (told["first"], told["newest"], told["fault"]) == (10, 20, None)
    assert (told["leads"], told["paused"]) == (True, True)


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
            "pgha_restore.recovering": recovering,
            **{f"pgha_restore.{name}": function for name, function in notes.items()},
        }


@pytest.fixture
def restored(loader_module, monkeypatch):
    def apply(host, test=False):
        loaded = loader_module("_states/pgha_restore.py", salt=host.salt(), opts={"test": test})
        write = "pghalib.backup.recovering.write"
        monkeypatch.setattr(write, lambda restore, step: host.done.append(f"{restore} {step}"))
        return loaded.restored("a sentence", NOTE)

    return apply


def test_the_data_are_fetched_recovered_and_noted_in_this_order(restored):
    host = Host(note={"id": NOTE["id"], "step": "aside"})
    assert restored(host)["result"] is True
    assert host.done == ["fetched", "start", "stop", "20261129-120000 restored"]


def test_a_recovery_that_an_interrupted_run_began_goes_on(restored):
    host = Host(runs=True)
    assert restored(host)["result"] is True
    assert host.done == ["stop", "20261129-120000 restored"]


def test_what_is_restored_is_not_restored_again_and_a_dry_run_does_nothing(restored):
    host = Host(note={"id": NOTE["id"], "step": "restored"})
    assert (restored(host)["changes"], host.done) == ({}, [])
    host = Host(note={"id": "of another restore", "step": "restored"})
    assert (restored(host, test=True)["result"], host.done) == (None, [])


def test_a_recovery_that_fails_is_told_at_once_and_not_noted(restored):
    host = Host(ends=True)
    done = restored(host)
    assert (done["result"], done["comment"]) == (False, "it has ended")
    assert host.done == ["fetched", "start"]


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
