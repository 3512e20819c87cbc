"""The programs of a drill that run on hosts, without a server: with one, functional tests run them."""

import importlib.util
import json
import sys
import threading
import time
import types
from pathlib import Path

import pghalib.drill.clock
import pytest

FILES = Path(__file__).resolve().parents[2] / "salt/pgha/drill/files"


@pytest.fixture
def program(monkeypatch):
    """A function: a program as a module, by its name. The observer's psutil is Patroni's."""
    if importlib.util.find_spec("psutil") is None:
        monkeypatch.setitem(sys.modules, "psutil", types.ModuleType("psutil"))

    def load(name):
        spec = importlib.util.spec_from_file_location(f"drill_{name}", FILES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("name", ["client", "observe"])
def test_a_server_sends_warnings_whatever_its_setting_is(program, name):
    """A commit that waited for a replica in vain comes with one, and is open."""
    assert "-c client_min_messages=warning" in program(name).IMPATIENT["options"]


@pytest.mark.parametrize("make", [lambda program: program("client").now, lambda _: pghalib.drill.clock.Clock().now])
def test_a_clock_that_is_set_while_a_drill_runs_moves_no_moment(program, monkeypatch, make):
    """A read would come before the writes that it followed, and an outage would vanish."""
    before = time.time_ns()
    now = make(program)
    assert before <= now() < before + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: 7)
    moments = [now() for _ in range(3)]
    assert before <= moments[0] <= moments[1] <= moments[2] < before + 60 * 10**9


def test_the_client_has_each_moment_from_that_clock(program):
    text = (FILES / "client.py").read_text()
    assert text.count("time.time_ns()") == 1
    assert text.count("now()") > 5


def test_a_write_that_waits_for_ever_does_not_cost_the_last_lists(program, monkeypatch, capsys):
    """Without a replica that it has to wait for, a COMMIT never ends; reads do."""
    module, over, released = program("client"), threading.Event(), threading.Event()
    monkeypatch.setattr(module, "ENDING", 0.1)
    client = module.Client({"table": "a.b", "workers": 1, "pause": 0.01, "seconds": 60}, over)

    class Connection:
        def add_notice_handler(self, _handler):
            pass

        def execute(self, *_):
            over.set()
            released.wait(60)

    client._connect, client._reads, client._visits = Connection, lambda: None, lambda: None
    client._final = lambda: client.note(kind="final", key=1, values=[])
    client.run()
    released.set()
    while threading.active_count() > 1 and not client.settled[1]:
        time.sleep(0.01)
    waited, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (waited["kind"], waited["value"], waited["outcome"]) == ("write", 1, "info")
    # When the answer comes all the same, it is too late for it.
    assert (last["kind"], client.settled) == ("final", {1: 1})
