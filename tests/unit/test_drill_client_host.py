"""The client of a drill on a minion: what the minion runs, which files it has, and what it returns."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pghalib.drill
import pghalib.drill.clients
import pghalib.drill.follow
import pghalib.drill.pieces
import pghalib.drill.settings
import pghalib.postgres.scram
import pghalib.services
import pytest
from salt.exceptions import CommandExecutionError

CONNECTION = {"host": "198.51.100.40", "port": 5432, "dbname": "postgres", "user": "pgha_drill"}
SETTINGS = {"connection": CONNECTION, "table": pghalib.drill.TABLE, "workers": 4, "pause": 0.01, "seconds": 600}


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """
    The module of the minion: ``ran`` is what it ran, ``given`` the file that the client was to read, with its mode,
    ``has`` the Pythons with psycopg, ``fails`` whether systemd refuses.
    """
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path / "pgha"))
    program = tmp_path / "client.py"
    program.write_text("the program")
    ran, given, has = [], [], {sys.executable}

    def run_all(words, **options):
        ran.append(words)
        retcode = 0
        if words[0] == "systemd-run":
            (path,) = [Path(word.partition("file:")[2]) for word in words if "StandardInput=file:" in word]
            given.append((json.loads(path.read_text()), stat.S_IMODE(path.stat().st_mode)))
            retcode = int(module.fails)
        elif words[0] == "setsid":
            retcode = int(not has & set(words))
        assert options["python_shell"] is False
        return {"retcode": retcode, "stdout": "", "stderr": "no"}

    salt = {"cmd.run_all": run_all, "cp.cache_file": lambda _url: str(program)}
    module = loader_module("_modules/pgha_drill_client.py", salt=salt)
    module.ran, module.given, module.has, module.fails, module.place = ran, given, has, False, tmp_path / "pgha/drill"
    return module


def left(host):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in host.place.iterdir()}


def test_a_host_says_its_time_and_whether_it_has_psycopg(host):
    before = time.time_ns()
    told = host.ready()
    assert before <= told["now"] <= time.time_ns()
    assert told["python"] is True
    # As nobody: the client has no more rights than that.
    assert all(words[2:5] == ["runuser", "-u", "nobody"] for words in host.ran)
    host.has.clear()
    assert host.ready()["python"] is False


@pytest.mark.root
def test_a_password_is_roots_alone_until_the_client_has_read_it_and_in_no_argument_or_answer(host):
    verifier = host.prepare()
    assert left(host) == {"client.secret": 0o600}
    assert stat.S_IMODE(host.place.stat().st_mode) == 0o755
    password = (host.place / "client.secret").read_text()
    assert pghalib.postgres.scram.PATTERN.fullmatch(verifier)
    assert host.start({**SETTINGS, "authorities": "PEM"}) is None
    ((given, mode),) = host.given
    assert given == {**SETTINGS, "connection": {**CONNECTION, "password": password}}
    assert mode == 0o600
    assert left(host) == {"client.py": 0o644, "ca.pem": 0o644}
    assert password not in json.dumps(host.ran) + verifier
    assert (host.place / "ca.pem").read_text() == "PEM"
    host.remove()
    assert left(host) == {}


@pytest.mark.root
def test_the_client_runs_as_nobody_of_this_host_and_ends_by_itself(host):
    host.prepare()
    host.start({**SETTINGS, "authorities": None})
    stop = ["systemctl", "stop", "pgha-drill-client.service"]
    assert host.ran[0] == stop
    (words,) = [words for words in host.ran if words[0] == "systemd-run"]
    assert words[1:] == [
        *("--quiet", "--unit=pgha-drill-client", "--collect", "--property=Type=exec"),
        *("--property=DynamicUser=yes", "--property=RuntimeMaxSec=600", "--property=TimeoutStopSec=150"),
        f"--property=StandardInput=file:{host.place}/client.json",
        f"--property=StandardOutput=truncate:{host.place}/client.jsonl",
        *("--property=StandardError=journal", sys.executable, f"{host.place}/client.py"),
    ]
    host.stop()
    assert host.ran[-1] == stop


@pytest.mark.root
def test_a_client_that_cannot_start_leaves_no_password(host):
    with pytest.raises(CommandExecutionError, match="call pgha_drill_client.prepare first"):
        host.start(SETTINGS)
    host.prepare()
    host.fails = True
    with pytest.raises(CommandExecutionError, match="systemd does not start pgha-drill-client: no"):
        host.start(SETTINGS)
    assert left(host) == {"client.py": 0o644}
    host.prepare()
    assert left(host) == {"client.secret": 0o600}


def test_a_host_without_psycopg_is_told_what_to_install(host):
    host.has.clear()
    with pytest.raises(CommandExecutionError, match="psycopg 3 here: apt install python3-psycopg"):
        host.start(SETTINGS)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "settings"),
        ([], "settings"),
        ({}, "connection, table, workers, pause, seconds"),
        ({**SETTINGS, "seconds": True}, "seconds"),
        ({**SETTINGS, "seconds": 0}, "seconds"),
        ({**SETTINGS, "seconds": 10**9}, "seconds"),
        ({**SETTINGS, "workers": 101}, "workers"),
        ({**SETTINGS, "pause": float("nan")}, "pause"),
        ({**SETTINGS, "pause": "0.1"}, "pause"),
        ({**SETTINGS, "more": 1}, "more"),
        ({**SETTINGS, "authorities": 1}, "authorities"),
        ({**SETTINGS, "connection": {**CONNECTION, "passfile": "/etc/shadow"}}, "connection:passfile"),
        ({**SETTINGS, "connection": {**CONNECTION, "port": "5432"}}, "connection:port"),
        ({**SETTINGS, "connection": {"host": "h"}}, "connection:dbname, connection:port, connection:user"),
    ],
)
def test_settings_of_another_shape_start_nothing(host, wrong, said):
    with pytest.raises(CommandExecutionError) as error:
        host.start(wrong)
    assert str(error.value) == f"The client's settings are missing, unknown or wrong: {said}"
    assert host.ran == []


def test_what_a_drill_gives_its_client_has_the_right_shape():
    full = {**CONNECTION, "target_session_attrs": "read-write", "sslmode": "verify-full", "sslrootcert": "/ca.pem"}
    assert pghalib.drill.settings.wrong({**SETTINGS, "connection": full, "authorities": "PEM"}) == []


@pytest.mark.root
def test_what_was_noted_is_returned_in_pieces_of_a_bounded_size(host, monkeypatch):
    assert host.noted(0) == {"text": "", "next": 0}
    host.prepare()
    assert host.noted(0) == {"text": "", "next": 0}
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", 10)
    (host.place / "client.jsonl").write_bytes(b"0123456789ab\xff\n")
    assert host.noted(0) == {"text": "0123456789", "next": 10}
    # One letter for each byte, whatever the bytes are.
    assert host.noted(10) == {"text": "ab\ufffd\n", "next": 14}
    assert host.noted(14) == {"text": "", "next": 14}
    for wrong in (-1, True, "0", 1.0, None, 2**63):
        with pytest.raises(CommandExecutionError, match="no whole number"):
            host.noted(wrong)


@pytest.mark.root
def test_no_link_and_no_pipe_is_read_as_what_was_noted(host):
    host.prepare()
    path = host.place / "client.jsonl"
    path.symlink_to("/etc/shadow")
    with pytest.raises(CommandExecutionError, match="is not read: a symbolic link"):
        host.noted(0)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CommandExecutionError, match="is not read: a pipe"):
        host.noted(0)


# In place of the client: it needs no server. Its line is cut where the first piece ends.
PROGRAM = """
import json, signal, sys, threading
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
json.load(sys.stdin)["connection"]["password"]
for value in range(1, 51):
    print(json.dumps({"kind": "write", "key": 1, "value": value, "start": value, "end": value, "outcome": "ok"}))
