"""The programs of a drill that run on hosts, without a server: with one, functional tests run them."""

import importlib.util
import sys
import types
from pathlib import Path

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
