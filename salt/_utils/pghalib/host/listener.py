"""
Which user listens at an address of this host, from the kernel's own tables.

Any user may listen on a free port above 1023. The ports of Consul and Patroni are free while these do not run: on a new
host, and for a moment at each restart. A request for a service must not go to a process of another user.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import pwd
import socket
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"


class Listener(TypedDict):
    """A listening socket: the number of its user, and its own number in the kernel."""

    uid: int
    inode: int


class _Row(Listener):
    address: Ip
    port: int


def check(url: str, user: str, remedy: str) -> None:
    """
    Check that the process which listens at a URL of this host belongs to a certain user.

    url
        With an IP address of this host, and a port.
    user
        Name of the user.
    remedy
        What to do when nobody listens, the end of a sentence.

    Returns nothing. Raises CommandExecutionError when nobody listens, when the listener belongs to another user (it
    names user and process), and when the address is not this host's.

    Call it right before a request. Without TLS one gap is left: within the millisecond between this check and the
    connection the service ends, and another user's process binds its port. With TLS there is no gap: the certificate is
    verified, and only root and the service can read its key.
    """
    parts = urllib.parse.urlsplit(url)
    place = f"{parts.hostname}:{parts.port}"
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        raise CommandExecutionError(f"{parts.hostname} is no IP address: {user}'s service is asked on this host alone")
    if not _own(address):
        raise CommandExecutionError(f"{address} is no address of this host: {user}'s service is asked on it alone")
    found = listeners(address, parts.port)
    if not found:
        raise CommandExecutionError(f"Nobody listens on {place} of this host: {remedy}")
    foreign = [one for one in found if one["uid"] != _uid(user)]
    if foreign:
        raise CommandExecutionError(
            f"On {place} of this host listens {' and '.join(map(_named, foreign))}, and not the user {user}, so"
            " nothing was sent there: end that process, and restart the service that belongs there"
        )


def listeners(address: Ip, port: int | None) -> list[Listener]:
    """
    Return the sockets that get a connection to an address of this host: a list of ``{"uid", "inode"}``, or [].

    address
        An ``ipaddress`` object.
    port
        Number of the TCP port.
    """
    tables: dict[str, list[_Row]] = {}
    # The kernel prefers a socket with exactly this address to a socket for all addresses, and among the latter one of
    # the same family (an IPv6 socket may get IPv4 too). Another user may open one of the others beside ours: it gets
    # nothing. A table is read when it is asked for the first time: that takes milliseconds on a host with much memory.
    anys = ["0.0.0.0", "::"] if address.version == 4 else ["::"]  # noqa: S104
    for wanted, table in itertools.product((address, *map(ipaddress.ip_address, anys)), TABLES):
        if table not in tables:
            tables[table] = [one for one in _listening(table) if one["port"] == port]
        found: list[Listener] = [
            {"uid": one["uid"], "inode": one["inode"]} for one in tables[table] if one["address"] == wanted
        ]
        if found:
            return found
    return []


def _listening(table: str) -> list[_Row]:
    """The rows of listening sockets in /proc/net/tcp or tcp6."""
    try:
        lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
    except FileNotFoundError:
        # A kernel without IPv6.
        return []
    found: list[_Row] = []
    for line in lines:
        fields = line.split()
        if fields[3] != LISTEN:
            continue
        address, _, port = fields[1].partition(":")
        found.append(
            {"address": _address(address), "port": int(port, 16), "uid": int(fields[7]), "inode": int(fields[9])}
        )
    return found


def _address(words: str) -> Ip:
    """The address in a row: words of 32 bits in the machine's byte order. IPv4 mapped into IPv6 is returned as IPv4."""
    packed = b"".join(int(words[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(words), 8))
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def _own(address: Ip) -> bool:
    """Whether an address belongs to this host: only then can it be bound."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise CommandExecutionError(f"There is no user {user} on this host, so its service cannot listen") from None


def _named(listener: Listener) -> str:
    """A listener in words: its user, and the processes that have its socket."""
    uid = str(listener["uid"])
    with contextlib.suppress(KeyError):
        uid = f"{uid} ({pwd.getpwuid(listener['uid']).pw_name})"
    pids = []
    for directory in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            if any(os.readlink(one) == f"socket:[{listener['inode']}]" for one in directory.iterdir()):
                pids.append(directory.parent.name)
    return f"uid {uid}, process {' '.join(pids) or 'unknown'}"
