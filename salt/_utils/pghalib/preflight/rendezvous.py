"""
Checks whether the hosts of a cluster can reach each other before their services run. All hosts run ``meet`` at the same
time: each opens the ports of its services that are still free, connects to the ports of the others, and stops when
every expected host has connected.

A temporary listener sends each client one line of JSON: its id, its time, and what else to expect. After it come large
packets, without which the port counts as not reached. A real service sends nothing until it gets a request, and counts
as reached. Any other answer is nonsense: another program has the port, and the port counts as not reached.
"""

from __future__ import annotations

import asyncio  # Its TimeoutError is the built-in one only from Python 3.11 on; older Pythons run this too.
import contextlib
import logging
import ssl
import threading
import time
from typing import TYPE_CHECKING, TypedDict

import pghalib.preflight.echo
import pghalib.preflight.greeting
import pghalib.preflight.packets
import pghalib.preflight.reasons

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    # Python 3.10 has it in no module of its own.
    from typing_extensions import NotRequired

    from pghalib.shapes import Json

    # By address, port, and "tcp" or "udp".
    Links = dict[tuple[str, int, str], "Link"]

log = logging.getLogger(__name__)
# Seconds: for one attempt to connect; between two attempts; for the line of a temporary listener.
ATTEMPT, PAUSE, LINE = 2.0, 0.1, 0.3
# The most bytes that are read as the answer of a peer; a real one is shorter.
MOST = 4096


class Link(TypedDict):
    """
    What a host found at a port of another, see :py:func:`meet`; from ``udp`` on, what the peer said there (see
    :py:func:`pghalib.preflight.greeting.said`).
    """

    ok: bool
    error: str | None
    id: str | None
    offset: float | None
    margin: float | None
    udp: NotRequired[bool]
    hold: NotRequired[list[int]]
    seen_as: NotRequired[str | None]
    http: NotRequired[bool]


def meet(
    me: str,
    address: str,
    links: Iterable[tuple[str, int]],
    listen: Iterable[int],
    expect: Mapping[int, Collection[str]],
    *,
    timeout: float,
    udp: int | None = None,
    http: int | None = None,
    ca: str | None = None,
    later: Mapping[int, float] | None = None,
    hold: Iterable[int] = (),
    excuse: Mapping[int, int] | None = None,
) -> Links:
    """
    Open listeners, connect to everyone, and return what was found.

    me, address
        This host's id and address; connections come from this address.
    links
        List of ``(address, port)`` that this host must reach.
    listen
        Ports (TCP) to open if they are free.
    expect
        Mapping of a port to the addresses that will connect to it; a listener stays until all have connected.
    timeout
        Seconds after which a port counts as not reached.
    udp
        The port that must be reached by UDP too; it is tested only when the other host has a temporary listener there.
    http
        The port that speaks HTTP; the Date header gives the time of a host whose services run.
    ca
        Authorities (PEM) when a service speaks HTTPS at that port; None when it speaks plain HTTP.
    later
        Mapping of a port to seconds: the port is opened only then, if it is still free (its service is about to start).
    hold
        Ports that are not opened at all, because their service may start at any moment; the other hosts are told.
    excuse
        Mapping of port A to port B. When A refuses, A still counts as reached if B of that host answers for real, or
        says that A is held: the service of A is not started yet.

    Returns a mapping of ``(address, port, "tcp" or "udp")`` to ``{"ok", "error", "id", "offset", "margin"}``: offset is
    the number of seconds that the other clock is ahead, plus or minus the margin; None when unknown.

    Raises the error that has ended the meeting before its time.
    """
    meeting = _Meeting(me, address, listen, expect, udp, http, ca, set(hold), excuse or {}, time.monotonic() + timeout)
    failure: list[Exception] = []

    def run() -> None:
        try:
            asyncio.run(meeting.run(links, later or {}))
        except Exception as error:  # noqa: BLE001
            failure.append(error)

    # In its own thread, because the caller's thread may have an event loop already.
    thread = threading.Thread(target=run, name="pgha-rendezvous")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return meeting.found


