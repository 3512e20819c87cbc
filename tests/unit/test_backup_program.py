"""The program of the backups: what is due follows from the times and from what the repository has."""

import contextlib
import datetime
import importlib.machinery
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"url": "http://192.0.2.1:8008", "stanza": "one", "repositories": ["main"], "times": ["01:00"],
          "full": ["sun"], "between": "incr", "bin_dir": "/bin", "socket_dir": "/run", "port": 5432,
          "user": "postgres"}  # fmt: skip


@pytest.fixture(scope="module")
def program():
    loader = importlib.machinery.SourceFileLoader(
        "pgha_backup_program", str(ROOT / "salt/pgha/backup/files/pgha-backup.py")
    )
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


# ``python3 -c ASKS PROGRAM FUNCTION URL``: calls a function of a program, which waits for a second altogether.
ASKS = """
import runpy, sys
there = runpy.run_path(sys.argv[1])
asks = there[sys.argv[2]]
asks.__globals__["ALTOGETHER"] = 1
print(asks(sys.argv[3]))
"""


def asked(name, function, url):
    """How a program of the backups ends that asks in Patroni's place, and what it hears."""
    place = ROOT / "salt/pgha/backup/files" / name
    words = [sys.executable, "-c", ASKS, place, function, url]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, timeout=20)
    return done.returncode, done.stdout.strip()


PROGRAMS = [("pgha-backup.py", "leads", "False"), ("pgha-proof.py", "members", "[]")]


@pytest.mark.parametrize(("name", "function"), [one[:2] for one in PROGRAMS])
def test_an_answer_without_an_end_holds_nothing_up(name, function):
    """Whoever listens in Patroni's place may give one, byte by byte."""
    over = threading.Event()

    def trickle(connection):
        with connection:
            connection.sendall(b"HTTP/1.0 200 OK\r\n")
            while not over.wait(0.05):
                try:
                    connection.sendall(b"A")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: trickle(server.accept()[0]))
        thread.start()
        try:
            ended, _ = asked(name, function, f"http://127.0.0.1:{server.getsockname()[1]}")
        finally:
            over.set()
            thread.join()
    assert ended == -signal.SIGALRM


@pytest.mark.parametrize(("name", "function", "nothing"), PROGRAMS)
def test_an_answer_too_long_or_too_deep_to_be_patronis_is_none(http_service, name, function, nothing):
    whole = json.dumps({"role": "primary", "state": "running", "members": [{"name": "db1"}]})
    http_service.answers += [(200, whole), (200, " " * (1 << 20) + whole), (200, "[" * 100000)]
    assert asked(name, function, http_service.address)[0] == 0
    assert asked(name, function, http_service.address) == (0, nothing)
    assert asked(name, function, http_service.address) == (0, nothing)


def at(day, time):
    """A moment of the week that begins on Monday, 2 November 2026."""
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return datetime.datetime.fromisoformat(f"2026-11-{2 + days.index(day):02} {time}")


def backup(kind, moment, minutes=10):
    return {"type": kind, "start": moment.timestamp(), "stop": moment.timestamp() + 60 * minutes, "repository": 1}


SUNDAY = backup("full", at("mon", "01:00") - datetime.timedelta(days=1))


@pytest.mark.parametrize(
    ("backups", "now", "what"),
    [
        ([], at("wed", "12:00"), "full"),
        ([SUNDAY], at("mon", "00:59"), None),
        ([SUNDAY], at("mon", "01:00"), "incr"),
        # Missed for days: one is made, not three.
        ([SUNDAY], at("thu", "09:00"), "incr"),
        ([SUNDAY, backup("incr", at("thu", "09:00"))], at("thu", "09:30"), None),
        # The full one of a Sunday is made later when that was missed, whatever came in between.
        ([SUNDAY, backup("incr", at("sat", "01:01"))], at("sun", "01:00"), "full"),
        ([backup("full", at("mon", "02:00")), backup("incr", at("sat", "01:01"))], at("sun", "03:00"), "full"),
        # Only whole backups come here: one that a failover has ended is made anew.
        ([SUNDAY, backup("incr", at("mon", "01:00"))], at("tue", "00:00"), None),
    ],
)
def test_what_is_due(program, backups, now, what):
    assert program.due(CONFIG, backups, now) == what


