"""The course of a drill over hosts that are made up. With real ones it is run on the lab."""

import json
import os
import signal
import subprocess
import sys
import time
import types

import pghalib.drill.checker
import pghalib.drill.clients
import pghalib.drill.course
import pghalib.drill.faults
import pghalib.drill.follow
import pghalib.drill.history
import pghalib.drill.observers
import pghalib.drill.outcome
import pghalib.drill.pieces
import pghalib.drill.underway
import pghalib.drill.watch
import pghalib.wait
import pytest
from salt.exceptions import CommandExecutionError

FAULTS = ["switchover", "restart-replica"]

# In place of the client: it needs no server.
PROGRAM = """
import json, signal, sys, time
given = json.load(sys.stdin)
assert given["connection"] == {"host": "h", "user": "pgha_drill", "password": given["connection"]["password"]}
over = []
signal.signal(signal.SIGTERM, lambda *_: over.append(1))
value = 0
while not over:
    value += 1
    at = time.time_ns()
    write = {"kind": "write", "key": 1, "value": value, "start": at, "end": at + 1, "outcome": "ok"}
    read = {"kind": "read", "key": 1, "floor": value - 1, "values": [value], "start": at + 2, "end": at + 3}
    for record in (write, read):
        print(json.dumps(record), flush=True)
    time.sleep(0.01)
print(json.dumps({"kind": "final", "key": 1, "values": list(range(1, value + 1))}), flush=True)
"""
HOSTS = ("db1", "db2")
LOOK = {"kind": "look", "host": "of my choice", "start": 1, "end": 2, "primary": True, "timeline": 1}


def piece(text, offset, ran=True):
    """The answer of a host that is asked for a piece of a history."""
    text = text[offset : offset + pghalib.drill.pieces.PIECE]
    return {"text": text, "next": offset + len(text), "ran": ran}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """
    A course over hosts that are made up: ``calls``, ``said``, ``refuses`` (names of functions that fail), and
    ``answers`` (those to whether a fault is undone; afterwards it is).
    """
    monkeypatch.setattr(pghalib.drill.clients, "local_python", lambda: sys.executable)
    monkeypatch.setattr(pghalib.drill.watch, "CALM", 0.1)
    # The client is a real process, and is waited for in real time.
    hurried = types.SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: time.sleep(seconds / 20))
    monkeypatch.setattr(pghalib.wait, "time", hurried)
    calls, said, refuses, answers = [], [], set(), []
    looks = {host: json.dumps({**LOOK, **dict.fromkeys(("address", "acknowledged"), host == "db1")}) for host in HOSTS}

    def ask(host, function, *given):
        calls.append((host, function.removeprefix("pgha_drill."), given))
        if calls[-1][1] in refuses:
            raise CommandExecutionError(f"{host} refuses")
        if calls[-1][1] == "undone":
            answer = answers.pop(0) if answers else True
            if answer is KeyboardInterrupt:
                raise answer
            return answer
        return piece(looks[host] + "\n", *given) if function == "pgha_drill.observed" else "done"

    standing = lambda: ("db1", ["db2"], [])  # noqa: E731
    client = pghalib.drill.clients.Local(tmp_path, PROGRAM)
    made = pghalib.drill.course.Course(ask, standing, lambda _name: 5.0, said.append, tmp_path, client=client)
    made.calls, made.said, made.refuses, made.answers = calls, said, refuses, answers
    return made


def test_a_course_brings_what_it_needs_and_takes_it_away(course):
    found = course.run(["db1", "db2"], ["switchover", "restart-replica"], {"host": "h"}, 1, 250)
    assert [(host, name) for host, name, _ in course.calls] == [
        ("db1", "prepare"),
        ("db1", "observe"),
        ("db2", "observe"),
        ("db1", "fault"),
        ("db2", "fault"),
        ("db1", "observed"),
        ("db2", "observed"),
        ("db1", "remove"),
    ]
    assert (found["early"], [one["fault"] for one in found["results"]]) == (None, ["switchover", "restart-replica"])
    assert pghalib.drill.outcome.good(found)
    # Who saw it is whom the master has asked.
    assert {look["host"] for look in found["history"]["looks"]} == {"db1", "db2"}
    assert [mark["what"] for mark in found["history"]["marks"]] == ["switchover on db1", "restart-replica on db2"]


