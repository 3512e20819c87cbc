"""A drill of many rounds: its arguments before anything is touched, and its tables in the end."""

import inspect
import json
import re
import time

import pghalib.drill
import pghalib.drill.begin
import pghalib.drill.clients
import pghalib.drill.command
import pghalib.drill.outcome
import pghalib.drill.report
import pghalib.master.alone
import pytest
from drill_sample import outcome, result, verdict
from salt.exceptions import CommandExecutionError

NONE = [
    "abc",
    "",
    0,
    "0",
    -1,
    "-1",
    4.0,
    "4.5",
    "1e1",
    True,
    False,
    [4],
    {"a": 1},
    "٤",
    " 4",
    "4\n",
    10**30,
    "9" * 5000,
]


@pytest.mark.parametrize(
    ("workers", "minutes", "expected"),
    [
        (4, None, (4, None, None)),
        ("4", "60", (4, 60, None)),
        (1, 1, (1, 1, None)),
        (48, 480, (48, 480, None)),
    ],
)
def test_whole_numbers_are_taken(workers, minutes, expected):
    found = pghalib.drill.begin.numbers(workers, minutes)
    assert found == expected
    assert {type(one) for one in found} <= {int, type(None)}


@pytest.mark.parametrize("value", NONE)
def test_what_is_no_positive_whole_number_is_named_with_its_argument(value):
    with pytest.raises(CommandExecutionError) as error:
        pghalib.drill.begin.numbers(value, None)
    assert str(error.value).startswith("No drill was made: workers=")
    assert str(error.value).endswith(" is no whole number from 1 to 48")
    with pytest.raises(CommandExecutionError, match="^No drill was made: minutes=.* is no whole number from 1 to 480$"):
        pghalib.drill.begin.numbers(4, value)
    if not isinstance(value, bool) and value is not None:
        with pytest.raises(
            CommandExecutionError, match="^No drill was made: hunt=.* is no whole number from 1 to 10000"
        ):
            pghalib.drill.begin.numbers(4, None, value)
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()


def test_both_arguments_are_named_at_once():
    with pytest.raises(CommandExecutionError, match="workers=None is .*; minutes=481 is "):
        pghalib.drill.begin.numbers(None, 481)


def test_clients_with_two_connections_each_are_within_the_limit_of_the_login(loader_module, monkeypatch):
    module, ran = loader_module("_modules/pgha_drill.py"), []
    monkeypatch.setattr(module, "_sql", ran.append)
    module.prepare("SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy", 30)
    (limit,) = re.findall(r"CONNECTION LIMIT (\d+) ", ran[0])
    assert int(limit) == pghalib.drill.CONNECTIONS
    assert int(limit) >= 2 * (pghalib.drill.begin.WORKERS + 1)


@pytest.mark.parametrize("given", [{"workers": "abc"}, {"workers": 0}, {"workers": 50}, {"minutes": "long"}])
def test_a_wrong_number_is_told_as_a_sentence_before_anything_is_touched(loader_module, monkeypatch, capsys, given):
    monkeypatch.setattr(pghalib.master.alone, "lock", lambda *_: pytest.fail("the lock was taken"))
    runner = loader_module("_runners/pgha.py", salt={"salt.cmd": lambda *_: {}}, opts={})
    monkeypatch.setattr(runner, "_checked", lambda: {"clusters": {"test": {}}})
    assert runner.drill("test", **given) == {"data": {"retcode": 1}, "outputter": "txt"}
    ((name, value),) = given.items()
    assert capsys.readouterr().err.startswith(f"No drill was made: {name}={value} is no whole number from 1 to ")