class _Meeting:
    def __init__(
        self,
        me: str,
        address: str,
        listen: Iterable[int],
        expect: Mapping[int, Collection[str]],
        udp: int | None,
        http: int | None,
        ca: str | None,
        hold: set[int],
        excuse: Mapping[int, int],
        deadline: float,
    ) -> None:
        self.me, self.address, self.listen, self.expect = me, address, set(listen), expect
        self.udp, self.http, self.hold, self.excuse, self.deadline = udp, http, hold, excuse, deadline
        self.tls = ssl.create_default_context(cadata=ca) if ca else None
        self.found: Links = {}
        self.servers: dict[int, asyncio.Server] = {}
        self.seen: set[tuple[str | None, int, str]] = set()
        self.echo: asyncio.DatagramTransport | None = None
        self.pending = self.listen - self.hold

    async def run(self, links: Iterable[tuple[str, int]], later: Mapping[int, float]) -> None:
        openers = [asyncio.create_task(self.open(port, later.get(port, 0))) for port in sorted(self.pending)]
        try:
            await asyncio.gather(*(self.reach(*link) for link in links))
            while not self.everyone_was_here() and time.monotonic() < self.deadline:
                await asyncio.sleep(0.02)
            # The last host to connect still has to get its line.
            await asyncio.sleep(0.02)
        finally:
            for opener in openers:
                opener.cancel()
            await asyncio.gather(*openers, return_exceptions=True)
            for server in self.servers.values():
                server.close()
            if self.echo:
                self.echo.close()

    def everyone_was_here(self) -> bool:
        ports = self.pending | set(self.servers)
        wanted = {(peer, port, "tcp") for port in ports for peer in self.expect.get(port, ())}
        if self.echo and self.udp is not None:
            wanted |= {(peer, self.udp, "udp") for peer in self.expect.get(self.udp, ())}
        return wanted <= self.seen

    async def open(self, port: int, delay: float) -> None:
        await asyncio.sleep(delay)
        if port == self.udp:
            with contextlib.suppress(OSError):
                self.echo = await pghalib.preflight.echo.opened(
                    self.address, port, lambda peer: self.seen.add((peer, port, "udp"))
                )
        with contextlib.suppress(OSError):
            # The port is taken: another check looks at the process that has it.
            self.servers[port] = await asyncio.start_server(self.welcome, self.address, port, reuse_address=True)
        self.pending.discard(port)

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # None when the client has gone already.
        peer, port = (writer.get_extra_info("peername") or [None])[0], writer.get_extra_info("sockname")[1]
        with contextlib.suppress(OSError):
            line = pghalib.preflight.greeting.line(self.me, self.echo is not None, self.hold, peer)
            pghalib.preflight.packets.send(writer, line)
            await writer.drain()
            await pghalib.preflight.packets.heard_out(reader)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.seen.add((peer, port, "tcp"))

    async def reach(self, peer: str, port: int) -> None:
        found = self.found.setdefault((peer, port, "tcp"), _unknown())
        began, again = time.monotonic(), False
        while True:
            left = self.deadline - time.monotonic()
            begin = time.time()
            try:
                connecting = self.connected(peer, port)
                reader, writer = await asyncio.wait_for(connecting, max(0.05, min(left, ATTEMPT)))
            except (OSError, asyncio.TimeoutError) as error:
                why = pghalib.preflight.reasons.word(error)
                # A kernel that rejects sends a few messages of ICMP in a second, and then is silent for a while.
                if why != pghalib.preflight.reasons.TIMED_OUT or not found["error"]:
                    found["error"] = why
            else:
                found["ok"], found["error"] = True, None
                with contextlib.suppress(OSError, asyncio.TimeoutError):
                    await self.listen_to(reader, writer, peer, port, begin, found)
                # A host that stood still for a moment is no network that loses large packets.
                if found["error"] != pghalib.preflight.reasons.INCOMPLETE or again:
                    break
                again = True
            if self.excused(peer, port) or time.monotonic() >= self.deadline:
                break
            await asyncio.sleep(PAUSE)
        _log(peer, port, found, began)
        if found.get("udp") and port == self.udp:
            await self.echoed(peer, port)

    async def connected(self, peer: str, port: int, **how: Json) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(peer, port, local_addr=(self.address, 0), **how)

    def excused(self, peer: str, port: int) -> bool:
        """Whether a port that refuses counts as reached: the port that excuses it answers for real, or it is held."""
        found = self.found[(peer, port, "tcp")]
        other = self.found.get((peer, self.excuse[port], "tcp")) if port in self.excuse else None
        if found["error"] == "refused" and other and (other.get("http") or port in other.get("hold", ())):
            found["ok"], found["error"] = True, None
        return found["ok"]

    async def listen_to(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: str,
        port: int,
        begin: float,
        found: Link,
    ) -> None:
        try:
            answer = b""
            if port == self.http and self.tls:
                # A temporary listener speaks first and in plain text; a service is silent until the client starts TLS.
                with contextlib.suppress(asyncio.TimeoutError):
                    answer = await asyncio.wait_for(reader.read(MOST), LINE)
                if not answer:
                    # A new connection: a stream cannot switch to TLS before Python 3.11.
                    writer.close()
                    speaking = self.connected(peer, port, ssl=self.tls, server_hostname=peer)
                    reader, writer = await asyncio.wait_for(speaking, ATTEMPT)
                    begin = time.time()
            if port == self.http and not answer:
                writer.write(b"HEAD /liveness HTTP/1.0\r\n\r\n")
            answer = answer or await asyncio.wait_for(reader.read(MOST), LINE)
            margin = (time.time() - begin) / 2
            told = pghalib.preflight.greeting.said(answer, port == self.http)
            fault: str | None = pghalib.preflight.reasons.NONSENSE
            if told is not None:
                fault = await pghalib.preflight.packets.fault(reader, answer, told.get("follows", 0))
        finally:
            writer.close()
        found["ok"], found["error"] = fault is None, fault
        if told is None:
            return
        if "time" in told:
            found["offset"], found["margin"] = told["time"] - begin - margin, margin + told.get("unsure", 0)
        if "id" in told:
            found["id"], found["udp"], found["hold"] = told["id"], told["udp"], told["hold"]
            found["seen_as"] = told["seen_as"]
        if "http" in told:
            found["http"] = True

    async def echoed(self, peer: str, port: int) -> None:
        found = self.found.setdefault((peer, port, "udp"), _unknown())
        began = time.monotonic()
        try:
            found["ok"] = await pghalib.preflight.echo.answered(self.address, peer, port, self.deadline)
        except OSError as error:
            found["error"] = pghalib.preflight.reasons.word(error)
        else:
            found["error"] = None if found["ok"] else pghalib.preflight.reasons.TIMED_OUT
        _log(peer, f"{port} by UDP", found, began)


def _log(peer: str, port: int | str, found: Link, began: float) -> None:
    log.debug("%s:%s: %s, %d ms", peer, port, found["error"] or "reached", (time.monotonic() - began) * 1000)


def _unknown() -> Link:
    return {"ok": False, "error": None, "id": None, "offset": None, "margin": None}