def test_a_fault_that_cannot_be_made_ends_the_drill_and_nothing_is_left(course):
    course.refuses.add("fault")
    found = course.run(["db1"], ["switchover", "restart-replica"], {"host": "h"}, 1, 250)
    assert (found["early"], found["results"]) == ("switchover: db1 refuses", [])
    assert [name for _, name, _ in course.calls][-2:] == ["observed", "remove"]
    assert found["history"]["final"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_a_drill_that_is_interrupted_takes_away_what_it_brought_and_tells_what_it_saw(course, end):
    def say(line):
        if line == "switchover: done":
            raise end

    course.say = say
    found = course.run(["db1", "db2"], ["switchover"], {"host": "h"}, 1, 250)
    assert found["early"] == "switchover: the drill was interrupted"
    assert found["history"]["final"]
    assert not pghalib.drill.outcome.good(found)
    assert [name for _, name, _ in course.calls] == [
        *("prepare", "observe", "observe", "fault"),
        *("observed", "observed", "remove"),
    ]


@pytest.fixture
def lasting(course, monkeypatch):
    """
    A course that a person interrupts while a fault lasts; ``calls`` also has the end of the client.
    """
    course.answers += [False, False]
    say, stop = course.say, course._client.stop

    def heard(line):
        say(line)
        if line == "hang-patroni: done":
            raise KeyboardInterrupt

    monkeypatch.setattr(course._client, "stop", lambda: course.calls.append(("master", "stop", ())) or stop())
    course.say = heard
    return course


def test_a_drill_that_is_interrupted_while_a_fault_lasts_ends_when_the_fault_is_over(lasting):
    """Until then the clients may read their last lists on a server that loses them."""
    found = lasting.run(["db1"], ["hang-patroni"], {"host": "h"}, 1, 250)
    names = [name for _, name, _ in lasting.calls]
    assert names == ["prepare", "observe", "fault", "undone", "undone", "undone", "stop", "observed", "remove"]
    assert found["early"] == "hang-patroni: the drill was interrupted"
    assert all(one["held"] for one in found["verdicts"])


def test_a_fault_that_could_not_be_undone_is_told_at_once(course, monkeypatch):
    monkeypatch.setattr(pghalib.drill.underway, "LASTING", 10**6)
    course.answers += ["a fault could not be undone here:\x1b[2J systemctl start it"] * 2
    found = course.run(["db1"], ["hang-patroni"], {"host": "h"}, 1, 250)
    assert found["early"].startswith("hang-patroni: db1: a fault could not be undone here:")
    assert "systemctl start it" in found["early"]
    assert "\x1b" not in found["early"]
    assert [one["held"] for one in found["verdicts"]][:3] == [None] * 3


def test_a_fault_that_was_made_though_nobody_heard_so_is_waited_for(lasting):
    lasting.refuses.add("fault")
    lasting.run(["db1"], ["hang-patroni"], {"host": "h"}, 1, 250)
    assert [name for _, name, _ in lasting.calls][2:-2] == ["fault", "undone", "undone", "undone", "stop"]


@pytest.mark.parametrize("answers", [[False], [False, KeyboardInterrupt]])
def test_what_the_end_of_a_fault_may_change_is_not_judged_when_it_is_not_waited_for(lasting, monkeypatch, answers):
    monkeypatch.setattr(pghalib.drill.underway, "LASTING", 0 if len(answers) == 1 else 60)
    lasting.answers[:] = answers
    found = lasting.run(["db1"], ["hang-patroni"], {"host": "h"}, 1, 250)
    held = [one["held"] for one in found["verdicts"]]
    assert held == [None, None, None, True, None, None, None]
    (why,) = {example for one in found["verdicts"] for example in one["examples"]}
    assert why.startswith("the drill ended while a fault on db1 might last")
    assert why in lasting.said
    assert [name for _, name, _ in lasting.calls][-3:] == ["stop", "observed", "remove"]


def test_a_login_that_cannot_be_removed_does_not_take_the_report_with_it(course):
    course.refuses.add("remove")
    found = course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    assert [one["fault"] for one in found["results"]] == ["switchover"]
    assert all(one["held"] for one in found["verdicts"])
    assert found["early"].startswith("the login and the schema pgha_drill are left (the login expires")


def test_a_cluster_that_stays_without_a_leader_has_a_report(course, monkeypatch):
    """What ended the drill is told first, and then what is left."""
    leaders = ["db1"]
    ask = course.ask

    def asked(host, function, *given):
        if function == "pgha_drill.fault":
            leaders.clear()
        return ask(host, function, *given)

    course.ask = asked
    course.standing = lambda: (next(iter(leaders), None), ["db2"], [])
    for name in ("RECOVERY", "LEADER"):
        monkeypatch.setattr(pghalib.drill.course, name, 0)
    found = course.run(["db1", "db2"], ["switchover"], {"host": "h"}, 1, 250)
    ended, left = found["early"].split("; ", 1)
    assert ended == "switchover: Not within 0 s: the cluster is whole again after switchover"
    assert left.startswith("the login and the schema pgha_drill are left (")
    assert len(found["verdicts"]) == 7
    assert all(one["held"] for one in found["verdicts"])


def test_what_is_left_or_missing_is_told_also_when_something_else_ended_the_drill(course):
    course.refuses |= {"fault", "remove", "observed"}
    found = course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    ended, missing, left = found["early"].split("; ", 2)
    assert (ended, missing) == ("switchover: db1 refuses", "what db1 observed is missing: db1 refuses")
    assert left.startswith("the login and the schema pgha_drill are left (")
    assert {ended, missing, left} <= set(course.said)


def test_what_is_left_is_told_also_when_the_drill_could_not_begin(course):
    course.refuses |= {"observe", "remove"}
    with pytest.raises(CommandExecutionError, match="db1 refuses"):
        course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    assert course.said[-1].startswith("the login and the schema pgha_drill are left (")


DYING = PROGRAM.replace("time.sleep(0.01)", "time.sleep(0.01) if value < 100 else sys.exit('out of memory')")


def test_a_client_that_died_is_the_reason_that_is_told(course, monkeypatch):
    """That no write is acknowledged any more is what follows from it."""
    monkeypatch.setattr(pghalib.drill.watch.Watch.calm, "__defaults__", (2, None))
    course._client._program = DYING
    found = course.run(["db1"], ["switchover"] * 50, {"host": "h"}, 1, 250)
    assert found["early"].endswith("the client on the master ended without its last lists (exit code 1): out of memory")


REFUSED = """
import json, signal, sys, time
json.load(sys.stdin)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print(json.dumps({"kind": "trouble", "at": 1, "what": 'no pg_hba.conf entry for host "192.0.2.9"\x1b[2J'}), flush=True)
signal.pause()
"""


def test_a_client_that_may_not_connect_is_told_with_the_reason_and_the_setting(course, monkeypatch):
    monkeypatch.setattr(pghalib.drill.watch, "BEGIN", 1)
    course._client._program = REFUSED
    with pytest.raises(CommandExecutionError) as error:
        course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    said = str(error.value)
    assert said.startswith("No fault was made, since the clients on the master cannot write: no pg_hba.conf entry")
    assert "postgres:client_networks" in said
    assert "\x1b" not in said
    assert [name for _, name, _ in course.calls] == ["prepare", "observe", "observed", "remove"]


def test_what_a_host_says_of_its_fault_is_shown_as_a_line(course):
    ask = course.ask
    course.ask = lambda host, function, *given: (
        "\x1b]0;x\x07 made\n" * 1000 if function == "pgha_drill.fault" else ask(host, function, *given)
    )
    course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    (told,) = [line for line in course.said if line.startswith("switchover: ?")]
    assert told.isprintable()
    assert len(told) < 1100


def test_without_observers_no_fault_is_made(course):
    course.refuses.add("observe")
    with pytest.raises(CommandExecutionError, match="db1 refuses"):
        course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    assert [name for _, name, _ in course.calls] == ["prepare", "observe", "remove"]


def test_a_master_without_psycopg_is_told_what_to_install(monkeypatch, tmp_path):
    client = pghalib.drill.clients.Local(tmp_path, PROGRAM)
    monkeypatch.setattr(pghalib.drill.clients, "PYTHONS", ("/bin/false", "/nonexistent", sys.executable))
    assert pghalib.drill.clients.local_python() == sys.executable
    assert client.against() == []
    monkeypatch.setattr(pghalib.drill.clients, "PYTHONS", ("/bin/false",))
    assert "apt install python3-psycopg" in client.against()[0]
    with pytest.raises(CommandExecutionError, match="psycopg 3 on the master"):
        client.start({})
    assert not list(tmp_path.iterdir())


def test_a_python_of_the_master_that_does_not_end_is_passed_over(monkeypatch, tmp_path):
    def run(words, timeout=None, **_how):
        assert timeout
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(pghalib.drill.clients.subprocess, "run", run)
    with pytest.raises(CommandExecutionError, match="psycopg 3 on the master"):
        pghalib.drill.clients.local_python()


def test_waiting_for_calm_reads_nothing_twice(course, monkeypatch):
    """A drill of hours would else read hours of history twice a second."""
    taken, look = [], pghalib.drill.follow.Follower.new

    def new(self):
        found = look(self)
        taken.append([one["value"] for one in found["writes"]])
        return found

    monkeypatch.setattr(pghalib.drill.follow.Follower, "new", new)
    found = course.run(["db1"], ["switchover", "restart-agent"], {"host": "h"}, 1, 250)
    values = [value for one in taken for value in one]
    assert len(taken) > 4
    assert values == list(range(1, len(values) + 1))
    assert values == [one["value"] for one in found["history"]["writes"]][: len(values)]
    # For the outage only the writes since the last fault began are kept.
    assert min(one["end"] for one in course._watch.writes) > found["results"][-1]["since"]


def test_an_outage_is_that_of_the_whole_history_since_the_fault_began(course):
    found = course.run(["db1"], ["switchover", "restart-agent"], {"host": "h"}, 1, 250)
    writes = found["history"]["writes"]
    for one in found["results"]:
        own = [write for write in writes if one["since"] < write["end"] <= one["ended"]]
        # The next fault may end it, and no write.
        gaps = pghalib.drill.checker.outage(own, one["since"], one["ended"])
        assert (one["began"], one["ended"], one["outage"]) == (gaps.start, gaps.end, (gaps.end - gaps.start) / 1e9)
        assert one["outage"] > 0


def stalled(course):
    """Nobody writes for a second."""
    os.kill(course._client._process.pid, signal.SIGSTOP)
    time.sleep(1)
    os.kill(course._client._process.pid, signal.SIGCONT)


def test_a_time_without_writes_after_a_fault_was_told_is_in_its_row(course):
    """Between two faults the observers are asked and the status is."""
    course.say = lambda line: stalled(course) if line.startswith("switchover: 0.") else None
    found = course.run(["db1"], ["switchover", "restart-agent"], {"host": "h"}, 1, 250)
    assert [one["outage"] >= 0.9 for one in found["results"]] == [True, False]
    assert all(one["since"] < one["began"] < one["ended"] for one in found["results"])


def test_a_time_without_writes_before_a_fault_is_not_in_its_row(course):
    standing, asked = course.standing, []

    def stands():
        asked.append(1)
        if [name for _, name, _ in course.calls].count("fault") == 1 and len(asked) > 3:
            asked.clear()
            stalled(course)
        return standing()

    course.standing = stands
    found = course.run(["db1"], ["switchover", "restart-agent"], {"host": "h"}, 1, 250)
    assert [one["outage"] >= 0.9 for one in found["results"]] == [True, False]


def test_a_fault_that_was_not_finished_is_no_cost_of_the_one_before_it(course):
    def say(line):
        if line == "restart-agent: done":
            stalled(course)
            raise KeyboardInterrupt

    course.say = say
    found = course.run(["db1"], ["switchover", "restart-agent"], {"host": "h"}, 1, 250)
    assert [(one["fault"], one["outage"] < 0.9) for one in found["results"]] == [("switchover", True)]


@pytest.fixture
def slow(course, monkeypatch):
    """A course on which each fault takes 40 seconds by a clock that is made up."""
    passed = [1000.0]
    clock = types.SimpleNamespace(monotonic=lambda: passed[0], time_ns=time.time_ns)
    monkeypatch.setattr(pghalib.drill.course, "time", clock)
    monkeypatch.setattr(pghalib.drill.observers, "time", clock)
    ask = course.ask

    def asked(host, function, *given):
        passed[0] += 40 if function == "pgha_drill.fault" else 0
        return ask(host, function, *given)

    course.ask, course.passed = asked, passed
    return course


@pytest.mark.parametrize(
    ("faults", "rested"),
    [
        (["cut-consul", "switchover"], 70),
        (["stop-agent", "hang-vip-manager+switchover"], 70),
        (["cut-consul", "restart-agent", "switchover"], 80),
        (["cut-consul", "restart-agent"], 40),
        (["isolate", "switchover"], 40),
    ],
)
def test_a_switchover_comes_when_consul_has_been_there_for_long_enough(slow, monkeypatch, faults, rested):
    """For the time of a lease after a leader worked by failsafe_mode, it takes longer than is promised."""
    slow._rest, made = 30, []
    clock, ask = pghalib.drill.course.time, slow.ask
    pause = lambda seconds: slow.passed.__setitem__(0, slow.passed[0] + (seconds >= 1))  # noqa: E731
    monkeypatch.setattr(pghalib.wait, "time", types.SimpleNamespace(monotonic=clock.monotonic, sleep=pause))

    def asked(host, function, *given):
        if function == "pgha_drill.fault":
            made.append(slow.passed[0] - 1000)
        return ask(host, function, *given)

    slow.ask = asked
    slow.answers += [True] + [False] * ("+" in faults[1])
    found = slow.run(["db1"], faults, {"host": "h"}, 1, 250)
    assert (found["early"], found["results"][-1]["fault"]) == (None, faults[-1])
    (begin,) = made[len(faults) - 1 :][:1]
    assert rested <= begin < rested + 5


@pytest.mark.parametrize(
    ("minutes", "rounds"),
    [(None, 1), (1, 1), (2, 2), *(pytest.param(*one, marks=pytest.mark.thorough) for one in ((3, 3), (4, 3), (5, 4)))],
)
def test_rounds_begin_while_the_minutes_have_not_passed_and_are_finished(slow, minutes, rounds):
    """A round takes 80 seconds; that which begins at 240 seconds is none of four minutes."""
    found = slow.run(["db1"], FAULTS, {"host": "h"}, 1, 250, minutes)
    assert [one["fault"] for one in found["results"]] == FAULTS * rounds
    assert [given for _, name, given in slow.calls if name == "fault"] == [(one,) for one in FAULTS * rounds]
    assert found["early"] is None
    sinces = [one["since"] for one in found["results"]]
    assert sinces == sorted(set(sinces))


def test_the_first_fault_that_cannot_be_made_ends_all_rounds(slow):
    say, said = slow.say, []

    def heard(line):
        said.append(line)
        if len([one for one in said if one.startswith("switchover on")]) == 2:
            slow.refuses.add("fault")
        say(line)

    slow.say = heard
    found = slow.run(["db1"], FAULTS, {"host": "h"}, 1, 250, 60)
    assert [one["fault"] for one in found["results"]] == FAULTS
    assert found["early"] == "switchover: db1 refuses"


LONGEST = pghalib.drill.course.LONGEST


@pytest.mark.parametrize(("minutes", "seconds"), [(None, 2 * LONGEST + 60), (90, 90 * 60 + 2 * LONGEST + 60)])
def test_login_and_observers_last_for_the_minutes_and_one_more_round(course, monkeypatch, minutes, seconds):
    monkeypatch.setattr(course, "_rounds", lambda *_: None)
    course.run(["db1"], FAULTS, {"host": "h"}, 1, 250, minutes)
    given = {name: words for _, name, words in course.calls}
    assert given["observe"] == (seconds,)
    assert given["prepare"][1] * 60 >= seconds


def test_what_is_observed_for_long_is_fetched_in_pieces(slow):
    """Each fault takes 40 seconds: before the fourth and the seventh one, more than 90 have passed."""
    found = slow.run(["db1", "db2"], FAULTS, {"host": "h"}, 1, 250, 5)
    names = [name for _, name, _ in slow.calls]
    piece = ["observe", "observe", "fault", "fault", "fault", "observed", "observed"]
    assert names == ["prepare", *piece, *piece, *piece[:4], *piece[5:], "remove"]
    assert [given for host, name, given in slow.calls if (host, name) == ("db1", "observe")] == [
        (300 + 2 * LONGEST + 60 - passed,) for passed in (0, 120, 240)
    ]
    assert [look["host"] for look in found["history"]["looks"]].count("db2") == 3
    assert found["early"] is None


def test_what_is_observed_is_asked_for_in_pieces_that_salt_can_carry(course, monkeypatch):
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", 50)
    found = course.run(["db1"], ["switchover"], {"host": "h"}, 1, 250)
    offsets = [given[0] for _, name, given in course.calls if name == "observed"]
    assert offsets == list(range(0, 50 * len(offsets), 50))
    assert len(offsets) > 2
    assert len(found["history"]["looks"]) == 1
    assert found["early"] is None


FINAL = json.dumps({"kind": "final", "key": 1, "values": []}) + "\n"


@pytest.mark.parametrize(
    "answer",
    [
        *("VALUE_TRIMMED", {"text": "", "next": 0}, None, {"text": "[]\n", "next": 3}),
        # An observer speaks for no client.
        piece(json.dumps({**LOOK, "address": True, "acknowledged": False}) + "\n" + FINAL, 0),
    ],
)
def test_a_drill_without_what_an_observer_saw_is_not_called_good(course, answer):
    """Without a look no rule about hosts can be broken."""
    ask = course.ask
    course.ask = lambda host, function, *given: (
        answer if (host, function) == ("db1", "pgha_drill.observed") else ask(host, function, *given)
    )
    found = course.run(["db1", "db2"], ["switchover"], {"host": "h"}, 1, 250)
    assert found["early"].startswith("what db1 observed is missing: ")
    assert not pghalib.drill.outcome.good(found)
    assert found["early"] in course.said
    # All that was seen is judged and kept all the same.
    assert [one["fault"] for one in found["results"]] == ["switchover"]
    assert {look["host"] for look in found["history"]["looks"]} == {"db2"}
    about_hosts = [one for one in found["verdicts"] if one["held"] is None]
    assert [one["examples"] for one in about_hosts] == [["something that the observers of db1 saw is missing"]] * 2
    assert [name for _, name, _ in course.calls][-2:] == ["observed", "remove"]


@pytest.mark.parametrize("ran", [False, None, "yes"])
def test_an_observer_that_ended_by_itself_has_not_seen_all(course, ran):
    """A second leader on its host would be in none of its looks."""
    ask = course.ask
    course.ask = lambda host, function, *given: (
        {**ask(host, function, *given), "ran": ran}
        if (host, function) == ("db1", "pgha_drill.observed")
        else ask(host, function, *given)
    )
    found = course.run(["db1", "db2"], ["switchover"], {"host": "h"}, 1, 250)
    assert found["early"].startswith("what db1 observed is missing: it had ended by itself (journalctl -u ")
    assert [one["held"] for one in found["verdicts"]][-2:] == [None, None]
    # What it did see is judged and kept.
    assert {look["host"] for look in found["history"]["looks"]} == {"db1", "db2"}


def test_a_member_that_always_fills_the_piece_does_not_fill_the_master(slow):
    """Three faults take 120 seconds; an observer notes 6.5 kB in each of them at the most."""
    ask, asked = slow.ask, []

    def endless(host, function, *given):
        if (host, function) != ("db1", "pgha_drill.observed"):
            return ask(host, function, *given)
        asked.append(given[0])
        assert given[0] < 10**8, "there is no end"
        return {"text": " " * pghalib.drill.pieces.PIECE, "next": given[0] + pghalib.drill.pieces.PIECE}

    slow.ask = endless
    found = slow.run(["db1", "db2"], FAULTS, {"host": "h"}, 1, 250, 60)
    assert len(found["results"]) == 3
    most = 180 * pghalib.drill.observers.SEEN
    assert most - pghalib.drill.pieces.PIECE < asked[-1] <= most
    why = f"what db1 observed is missing: the history of db1 is larger than {most} bytes"
    assert found["early"].startswith(f"restart-replica: {why}")
    assert {look["host"] for look in found["history"]["looks"]} == {"db2"}


def test_an_observer_that_notes_as_much_as_it_can_is_far_from_the_limit():
    names = [f"member-{number}-of-a-long-name" for number in range(3)]
    look = {**LOOK, "address": False, "start": 2**62, "end": 2**62, "acknowledged": False, "synchronous": names}
    honest = 2 / 0.1 * len(json.dumps(look) + "\n")
    assert 9 * honest < pghalib.drill.observers.SEEN < 20 * honest


def test_a_piece_that_is_missing_ends_the_drill_before_the_next_fault(slow):
    slow.refuses.add("observed")
    found = slow.run(["db1"], FAULTS, {"host": "h"}, 1, 250, 60)
    assert len(found["results"]) == 3
    assert found["early"] == "restart-replica: what db1 observed is missing: db1 refuses"
    assert [name for _, name, _ in slow.calls][-2:] == ["observed", "remove"]


def test_the_second_of_two_faults_comes_while_the_first_one_lasts_and_both_are_waited_for(course):
    course.answers += [False]
    standing, asked = course.standing, []
    course.standing = lambda: course.calls.append(("all", "status", ())) or standing()
    found = course.run(["db1"], ["hang-vip-manager+restart-replica"], {"host": "h"}, 1, 250)
    asked = [(host, name) for host, name, _ in course.calls]
    begin = asked.index(("db1", "fault"))
    # A status takes longer than many a fault lasts.
    assert asked[begin : begin + 4] == [("db1", "fault"), ("db1", "undone"), ("db2", "fault"), ("db1", "undone")]
    (one,) = found["results"]
    assert (one["fault"], one["host"]) == ("hang-vip-manager+restart-replica", "db1, db2")
    assert [mark["what"] for mark in found["history"]["marks"]] == ["hang-vip-manager on db1", "restart-replica on db2"]


@pytest.mark.parametrize("answer", [True, "VALUE_TRIMMED", None])
def test_a_fault_that_could_not_come_while_the_other_one_lasted_is_not_made(course, answer):
    """It would be counted as what the two cost together, and with the sum of both bounds."""
    course.answers += [answer]
    found = course.run(["db1"], ["hang-vip-manager+restart-replica"], {"host": "h"}, 1, 250)
    assert [given for _, name, given in course.calls if name == "fault"] == [("hang-vip-manager",)]
    assert [one["fault"] for one in found["results"]] == ["hang-vip-manager"]
    assert "restart-replica was not made: hang-vip-manager was over before it" in course.said
    assert found["early"] is None


def test_a_second_fault_that_cannot_be_made_does_not_end_the_drill(course):
    ask = course.ask

    def asked(host, function, *given):
        if given == ("kill-agent",):
            raise CommandExecutionError("consul does not run here")
        return ask(host, function, *given)

    course.ask = asked
    course.answers += [False]
    course.bound = lambda step: 5.0 * len(pghalib.drill.faults.parts(step))
    found = course.run(["db1"], ["hang-vip-manager + kill-agent", "restart-replica"], {"host": "h"}, 1, 250)
    assert [(one["fault"], one["bound"]) for one in found["results"]] == [
        ("hang-vip-manager", 5.0),
        ("restart-replica", 5.0),
    ]
    assert [one["host"] for one in found["results"]] == ["db1", "db2"]
    assert "kill-agent was not made: consul does not run here" in course.said
    assert found["early"] is None
