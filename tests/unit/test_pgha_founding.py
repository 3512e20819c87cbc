"""A cluster of which nothing but the backups is left is founded with the newest one, and with it no other one."""

import threading

import pghalib.backup.recovering
import pytest
from salt.exceptions import CommandExecutionError

SETTINGS = {"role": "db", "cluster": {"name": "one"}, "postgres": {"data_dir": "/pgdata/one"}}
BEGUN = {"id": "founding", "step": "begun"}
END = ["founding recovered", "stop", "founding restored", "forget_dcs"]


class Host:
    """A host of the cluster; what is done there is noted in ``done``."""

    def __init__(self, leader=None, empty=True, note=None, backups=("a backup",), fault=None):
        self.leader, self.empty, self.note, self.done = leader, empty, note or {}, []
        self.told = {"backups": list(backups), "repositories": [{"fault": fault}]}

    def dcs(self):
        if isinstance(self.leader, Exception):
            raise self.leader
        return {"initialize": "77", "leader": self.leader}

    def salt(self):
        names = ("fetched", "start", "stop", "forget_dcs")
        did = {name: lambda *_, name=name: self.done.append(name) for name in names}
        return {
            "pgha.settings": lambda: SETTINGS,
            "pgha_patroni.dcs": self.dcs,
            "pgha_postgres.data_directory": lambda: {"empty": self.empty},
            "pgha_backup.told": lambda: self.told,
            "pgha_restore.note": lambda: self.note,
            "pgha_restore.running": lambda: False,
            "pgha_restore.halt": lambda: None,
            "pgha_restore.recovering": lambda: False,
            **{f"pgha_restore.{name}": function for name, function in did.items()},
        }


@pytest.fixture(autouse=True)
def member_note(monkeypatch, tmp_path):
    """Where a host notes that it is a member; here none is yet."""
    monkeypatch.setattr("pghalib.postgres.member_note.NOTE", str(tmp_path / "member.json"))
    return tmp_path / "member.json"


@pytest.fixture
def module(loader_module):
    """A function (host, wanted): the execution module there, in a run that asks for it or does not."""

    def load(host, wanted="one", settings=SETTINGS):
        pillar = {"pgha_run": {"from_backup": [wanted]}}
        salt = {**host.salt(), "pgha.settings": lambda: settings}
        return loader_module("_modules/pgha_founding.py", salt=salt, pillar=pillar)

    return load


@pytest.fixture
def founded(loader_module, module, monkeypatch):
    def apply(host, test=False):
        salt = {**host.salt(), "pgha_founding.founding_state": module(host).founding_state}

        def write(restore, step):
            host.done.append(f"{restore} {step}")
            host.note = {"id": restore, "step": step}

        monkeypatch.setattr("pghalib.backup.recovering.write", write)
        return loader_module("_states/pgha_restore.py", salt=salt, opts={"test": test}).founded("a sentence")

    return apply


@pytest.mark.parametrize(
    "host",
    [Host(), Host(empty=False, note=BEGUN), Host(leader="db1", empty=False), Host(CommandExecutionError("no Consul"))],
    ids=["lost", "begun", "lives", "everything lost"],
)
def test_a_cluster_that_is_lost_begun_or_alive_is_not_refused(module, host):
    assert module(host).faults() == []


@pytest.mark.parametrize("leader", [None, CommandExecutionError("no Consul")])
def test_where_there_are_data_and_nobody_leads_nothing_is_founded(module, leader):
    (said,) = module(Host(leader, empty=False)).faults()
    assert "/pgdata/one has data, so one is not lost: leave from_backup out" in said
    # Somebody else's note of a restore is none of this.
    assert module(Host(leader, empty=False, note={"id": "20261129-120000", "step": "aside"})).faults() == [said]


def test_a_host_that_has_been_a_member_since_has_data_like_any_other(module, founded, member_note):
    """A run that failed later has left the note of the founding; another member may have newer data."""
    member_note.write_text("{}")
    host = Host(empty=False, note={**BEGUN, "step": "restored"})
    assert len(module(host).faults()) == 1
    assert founded(host)["result"] is False
    assert host.done == []


def test_a_run_that_does_not_ask_for_it_looks_at_nothing(module):
    host = Host(leader=RuntimeError("asked"), empty=False)
    assert module(host, wanted="two").faults() == []
    assert module(host, settings={"role": "dcs", "cluster": None}).faults() == []


def test_the_newest_data_are_fetched_recovered_and_told_to_patroni(founded):
    host = Host()
    assert founded(host)["result"] is True
    assert host.done == ["founding begun", "fetched", "start", *END]


def test_an_interrupted_one_goes_on(founded):
    host = Host(empty=False, note=BEGUN)
    assert founded(host)["result"] is True
    assert host.done == ["founding begun", "fetched", "start", *END]
    host = Host(empty=False, note={**BEGUN, "step": "recovered"})
    assert founded(host)["result"] is True
    assert host.done == END[1:]
    host = Host(empty=False, note={**BEGUN, "step": "restored"})
    assert founded(host)["result"] is True
    assert host.done == ["forget_dcs"]