@pytest.mark.parametrize("name", ["harmful", "list"])
@pytest.mark.parametrize("value", ["nein", "n", "flase", "nicht", "False", "", 0, 1, None, [False], "\x1b[2J"])
def test_what_is_neither_true_nor_false_is_told_as_a_sentence_and_counts_as_nothing(
    loader_module, monkeypatch, capsys, name, value
):
    for where in ("command.run", "faults.table"):
        monkeypatch.setattr(f"pghalib.drill.{where}", lambda *_, **_how: pytest.fail("the word counted"))
    runner = loader_module("_runners/pgha.py", salt={"salt.cmd": lambda *_: {"patroni": {}}}, opts={})
    monkeypatch.setattr(runner, "_checked", lambda: {"clusters": {"test": {}}})
    assert runner.drill("test", **{name: value}) == {"data": {"retcode": 1}, "outputter": "txt"}
    said = capsys.readouterr().err
    assert said.startswith(f"No drill was made: {name}=")
    assert said.endswith(" is neither True nor False\n")
    assert said.strip().isprintable()


def test_every_argument_of_a_runner_that_is_true_or_false_refuses_other_words(loader_module, monkeypatch, capsys):
    monkeypatch.setattr(pghalib.master.alone, "lock", lambda *_: pytest.fail("the lock was taken"))
    runner = loader_module("_runners/pgha.py", salt={"salt.cmd": lambda *_: {}}, opts={})
    monkeypatch.setattr(runner, "_checked", lambda: {"clusters": {"test": {}}})
    asked = []
    for function in (one for name, one in vars(runner).items() if not name.startswith("_") and callable(one)):
        for name, given in inspect.signature(function).parameters.items():
            if isinstance(given.default, bool):
                asked.append(name)
                assert function("test", **{name: "nein"}) == {"data": {"retcode": 1}, "outputter": "txt"}
                assert "neither True nor False" in capsys.readouterr().err
    assert asked == ["harmful", "list", "hunt"]


def test_a_list_without_a_fault_is_a_reason_against_the_drill():
    settings = {"vip": {"manager": "vip-manager"}}
    assert pghalib.drill.begin.reasons([], settings, False, [], {}) == ["faults names no fault"]


def made(fault, outage):
    return {**result(outage), "fault": fault}


ROUNDS = [made("switchover", 3.0), made("kill-agent", 0.5), made("switchover", 1.0), made("kill-agent", 16.0)]
ROUNDS.append(made("switchover", 1.5))


def test_each_fault_is_told_with_its_times_and_outages():
    assert pghalib.drill.outcome.summary(ROUNDS) == [
        {"fault": "switchover", "times": 3, "least": 1.0, "median": 1.5, "greatest": 3.0},
        {"fault": "kill-agent", "times": 2, "least": 0.5, "median": 8.25, "greatest": 16.0},
    ]
    assert pghalib.drill.outcome.summary([]) == []


def test_the_text_has_a_row_for_each_made_fault_and_then_one_for_each_fault():
    text = pghalib.drill.outcome.text("test", outcome(ROUNDS, [verdict()]), "/x", repeated=True)
    assert text.splitlines()[2:13] == [
        "fault         outage   bound   connect",
        "switchover    3.00 s    15 s    4.00 s",
        "kill-agent    0.50 s    15 s    1.50 s",
        "switchover    1.00 s    15 s    2.00 s",
        "kill-agent   16.00 s    15 s   17.00 s  longer than promised",
        "switchover    1.50 s    15 s    2.50 s",
        "",
        "fault       times     least    median  greatest",
        "switchover      3    1.00 s    1.50 s    3.00 s",
        "kill-agent      2    0.50 s    8.25 s   16.00 s",
        "",
    ]
    assert "times" not in pghalib.drill.outcome.text("test", outcome(ROUNDS[:2], [verdict()]), "/x")


def test_the_page_has_both_tables_and_no_names_above_a_crowded_time_line():
    page = pghalib.drill.report.page("test", outcome(ROUNDS * 4, [verdict()]), {}, repeated=True)
    assert page.count("<td>switchover</td>") == 12 + 1
    assert '<td>kill-agent</td><td class="number">8</td><td class="number">0.50 s</td>' in page
    assert ">switchover</text>" not in page
    assert page.count("<title>switchover</title>") == 12
    few = pghalib.drill.report.page("test", outcome(ROUNDS, [verdict()]), {})
    assert few.count(">switchover</text>") == 3
    assert "Each fault" not in few


