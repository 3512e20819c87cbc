"""The client of a drill: a process on the master, or a service on a minion that is made up here."""

import base64
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pghalib.drill
import pghalib.drill.clients
import pghalib.drill.course
import pghalib.drill.follow
import pghalib.drill.observers
import pghalib.drill.pieces
import pghalib.drill.watch
import pghalib.postgres.scram
import pytest
from salt.exceptions import CommandExecutionError

CONNECTION = {"host": "198.51.100.40", "port": 5432, "dbname": "postgres", "user": "pgha_drill"}
SETTINGS = {"connection": CONNECTION, "table": pghalib.drill.TABLE, "workers": 4, "pause": 0.01, "seconds": 600}
PROGRAM = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit({}))
print(sys.stdin.read(), flush=True)
signal.pause()
"""
LINE = json.dumps({"kind": "write", "key": 1, "value": 1, "start": 1, "end": 2, "outcome": "ok"}) + "\n"
FINAL = json.dumps({"kind": "final", "key": 1, "values": [1]}) + "\n"


def noted(output):
    """Wait until the client, a real process, has noted its first line."""
    end = time.monotonic() + 60
    while not output.read_text().endswith("\n"):
        assert time.monotonic() < end, "the client has noted nothing"
        time.sleep(0.01)


def test_a_client_on_the_master_gets_its_settings_with_a_password_that_fits_the_verifier(tmp_path, monkeypatch):
    monkeypatch.setattr(pghalib.drill.clients, "local_python", lambda: sys.executable)
    client, output = pghalib.drill.clients.Local(tmp_path, PROGRAM.format(0)), tmp_path / "client.jsonl"
    verifier = client.verifier()
    client.start(SETTINGS)
    try:
        noted(output)
        client.fetch()
    finally:
        process = client._process
        # Ctrl-C in a terminal goes to the whole session: the client is to note its last lists.
        assert os.getsid(process.pid) == process.pid
        assert client.stop() == []
    assert process.returncode == 0
    given = json.loads(output.read_text())
    password = given["connection"].pop("password")
    assert given == SETTINGS
    salt = verifier.split(":")[1].split("$")[0]
    assert pghalib.postgres.scram.verifier(password, base64.b64decode(salt)) == verifier
    # Also when no client runs.
    assert client.clear() + client.stop() == []


def test_a_client_that_ends_without_its_last_lists_is_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(pghalib.drill.clients, "local_python", lambda: sys.executable)
    client, output = pghalib.drill.clients.Local(tmp_path, PROGRAM.format(1)), tmp_path / "client.jsonl"
    client.start(SETTINGS)
    noted(output)
    assert client.stop() == ["the client on the master ended without its last lists (exit code 1)"]


def test_what_a_server_says_to_a_client_on_the_master_comes_to_the_terminal_as_a_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(pghalib.drill.clients, "local_python", lambda: sys.executable)
    words = "x" * 10**5 + "\\nThe last lists cannot be read: \x1b]0;owned\x07 no\\n\\n"
    program = PROGRAM.format(1).replace("print(", f"sys.stderr.write('{words}'); print(")
    client, output = pghalib.drill.clients.Local(tmp_path, program), tmp_path / "client.jsonl"
    client.start(SETTINGS)
    noted(output)
    (missing,) = client.stop()
    ended = "the client on the master ended without its last lists (exit code 1)"
    assert missing == f"{ended}: The last lists cannot be read: ?]0;owned? no"
    assert capfd.readouterr() == ("", "")
    # It is no part of the history.
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["client.jsonl"]


def test_the_authorities_are_where_the_client_is(tmp_path):
    local = pghalib.drill.clients.Local(tmp_path, PROGRAM)
    assert local.trust(None) is None
    assert Path(local.trust("PEM")).read_text() == "PEM"
    remote = pghalib.drill.clients.Remote(None, "app1", tmp_path)
    assert remote.trust(None) is None
    assert remote.trust("PEM") == "/run/pgha/drill/ca.pem"


CLIENT = Path(__file__).resolve().parents[2] / "salt/pgha/drill/files/client.py"
BOUND = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("client", sys.argv[1])
client = importlib.util.module_from_spec(spec)
spec.loader.exec_module(client)
client.BASE = 2**28
client.bound({"workers": 1, "seconds": 1, "pause": 0.01})
bytearray(2**26)
sys.stdout.write("x" * 2**20)
sys.stdout.flush()
try:
    bytearray(2**30)
except MemoryError:
    print("memory is bounded", file=sys.stderr)
try:
    for _ in range(400):
        sys.stdout.write("x" * 2**20)
        sys.stdout.flush()
except OSError as error:
    print(error.strerror, file=sys.stderr, flush=True)
import os
os._exit(0)
"""


