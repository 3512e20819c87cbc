"""Waiting: the last reason is told, and a log at the level of debug has each of them once."""

import logging

import pghalib.wait
import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def steps(monkeypatch):
    """A function that makes a condition of what it is to return or raise, in order; the last one is repeated."""
    monkeypatch.setattr(pghalib.wait.time, "sleep", lambda _seconds: None)

    def make(*answers):
        left = list(answers)

        def condition():
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return condition

    return make


def test_each_reason_is_logged_once(steps, caplog):
    caplog.set_level(logging.DEBUG, logger="pghalib.wait")
    refused = CommandExecutionError("it does not answer")
    assert pghalib.wait.until(steps(refused, refused, refused, False, False, 7), 60, "there is a leader") == 7
    said = [record.getMessage() for record in caplog.records]
    assert [line.startswith("there is a leader: not yet after ") for line in said] == [True, True, False]
    assert said[0].endswith("(it does not answer)")
    assert said[1].endswith("(the answer is no)")
    assert said[2].endswith("asked 6 times")


def test_when_the_time_is_over_the_last_reason_is_told(steps):
    with pytest.raises(CommandExecutionError, match=r"^Not within 0 s: x\. Last answer: why$"):
        pghalib.wait.until(steps(CommandExecutionError("why")), 0, "x")
    with pytest.raises(CommandExecutionError, match=r"^Not within 0 s: x$"):
        pghalib.wait.until(steps(False), 0, "x")
