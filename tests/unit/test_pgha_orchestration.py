"""What stands before an orchestration: it runs alone, and nothing speaks against it."""

import concurrent.futures
import fcntl
import os
import subprocess
import sys

import pghalib.master.alone
import pghalib.secrets.store
import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def states(loader_module, tmp_path):
    utils = {"pghalib.secrets.store.directory": lambda _opts: tmp_path, "pghalib.secrets.store.prepare": lambda _: None}
    return {
        test: loader_module("_states/pgha_orchestration.py", utils=utils, opts={"test": test}) for test in (True, False)
    }


@pytest.mark.parametrize("test", [True, False])
def test_a_second_orchestration_is_refused(states, test):
    assert states[test].alone("n", work="the restore of test") == {
        "name": "n",
        "result": True,
        "changes": {},
        "comment": "No other orchestration runs.",
    }
    for second in states.values():
        ret = second.alone("n")
        assert (ret["result"], ret["changes"]) == (False, {})
        told = ret["comment"]
        assert told.startswith(
            f"Another orchestration, the restore of test, is running on this master (process {os.getpid()}, since 20"
        )
        assert told.endswith("): wait for its end (salt-run pgha.watch shows how far it is). Nothing was touched")


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """A function: what is told when the lock is held, by the content of its file (None: as the holder left it)."""
    monkeypatch.setattr(pghalib.secrets.store, "prepare", lambda _: None)

    def ask(content=None, name=".orchestration.lock"):
        holder = None
        if content is not None:
            (tmp_path / name).write_bytes(content)
            holder = (tmp_path / name).open()
            fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(CommandExecutionError) as error:
            pghalib.master.alone.lock(tmp_path)
        if holder:
            holder.close()
        return str(error.value)

    return ask


def test_an_orchestration_of_an_older_version_says_nothing_of_its_work(refused):
    said = refused(f"{os.getpid()}\norchestration\n2026-11-30 12:00:00 UTC\n".encode())
    assert said.startswith(f"Another orchestration is running on this master (process {os.getpid()}, since 2026-11-30")


def test_a_drill_that_runs_is_named_with_its_cluster_its_begin_and_what_to_do(refused, tmp_path):
    pghalib.master.alone.lock(tmp_path, "test")
    told = refused()
    assert told.startswith(f"A drill of test is running on this master (process {os.getpid()}, since 20")
    assert told.endswith("): wait for its end, or end it by Ctrl-C in its terminal. Nothing was touched")
    # So is a second drill.
    with pytest.raises(CommandExecutionError, match="^A drill of test is running"):
        pghalib.master.alone.lock(tmp_path, "other")


def test_in_a_thread_of_the_master_itself_nothing_begins(states, tmp_path):
    """So runs what a reaction starts: salt-master lives on, and nothing would end the lock."""
    with concurrent.futures.ThreadPoolExecutor() as threads:
        ret = threads.submit(states[False].alone, "n").result()
    assert ret["result"] is False
    assert "the lock would last as long as salt-master: let the reaction run" in ret["comment"]
    assert ret["comment"].endswith(". Nothing was touched")
    assert states[False].alone("n")["result"] is True


def test_a_shorter_holder_leaves_nothing_of_a_longer_one(tmp_path, monkeypatch):
    monkeypatch.setattr(pghalib.secrets.store, "prepare", lambda _: None)
    (tmp_path / ".orchestration.lock").write_text("1\n" + "drill of x" * 40)
    pghalib.master.alone.lock(tmp_path)
    process, what, since, end = (tmp_path / ".orchestration.lock").read_text().split("\n")
    assert (process, what, end) == (str(os.getpid()), "orchestration", "")
    assert since.startswith("20")


ENDED = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True).stdout
OWN = str(os.getpid()).encode()


CONTENTS = [b"", b"\n\n\n", b"x\ndrill of test\n", b"-1", b"0", b"99999999999", ENDED, b"\xff\x00"]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_of_a_holder_that_is_not_known_nothing_is_claimed(refused, content):
    """An older version left the file empty; it may also tell of an earlier holder, which has ended."""
    assert refused(content + (b"drill of test\n2026-11-29\n" if content == ENDED else b"")) == (
        "Another orchestration, or a drill, is running on this master (process unknown): wait for its end."
        " Nothing was touched"
    )


@pytest.mark.parametrize(("rest", "begin"), [(b"", ""), (b"\n", ""), (b"\nnonsense\nsome day", ", since some day")])
def test_of_an_older_version_the_process_is_known_alone(refused, rest, begin):
    assert refused(OWN + rest) == (
        f"Another orchestration, or a drill, is running on this master (process {os.getpid()}{begin}): wait for its"
        " end. Nothing was touched"
    )


def test_the_content_of_the_lock_is_data(refused):
    told = refused(OWN + b"\ndrill of \x1b[31mred\x07\xff" + b"a" * 5000 + b"\n" + b"b" * 5000)
    assert told.startswith("A drill of ?[31mred?")
    assert told.isprintable()
    assert len(told) < 500


@pytest.mark.parametrize("test", [True, False])
def test_faults_are_lines(states, test):
    ret = states[test].possible("n", ["one", "two"])
    assert (ret["result"], ret["comment"]) == (False, "Nothing was touched, because of:\n  - one\n  - two")
    ret = states[test].possible("n")
    assert (ret["result"], ret["comment"]) == (True, "Nothing speaks against the run.")
