"""
The facts of a host that the preflight judges: its system, its disks, PostgreSQL's data directory. Nothing is changed.
"""

import os
import platform
import re
import shutil
import socket
from pathlib import Path

import psutil
from salt.exceptions import CommandExecutionError

import pghalib.host.files
import pghalib.text


def host(paths, addresses):
    """
    Return the facts of this host: ``release`` (os-release), ``machine``, ``systemd``, ``hostname``, ``memory_mb``,
    ``disks`` (of each path ``path``, ``free_mb``, ``in_use``), ``addresses`` and ``interfaces``.

    paths
        Directories that need space; they need not exist yet.
    addresses
        The result of ``pgha_vip.addresses``.
    """
    try:
        release = platform.freedesktop_os_release()
    except (OSError, ValueError):
        # The file is missing or not UTF-8: an unknown system, which is a warning.
        release = {}
    return {
        "release": release,
        "machine": platform.machine(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "hostname": socket.gethostname(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "disks": [_disk(path) for path in paths],
        "addresses": addresses,
        "interfaces": _interfaces(),
    }


def data_directory(path):
    """
    Return the state of PostgreSQL's data directory: ``path``, ``entries`` (names at its top), ``version`` (of the data,
    None without data) and ``link`` (whether the last name of the path is a link).

    path
        Absolute path, which need not exist.

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
    return {"path": str(path), "entries": entries, "version": version, "link": path.is_symlink()}


def _disk(path):
    """Return the free space at the place of a directory, and whether the directory is already in use."""
    there = Path(path)
    in_use = there.is_dir() and any(there.iterdir())
    while not there.exists():
        there = there.parent
    return {"path": str(path), "free_mb": shutil.disk_usage(there).free // 2**20, "in_use": in_use}


def _interfaces():
    """Read by system calls: in a container /sys may show another network namespace."""
    found = psutil.net_if_stats().items()
    return {name: {"loopback": "loopback" in stats.flags.split(",")} for name, stats in found}