def test_without_times_only_a_person_makes_backups(program):
    config = {**CONFIG, "times": []}
    assert program.due(config, [SUNDAY], at("sun", "12:00")) is None
    assert program.due(config, [], at("sun", "12:00")) is None
    assert program.late(config, [SUNDAY], at("sun", "12:00")) is None


def test_several_times_a_day_have_one_full_backup_at_the_first(program):
    config = {**CONFIG, "times": ["13:00", "01:00"], "between": "diff"}
    full = backup("full", at("sun", "01:00"))
    assert program.due(config, [full], at("sun", "12:59")) is None
    assert program.due(config, [full], at("sun", "13:00")) == "diff"
    assert program.planned(config, at("sun", "13:00"), 3) == [
        at("sun", "13:00"),
        at("sun", "01:00"),
        at("sat", "13:00"),
    ]


def test_a_backup_is_late_when_the_next_one_is_due_as_well(program):
    newest = backup("incr", at("tue", "01:00"))
    assert program.late(CONFIG, [newest], at("wed", "23:00")) is None
    assert program.late(CONFIG, [newest], at("thu", "00:59")) is None
    assert program.late(CONFIG, [newest], at("thu", "01:00")) == at("wed", "01:00").timestamp()


def test_a_backup_of_a_time_to_come_silences_nothing(program, tool):
    ahead = backup("incr", at("sun", "12:00"))
    assert program.due(CONFIG, [ahead], at("tue", "01:00")) == "full"
    assert program.due(CONFIG, [SUNDAY, ahead], at("tue", "01:00")) == "incr"
    newest = backup("incr", at("tue", "01:00"))
    assert program.late(CONFIG, [newest, ahead], at("thu", "01:00")) == at("wed", "01:00").timestamp()
    # Clocks of hosts differ a little.
    assert program.due(CONFIG, [SUNDAY, backup("incr", at("mon", "01:30"))], at("mon", "01:00")) is None
    found = info(1)
    tool(found)
    assert program.told(CONFIG)["repositories"][0]["ahead"] is None
    found["backup"][0]["timestamp"]["start"] += 7200
    assert program.told(CONFIG)["repositories"][0]["ahead"] == "20261101-010000F"


# Europe/Berlin, also on a host without the files of zones; and a zone whose clocks are never changed.
BERLIN, MOSCOW = "CET-1CEST,M3.5.0,M10.5.0/3", "MSK-3"


@pytest.mark.parametrize(
    ("place", "sunday", "made"),
    [
        # The clocks go from 02:00 to 03:00: the time that is left out comes an hour later.
        (BERLIN, "2026-03-29", "03:30"),
        # They go from 03:00 back to 02:00, and this time comes twice.
        (BERLIN, "2026-10-25", "02:30"),
        (BERLIN, "2026-11-01", "02:30"),
        (MOSCOW, "2026-03-29", "02:30"),
    ],
)
def test_a_night_in_which_the_clocks_are_changed_has_one_backup(program, zone, place, sunday, made):
    zone(place)
    config = {**CONFIG, "times": ["02:30"]}
    midnight = datetime.datetime.fromisoformat(sunday)
    backups, begun = [backup("full", midnight - datetime.timedelta(hours=21))], []
    for second in range(0, 8 * 3600, 300):
        now = datetime.datetime.fromtimestamp(midnight.timestamp() + second)
        what = program.due(config, backups, now)
        if what:
            begun.append((what, now.strftime("%H:%M"), now.fold))
            backups.append(backup(what, now))
        assert program.late(config, backups, now) is None
    assert begun == [("full", made, 0)]