def test_the_clients_program_takes_neither_the_memory_nor_the_disk_of_its_host(tmp_path):
    """The limits are those of the process: a server decides how many rows it sends."""
    with (tmp_path / "history").open("w") as output:
        words = [sys.executable, "-c", BOUND, CLIENT]
        done = subprocess.run(words, stdout=output, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.stderr.splitlines() == ["memory is bounded", "File too large"]
    assert 2**28 < (tmp_path / "history").stat().st_size < 2**28 + 10**8
    # pytest keeps the files of the last runs.
    (tmp_path / "history").unlink()


def test_a_client_bounds_itself_before_it_connects(monkeypatch):
    client, order = program(), []
    monkeypatch.setattr(client, "bound", lambda settings: order.append(("bound", settings)))
    monkeypatch.setattr(client.Client, "run", lambda self: order.append(("run", self.settings)))
    monkeypatch.setattr(client.signal, "signal", lambda *_: None)
    monkeypatch.setattr(client.sys, "stdin", io.StringIO(json.dumps(SETTINGS)))
    client.main()
    assert order == [("bound", SETTINGS), ("run", SETTINGS)]


@pytest.mark.parametrize("value", ["1", None, True, 1.5, 2**63, [1]])
def test_what_a_server_sends_in_place_of_numbers_is_an_error_of_the_server(value):
    """Who reads the history would refuse all of it."""
    client = program()
    answers = types.SimpleNamespace(execute=lambda *_: [(1,), (value,)])
    made = client.Client(SETTINGS, None)
    with pytest.raises(client.psycopg.Error, match="other values than numbers"):
        made._values(answers, 1, 0)
    answers.execute = lambda *_: [(1,), (2**63 - 1,)]
    assert made._values(answers, 1, 0) == [1, 2**63 - 1]


def program():
    """The client's program as a module."""
    spec = importlib.util.spec_from_file_location("drill_client", CLIENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def minion(tmp_path, monkeypatch):
    """
    A client on a minion that is made up. ``noted`` is its history, ``calls`` what it was asked; ``answers`` are put in
    the place of its own, by the name of the function; an error there is raised.
    """
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", 64)
    calls, answers, made = [], {}, types.SimpleNamespace(noted="", ends=FINAL)

    def ask(host, function, *given):
        module, _, name = function.partition(".")
        assert (host, module) == ("app1", "pgha_drill_client")
        calls.append((name, given))
        if name in answers:
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]
        if name == "noted":
            piece = made.noted[given[0] : given[0] + pghalib.drill.pieces.PIECE]
            return {"text": piece, "next": given[0] + len(piece)}
        made.noted += made.ends if name == "stop" else ""
        own = {"ready": {"now": time.time_ns(), "python": True}, "prepare": pghalib.drill.clients.password()[1]}
        return own.get(name)

    made.client = pghalib.drill.clients.Remote(ask, "app1", tmp_path)
    made.calls, made.answers, made.history, made.place = calls, answers, tmp_path / "client.jsonl", tmp_path
    return made


def test_a_minion_that_can_run_a_client_has_no_reason_against_it(minion):
    assert minion.client.against() == []
    assert [name for name, _ in minion.calls] == ["ready"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (CommandExecutionError("app1 did not answer"), "app1 did not answer; see salt 'app1' test.ping"),
        (CommandExecutionError("app1: 'x' is not available."), "then salt 'app1' saltutil.sync_all"),
        (None, "its answer has no time and no Python"),
        ({"now": "1", "python": True}, "saltutil.sync_all"),
        ({"now": True, "python": True}, "saltutil.sync_all"),
        ({"now": 10**400, "python": True}, "saltutil.sync_all"),
        ({"now": 1, "python": "yes"}, "saltutil.sync_all"),
    ],
)
def test_a_minion_that_cannot_run_a_client_is_named_with_the_remedy(minion, answer, said):
    minion.answers["ready"] = answer
    (why,) = minion.client.against()
    assert why.startswith("no client can run on app1: ")
    assert said in why


