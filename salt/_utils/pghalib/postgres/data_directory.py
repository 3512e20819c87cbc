"""
What is in a data directory of PostgreSQL: whose data, whether a server has it open, the last errors in its log. All of
it belongs to the user of PostgreSQL, so it is read as data of others.
"""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.host.files
import pghalib.postgres.settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.host.users import Ran


class State(TypedDict):
    """What is in a data directory, see :py:func:`state`."""

    path: str
    exists: bool
    empty: bool
    version: str | None
    identifier: str | None
    patroni: bool
    running: bool


def state(root: str | Path, control: Callable[[], Ran]) -> State:
    """
    Return the state of a data directory: ``path``, ``exists``, ``empty``, ``version`` (from PG_VERSION), ``identifier``
    (the system identifier, None without a readable control file), ``patroni`` (Patroni has worked on it) and
    ``running`` (a postmaster has it open).

    root
        Path of the directory, which need not exist.
    control
        A function without arguments that runs pg_controldata on it and returns the result of ``cmd.run_all``. It is
        called only when there is a control file.

    Raises CommandExecutionError when PG_VERSION is no regular file.
    """
    root = Path(root)
    names = {entry.name for entry in root.iterdir()} if root.is_dir() else set()
    # A new file system contains this directory from the start.
    names.discard("lost+found")
    facts: State = {
        "path": str(root),
        "exists": root.is_dir(),
        "empty": not names,
        "version": (pghalib.host.files.read_foreign(str(root / "PG_VERSION"), 64) or "").strip() or None,
        "identifier": None,
        "patroni": bool(names & {"patroni.dynamic.json", "postgresql.base.conf"}),
        "running": postmaster(root) is not None,
    }
    if (root / "global/pg_control").exists():
        result = control()
        if result["retcode"] == 0:
            found = pghalib.postgres.settings.control_data(result["stdout"])
            facts["identifier"] = found.get("Database system identifier")
    return facts


def postmaster(root: str | Path) -> int | None:
    """Return the process id of the server that has a data directory (a path) open, or None."""
    try:
        text = pghalib.host.files.read_foreign(str(Path(root, "postmaster.pid")), 4096) or ""
        pid = int(text.split("\n", 1)[0])
        return pid if Path(os.readlink(f"/proc/{pid}/cwd")).samefile(root) else None
    except (OSError, ValueError, CommandExecutionError):
        return None


def strangers(root: str | Path, user: str) -> str | None:
    """
    Return a sentence when the data in a data directory belong to another user than the server's: those of a disk that
    was kept while the system was installed anew, with another number for that user. Only the directory itself would be
    given to the user, who then could not read the data. None without data, without such a user, and under a server.

    root
        Path of the directory, which need not exist.
    user
        Name of the server's user.
    """
    try:
        owner, wanted = os.lstat(Path(root, "PG_VERSION")).st_uid, pwd.getpwnam(user)
    except (OSError, KeyError):
        return None
    if owner == wanted.pw_uid or postmaster(root) is not None:
        return None
    return (
        f"the data in {root} belong to the user with the number {owner}, and {user} has {wanted.pw_uid} here: if they"
        f" are this cluster's, chown -R {user}: {root}, and the directories to which links in it lead (pg_wal,"
        f" pg_tblspc), else move them aside (mv {root} {root}.old)"
    )


def astray(root: str | Path, socket_dir: str) -> bool:
    """
    Return whether the server of a data directory works without its configuration: it has its socket in another
    directory. Patroni writes ``postgresql.conf`` in place, so a server that starts in that moment reads an empty file.

    root, socket_dir
        Paths. The socket of a server that was killed stays where it was, so the server's own word counts: the fifth
        line of ``postmaster.pid``, see PostgreSQL's miscadmin.h.
    """
    if postmaster(root) is None:
        return False
    lines = (pghalib.host.files.read_foreign(str(Path(root, "postmaster.pid")), 4096) or "").split("\n")
    return len(lines) > 4 and lines[4].strip() not in ("", socket_dir)


def log_errors(directory: str | Path, lines: int) -> list[str]:
    """
    Return the last errors (FATAL, PANIC) from a server's log, as a list of lines; none when nothing was logged in the
    last minute. When the log cannot be read, the reason is the only line.

    directory
        Path of the logs.
    lines
        How many at most.
    """
    recent = [path for path in Path(directory).glob("*.log") if time.time() - path.lstat().st_mtime < 60]
    if not recent:
        return []
    newest = max(recent, key=lambda path: path.lstat().st_mtime)
    try:
        text = pghalib.host.files.read_foreign(str(newest), 65536, tail=True) or ""
    except CommandExecutionError as error:
        return [str(error)]
    return [line for line in text.splitlines() if "FATAL: " in line or "PANIC: " in line][-lines:]