def test_times_are_in_the_order_in_which_they_come_when_one_is_left_out(program, zone):
    zone(BERLIN)
    config = {**CONFIG, "times": ["02:30", "03:00"]}
    now = datetime.datetime.fromisoformat("2026-03-29 04:00")
    found = [one.strftime("%d %H:%M") for one in program.planned(config, now, 3)]
    assert found == ["29 02:30", "29 03:00", "28 03:00"]


class Pgbackrest:
    """In place of subprocess.run and Popen: answers ``info``, and notes every other command."""

    psql = 0
    #: How often a backup is waited for in vain.
    lasts = 0

    def __init__(self, found):
        self.found, self.done, self.noted, self.asked = found, [], [], []

    def run(self, words, **_how):
        if words[-1] == "info":
            return types.SimpleNamespace(returncode=0, stdout=json.dumps([self.found]), stderr="")
        if words[-1] == "IDENTIFY_SYSTEM":
            self.asked.append(words[words.index("-d") + 1])
            return types.SimpleNamespace(returncode=self.psql, stdout="77|3|0/4000060|\n", stderr="no route to host")
        if words[0].endswith("/psql"):
            self.noted.append(words[-1])
            return types.SimpleNamespace(returncode=self.psql, stderr="ERROR:  it is full")
        self.done.append(words[1:])
        return types.SimpleNamespace(returncode=0)

    @contextlib.contextmanager
    def popen(self, words, **how):
        def wait(seconds):
            if self.lasts:
                self.lasts -= 1
                raise subprocess.TimeoutExpired(words, seconds)
            return self.run(words, **how).returncode

        yield types.SimpleNamespace(wait=wait)


@pytest.fixture
def tool(program, monkeypatch):
    def build(found, leads=True):
        made = Pgbackrest(found)
        monkeypatch.setattr(program.subprocess, "run", made.run)
        monkeypatch.setattr(program.subprocess, "Popen", made.popen)
        monkeypatch.setattr(program, "leads", lambda _url: leads)
        return made

    return build


def info(key, **status):
    about = {"label": "20261101-010000F", "type": "full", "error": False}
    now = datetime.datetime.now().timestamp()
    about["timestamp"] = {"start": now, "stop": now}
    about.update({"info": {"size": 5, "repository": {"delta": 3}}, "database": {"repo-key": key}})
    return {"backup": [about], "repo": [{"key": 1, "status": {"code": 0, "message": "ok", **status}}]}


def test_every_repository_gets_what_it_lacks(program, tool):
    made = tool(info(2))
    assert program.make({**CONFIG, "repositories": ["main", "far"]}, "auto") == 0
    assert made.done == [["--stanza=one", "--repo=1", "--type=full", "backup"]]


def test_nothing_is_due_in_a_repository_that_does_not_tell_what_it_has(program, tool, capsys):
    """It may be back a moment later, and would get a full backup of everything at noon."""
    found = info(2, code=99, message="[FileReadError] no route")
    made = tool(found)
    # The other one is served.
    found["repo"].append({"key": 3, "status": {"code": 2, "message": "no valid backups"}})
    assert program.make({**CONFIG, "repositories": ["main", "far", "new"]}, "auto") == 1
    assert made.done == [["--stanza=one", "--repo=3", "--type=full", "backup"]]
    assert "repository main does not tell what it has: [FileReadError] no route" in capsys.readouterr().out
    # A person who asks for one gets pgBackRest's own answer.
    assert program.make(CONFIG, "full") == 0
    assert made.done[1:] == [["--stanza=one", "--repo=1", "--type=full", "backup"]]


def test_the_time_is_noted_while_a_backup_runs(program, tool):
    """A proof of the same night looks how old the note is, and a backup may take hours."""
    made = tool(info(2))
    made.lasts = 3
    assert program.make(CONFIG, "auto") == 0
    assert len(made.noted) == 4
    assert len(made.done) == 1