@pytest.mark.parametrize(("seconds", "good"), [(-30, False), (-1.1, False), (-0.9, True), (0.9, True), (2, False)])
def test_a_minion_whose_clock_differs_is_refused(minion, monkeypatch, seconds, good):
    moment = time.time_ns()
    monkeypatch.setattr(pghalib.drill.clients, "time", types.SimpleNamespace(time_ns=lambda: moment))
    minion.answers["ready"] = {"now": moment + int(seconds * 1e9), "python": True}
    why = minion.client.against()
    assert (why == []) is good
    assert all("the clock of app1 differs by" in one for one in why)


def test_the_time_of_the_question_is_no_difference_of_clocks(minion, monkeypatch):
    """Salt may take seconds to ask, and the answer may have been made at any moment of them."""
    moments = iter([100 * 10**9, 107 * 10**9])
    monkeypatch.setattr(pghalib.drill.clients, "time", types.SimpleNamespace(time_ns=lambda: next(moments)))
    minion.answers["ready"] = {"now": 103 * 10**9, "python": True}
    assert minion.client.against() == []


def test_a_lack_of_psycopg_and_another_time_are_told_at_once(minion):
    minion.answers["ready"] = {"now": 5, "python": False}
    psycopg, clock = minion.client.against()
    assert psycopg == "the drill's client needs psycopg 3 on app1: apt install python3-psycopg"
    assert "differs" in clock


@pytest.mark.parametrize("answer", [None, "", 5, "md5abc", "SCRAM-SHA-256$4096:a$b:c'; DROP TABLE t", ["a"]])
def test_what_is_no_verifier_becomes_no_login(minion, answer):
    minion.answers["prepare"] = answer
    with pytest.raises(CommandExecutionError, match="no verifier of SCRAM-SHA-256"):
        minion.client.verifier()


def test_a_minion_gets_the_settings_with_the_authorities_and_no_password(minion):
    minion.client.trust("PEM")
    minion.client.start(SETTINGS)
    assert minion.calls == [("start", ({**SETTINGS, "authorities": "PEM"},))]


def test_what_a_minion_noted_comes_in_pieces_with_cut_lines_and_nothing_twice(minion):
    follower = pghalib.drill.follow.Follower(minion.place)
    minion.noted = LINE * 2 + LINE[:30]
    minion.client.fetch()
    assert minion.history.read_text() == minion.noted
    assert len(follower.new()["writes"]) == 2
    minion.noted += LINE[30:]
    minion.client.fetch()
    assert len(follower.new()["writes"]) == 1
    offsets = [given[0] for name, given in minion.calls if name == "noted"]
    assert offsets == sorted(offsets)
    assert minion.client.stop() == []
    assert minion.history.read_text() == LINE * 3 + FINAL
    assert follower.new()["final"] == {1: [1]}
    assert minion.client.clear() == []
    assert [name for name, _ in minion.calls if name != "noted"] == ["stop", "remove"]


def test_a_history_of_whole_pieces_has_an_end(minion):
    minion.noted = "x" * 128
    minion.client.fetch()
    assert [given for _, given in minion.calls] == [(0,), (64,), (128,)]


