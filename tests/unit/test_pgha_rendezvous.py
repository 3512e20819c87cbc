"""Hosts that try to reach each other before anything listens, each at an address of its own on the loopback."""

import asyncio
import contextlib
import errno
import http.server
import json
import logging
import re
import socket
import threading
import time

import pghalib.preflight.packets
import pghalib.preflight.reasons
import pghalib.preflight.rendezvous
import pytest

A, B, C = "127.0.0.11", "127.0.0.12", "127.0.0.13"
IDS = {A: "a", B: "b", C: "c"}
# Seconds. What does not wait for the time-out ends far before it, also on a slow machine.
TIMEOUT = 30
AT_ONCE = TIMEOUT / 2


@pytest.fixture
def ports():
    """Three ports that are free on every address of the loopback."""
    found = []
    sockets = []
    while len(found) < 3:
        one = socket.socket()
        one.bind(("0.0.0.0", 0))
        sockets.append(one)
        found.append(one.getsockname()[1])
    for one in sockets:
        one.close()
    return found


@pytest.fixture
def meet(loader_module):
    def together(calls, timeout=TIMEOUT):
        """Run the given hosts at the same time: ``{address: keyword arguments}``; return what each found and took."""
        results = {}

        def one(address, delay=0, **kwargs):
            module = loader_module("_utils/pghalib/preflight/rendezvous.py")
            time.sleep(delay)
            begin = time.monotonic()
            found = module.meet(IDS[address], address, timeout=timeout, **kwargs)
            results[address] = (found, time.monotonic() - begin)

        threads = [threading.Thread(target=one, args=(address,), kwargs=kwargs) for address, kwargs in calls.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return together


def everyone(address, addresses, ports):
    others = [other for other in addresses if other != address]
    return {
        "links": [(other, port) for other in others for port in ports],
        "listen": ports,
        "expect": dict.fromkeys(ports, others),
    }


@pytest.fixture
def service():
    """A real service on an address: accepts and says nothing."""
    sockets = []

    def start(address, port):
        one = socket.create_server((address, port))
        sockets.append(one)

    yield start
    for one in sockets:
        one.close()


def test_all_reach_all_though_one_comes_late(meet, ports):
    calls = {address: {**everyone(address, (A, B, C), ports), "udp": ports[0]} for address in (A, B, C)}
    calls[C]["delay"] = 0.2
    results = meet(calls)
    for address, (found, took) in results.items():
        assert len(found) == 2 * 4, address
        assert all(link["ok"] for link in found.values()), (address, found)
        assert took < AT_ONCE
        # One clock, so what is measured is what the measurement is wrong by.
        named = [link for link in found.values() if link["id"]]
        assert all(abs(link["offset"]) <= link["margin"] + 0.05 for link in named)
    assert {link["id"] for link in results[A][0].values()} == {"b", "c", None}
    assert {link["seen_as"] for link in results[A][0].values() if link["id"]} == {A}
    assert (B, ports[0], "udp") in results[A][0]


def test_missing_host_is_refused_and_the_rest_is_found(meet, ports):
    calls = {address: everyone(address, (A, B, C), ports[:1]) for address in (A, B)}
    results = meet(calls, timeout=1)
    found, took = results[A]
    assert found[(B, ports[0], "tcp")]["ok"]
    assert (found[(C, ports[0], "tcp")]["ok"], found[(C, ports[0], "tcp")]["error"]) == (False, "refused")
    assert 0.9 < took < AT_ONCE


def test_each_port_of_a_peer_is_one_line_of_the_log(meet, ports, caplog):
    calls = {address: {**everyone(address, (A, B), ports[:1]), "udp": ports[0]} for address in (A, B)}
    calls[A]["links"].append((C, ports[1]))
    with caplog.at_level(logging.DEBUG):
        meet(calls, timeout=1)
    lines = [line for line in caplog.messages if line.startswith("127.0.0.1")]
    assert all(re.fullmatch(r".*, \d+ ms", line) for line in lines)
    assert sorted(line.rpartition(",")[0] for line in lines) == sorted(
        [f"{peer}:{ports[0]}{by}: reached" for peer in (A, B) for by in ("", " by UDP")] + [f"{C}:{ports[1]}: refused"]
    )


def test_silence_is_a_time_out(meet, ports):
    # A full backlog of a listener that accepts nothing: the kernel drops the next SYN, as a firewall would.
    deaf = socket.socket()
    deaf.bind((B, ports[0]))
    deaf.listen(0)
    fillers = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex((B, ports[0]))
        fillers.append(one)
    found, took = meet({A: {"links": [(B, ports[0])], "listen": [], "expect": {}}}, timeout=0.2)[A]
    assert found[(B, ports[0], "tcp")]["error"] == "timed out"
    assert took < AT_ONCE
    for one in [deaf, *fillers]:
        one.close()


@pytest.mark.parametrize(
    ("errors", "why"),
    [
        ([errno.EHOSTUNREACH], "unreachable"),
        ([errno.ENETUNREACH], "no route"),
        ([errno.ECONNREFUSED], "refused"),
        ([errno.EACCES], "prohibited"),
        ([errno.EPERM], "not permitted"),
        ([errno.ENOBUFS], "ENOBUFS"),
        ([errno.ETIMEDOUT], "timed out"),
        # The kernel of a firewall sends few messages a second.
        ([errno.EHOSTUNREACH, errno.ETIMEDOUT], "unreachable"),
        ([errno.ETIMEDOUT, errno.EHOSTUNREACH], "unreachable"),
        ([errno.ECONNREFUSED, errno.EHOSTUNREACH], "unreachable"),
    ],
)
def test_what_the_kernel_says_is_a_word_and_silence_does_not_replace_it(meet, ports, monkeypatch, errors, why):
    left = list(errors)

    async def attempt(*_args, **_how):
        number = left.pop(0) if len(left) > 1 else left[0]
        raise OSError(number, "it is so")

    monkeypatch.setattr("asyncio.open_connection", attempt)
    found, _ = meet({A: {"links": [(B, ports[0])], "listen": [], "expect": {}}}, timeout=0.3)[A]
    assert found[(B, ports[0], "tcp")]["error"] == why


def test_running_services_cost_no_time(meet, ports, service):
    for port in ports:
        service(A, port)
        service(B, port)
    results = meet({address: everyone(address, (A, B), ports) for address in (A, B)})
    for found, took in results.values():
        assert all(link["ok"] and link["id"] is None for link in found.values())
        assert took < AT_ONCE


def test_ports_are_free_again_at_once(meet, ports):
    meet({address: everyone(address, (A, B), ports) for address in (A, B)})
    for port in ports:
        socket.create_server((A, port)).close()


class Patroni(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ahead = 0

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + self.ahead)

    def do_HEAD(self):
        assert self.path == "/liveness"
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def rest(serving):
    def start(address, port, ahead=0):
        serving(http.server.ThreadingHTTPServer((address, port), type("Handler", (Patroni,), {"ahead": ahead})))

    return start


def test_postgresql_that_is_down_is_the_matter_of_the_patroni_that_runs(meet, ports, rest):
    postgres, api, _ = ports
    rest(B, api)
    links = {"links": [(B, postgres), (B, api)], "listen": [], "expect": {}, "http": api}
    found, took = meet({A: {**links, "excuse": {postgres: api}}})[A]
    assert found[(B, postgres, "tcp")]["ok"]
    assert took < AT_ONCE
    found, _ = meet({A: links}, timeout=0.1)[A]
    assert not found[(B, postgres, "tcp")]["ok"]


def test_the_clock_of_a_host_whose_services_run_is_told_by_http(meet, ports, rest):
    rest(B, ports[0], ahead=30)
    found, _ = meet({A: {"links": [(B, ports[0])], "listen": [], "expect": {}, "http": ports[0]}})[A]
    link = found[(B, ports[0], "tcp")]
    assert 28.9 < link["offset"] < 31.1
    assert link["margin"] >= 0.5


def test_a_port_whose_service_is_about_to_start_is_left_to_it(meet, ports):
    api, postgres, _ = ports
    calls = {address: {**everyone(address, (A, B), [api, postgres]), "excuse": {postgres: api}} for address in (A, B)}
    # On B Patroni is starting: PostgreSQL's port is never taken, the API's only when it is still free after a while.
    calls[B] |= {"later": {api: 0.3}, "hold": [postgres]}
    found, took = meet(calls)[A]
    assert all(link["ok"] for link in found.values()), found
    assert 0.2 < took < AT_ONCE


def test_service_that_comes_up_in_the_meantime_keeps_its_port(meet, ports, service):
    calls = {address: everyone(address, (A, B), ports[:1]) for address in (A, B)}
    calls[B]["later"] = {ports[0]: 0.8}
    threading.Timer(0.1, service, (B, ports[0])).start()
    found, _ = meet(calls)[A]
    assert found[(B, ports[0], "tcp")] | {"offset": None} == {
        "ok": True, "error": None, "id": None, "offset": None, "margin": None,
    }  # fmt: skip


OLDER = {"pgha-preflight": 1, "id": "b", "time": 1.8e9, "udp": False, "hold": [5432], "seen_as": "192.0.2.7"}
GOOD = {**OLDER, "follows": 5}
WRONG = [None, True, "7", "fe80::1%\x1b[2J", -1, 1e300, 10**400, float("nan"), [], ["x"], {}, [[[]]], {"a": 1}]


@pytest.fixture
def said(loader_module):
    return loader_module("_utils/pghalib/preflight/greeting.py").said


def test_what_a_peer_says(said):
    assert {"pgha-preflight": 1, **said(json.dumps(GOOD).encode() + b"\n", False)} == GOOD
    assert said(json.dumps(GOOD).encode() + b"\n    ", False) == said(json.dumps(GOOD).encode(), False)
    assert said(json.dumps(OLDER).encode() + b"\n", False)["follows"] == 0
    assert said(b"", True) == {}
    http = b"HTTP/1.0 200 OK\r\nDate: Wed, 25 Nov 2026 10:00:00 GMT\r\n\r\n"
    assert said(http, True) == {"http": True, "time": 1795600800.5, "unsure": 0.5}
    assert said(b"HTTP/1.0 200 OK\r\n\r\n", True) == {"http": True}
    assert said(http, False) is None


def test_nothing_wrong_that_a_peer_says_gets_through(said):
    for key in GOOD:
        for wrong in WRONG:
            told = said(json.dumps({**GOOD, key: wrong}).encode(), False)
            if told is not None:
                assert isinstance(told["id"], str)
                assert told["id"].isprintable()
                assert 0 <= told["time"] < 10**11
                assert isinstance(told["udp"], bool)
                assert all(isinstance(port, int) for port in told["hold"])
                assert told["seen_as"] in (None, "192.0.2.7")
                assert 0 <= told["follows"] <= 65536
        less = {name: value for name, value in OLDER.items() if name != key}
        assert key == "follows" or said(json.dumps(less).encode(), False) is None
    line = json.dumps(GOOD).encode()
    assert all(said(line[:length], False) is None for length in range(1, len(line)))
    for date in ("yesterday", "", "Wed, 99 Nov 2026 99:00:00 GMT", "Mon, 01 Jan 1900 00:00:00 GMT", "1 2 3 4 5 6 7"):
        assert said(f"HTTP/1.0 200 OK\r\nDate: {date}\r\n\r\n".encode(), True) is None, date
    others = [b'{"pgha-preflight": ' + b"[" * 4000, b"\x00", b"SSH-2.0-x\r\n", b"\xff" * 4096, b"[1]", b"{}", b'"x"']
    assert [said(other, http) for other in others for http in (True, False)] == [None] * 14


@pytest.fixture
def stranger():
    """A program at an address and port that sends the same bytes to everyone, once or for ever, and hears nothing."""
    sockets = []

    def start(address, port, sends, forever=False):
        server = socket.create_server((address, port))
        sockets.append(server)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    sockets.append(client)
                    with contextlib.suppress(OSError):
                        client.sendall(sends)
                        while forever:
                            client.sendall(sends)

        threading.Thread(target=serve, daemon=True).start()

    yield start
    for one in sockets:
        one.close()


@pytest.mark.parametrize(
    ("sends", "forever"),
    [
        (b'{"pgha-preflight": 1', False),
        (b'{"pgha-preflight": 1, "id": 7}\n', False),
        (b"HTTP/1.1 200 OK\r\nDate: \x1b[2J\r\n\r\n", False),
        (b"x" * 65536, True),
        (b"HTTP/1.1 200 OK\r\n" + b"Date: no\r\n" * 10000, True),
    ],
)
def test_a_stranger_at_a_peer_s_port_is_a_link_that_is_not_there(meet, ports, stranger, sends, forever):
    for port in ports[:2]:
        stranger(B, port, sends, forever)
    links = [(B, port) for port in ports[:2]]
    found, took = meet({A: {"links": links, "listen": [], "expect": {}, "http": ports[0], "udp": ports[1]}})[A]
    for link in found.values():
        assert (link["ok"], link["error"], link["offset"], link["id"]) == (False, "answered nonsense", None, None)
    assert took < AT_ONCE


def test_a_stranger_that_says_nothing_or_leaves_is_no_delay_and_gives_no_time(meet, ports, stranger, service):
    stranger(B, ports[0], b"")
    service(B, ports[1])
    links = [(B, ports[0]), (B, ports[1])]
    found, took = meet({A: {"links": links, "listen": [], "expect": {}, "http": ports[0]}})[A]
    assert all(link["offset"] is None and link["id"] is None for link in found.values())
    assert took < AT_ONCE


def test_a_listener_sends_large_packets_and_lets_the_peer_hang_up(ports):
    """It does not close while words of the peer are unread: that would throw away what is on its way to the peer."""
    result = {}

    def run():
        result.update(pghalib.preflight.rendezvous.meet("a", A, [], ports[:1], {ports[0]: [B]}, timeout=TIMEOUT))

    host = threading.Thread(target=run)
    host.start()
    with contextlib.ExitStack() as stack:
        end = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                peer = stack.enter_context(socket.create_connection((A, ports[0]), 5, source_address=(B, 0)))
                break
            assert time.monotonic() < end
        peer.sendall(b"HEAD /liveness HTTP/1.0\r\n\r\n")
        got = peer.recv(4096)
        told = json.loads(got)
        while len(got) - len(got.rstrip()) < told["follows"]:
            more = peer.recv(4096)
            assert more
            got += more
        # More than one packet, also where jumbo frames are.
        assert told["follows"] > 9000
        assert len(got) == len(got.rstrip()) + told["follows"]
        peer.settimeout(0.1)
        with pytest.raises(TimeoutError):
            peer.recv(1)
    host.join(AT_ONCE)
    assert not host.is_alive()


LINE = b'{"a": 1}'


@pytest.mark.parametrize(
    ("first", "then", "ends", "fault"),
    [
        (b"", b"", False, None),
        (b"\n    ", b"", False, None),
        (b"\n", b"    ", False, None),
        (b"", b"\n    and more", False, None),
        (b"\n", b"", False, "small packets arrive, large ones do not"),
        (b"\n", b"   ", False, "small packets arrive, large ones do not"),
        (b"\n", b"   ", True, "answered nonsense"),
        (b"\n", b"   ", ConnectionResetError(), None),
    ],
)
def test_an_answer_is_complete_or_it_has_a_word(monkeypatch, first, then, ends, fault):
    monkeypatch.setattr(pghalib.preflight.packets, "COMES", 0.05)
    follows = 5 if first or then else 0

    async def found():
        reader = asyncio.StreamReader()
        reader.feed_data(then)
        if isinstance(ends, OSError):
            reader.set_exception(ends)
        elif ends:
            reader.feed_eof()
        return await pghalib.preflight.packets.fault(reader, LINE + first, follows)

    assert asyncio.run(found()) == fault


def test_a_line_without_its_large_packets_is_a_link_that_is_not_there(meet, ports, stranger, monkeypatch):
    monkeypatch.setattr(pghalib.preflight.packets, "COMES", 0.05)
    line = json.dumps({**GOOD, "time": time.time(), "follows": 10000}).encode() + b"\n"
    stranger(B, ports[0], line)
    found, took = meet({A: {"links": [(B, ports[0])], "listen": [], "expect": {}}})[A]
    link = found[(B, ports[0], "tcp")]
    assert (link["ok"], link["error"], link["id"]) == (False, "small packets arrive, large ones do not", "b")
    assert took < AT_ONCE


def test_a_peer_that_stood_still_for_a_moment_is_heard_once_more(meet, ports, stranger, monkeypatch):
    found = [pghalib.preflight.reasons.INCOMPLETE, None]

    async def fault(*_what):
        return found.pop(0)

    monkeypatch.setattr(pghalib.preflight.packets, "fault", fault)
    stranger(B, ports[0], json.dumps({**GOOD, "time": time.time()}).encode() + b"\n")
    links, _ = meet({A: {"links": [(B, ports[0])], "listen": [], "expect": {}}})[A]
    assert (links[(B, ports[0], "tcp")]["ok"], found) == (True, [])


def test_a_listener_of_an_older_version_is_reached(meet, ports, stranger):
    stranger(B, ports[0], json.dumps({**OLDER, "time": time.time()}).encode() + b"\n")
    found, _ = meet({A: {"links": [(B, ports[0])], "listen": [], "expect": {}}})[A]
    assert found[(B, ports[0], "tcp")]["ok"]
