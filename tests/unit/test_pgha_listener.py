"""Who listens at an address of this host."""

import ipaddress
import socket
import sys

import listeners
import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def util(loader_module):
    return loader_module("_utils/pghalib/host/listener.py")


@pytest.fixture
def check(util):
    return lambda url, user="root": util.check(url, user, "start it")


def uids(util, address, port):
    return [one["uid"] for one in util.listeners(ipaddress.ip_address(address), port)]


@pytest.mark.root
def test_own_listener_is_right(check):
    with socket.create_server(("127.0.0.1", 0)) as server:
        check(f"http://127.0.0.1:{server.getsockname()[1]}/path?query")


def test_nobody_there_is_told_with_the_remedy(check):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(
            CommandExecutionError, match=rf"Nobody listens on 127\.0\.0\.1:{port} of this host: start it"
        ):
            check(f"http://127.0.0.1:{port}")


@pytest.mark.root
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_listener_of_another_user_is_named(check, address):
    with listeners.listening(address=address) as other:
        said = (
            rf"On 127\.0\.0\.1:{other.port} of this host listens uid 65534 \(nobody\), process {other.pid}, and not the"
            " user root, so nothing was sent there: end that process"
        )
        with pytest.raises(CommandExecutionError, match=said):
            check(f"http://127.0.0.1:{other.port}")
        check(f"http://127.0.0.1:{other.port}", "nobody")


def test_user_that_is_not_there_listens_nowhere(check):
    said = "There is no user pgha-nobody on this host"
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(CommandExecutionError, match=said):
        check(f"http://127.0.0.1:{server.getsockname()[1]}", "pgha-nobody")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://198.51.100.77:8500", r"198\.51\.100\.77 is no address of this host"),
        ("http://[2001:db8::77]:8500", "2001:db8::77 is no address of this host"),
        ("http://consul.example.org:8500", r"consul\.example\.org is no IP address"),
    ],
)
def test_only_addresses_of_this_host_are_asked(check, url, said):
    with pytest.raises(CommandExecutionError, match=said):
        check(url)


def table(*rows):
    """/proc/net/tcp with rows of (address and port in hex, state, uid)."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    return head + "".join(
        f"   {number}: {local} 00000000:0000 {state} 0:0 00:0 0 {uid:5} 0 {1000 + number} 1 0\n"
        for number, (local, state, uid) in enumerate(rows)
    )


def swapped(*words):
    """Words of 32 bits as the kernel prints them on this machine."""
    return "".join(f"{int.from_bytes(bytes.fromhex(word), sys.byteorder):08X}" for word in words)


LOOPBACK, ANY, OTHER = swapped("7f000001"), swapped("00000000"), swapped("7f000002")
LOOPBACK6, ANY6 = swapped("00000000", "00000000", "00000000", "00000001"), "0" * 32
MAPPED = swapped("00000000", "00000000", "0000ffff", "7f000001")


@pytest.mark.parametrize(
    ("tcp", "tcp6", "address", "found"),
    [
        ([(LOOPBACK, "0A", 5)], [], "127.0.0.1", [5]),
        # Another port, another address, a connection.
        ([("2" + LOOPBACK[1:], "0A", 5), (OTHER, "0A", 5), (LOOPBACK, "01", 5)], [], "127.0.0.1", []),
        ([(ANY, "0A", 5)], [], "127.0.0.1", [5]),
        ([], [(ANY6, "0A", 5)], "127.0.0.1", [5]),
        ([], [(MAPPED, "0A", 5)], "127.0.0.1", [5]),
        ([], [(ANY6, "0A", 5)], "::1", [5]),
        ([(ANY, "0A", 5)], [], "::1", []),
        ([], [(LOOPBACK6, "0A", 5), (ANY6, "0A", 6)], "::1", [5]),
        # What the kernel passes over for a better one tells nothing, and anybody may put it there.
        ([(LOOPBACK, "0A", 5), (ANY, "0A", 6)], [(ANY6, "0A", 7)], "127.0.0.1", [5]),
        ([(ANY, "0A", 5)], [(ANY6, "0A", 6)], "127.0.0.1", [5]),
        # Several with one port (SO_REUSEPORT) get the connections by turns.
        ([(LOOPBACK, "0A", 5), (LOOPBACK, "0A", 6)], [], "127.0.0.1", [5, 6]),
    ],
)
def test_listeners_are_those_that_the_kernel_would_choose(util, tmp_path, tcp, tcp6, address, found):
    paths = [tmp_path / "tcp", tmp_path / "tcp6"]
    for path, rows in zip(paths, (tcp, tcp6), strict=True):
        path.write_text(table(*((f"{local}:2134", state, uid) for local, state, uid in rows)))
    util.TABLES = [str(path) for path in paths]
    assert uids(util, address, 0x2134) == found


@pytest.mark.root
def test_kernel_without_ipv6(util, tmp_path):
    util.TABLES = ("/proc/net/tcp", str(tmp_path / "tcp6"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert uids(util, "127.0.0.1", server.getsockname()[1]) == [0]
