"""Waiting for a condition, never for a fixed time."""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, TypeVar

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")
log = logging.getLogger(__name__)


def until(condition: Callable[[], Value | None], timeout: float, what: str, interval: float = 0.2) -> Value:
    """
    Ask again and again until a condition holds.

    condition
        A function. It returns a true value when the condition holds (this value is returned here), else a false value.
        A CommandExecutionError from it counts as "not yet".
    timeout
        Seconds. The condition is asked at least once.
    what
        The name of the condition, for the message.
    interval
        Seconds between two questions.

    Raises CommandExecutionError with the last error when the time is over.
    """
    began = time.monotonic()
    last, asked, told = None, 0, None
    while True:
        try:
            result = condition()
            last = None
        except CommandExecutionError as error:
            result, last = None, error
        asked += 1
        passed = time.monotonic() - began
        if result:
            log.debug("%s: so after %.1f s, asked %d times", what, passed, asked)
            return result
        # Each reason is logged once, however often the condition is asked.
        if asked == 1 or str(last) != told:
            told = str(last)
            log.debug("%s: not yet after %.1f s (%s)", what, passed, last or "the answer is no")
        if passed >= timeout:
            raise CommandExecutionError(f"Not within {timeout} s: {what}" + (f". Last answer: {last}" if last else ""))
        time.sleep(interval)


def now(condition: Callable[[], Value]) -> Value | None:
    """Ask a condition once and return its value; None when it raises a CommandExecutionError."""
    try:
        return condition()
    except CommandExecutionError:
        return None


def listening(address: str, port: int | str, timeout: float = 2) -> bool:
    """
    Return whether a process accepts connections at an address, for example of a service on another host. Nothing is
    sent.

    address, port
        IP address and number of the TCP port.
    timeout
        Seconds to wait for the connection.
    """
    try:
        with socket.create_connection((address, int(port)), timeout=timeout):
            return True
    except OSError:
        return False