def test_where_this_host_does_not_lead_nothing_is_made(program, tool, capsys):
    made = tool(info(1), leads=False)
    assert program.make(CONFIG, "auto") == 0
    # A person who asked for one has to know.
    assert program.make(CONFIG, "full") == 3
    assert made.done == made.noted == []
    assert "its leader makes the backup" in capsys.readouterr().out


@pytest.mark.parametrize("times", [["01:00"], []])
def test_the_leader_notes_the_time_before_a_backup_whether_or_not_one_is_due(program, tool, times):
    made = tool(info(1))
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    assert program.make({**CONFIG, "times": times}, "auto") == 0
    (said,) = made.noted
    assert said.startswith("ALTER DATABASE postgres SET pgha.canary = '")
    assert before <= datetime.datetime.fromisoformat(said.split("'")[1])
    assert made.done == []


def test_a_time_that_cannot_be_noted_is_said_and_holds_no_backup_up(program, tool, capsys):
    made = tool(info(2))
    made.psql = 1
    assert program.make(CONFIG, "full") == 0
    assert made.done[0][-1] == "backup"
    assert "the time is not noted in the database: ERROR:  it is full" in capsys.readouterr().out


@pytest.mark.parametrize(("code", "fault"), [(0, None), (2, None), (1, "missing"), (99, "missing")])
def test_a_repository_without_backups_is_no_fault_and_one_that_does_not_answer_is(program, tool, code, fault):
    tool(info(1, code=code, message="missing" if code else "ok"))
    (repository,) = program.told(CONFIG)["repositories"]
    assert (repository["fault"], repository["unknown"]) == (fault, code == 1)


CONNECTION = "user=replicator host=192.0.2.2 dbname=postgres"
CALLED = ["--scope=one", "--role=replica", "--datadir=/d", f"--connstring={CONNECTION}"]


def with_wal(key, stop=0, system="77", last="000000030000000000000002"):
    """What the repository ``key`` has: a backup that ended ``stop`` seconds after that of the others."""
    found = info(key)
    (about,) = found["backup"]
    about["timestamp"]["stop"] = stop
    about["database"]["id"] = 1
    about["archive"] = {"start": last, "stop": last}
    return {**found, "db": [{"id": 1, "repo-key": key, "system-id": int(system)}]}


def together(*found):
    return {name: [one for each in found for one in each[name]] for name in ("backup", "repo", "db")}


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (with_wal(1), 1),
        (together(with_wal(1), with_wal(2, 9)), 2),
        # The newest one of all decides: an older one may have what the cluster has dropped.
        (together(with_wal(1), with_wal(2, 9, last="000000020000000000000002")), None),
        (with_wal(1, last="000000040000000000000002"), None),
        (with_wal(1, last=None), None),
        (with_wal(1, system="78"), None),
        ({"backup": []}, None),
        ({}, None),
    ],
)
def test_a_new_replica_comes_from_the_newest_backup_if_that_is_of_the_timeline_of_now(program, tool, found, number):
    made = tool(found)
    assert program.replica(CONFIG, CALLED) == (1 if number is None else 0)
    assert made.asked == [f"{CONNECTION} replication=1"]
    words = ["--stanza=one", f"--repo={number}", "--delta", "--type=standby", "restore"]
    assert made.done == ([] if number is None else [words])


def test_a_backup_with_an_error_makes_no_replica(program):
    found = with_wal(1)
    found["backup"][0]["error"] = True
    assert program.source(found, "77", 3) is None


def test_where_the_leader_cannot_be_asked_nothing_is_fetched(program, tool):
    made = tool(with_wal(1))
    made.psql = 2
    with pytest.raises(SystemExit, match="does not tell its timeline: no route to host"):
        program.replica(CONFIG, CALLED)
    assert made.done == []


def test_a_backup_with_an_error_does_not_count(program):
    found = info(1)
    found["backup"][0]["error"] = True
    assert program.kept(found) == []


def test_the_module_waits_for_the_program_as_long_as_that_waits_for_a_repository(program, loader_module):
    assert loader_module("_modules/pgha_backup.py").PATIENCE == program.PATIENCE
