"""
The facts of a host that the preflight judges: its system, its disks, PostgreSQL's data directory. Nothing is changed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import psutil
from salt.exceptions import CommandExecutionError

import pghalib.host.files
import pghalib.host.os_release
import pghalib.host.space
import pghalib.postgres.data_directory
import pghalib.postgres.member_note
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pghalib.host.addresses import Address


class Disk(TypedDict):
    """The place of a directory: the free space, and whether the directory is in use already."""

    path: str
    free_mb: int
    in_use: bool


class Facts(TypedDict):
    """The facts of a host, see :py:func:`host`."""

    release: dict[str, str]
    machine: str
    systemd: bool
    watchdog: bool
    hostname: str
    memory_mb: int
    disks: list[Disk]
    addresses: list[Address]
    interfaces: dict[str, dict[str, bool]]


class Data(TypedDict):
    """The state of PostgreSQL's data directory, see :py:func:`data_directory`."""

    path: str
    entries: list[str]
    version: str | None
    link: bool
    root: bool
    settled: bool
    strangers: str | None


def host(paths: Iterable[str], addresses: list[Address]) -> Facts:
    """
    Return the facts of this host: ``release`` (os-release), ``machine``, ``systemd``, ``watchdog`` (whether there is a
    device), ``hostname``, ``memory_mb``, ``disks`` (of each path ``path``, ``free_mb``, ``in_use``), ``addresses`` and
    ``interfaces``.

    paths
        Directories that need space; they need not exist yet.
    addresses
        The result of ``pgha_vip.addresses``.
    """
    return {
        # Empty where the file is missing: an unknown system, which is a warning.
        "release": pghalib.host.os_release.read(),
        "machine": platform.machine(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "watchdog": Path("/dev/watchdog").is_char_device(),
        "hostname": socket.gethostname(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "disks": [_disk(path) for path in paths],
        "addresses": addresses,
        "interfaces": _interfaces(),
    }


def data_directory(path: str | Path, user: str) -> Data:
    """
    Return the state of PostgreSQL's data directory: ``path``, ``entries`` (names at its top), ``version`` (of the data,
    None without data), ``link`` (whether the last name of the path is a link), ``root`` (whether it is the root of a
    file system, or something else is mounted there), ``settled`` (see :py:func:`settled`) and ``strangers`` (see
    :py:func:`pghalib.postgres.data_directory.strangers`).

    path
        Absolute path, which need not exist.
    user
        Name of the server's user.

    Raises CommandExecutionError when it is no directory, or lies behind a link that leads nowhere.
    """
    path = Path(path)
    try:
        entries = sorted(os.listdir(path))
    except FileNotFoundError:
        broken = next((step for step in (path, *path.parents) if step.is_symlink() and not step.exists()), None)
        if broken:
            target = pghalib.text.printable(os.readlink(broken))
            raise CommandExecutionError(
                f"{broken} is a link to {target}, which is not there: mount the disk of the data, or correct the link"
            )
        entries = []
    except NotADirectoryError:
        raise CommandExecutionError(f"{path} is not a directory: move it away or set postgres:data_dir")
    # The user of PostgreSQL can write this file, and its text goes into a message.
    said = pghalib.host.files.read_foreign(str(path / "PG_VERSION"), 64) or ""
    version = said.strip() if re.fullmatch(r"\d+(\.\d+)*\s*", said) else None
    return {
        "path": str(path),
        "entries": entries,
        "version": version,
        "link": path.is_symlink(),
        "root": "lost+found" in entries or _mounted(path),
        "settled": settled(path),
        "strangers": pghalib.postgres.data_directory.strangers(path, user),
    }


def settled(path: str | Path) -> bool:
    """
    Return whether this host has data in PostgreSQL's data directory, or had some, by its note: what is odd about such a
    host does not stop a run.
    """
    return any(map(os.path.lexists, (f"{path}/PG_VERSION", pghalib.postgres.member_note.NOTE)))


def _mounted(path: Path) -> bool:
    """Whether something is mounted at a path, or where it leads: also a directory of the same file system."""
    real = os.path.realpath(path)
    return os.path.ismount(real) or real in [one.mountpoint for one in psutil.disk_partitions(all=True)]


def _disk(path: str) -> Disk:
    """Return the free space at the place of a directory, and whether the directory is already in use."""
    there = Path(path)
    in_use = there.is_dir() and any(there.iterdir())
    free = shutil.disk_usage(pghalib.host.space.nearest(path)).free
    return {"path": path, "free_mb": free // 2**20, "in_use": in_use}


def _interfaces() -> dict[str, dict[str, bool]]:
    """Read by system calls: in a container /sys may show another network namespace."""
    found = psutil.net_if_stats().items()
    return {name: {"loopback": "loopback" in stats.flags.split(",")} for name, stats in found}