def test_the_last_lists_come_also_in_pieces_that_are_smaller_than_agreed(minion, monkeypatch):
    """The modules of the minion may be of another version."""
    ask, client = minion.client._ask, minion.client

    def small(host, function, *given):
        answer = ask(host, function, *given)
        if function.endswith(".noted"):
            answer = {"text": answer["text"][:10], "next": given[0] + len(answer["text"][:10])}
        return answer

    client._ask, minion.noted = small, LINE
    assert client.stop() == []
    assert minion.history.read_text() == LINE + FINAL


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "VALUE_TRIMMED",
        {"text": "VALUE_TRIMMED", "next": 64},
        {"text": "", "next": 1},
        {"text": "a", "next": 0},
        {"text": "a", "next": True},
        {"text": ["a"], "next": 1},
        {"text": "a" * 65, "next": 65},
    ],
)
def test_what_is_no_piece_of_a_history_is_not_taken(minion, answer):
    minion.answers["noted"] = answer
    with pytest.raises(CommandExecutionError, match="the answer of app1 is no piece of a history"):
        minion.client.fetch()
    assert not minion.history.exists()
    (missing,) = minion.client.stop()
    assert missing == "what the client on app1 noted is missing: the answer of app1 is no piece of a history"
    # The same piece is asked for again.
    del minion.answers["noted"]
    minion.client.fetch()
    assert minion.history.read_text() == FINAL


def test_a_history_without_an_end_is_not_fetched_for_ever(minion, monkeypatch):
    monkeypatch.setattr(pghalib.drill.pieces, "LIMIT", 1000)
    minion.noted = "x" * 2000
    with pytest.raises(CommandExecutionError, match="app1 is larger than 1000 bytes"):
        minion.client.fetch()
    assert minion.history.stat().st_size <= 1000


@pytest.fixture
def clock(monkeypatch):
    """A clock that is made up, in a list, for all who limit a history."""
    moment = [1000.0]
    made = types.SimpleNamespace(monotonic=lambda: moment[0], time_ns=time.time_ns)
    for module in (pghalib.drill.clients, pghalib.drill.observers):
        monkeypatch.setattr(module, "time", made)
    return moment


@pytest.mark.parametrize("size", [2**9, 2**19])
@pytest.mark.parametrize("name", ["fetch", "stop"])
def test_a_minion_that_always_fills_the_piece_does_not_fill_the_master(minion, monkeypatch, clock, name, size):
    """Each of its answers comes late enough for one more of that size."""
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", size)
    monkeypatch.setattr(pghalib.drill.pieces, "AHEAD", 1)
    monkeypatch.setattr(pghalib.drill.clients, "NOTED", 10**6)

    def ask(_host, function, *given):
        if not function.endswith(".noted"):
            return None
        assert given[0] < 10**8, "there is no end"
        clock[0] += size / 10**6
        return {"text": " " * size, "next": given[0] + size}

    minion.client._ask = ask
    minion.client.start({**SETTINGS, "workers": 4})
    clock[0] += 3
    said = "the history of app1 is larger than 20000000 bytes, which is more than its writer can have written until now"
    if name == "stop":
        assert minion.client.stop() == [f"what the client on app1 noted is missing: {said}"]
    else:
        with pytest.raises(CommandExecutionError, match=said):
            minion.client.fetch()
    assert minion.history.stat().st_size == 2 * 10**7 // size * size


def test_a_client_that_writes_as_fast_as_it_can_is_far_from_the_limit(clock):
    """A write is shorter than 170 bytes with its share of the reads and the last lists; one comes each 10 ms."""
    told = pghalib.drill.clients.bound(4)
    clock[0] += 3600
    write = {"kind": "write", "key": 48, "value": 10**7, "start": 2**62, "end": 2**62, "outcome": "info"}
    longest = len(json.dumps(write) + "\n") + 3 * len("10000000, ")
    assert longest <= 170
    honest = 3600 * 100 * (4 * longest + 170)
    assert 9 * honest < told() < 12 * honest
    clock[0] += 10**9
    assert told() == pghalib.drill.pieces.LIMIT


