"""
The test of UDP between two hosts: a datagram that the other one sends back.
"""

from __future__ import annotations

import asyncio  # Its TimeoutError is the built-in one only from Python 3.11 on; older Pythons run this too.
import contextlib
import time
from typing import TYPE_CHECKING

import pghalib.preflight.greeting

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.shapes import Json

DATAGRAM = pghalib.preflight.greeting.MAGIC.encode()
# Seconds to wait before the datagram is sent again.
AGAIN = 0.2


async def opened(address: str, port: int, seen: Callable[[str], None]) -> asyncio.DatagramTransport:
    """
    Open a UDP port of this host on which every test datagram is sent back, and return its transport.

    seen
        A function that gets the address of each host whose datagram came.
    """
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Echo(seen), (address, port))
    return transport


async def answered(address: str, peer: str, port: int, deadline: float) -> bool:
    """
    Return whether a datagram to a peer's port comes back; it is sent again until it does.

    address
        The address of this host.
    deadline
        Until when, by ``time.monotonic``.

    Raises OSError when nothing can be sent from that address, and the last error when a firewall has rejected it.
    """
    answer = asyncio.Event()
    loop = asyncio.get_running_loop()
    question = _Question(answer)
    transport, _ = await loop.create_datagram_endpoint(lambda: question, (address, 0), (peer, port))
    try:
        while time.monotonic() < deadline:
            transport.sendto(DATAGRAM)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(answer.wait(), AGAIN)
                return True
        if question.error:
            raise question.error
        return False
    finally:
        transport.close()


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, seen: Callable[[str], None]) -> None:
        self.seen = seen

    # asyncio's own types narrow the argument in the same way.
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Json, ...]) -> None:
        if data == DATAGRAM:
            self.transport.sendto(data, addr)
            self.seen(addr[0])


class _Question(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Event) -> None:
        self.answer = answer
        self.error: OSError | None = None

    # asyncio hands over errors of the system alone.
    def error_received(self, exc: OSError) -> None:  # type: ignore[override]
        self.error = exc

    def datagram_received(self, data: bytes, _addr: tuple[Json, ...]) -> None:
        if data == DATAGRAM:
            self.answer.set()
