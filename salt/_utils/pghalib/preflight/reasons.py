"""
The word for why a port was not reached, and what each word hints at. Pure functions.
"""

from __future__ import annotations

import asyncio  # Its TimeoutError is the built-in one only from Python 3.11 on; older Pythons run this too.
import errno
import socket

TIMED_OUT = "timed out"
NONSENSE = "answered nonsense"
INCOMPLETE = "small packets arrive, large ones do not"
HINTS = {
    TIMED_OUT: "a firewall here, there or in between, or the host is off",
    NONSENSE: "another program has that port there",
    INCOMPLETE: "compare the MTU of both hosts' interfaces with that of the network between them",
    "refused": "its preflight did not run at the same time, or a firewall rejects it",
    "unreachable": "the host is off, or a firewall rejects what is sent to it",
    "no route": "no route of this host leads there, or a firewall rejects what is sent to it",
    "prohibited": "a firewall rejects what is sent to it, or a rule of this host forbids it",
    "not permitted": "a firewall of this host forbids it",
}
# The kernel has these from the ICMP message of a firewall as well as from its own tables.
_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "no route",
    errno.EACCES: "prohibited",
    errno.EPERM: "not permitted",
}


def word(error: OSError | asyncio.TimeoutError) -> str:
    """Return the word for the error of an attempt to connect or to send."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return TIMED_OUT
    number = error.errno
    if isinstance(error, socket.gaierror) or number is None:
        return str(error)
    return _WORDS.get(number, errno.errorcode.get(number, str(error)))
