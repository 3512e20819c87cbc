"""Waiting for a condition, never for a time."""

import logging
import socket
import time

from salt.exceptions import CommandExecutionError

log = logging.getLogger(__name__)


def until(condition, timeout, what, interval=0.2):
    """
    Ask again and again until a condition holds.

    condition
        A function. It returns something true when the condition holds (that is returned here), else something false; a
        CommandExecutionError that it raises counts as not yet.
    timeout
        Seconds. The condition is asked at least once.
    what
        What is waited for, for the message.
    interval
        Seconds between two questions.

    Raises CommandExecutionError with the last thing that went wrong when the time is over.
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
        # Each reason once, however often the question is put.
        if asked == 1 or str(last) != told:
            told = str(last)
            log.debug("%s: not yet after %.1f s (%s)", what, passed, last or "the answer is no")
        if passed >= timeout:
            raise CommandExecutionError(f"Not within {timeout} s: {what}" + (f". Last answer: {last}" if last else ""))
        time.sleep(interval)


def listening(address, port, timeout=2):
    """
    Return whether somebody takes connections at an address, such as that of a service on another host. Nothing is sent.

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