def test_a_client_on_the_master_that_a_server_lets_write_without_an_end_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(pghalib.drill.clients, "local_python", lambda: sys.executable)
    monkeypatch.setattr(pghalib.drill.pieces, "AHEAD", 0)
    monkeypatch.setattr(pghalib.drill.clients, "NOTED", 0.001)
    client, output = pghalib.drill.clients.Local(tmp_path, PROGRAM.format(0)), tmp_path / "client.jsonl"
    client.start(SETTINGS)
    try:
        noted(output)
        with pytest.raises(CommandExecutionError, match="the history of the master is larger than 0 bytes"):
            client.fetch()
    finally:
        assert client.stop() == []


def test_letters_that_no_client_writes_are_kept_as_no_letters(minion):
    minion.noted = "\ud800é"
    minion.client.fetch()
    assert minion.history.read_bytes() == b"??"


LOOK = {"kind": "look", "host": "\x1b]0;owned\x07", "start": 1, "end": 2, "address": True, "acknowledged": True}
MARK = {"kind": "mark", "at": 1, "what": "kill-postgres on db1"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (json.dumps(LOOK), "a look is none of write, visit, read, trouble, final, which alone its writer notes"),
        (json.dumps({**LOOK, "host": "db1"}), "a look is none of write"),
        (json.dumps(MARK), "a mark is none of write"),
        ('{"kind": "write", "key": 1}', "value, start, end, outcome of a write is missing or of another type"),
        ("nonsense", "is not JSON"),
        # What separates lines elsewhere separates none here: the line would be looked at by nobody.
        (json.dumps(LOOK) + "\x0b" + LINE.strip(), "is not JSON"),
        (LINE.strip() + "\r" + json.dumps(LOOK), "is not JSON"),
    ],
)
@pytest.mark.parametrize("before", ["", LINE, LINE * 3], ids=["first", "second", "fourth"])
@pytest.mark.parametrize("size", [7, 64, 10**6])
def test_a_minion_speaks_for_nobody_but_its_clients(minion, monkeypatch, size, before, line, why):
    """Also a line that comes in several pieces; what came before it is kept, and the history can be read."""
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", size)
    minion.noted = before + line + "\n"
    for _ in range(2):
        with pytest.raises(CommandExecutionError) as error:
            minion.client.fetch()
        assert why in str(error.value)
        assert str(error.value).startswith("app1, piece at byte ")
        assert str(error.value).isprintable()
    (missing,) = minion.client.stop()
    assert missing.startswith("what the client on app1 noted is missing: app1, piece at byte ")
    course = pghalib.drill.course.Course(None, None, None, None, minion.place, client=minion.client)
    found = {kind: len(records) for kind, records in course.history().items()}
    assert found.pop("writes") <= before.count("\n")
    assert not any(found.values())


def test_a_line_may_hold_what_ends_a_line_elsewhere(minion):
    minion.noted = '{"kind":"trouble",\r"at":1,\r\n'.replace("\n", '"what":"x"}\n')
    minion.client.fetch()
    course = pghalib.drill.course.Course(None, None, None, None, minion.place, client=minion.client)
    assert [one["what"] for one in course.history()["troubles"]] == ["x"]


def test_what_is_missing_and_what_is_left_is_said(minion):
    for name in ("stop", "remove"):
        minion.answers[name] = CommandExecutionError("app1 did not answer")
    assert minion.client.stop() == ["what the client on app1 noted is missing: app1 did not answer"]
    (left,) = minion.client.clear()
    assert left == "files of the drill are left on app1 (salt 'app1' pgha_drill_client.remove): app1 did not answer"