@pytest.fixture
def command(monkeypatch, tmp_path):
    """
    A function: runs the command over a cluster that is made up. ``given`` is what its course got, ``locks`` the locks,
    ``asked`` who was asked what, within how many seconds; ``answers`` are the answers, by the name of the function.
    """
    given, locks, asked, answers = [], [], [], {}

    class Course:
        def __init__(self, *_, client, rest):
            given.append(client)
            assert rest == 30

        def run(self, *words):
            given.append(words)
            return outcome(ROUNDS, [verdict()])

    def call(_opts, timeout, host, function, *_):
        asked.append((timeout, host, function))
        answer = answers.get(function, {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    plan = {"clusters": {"test": ["db1"]}, "names": {"db1": "db1"}}
    plan |= {"datacenters": {"dc": ["dcs1"]}, "datacenter_of": {"test": "dc"}}
    settings = {
        "tls": {"clients": "offered"},
        "vip": {"manager": "callback", "interval": 250},
        "cluster": {"vip": None, "hosts": [{"id": "db1", "name": "db1", "address": "198.51.100.21"}]},
        "datacenter": {"servers": [{"id": "dcs1", "name": "dcs1", "address": "198.51.100.11"}]},
        "postgres": {"port": 5432, "distribution": "postgresql", "version": "18", "parameters": {}},
        "consul": {"version": "1.22.3"},
        "patroni": {"rto": "normal", "synchronous_mode": "on", "ttl": 30},
    }
    for name, value in {
        "master.alone.lock": lambda _path, *drill: locks.append(drill),
        "inventory.plan": lambda *_, **_k: plan,
        "inventory.settings": lambda *_: settings,
        "drill.begin.standing": lambda *_: ("db1", [], []),
        "master.asking.call": call,
        "drill.course.Course": Course,
        "drill.command._authorities": lambda *_: None,
        "drill.clients.local_python": lambda: "/usr/bin/python3",
    }.items():
        monkeypatch.setattr(f"pghalib.{name}", value)

    def run(**more):
        rest = {"pgha": {}, "defaults": {}, "program": "", "state": dict, "cluster": "test", "harmful": True}
        opts = {"cachedir": str(tmp_path)}
        rest |= {"names": ["switchover"], "minutes": None}
        return pghalib.drill.command.run(opts=opts, **{**rest, **more})

    run.settings = settings
    run.given, run.locks, run.asked, run.answers, run.place = given, locks, asked, answers, tmp_path / "pgha/drills"
    return run


def test_the_command_gives_its_numbers_on_and_keeps_the_summary(command):
    running = {"server_version": 180004, "patroni": {"version": "4.1.5\x1b[2J"}}
    command.answers["pgha_patroni.member"] = running
    text, good = command(workers="7", minutes="30")
    assert command.locks == [("test",)]
    assert command.given[1:] == [(["db1"], ["switchover"], command.given[1][2], 7, None, 30, None)]
    assert type(command.given[0]) is pghalib.drill.clients.Local
    assert "switchover      3    1.00 s" in text
    assert "again:" not in text
    assert not good
    (report,) = command.place.glob("test-*/report.json")
    kept = json.loads(report.read_text())
    assert [one["times"] for one in kept["summary"]] == [3, 2]
    assert len(kept["results"]) == 5
    assert kept["about"]["faults"] == "round by round for 30 min"
    about = kept["about"]
    assert about["clients"] == "7 that write, one that reads, on the master"
    assert (about["PostgreSQL"], about["Patroni"], about["hosts"]) == ("postgresql 18 (180004)", "4.1.5?[2J", "db1")
    assert "processors" in about["master"]


@pytest.mark.parametrize(("interval", "overlap"), [(100, 250), (1000, 1000)])
def test_two_hosts_may_have_the_address_as_long_as_nobody_looks(command, interval, overlap):
    command.settings["cluster"]["vip"] = {"address": "198.51.100.40"}
    command.settings["vip"]["interval"] = interval
    command(workers=4)
    assert command.given[1][4] == overlap


@pytest.mark.parametrize("answer", [None, "x", ["x"], {"patroni": "x"}, {"patroni": {}}])
def test_a_leader_that_tells_no_versions_does_not_end_the_drill(command, answer):
    command.answers["pgha_patroni.member"] = answer
    command(workers=4)
    (report,) = command.place.glob("test-*/report.json")
    assert json.loads(report.read_text())["about"]["Patroni"] == "unknown"


@pytest.mark.parametrize("answer", [None, "x", ["x"]])
def test_without_a_dynamic_configuration_no_drill_is_made(command, answer):
    command.answers["pgha_patroni.dynamic_config"] = answer
    with pytest.raises(CommandExecutionError, match="db1 does not tell the dynamic configuration"):
        command(workers=4)
    assert command.given == []


def test_a_hunt_names_the_command_that_makes_the_same_faults_again(command, capsys):
    text, good = command(workers=4, minutes=30, hunt=7)
    again = "salt-run pgha.drill test hunt=7 minutes=30 faults=switchover harmful=True"
    assert f"the same ones again: {again}\n" in capsys.readouterr().out
    assert not good
    assert f"\nThe same faults again: {again}\n" in text
    (report,) = command.place.glob("test-*/report.json")
    assert again in json.loads(report.read_text())["about"]["faults"]


def test_the_command_says_where_the_clients_ran_and_needs_no_psycopg_on_the_master(command, monkeypatch):
    monkeypatch.setattr(pghalib.drill.clients, "PYTHONS", ())
    monkeypatch.setattr("pghalib.drill.command._authorities", lambda *_: "PEM")
    command.answers["pgha_drill_client.ready"] = {"now": time.time_ns(), "python": True}
    command(workers=4, client="app1")
    assert command.given[0].where == "app1"
    assert command.given[1][2]["sslrootcert"] == "/run/pgha/drill/ca.pem"
    (report,) = command.place.glob("test-*/report.json")
    assert json.loads(report.read_text())["about"]["clients"] == "4 that write, one that reads, on app1"
    # A minion that is not there is known soon.
    assert [timeout for timeout, host, _ in command.asked if host == "app1"] == [10]


@pytest.mark.parametrize(("client", "here"), [("dcs1", []), (None, ["198.51.100.11"]), ("app1", ["198.51.100.11"])])
def test_nobody_is_cut_off_by_a_fault_on_whom_the_drill_depends(command, monkeypatch, client, here):
    monkeypatch.setattr("salt.utils.network.ip_addrs", lambda: here)
    command.answers["pgha_drill_client.ready"] = {"now": time.time_ns(), "python": True}
    with pytest.raises(CommandExecutionError, match="isolate would cut off the (clients|master), too, since "):
        command(workers=4, names=["isolate"], client=client)
    assert command.given == []


def test_a_minion_where_no_client_can_run_is_told_before_anything_is_touched(command):
    command.answers["pgha_drill_client.ready"] = CommandExecutionError("app1: it is not available")
    command.answers["pgha_patroni.dynamic_config"] = {"pause": True}
    with pytest.raises(CommandExecutionError) as error:
        command(workers=4, client="app1")
    first, paused, minion = str(error.value).splitlines()
    assert first == "No drill was made:"
    assert "Patroni is paused" in paused
    assert "no client can run on app1: app1: it is not available" in minion
    assert "salt 'app1' saltutil.sync_all" in minion
    assert command.given == []
    assert not command.place.exists()
