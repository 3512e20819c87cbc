"""What the benches make of what they saw; what they see is seen on the lab."""

import importlib.util
import sys
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
