"""The client of the drill against a real server: what it notes when the server is there, refuses, or is lost."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pghalib.postgres.scram
import psycopg
import pytest
from functional.patroni_hosts import USER, eventually, server, traversable
from pghalib.drill import checker, history

CLIENT = Path(__file__).resolve().parents[2] / "salt/pgha/drill/files/client.py"
TABLE = "drill.ledger"


@pytest.fixture(scope="module")
def postgres():
    """A server on loopback: ``start()``, ``stop(mode)``, ``connect()``, ``connection`` (for the client)."""
    with traversable() as base:
        found = Postgres(base, server(base / "server"))
        found.start()
        with found.connect() as connection:
            connection.execute("CREATE SCHEMA drill")
        yield found
        found.stop("immediate")


class Postgres:
    def __init__(self, base, binaries):
        self.base, self.binaries = base, binaries
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.connection = {"host": "127.0.0.1", "port": self.port, "user": USER, "dbname": "postgres"}
        self.data = base / "data"
        self.data.mkdir()
        self._run("chown", USER, self.data)
        self._as_user("initdb", "--no-sync", "-A", "trust", "-U", USER, "-D", self.data)
        hba = self.data / "pg_hba.conf"
        hba.write_text("host all known_by_verifier 127.0.0.1/32 scram-sha-256\n" + hba.read_text())

    def _run(self, *command):
        subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd="/")

    def _as_user(self, program, *words):
        self._run("runuser", "-u", USER, "--", self.binaries / program, *words)

    def start(self):
        options = f"-p {self.port} -c unix_socket_directories='' -c listen_addresses=127.0.0.1 -c fsync=off"
        self._as_user("pg_ctl", "-w", "-D", self.data, "-l", self.base / "data/log", "-o", options, "start")

    def stop(self, mode):
        self._as_user("pg_ctl", "-w", "-D", self.data, "-m", mode, "stop")

    def connect(self):
        return psycopg.connect(**self.connection, autocommit=True)


class Client:
    """A client that runs; ``records()`` is what it has noted until now."""

    def __init__(self, place, postgres, **settings):
        settings = {"connection": postgres.connection, "table": TABLE, "workers": 2, "pause": 0.005, **settings}
        self.output = place / "history.jsonl"
        with self.output.open("w") as output:
            self.process = subprocess.Popen([sys.executable, CLIENT], stdin=subprocess.PIPE, stdout=output, text=True)
        self.process.stdin.write(json.dumps({"seconds": 120, **settings}))
        self.process.stdin.close()

    def records(self):
        with self.output.open() as lines:
            return history.read(lines)

    def writes(self, outcome, since=0):
        return [one for one in self.records()["writes"] if one["outcome"] == outcome and one["start"] > since]

    def end(self):
        self.process.terminate()
        assert self.process.wait(30) == 0
        return self.records()


@pytest.fixture
def client(postgres, tmp_path):
    """A function that starts a client on an empty table; what still runs afterwards is killed."""
    with postgres.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        connection.execute(f"CREATE TABLE {TABLE} (key int NOT NULL, value bigint NOT NULL)")
    clients = []

    def start(**settings):
        clients.append(Client(tmp_path, postgres, **settings))
        return clients[-1]

    yield start
    for one in clients:
        one.process.kill()
        one.process.wait()


def broken(found):
    # Nobody observes the host.
    return [one["rule"] for one in checker.check(found) if one["held"] is False]


@pytest.mark.parametrize("password", ["P7KFJ2ZQX5", "with space and 'quote'"])
def test_the_verifier_of_a_password_lets_its_owner_in_and_nobody_else(postgres, password):
    verifier = pghalib.postgres.scram.verifier(password, os.urandom(16))
    assert pghalib.postgres.scram.PATTERN.fullmatch(verifier)
    with postgres.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS known_by_verifier")
        connection.execute(f"CREATE ROLE known_by_verifier LOGIN PASSWORD '{verifier}'")
    given = {**postgres.connection, "user": "known_by_verifier"}
    psycopg.connect(**given, password=password).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**given, password=verifier)


def test_an_undisturbed_client_loses_nothing_and_ends_by_itself(client):
    started = client(seconds=1)
    assert started.process.wait(30) == 0
    found = started.records()
    assert broken(found) == []
    assert {one["outcome"] for one in found["writes"]} == {"ok"}
    assert sorted(found["final"]) == [1, 2]
    assert any(one["floor"] > 0 and one["values"] for one in found["reads"])


def test_a_client_that_may_not_connect_notes_why_once_and_ends_at_once(client, postgres):
    started = client(connection={**postgres.connection, "user": "unheard_of"})
    eventually(lambda: started.records()["troubles"])
    # It tries fifty times a second.
    time.sleep(0.2)
    began = time.monotonic()
    found = started.end()
    assert time.monotonic() - began < 10
    (trouble,) = found["troubles"]
    assert 'role "unheard_of" does not exist' in trouble["what"]
    assert (found["writes"], found["final"]) == ([], {})


def test_a_postmaster_that_hangs_is_seen_by_those_alone_who_connect_anew(client, postgres):
    started = client()
    eventually(lambda: len(started.writes("ok")) > 20)
    postmaster = int((postgres.data / "postmaster.pid").read_text().split()[0])
    since = time.time_ns()
    os.kill(postmaster, signal.SIGSTOP)
    try:
        # One attempt to connect is given up after two seconds.
        eventually(lambda: [one for one in started.records()["visits"] if one["outcome"] == "fail"])
    finally:
        os.kill(postmaster, signal.SIGCONT)
    resumed = time.time_ns()
    eventually(lambda: [v for v in started.records()["visits"] if v["outcome"] == "ok" and v["start"] > resumed])
    found = started.end()
    writes, visits = (checker.outage(found[name], since) for name in ("writes", "visits"))
    assert writes.end - writes.start < 10**9
    assert visits.end - visits.start > 2 * 10**9
    assert broken(found) == []


def test_a_server_that_is_lost_leaves_writes_open_and_is_found_again(client, postgres):
    started = client()
    eventually(lambda: len(started.writes("ok")) > 20)
    for _ in range(3):
        postgres.stop("immediate")
        postgres.start()
        since = time.time_ns()
        eventually(lambda since=since: len(started.writes("ok", since)) > 20)
    found = started.end()
    assert broken(found) == []
    # What was in flight may be there or not.
    assert len(found["final"][1]) + len(found["final"][2]) >= len(started.writes("ok"))


def test_a_server_that_refuses_has_written_nothing_for_certain(client, postgres):
    started = client()
    eventually(lambda: started.writes("ok"))
    with postgres.connect() as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
    eventually(lambda: started.writes("fail"))
    with postgres.connect() as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")
    since = time.time_ns()
    eventually(lambda: started.writes("ok", since))
    assert broken(started.end()) == []


@pytest.mark.parametrize("level", ["warning", "error"])
def test_a_commit_with_a_warning_is_open(client, postgres, level):
    """A wait for a synchronous standby that is given up: committed here, and perhaps nowhere else."""
    started = client(workers=1)
    eventually(lambda: started.writes("ok"))
    with postgres.connect() as connection:
        connection.execute(f"ALTER SYSTEM SET client_min_messages = {level}")
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'"
        (pid,) = eventually(lambda: connection.execute(waiting).fetchone())
        connection.execute("SELECT pg_cancel_backend(%s)", [pid])
        (open_,) = eventually(lambda: started.writes("info"))
        connection.execute("SET synchronous_commit = local")
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("ALTER SYSTEM RESET client_min_messages")
        connection.execute("SELECT pg_reload_conf()")
    found = started.end()
    assert open_["value"] in found["final"][1]
    assert broken(found) == []


def test_writes_that_wait_for_ever_do_not_cost_the_last_lists(client, postgres):
    """No replica is there that a COMMIT waits for, and the server serves reads."""
    started = client()
    eventually(lambda: started.writes("ok"))
    with postgres.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        waiting = "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'"
        eventually(lambda: connection.execute(waiting).fetchone()[0])
        found = started.end()
        connection.execute("SET synchronous_commit = local")
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")
    assert sorted(found["final"]) == [1, 2]
    assert [one["key"] for one in found["writes"] if one["outcome"] == "info"] in ([1, 2], [2, 1])
    assert broken(found) == []


def test_the_server_notices_a_lost_client_in_seconds(postgres):
    """A connection that was lost counts against the limit of the login until the server notices."""
    spec = importlib.util.spec_from_file_location("drill_client", CLIENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = ("idle", "interval", "count")
    with psycopg.connect(**module.IMPATIENT, **postgres.connection) as connection:
        shown = [connection.execute(f"SHOW tcp_keepalives_{name}").fetchone()[0] for name in names]
    assert shown == ["1", "1", "2"]


def test_rows_that_somebody_takes_away_are_found(client, postgres):
    started = client()
    eventually(lambda: any(one["key"] == 1 and 3 in one["values"] for one in started.records()["reads"]))
    with postgres.connect() as connection:
        connection.execute(f"DELETE FROM {TABLE} WHERE key = 1 AND value = 3")
        connection.execute(f"INSERT INTO {TABLE} VALUES (2, 1), (2, 999999)")
    assert broken(started.end()) == [
        "every acknowledged write is there",
        "nothing is there that no client wrote",
        "every write is there once",
        "what was read is there in the end",
    ]


@pytest.mark.usefixtures("client")
def test_a_client_whose_drill_was_killed_ends(postgres, tmp_path):
    drill = "import subprocess, sys, time; subprocess.Popen([sys.executable, sys.argv[1]]); time.sleep(600)"
    settings = {"connection": postgres.connection, "table": TABLE, "workers": 1, "pause": 0.01, "seconds": 600}
    (tmp_path / "settings").write_text(json.dumps(settings))
    with (tmp_path / "settings").open() as given, (tmp_path / "told").open("w") as told:
        parent = subprocess.Popen([sys.executable, "-c", drill, CLIENT], stdin=given, stdout=told)
    eventually(lambda: '"ok"' in (tmp_path / "told").read_text())
    parent.kill()
    parent.wait()
    eventually(lambda: '"final"' in (tmp_path / "told").read_text())


def test_a_client_that_is_killed_leaves_a_history_that_can_be_judged(client, postgres):
    started = client()
    eventually(lambda: len(started.writes("ok")) > 50)
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    found = started.records()
    with postgres.connect() as connection:
        for key, value in connection.execute(f"SELECT key, value FROM {TABLE}"):
            found["final"].setdefault(key, []).append(value)
    assert broken(found) == []
