"""
Checks whether the hosts of a cluster can reach each other before their services run. All hosts run ``meet`` at the same
time: each opens the ports of its services that are still free, connects to the ports of the others, and stops when
every expected host has connected.

A temporary listener sends each client one line of JSON: its id, its time, and what else to expect. A real service sends
nothing until it gets a request, and counts as reached. Any other answer is nonsense: another program has the port, and
the port counts as not reached.
"""

import asyncio  # Its TimeoutError is the built-in one only from Python 3.11 on; older Pythons run this too.
import contextlib
import email.utils
import errno
import ipaddress
import json
import socket
import ssl
import threading
import time

import pghalib.text

MAGIC = "pgha-preflight"
NONSENSE = "answered nonsense"
# Seconds since 1970: a later time is no real clock.
LAST = 10**11
# Seconds: for one attempt to connect; between two attempts; for the line of a temporary listener.
ATTEMPT, PAUSE, LINE = 2.0, 0.1, 0.3
# The most bytes that are read from a peer; a real answer is shorter.
MOST = 4096


def meet(
    me, address, links, listen, expect, *, timeout, udp=None, http=None, ca=None, later=None, hold=(), excuse=None
):
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
    """
    meeting = _Meeting(me, address, listen, expect, udp, http, ca, set(hold), excuse or {}, time.monotonic() + timeout)
    failure = []

    def run():
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


def said(answer, http):
    """
    Return the content of a peer's first bytes, ``{}`` when there are none, None when they are nonsense.

    http
        Whether the port speaks HTTP.

    The keys: ``time`` of the peer and its ``unsure`` seconds; from a temporary listener ``id``, ``udp`` (it listens on
    UDP too), ``hold`` (ports that it does not open) and ``seen_as`` (the address from which the peer sees this host
    connect); from a service ``http``.
    """
    try:
        if answer.startswith(b"{"):
            line = json.loads(answer)
            told = {key: line[key] for key in ("id", "time", "udp", "hold", "seen_as")}
            fits = MAGIC in line and isinstance(told["id"], str) and isinstance(told["udp"], bool)
            fits = fits and isinstance(told["hold"], list) and all(isinstance(port, int) for port in told["hold"])
            fits = fits and isinstance(told["time"], (int, float)) and 0 <= told["time"] < LAST
            if not fits:
                return None
            # ip_address takes numbers too, and anything may follow a %.
            seen = told["seen_as"] and str(ipaddress.ip_address(told["seen_as"].partition("%")[0]))
            return {**told, "id": pghalib.text.printable(told["id"]), "seen_as": seen}
        if answer.startswith(b"HTTP/") and http:
            told = {"http": True}
            for header in answer.decode("latin-1").split("\r\n")[1:]:
                if header.lower().startswith("date:"):
                    # Date has whole seconds only, cut off.
                    told["time"] = email.utils.parsedate_to_datetime(header[5:].strip()).timestamp() + 0.5
                    told["unsure"] = 0.5
            return told if 0 <= told.get("time", 0) < LAST else None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, RecursionError):
        return None
    return None if answer else {}


class _Meeting:
    def __init__(self, me, address, listen, expect, udp, http, ca, hold, excuse, deadline):
        self.me, self.address, self.listen, self.expect = me, address, set(listen), expect
        self.udp, self.http, self.hold, self.excuse, self.deadline = udp, http, hold, excuse, deadline
        self.tls = ssl.create_default_context(cadata=ca) if ca else None
        self.found, self.servers, self.seen, self.echo = {}, {}, set(), None
        self.pending = self.listen - self.hold

    async def run(self, links, later):
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

    def everyone_was_here(self):
        ports = self.pending | set(self.servers)
        wanted = {(peer, port, "tcp") for port in ports for peer in self.expect.get(port, ())}
        if self.echo:
            wanted |= {(peer, self.udp, "udp") for peer in self.expect.get(self.udp, ())}
        return wanted <= self.seen

    async def open(self, port, delay):
        await asyncio.sleep(delay)
        if port == self.udp:
            with contextlib.suppress(OSError):
                loop = asyncio.get_running_loop()
                self.echo, _ = await loop.create_datagram_endpoint(lambda: _Echo(self), (self.address, port))
        with contextlib.suppress(OSError):
            # The port is taken: another check looks at the process that has it.
            self.servers[port] = await asyncio.start_server(self.welcome, self.address, port, reuse_address=True)
        self.pending.discard(port)

    async def welcome(self, _reader, writer):
        # None when the client has gone already.
        peer, port = (writer.get_extra_info("peername") or [None])[0], writer.get_extra_info("sockname")[1]
        line = {MAGIC: 1, "id": self.me, "time": time.time(), "udp": self.echo is not None, "hold": sorted(self.hold)}
        line["seen_as"] = peer
        with contextlib.suppress(OSError):
            writer.write(json.dumps(line).encode() + b"\n")
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.seen.add((peer, port, "tcp"))

    async def reach(self, peer, port):
        found = self.found.setdefault((peer, port, "tcp"), _unknown())
        while True:
            left = self.deadline - time.monotonic()
            begin = time.time()
            try:
                connecting = self.connected(peer, port)
                reader, writer = await asyncio.wait_for(connecting, max(0.05, min(left, ATTEMPT)))
            except (OSError, asyncio.TimeoutError) as error:
                found["error"] = _reason(error)
            else:
                found.update(ok=True, error=None)
                with contextlib.suppress(OSError, asyncio.TimeoutError):
                    await self.listen_to(reader, writer, peer, port, begin, found)
                break
            if self.excused(peer, port) or time.monotonic() >= self.deadline:
                break
            await asyncio.sleep(PAUSE)
        if found.get("udp") and port == self.udp:
            await self.echoed(peer)

    async def connected(self, peer, port, **how):
        return await asyncio.open_connection(peer, port, local_addr=(self.address, 0), **how)

    def excused(self, peer, port):
        """Whether a port that refuses counts as reached: the port that excuses it answers for real, or it is held."""
        found = self.found[(peer, port, "tcp")]
        other = self.found.get((peer, self.excuse.get(port), "tcp"), {})
        if found["error"] == "refused" and (other.get("http") or port in other.get("hold", ())):
            found.update(ok=True, error=None)
        return found["ok"]

    async def listen_to(self, reader, writer, peer, port, begin, found):
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
        finally:
            writer.close()
        margin = (time.time() - begin) / 2
        told = said(answer, port == self.http)
        if told is None:
            found.update(ok=False, error=NONSENSE)
            return
        there, unsure = told.pop("time", None), told.pop("unsure", 0)
        if there is not None:
            found.update(offset=there - begin - margin, margin=margin + unsure)
        found.update(told)

    async def echoed(self, peer):
        found = self.found.setdefault((peer, self.udp, "udp"), _unknown())
        found["error"] = "timed out"
        answer = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Question(answer), (self.address, 0), (peer, self.udp)
            )
        except OSError as error:
            found["error"] = _reason(error)
            return
        try:
            while time.monotonic() < self.deadline:
                transport.sendto(MAGIC.encode())
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(answer.wait(), 2 * PAUSE)
                    found.update(ok=True, error=None)
                    return
        finally:
            transport.close()


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, meeting):
        self.meeting = meeting

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        if data == MAGIC.encode():
            self.transport.sendto(data, addr)
            self.meeting.seen.add((addr[0], self.meeting.udp, "udp"))


class _Question(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def datagram_received(self, data, _addr):
        if data == MAGIC.encode():
            self.answer.set()


def _unknown():
    return {"ok": False, "error": None, "id": None, "offset": None, "margin": None}


def _reason(error):
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "timed out"
    number = error.errno
    if isinstance(error, socket.gaierror) or number is None:
        return str(error)
    known = {errno.ECONNREFUSED: "refused", errno.EHOSTUNREACH: "no such host", errno.ENETUNREACH: "no route"}
    return known.get(number, errno.errorcode.get(number, str(error)))