sys.stdout.flush()
over.wait()
print(json.dumps({"kind": "final", "key": 1, "values": list(range(1, 51))}))
"""


@pytest.mark.root
def test_the_master_and_the_host_understand_each_other(host, monkeypatch, tmp_path):
    """A real process in place of the service; answers go through JSON, as those of Salt do through something alike."""
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", 1000)
    (tmp_path / "client.py").write_text(PROGRAM)
    processes, history, run_all = [], tmp_path / "history", host.__salt__["cmd.run_all"]
    history.mkdir()

    def run(words, **options):
        if words[0] == "systemd-run":
            opened = (host.place / "client.json").open(), (host.place / "client.jsonl").open("w")
            processes.append(subprocess.Popen(words[-2:], stdin=opened[0], stdout=opened[1]))
        elif words[0] == "systemctl" and processes:
            processes[0].terminate()
            processes[0].wait()
        return run_all(words, **options)

    def ask(_host, function, *given):
        return json.loads(json.dumps(getattr(host, function.removeprefix("pgha_drill_client."))(*given)))

    host.__salt__["cmd.run_all"] = run
    client, follower = pghalib.drill.clients.Remote(ask, "app1", history), pghalib.drill.follow.Follower(history)
    client.trust("PEM")
    assert client.against() == []
    client.verifier()
    client.start(SETTINGS)
    writes = []
    while len(writes) < 50:
        client.fetch()
        writes += follower.new()["writes"]
    assert client.stop() + client.clear() == []
    assert [one["value"] for one in writes] == list(range(1, 51))
    assert follower.new()["final"] == {1: list(range(1, 51))}
    assert left(host) == {}
