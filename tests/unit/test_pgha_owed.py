"""Notes of what is owed to a running service."""

import os

import pghalib.services
import pghalib.services.owed
import pytest
from salt.exceptions import CommandExecutionError

NOTE = "patroni.reload-owed"


@pytest.fixture
def directory(tmp_path, monkeypatch):
    place = tmp_path / "run"
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(place))
    return place


def test_a_debt_lasts_until_it_is_paid_and_is_noted_once(directory):
    assert not pghalib.services.owed.owed(NOTE)
    pghalib.services.owed.owe(NOTE)
    pghalib.services.owed.owe(NOTE)
    assert pghalib.services.owed.owed(NOTE)
    assert os.listdir(directory) == [NOTE]
    pghalib.services.owed.paid(NOTE)
    pghalib.services.owed.paid(NOTE)
    assert not pghalib.services.owed.owed(NOTE)
    assert os.listdir(directory) == []


def test_debts_are_told_apart(directory):
    pghalib.services.owed.owe(NOTE)
    assert not pghalib.services.owed.owed("consul.reload-owed")


def test_one_that_is_not_owed_is_paid_without_a_directory(directory):
    pghalib.services.owed.paid(NOTE)
    assert not directory.exists()


def test_a_note_is_no_path(directory):
    for name in ("../passwd", "a/b", "", ".hidden"):
        with pytest.raises(CommandExecutionError, match="no name of a note"):
            pghalib.services.owed.owe(name)


def test_a_directory_that_others_may_change_is_made_ours_first(directory):
    directory.mkdir()
    directory.chmod(0o777)
    pghalib.services.owed.owe(NOTE)
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_note_that_cannot_be_written_is_an_error(directory):
    directory.write_text("no directory")
    with pytest.raises(CommandExecutionError):
        pghalib.services.owed.owe(NOTE)


def test_a_debt_is_noted_before_a_good_draft_replaces_the_file_and_not_for_a_bad_one(directory):
    faults = ["line 3 is wrong", None]
    check = pghalib.services.owed.owing(NOTE, lambda path: faults.pop(0))
    assert check("/a/draft") == "line 3 is wrong"
    assert not pghalib.services.owed.owed(NOTE)
    assert check("/a/draft") is None
    assert pghalib.services.owed.owed(NOTE)