@pytest.fixture
def course(minion, monkeypatch):
    """A course over members that are made up, with its client on the minion; ``order`` is what was called."""
    monkeypatch.setattr(pghalib.drill.watch, "CALM", 0)
    order = []

    def ask(_host, function, *given):
        order.append(function.removeprefix("pgha_drill."))
        if function == "pgha_drill.observed":
            look = {"kind": "look", "host": "", "start": 1, "end": 2}
            look |= {"address": True, "acknowledged": True, "timeline": 1}
            return {"text": json.dumps(look) + "\n", "next": len(json.dumps(look)) + 1, "ran": True}
        if function == "pgha_drill.prepare":
            assert pghalib.postgres.scram.PATTERN.fullmatch(given[0])
        return "done"

    asked, values = minion.client._ask, []

    def asked_in_order(host, function, *given):
        order.append(f"client.{function.partition('.')[2]}")
        if function.endswith(".noted"):
            for _ in range(2):
                values.append(len(values) + 1)
                at = time.time_ns()
                write = {"kind": "write", "key": 1, "value": values[-1], "start": at, "end": at + 1, "outcome": "ok"}
                read = {"kind": "read", "key": 1, "floor": 0, "values": [], "start": 1, "end": 2}
                for record in (write, read) if "client.stop" not in order else ():
                    minion.noted += json.dumps(record) + "\n"
        if function.endswith(".stop"):
            minion.ends = json.dumps({"kind": "final", "key": 1, "values": list(values)}) + "\n"
        return asked(host, function, *given)

    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", 10**6)
    minion.client._ask = asked_in_order
    about = (lambda: ("db1", ["db2"], []), lambda _name: 5.0, lambda _line: None)
    made = pghalib.drill.course.Course(ask, *about, minion.place, client=minion.client)
    made.order, made.minion = order, minion
    return made


def in_order(course):
    """What was called; what was called several times in a row, once."""
    return [name for name, _ in itertools.groupby(course.order)]


def test_a_course_with_its_client_on_a_minion_takes_away_what_it_brought_in_order(course):
    found = course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    assert in_order(course) == [
        *("client.prepare", "prepare", "observe", "client.start", "client.noted", "fault", "client.noted"),
        *("client.stop", "client.noted", "observed", "remove", "client.remove"),
    ]
    assert found["early"] is None
    assert found["history"]["final"][1]
    assert all(one["held"] for one in found["verdicts"])
    ((settings,),) = [given for name, given in course.minion.calls if name == "start"]
    assert settings["connection"] == {"host": "h", "user": "pgha_drill"}


def test_a_drill_without_the_last_lists_of_its_client_is_not_called_good(course):
    course.minion.answers["stop"] = CommandExecutionError("app1 did not answer")
    found = course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    assert found["early"] == "what the client on app1 noted is missing: app1 did not answer"
    verdicts = {one["rule"]: one for one in found["verdicts"]}
    assert verdicts["every acknowledged write is there"]["held"] is None
    assert verdicts["what was read is there in the end"]["held"] is None
    assert verdicts["one server at most acknowledges writes"]["held"] is True
    assert in_order(course)[-2:] == ["remove", "client.remove"]


def test_a_minion_whose_words_are_not_taken_is_named_before_the_first_fault(course, monkeypatch):
    monkeypatch.setattr(pghalib.drill.watch, "BEGIN", 1)
    line = json.dumps(LOOK) + "\n"
    course.minion.answers["noted"] = {"text": line, "next": len(line)}
    with pytest.raises(CommandExecutionError, match="app1, piece at byte 0: line 1 of the history: a look is none of"):
        course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    assert "fault" not in course.order
    assert in_order(course)[-2:] == ["remove", "client.remove"]


def test_a_minion_that_cannot_start_the_client_keeps_nothing_of_the_drill(course):
    course.minion.answers["start"] = CommandExecutionError("app1: systemd does not start pgha-drill-client")
    with pytest.raises(CommandExecutionError, match="systemd does not start pgha-drill-client"):
        course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    assert "fault" not in course.order
    assert in_order(course)[-5:] == ["client.stop", "client.noted", "observed", "remove", "client.remove"]
