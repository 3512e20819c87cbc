"""
The processes that listen on this host. The kernel guarantees address, port and user; the process itself chooses its
name, its command line and its directory.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import psutil

import pghalib.host.descriptors
import pghalib.preflight.foreign
import pghalib.preflight.identity
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pghalib.preflight.foreign import Known, Process
    from pghalib.shapes import Settings


def processes(rest: int | None, trusted: Collection[str]) -> list[Process]:
    """
    Return the processes that listen on TCP and UDP: a list of ``{"address", "port", "protocol", "pid", "name", "user",
    "cmdline", "cwd", "runs_as"}``. ``runs_as`` is what Patroni's configuration says of it: ``scope``, ``namespace`` and
    ``name``; None when it is not known.

    rest
        Port of Patroni's REST API, None where no Patroni belongs. Only a listener at this port is asked for that.
    trusted
        Names of the users whose processes are asked: another user could put any file in its command line.
    """
    found: list[Process] = []
    for one in psutil.net_connections(kind="inet"):
        protocol = "udp" if one.type == socket.SOCK_DGRAM else "tcp"
        # A UDP socket with a peer belongs to a client.
        if one.laddr and (one.status == psutil.CONN_LISTEN if protocol == "tcp" else not one.raddr):
            known = _process(one.pid)
            asked = protocol == "tcp" and one.laddr.port == rest and known["user"] in trusted
            found.append(
                {
                    "address": one.laddr.ip,
                    "port": one.laddr.port,
                    "protocol": protocol,
                    "pid": one.pid,
                    **known,
                    "runs_as": pghalib.preflight.identity.of(known["cmdline"]) if asked else None,
                }
            )
    return found


def places(found: Iterable[Process], settings: Settings) -> dict[str, str]:
    """
    Return where the paths lead that identify our services, and the paths in their users' processes: ``{path: real
    path}``. Only links of root's are followed.

    found
        The result of :py:func:`processes`.
    settings
        The result of ``pgha.settings``.
    """
    ours = ("root", settings["consul"]["user"], settings["postgres"]["user"])
    named = [path for one in found if one["user"] in ours for path in pghalib.preflight.foreign.named(one)]
    return {path: pghalib.host.descriptors.real(path) for path in [*pghalib.preflight.foreign.paths(settings), *named]}


def _process(pid: int | None) -> Known:
    """Facts of a process, made printable."""
    try:
        process = psutil.Process(pid) if pid else None
        if process:
            printable = pghalib.text.printable
            return {
                "name": printable(process.name()),
                "user": process.username(),
                "cmdline": [printable(word) for word in process.cmdline()],
                "cwd": printable(process.cwd()),
            }
    except psutil.Error:
        pass
    return {"name": "", "user": None, "cmdline": [], "cwd": None}