@pytest.mark.parametrize("step", ["begun", "recovered", "restored"])
def test_data_that_somebody_has_moved_away_since_are_fetched_again(founded, step):
    host = Host(empty=True, note={**BEGUN, "step": step})
    assert founded(host)["result"] is True
    assert host.done == ["founding begun", "fetched", "start", *END]


def test_the_end_of_another_restore_is_not_taken_for_that_of_this_one(founded):
    host = Host(note={"id": "20261129-120000", "step": "restored"})
    assert founded(host)["result"] is True
    assert host.done[:2] == ["founding begun", "fetched"]


@pytest.mark.parametrize("note", [None, BEGUN, {**BEGUN, "step": "restored"}])
def test_a_cluster_with_a_leader_is_left_alone(founded, note):
    host = Host(leader="db2", empty=False, note=note)
    done = founded(host)
    assert (done["result"], done["changes"], host.done) == (True, {}, [])


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (Host(backups=()), "no repository has a backup of one. To found it empty, leave pgha:from_backup out"),
        (Host(backups=(), fault="[HostConnectError] no route"), "a backup of one: [HostConnectError] no route."),
        (Host(empty=False), "/pgdata/one has data"),
    ],
)
def test_what_cannot_be_founded_is_said_before_anything_is_touched(founded, host, said):
    done = founded(host)
    assert done["result"] is False
    assert said in done["comment"]
    assert host.done == []


def test_a_dry_run_restores_nothing(founded):
    host = Host(CommandExecutionError("no Consul yet"))
    done = founded(host, test=True)
    assert (done["result"], host.done) == (None, [])
    assert done["changes"] == {"/pgdata/one": {"old": None, "new": "the newest data of the repositories"}}


def test_the_note_of_a_founding_is_never_taken_for_a_restore():
    """The ids of restores are moments."""
    assert not pghalib.backup.recovering.FOUNDING[0].isdigit()


def others(*addresses, port=1, tls=False):
    hosts = [{"id": "own", "name": "db1", "address": "127.0.0.8"}]
    hosts += [{"id": f"other{n}", "name": f"db{n}", "address": one} for n, one in enumerate(addresses, 2)]
    return {
        **SETTINGS,
        "id": "own",
        "address": "127.0.0.8",
        "cluster": {"name": "one", "hosts": hosts},
        "tls": {"enabled": tls},
        "patroni": {"config": {}, "restapi_port": port},
        "postgres": {"data_dir": "/pgdata/one", "user": "postgres"},
    }


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((200, '{"state": "running", "database_system_identifier": "7412"}'), {"db2": "7412"}),
        # Its leader is away: Patroni's status is another one then.
        ((503, '{"state": "running", "database_system_identifier": "7412"}'), {"db2": "7412"}),
        ((503, '{"state": "stopped", "role": "uninitialized"}'), {}),
        ((200, '{"database_system_identifier": ""}'), {}),
        ((200, '{"database_system_identifier": 7412}'), {"db2": "unknown"}),
        ((200, '{"database_system_identifier": "x; rm"}'), {"db2": "unknown"}),
        ((200, '["a list"]'), {"db2": "unknown"}),
        ((200, "no JSON"), {"db2": "unknown"}),
    ],
)
def test_a_member_has_data_when_its_patroni_says_whose(module, http_service, answer, found):
    http_service.answers.append(answer)
    # Nobody listens at the third one.
    host = module(Host(), settings=others("127.0.0.1", "127.0.0.9", port=http_service.port))
    assert host.elsewhere() == found
    assert [(method, path) for method, path, *_ in http_service.asked] == [("GET", "/patroni")]


def test_a_patroni_that_cannot_be_verified_counts_as_one_with_data(module, http_service, monkeypatch, tmp_path):
    """It runs, so this is no first run; its certificate may have ended."""
    (tmp_path / "ca.pem").touch()
    monkeypatch.setattr("pghalib.tls.CA", str(tmp_path / "ca.pem"))
    assert module(Host(), settings=others("127.0.0.1", port=http_service.port, tls=True)).elsewhere() == {
        "db2": "unknown"
    }


def test_a_host_with_data_asks_nobody(module, http_service):
    assert module(Host(empty=False), settings=others("127.0.0.1", port=http_service.port)).elsewhere() == {}
    assert http_service.asked == []


def test_the_only_member_has_nobody_to_ask(module):
    assert module(Host(), settings=others()).elsewhere() == {}


def test_all_members_are_asked_at_once(module, monkeypatch):
    """Hosts that are off cost their time-out once: each attempt here ends only when all have begun."""
    together = threading.Barrier(4, timeout=30)

    def listening(*_args):
        together.wait()
        return False

    monkeypatch.setattr("pghalib.wait.listening", listening)
    assert module(Host(), settings=others("192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")).elsewhere() == {}
