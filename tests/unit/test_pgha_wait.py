"""Waiting: the last reason is told, and a log at the level of debug has each of them once."""

import logging

import pghalib.wait
import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def steps():
    """A function that makes a condition of what it is to return or raise, in order; the last one is repeated."""

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


@pytest.mark.parametrize(("interval", "moments"), [({}, [0, 0.2, 0.4, 0.6]), ({"interval": 0.5}, [0, 0.5, 1])])
def test_a_condition_is_asked_at_once_then_after_each_pause_and_a_last_time_when_the_time_is_over(
    clock, interval, moments
):
    asked = []
    with pytest.raises(CommandExecutionError, match=r"^Not within 0\.55 s: x$"):
        pghalib.wait.until(lambda: asked.append(clock.now), 0.55, "x", **interval)
    assert asked == pytest.approx(moments)
