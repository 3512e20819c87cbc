"""The programs of a drill that run on hosts, without a server: with one, functional tests run them."""

import importlib.util
import sys
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
