"""What a process runs, over real processes."""

import contextlib
import shutil
import subprocess

import pghalib.services.programs
import pytest


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "sleeper"
    shutil.copy("/bin/sleep", path)
    return path


@contextlib.contextmanager
def process(program):
    with subprocess.Popen([program, "60"]) as started:
        try:
            yield started.pid
        finally:
            started.kill()


def test_a_process_is_outdated_when_its_program_was_replaced(program, tmp_path):
    with process(program) as pid:
        assert pghalib.services.programs.outdated(pid, str(program)) is None
        assert pghalib.services.programs.runs(pid, str(program))
        new = tmp_path / "new"
        shutil.copy("/bin/sleep", new)
        new.rename(program)
        assert (
            pghalib.services.programs.outdated(pid, str(program)) == f"{program} has been replaced since it was started"
        )
        assert pghalib.services.programs.runs(pid, str(program)), "it is still this program's process"


def test_a_process_of_another_version_s_directory_is_outdated(program, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(program)
    with process(link) as pid:
        assert pghalib.services.programs.outdated(pid, str(link)) is None
        link.unlink()
        other = tmp_path / "other"
        shutil.copy("/bin/sleep", other)
        link.symlink_to(other)
        assert pghalib.services.programs.outdated(pid, str(link)) == f"{program} runs, {other} is installed"
        assert not pghalib.services.programs.runs(pid, str(link))


def test_a_process_that_is_gone_is_not_outdated_and_runs_nothing(program):
    with process(program) as pid:
        pass
    assert pghalib.services.programs.outdated(pid, str(program)) is None
    assert not pghalib.services.programs.runs(pid, str(program))
