"""What the observer of a drill has seen, as its host returns it."""

import json
import subprocess
import sys
from pathlib import Path

import pghalib.drill.pieces
import pghalib.services
import pytest


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """
    The module of a member; ``ran`` is what it ran, ``place`` where the observer's files are, ``state`` what systemd
    says of the observer until something was run.
    """
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path / "pgha"))
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", 4)
    ran = []
    run_all = lambda words, **_: ran.append(words) or {"retcode": 0, "stdout": "", "stderr": ""}  # noqa: E731
    state = {"ActiveState": "active"}
    show = lambda unit: state if unit == "pgha-drill-observer.service" and not ran else {}  # noqa: E731
    module = loader_module("_modules/pgha_drill.py", salt={"cmd.run_all": run_all, "service.show": show})
    module.ran, module.place, module.state = ran, tmp_path / "pgha/drill", state
    module.place.mkdir(parents=True)
    return module


@pytest.mark.root
@pytest.mark.parametrize(
    ("text", "pieces"), [("", [""]), ("abc", ["abc"]), ("abcd", ["abcd", ""]), ("abcdef", ["abcd", "ef"])]
)
def test_it_comes_in_pieces_and_is_removed_with_the_last_one(host, text, pieces):
    for name in ("looks.jsonl", "observe.py"):
        (host.place / name).write_text(text)
    found, offset = [], 0
    for index in range(len(pieces)):
        assert (host.place / "looks.jsonl").exists(), f"removed before piece {index}"
        answer = host.observed(offset)
        found, offset = [*found, answer["text"]], answer["next"]
    assert (found, offset) == (pieces, len(text))
    assert list(host.place.iterdir()) == []
    assert ["systemctl", "stop", "pgha-drill-observer.service"] in host.ran


@pytest.mark.root
def test_an_observer_that_never_ran_has_seen_nothing(host):
    host.state.clear()
    assert host.observed(0) == {"text": "", "next": 0, "ran": False}


@pytest.mark.root
@pytest.mark.parametrize(("state", "ran"), [("active", True), ("failed", False), ("inactive", False)])
def test_an_observer_that_ended_by_itself_is_told_from_one_that_was_stopped(host, state, ran):
    host.state["ActiveState"] = state
    assert host.observed(0)["ran"] is ran


PROGRAM = Path(__file__).resolve().parents[2] / "salt/pgha/drill/files/observe.py"
# No server is there, and the second look at the addresses fails.
BROKEN = """
import types, sys
psutil, psycopg = types.ModuleType("psutil"), types.ModuleType("psycopg")
looks = iter([{}])
psutil.net_if_addrs = lambda: next(looks)
psycopg.Error = ValueError
import time
psycopg.connect = lambda **_: time.sleep(600)
sys.modules.update(psutil=psutil, psycopg=psycopg)
import runpy
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def test_an_observer_that_no_longer_sees_the_address_ends():
    """While a server hangs, nothing else looks at the address."""
    given = json.dumps({"host": "db1", "address": "198.51.100.40", "interval": 0.01, "connection": {}})
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, PROGRAM, given], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert "StopIteration" in done.stderr
