"""
The test of large packets between two hosts: what a temporary listener sends after its line, and whether all of it
comes. Where a packet of the interface's size is too large for the network between, and nobody tells the sender, only
the line comes, and nothing after it.
"""

from __future__ import annotations

import asyncio  # Its TimeoutError is the built-in one only from Python 3.11 on; older Pythons run this too.
import contextlib

import pghalib.preflight.reasons

# Bytes after a line's last brace, in all: more than fits into one packet of an interface for jumbo frames (9000), and
# so few that a sender does not wait for an answer in between: the ten packets with which TCP begins are enough, also
# those of 1280 bytes.
FOLLOWS = 10000
# The most bytes after a line that a peer may announce.
MOST = 65536
# Seconds: until all has come, also what was lost and is sent again; until the peer has closed the connection then.
COMES, CLOSES = 2.0, 3.0


def send(writer: asyncio.StreamWriter, line: bytes) -> None:
    """Send a line that ends with a newline in a packet of its own, and after it the rest of ``FOLLOWS`` bytes."""
    # Each write is sent at once, in packets of its own: asyncio sets TCP_NODELAY.
    writer.write(line)
    writer.write(b" " * (FOLLOWS - 1))


async def heard_out(reader: asyncio.StreamReader) -> None:
    """
    Wait until the peer has closed the connection, for a bounded time. A connection that is closed while words of the
    peer are unread is torn down, and what is on the way to the peer with it.
    """

    async def all_read() -> None:
        while await reader.read(MOST):
            pass

    with contextlib.suppress(OSError, asyncio.TimeoutError):
        await asyncio.wait_for(all_read(), CLOSES)


async def fault(reader: asyncio.StreamReader, answer: bytes, follows: int) -> str | None:
    """
    Return why a peer's answer is not complete, as one of the words of ``reasons``; None when it is.

    answer
        What has come of it: its line at least.
    follows
        How many bytes come after the last brace of the line, by the line's own word.
    """
    try:
        left = follows - (len(answer) - len(answer.rstrip()))
        await asyncio.wait_for(reader.readexactly(max(0, left)), COMES)
    except asyncio.TimeoutError:
        return pghalib.preflight.reasons.INCOMPLETE
    except asyncio.IncompleteReadError:
        return pghalib.preflight.reasons.NONSENSE
    except OSError:
        # A connection that breaks says nothing about the size.
        return None
    return None
