"""What the benches make of what they saw; what they see is seen on the lab."""

import contextlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def bench(name):
    """A program of the benches as a module."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """A bench is a program: it adds to the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)


def made(fault, outage, bound=9):
    return {"fault": fault, "outage": outage, "bound": bound}


def test_the_table_of_faults_has_no_time_of_a_fault_that_was_made_alone():
    results = [made("hang-vip-manager+switchover", 1.234), made("hang-vip-manager", 0.1)]
    report = {"results": results, "verdicts": [], "early": None}
    assert bench("faults").told(report, "hang-vip-manager+switchover") == (
        [1.23],
        ["hang-vip-manager+switchover: only hang-vip-manager was made"],
    )


def test_the_table_of_faults_notes_what_was_longer_than_promised():
    results = [made("freeze", 26.4, 27), made("freeze", 27.26, 27)]
    seconds, broken = bench("faults").told({"results": results, "verdicts": [], "early": None}, "freeze")
    assert seconds == [26.4, 27.26]
    assert broken == ["freeze: 27.26 s, longer than the 27 s that are promised"]


class Ledger:
    """In place of a client: it notes for how long it goes on."""

    def __init__(self, _cluster, seconds):
        self.calls = [seconds]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.calls.append("ended")

    def wait_for_writes(self):
        self.calls.append("writes")

    def check(self):
        self.calls.append("checked")

    counts, outage = (lambda _self: (1, 0)), (lambda _self: 0.5)


def test_a_soak_has_a_client_until_its_end_and_asks_for_its_own_time_alone(monkeypatch):
    program, ledgers, asked = bench("soak"), [], []
    monkeypatch.setattr(program, "Ledger", lambda *given: ledgers.append(Ledger(*given)) or ledgers[0])
    for name in ("lossy", "busy"):
        monkeypatch.setattr(program, name, lambda *_: contextlib.nullcontext())
    now = [1000.0]
    clock = {"monotonic": lambda: now[0], "time": lambda: 5000 + now[0]}
    clock["sleep"] = lambda seconds: now.__setitem__(0, now[0] + seconds)
    monkeypatch.setattr(program, "time", types.SimpleNamespace(**clock))
    host = types.SimpleNamespace(run=lambda words, **_: asked.append(words) or types.SimpleNamespace(stdout=""))
    cluster = types.SimpleNamespace(timeline=lambda: 1, db=[host], lab=None, wait_healthy=lambda: None)
    told, good = program.soak(cluster, 90, 5)
    assert good, told
    (ledger,) = ledgers
    assert ledger.calls == [90 * 60 + program.SPARE, "writes", "ended", "checked"]
    (words,) = asked
    assert "--since=@6000" in words
