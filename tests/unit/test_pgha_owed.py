"""Notes of what is owed to a running service."""

import os

import pgha_owed
import pytest
from salt.exceptions import CommandExecutionError

NOTE = "patroni.reload-owed"


@pytest.fixture
def directory(tmp_path, monkeypatch):
    place = tmp_path / "run"
    monkeypatch.setattr(pgha_owed, "DIRECTORY", str(place))
    return place


def test_a_debt_lasts_until_it_is_paid_and_is_noted_once(directory):
    assert not pgha_owed.owed(NOTE)
    pgha_owed.owe(NOTE)
    pgha_owed.owe(NOTE)
    assert pgha_owed.owed(NOTE) and os.listdir(directory) == [NOTE]
    pgha_owed.paid(NOTE)
    pgha_owed.paid(NOTE)
    assert not pgha_owed.owed(NOTE) and os.listdir(directory) == []


def test_debts_are_told_apart(directory):
    pgha_owed.owe(NOTE)
    assert not pgha_owed.owed("consul.reload-owed")


def test_one_that_is_not_owed_is_paid_without_a_directory(directory):
    pgha_owed.paid(NOTE)
    assert not directory.exists()


def test_a_note_is_no_path(directory):
    for name in ("../passwd", "a/b", "", ".hidden"):
        with pytest.raises(CommandExecutionError, match="no name of a note"):
            pgha_owed.owe(name)


def test_a_directory_that_others_may_change_is_made_ours_first(directory):
    directory.mkdir()
    directory.chmod(0o777)
    pgha_owed.owe(NOTE)
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_note_that_cannot_be_written_is_an_error(directory):
    directory.write_text("no directory")
    with pytest.raises(CommandExecutionError):
        pgha_owed.owe(NOTE)
