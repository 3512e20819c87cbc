"""
One orchestration, or one drill, runs on a master at a time: the kernel keeps the lock (flock) and releases it when its
holder ends, in whatever way. What the holder writes into the file is only for whom it keeps out.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from pathlib import Path

from salt.exceptions import CommandExecutionError

import pghalib.secrets.store
import pghalib.text

# The most bytes that are read of the lock file.
LIMIT = 500
_PROCESS = re.compile(r"[1-9][0-9]{0,9}")
_ORCHESTRATION, _DRILL = "orchestration", "drill of "


def lock(path: Path, drill: str | None = None, work: str = "") -> None:
    """
    Take the lock until this process and its child processes have ended.

    path
        Directory of the store; made when it does not exist.
    drill
        The cluster whose drill takes the lock; None for an orchestration.
    work
        What the orchestration does, such as ``the restore of test``, for whom the lock keeps out.

    Raises CommandExecutionError that names the holder and what to do, or the remedy when the lock cannot be made, and
    where this process does not end with the job.
    """
    # Salt's reactor has a pool of threads for runners; all other callers make a process for each job.
    if threading.current_thread() is not threading.main_thread():
        raise CommandExecutionError(
            "This runs in a thread of salt-master, as reactions do, and the lock would last as long as salt-master: let"
            " the reaction run salt-run as a program instead (cmd.run on the master's own minion). Nothing was touched"
        )
    pghalib.secrets.store.prepare(path)
    # Not closed, on purpose: the lock must last as long as the process.
    try:
        handle = os.open(path / ".orchestration.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandExecutionError(pghalib.secrets.store.unwritable(path, error)) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        content = os.pread(handle, LIMIT, 0)
        os.close(handle)
        raise CommandExecutionError(_refusal(content)) from None
    own = f"{_ORCHESTRATION}: {work}" if work else _ORCHESTRATION
    what = own if drill is None else f"{_DRILL}{drill}"
    since = pghalib.text.moment(time.time())
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n{what}\n{since}\n".encode()[:LIMIT], 0)


def taken(path: Path) -> bool:
    """Return whether an orchestration or a drill holds the lock in the directory of the store."""
    try:
        handle = os.open(path / ".orchestration.lock", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _refusal(content: bytes) -> str:
    """What is told to whom the lock keeps out, by the content of its file: process, holder, begin; a line each."""
    lines = [pghalib.text.line(one, 100) for one in content.decode(errors="replace").split("\n")]
    process, what, since, *_ = [*lines, "", "", ""]
    # The file is empty until its holder has written, and a process that has ended is an earlier holder.
    known = bool(_PROCESS.fullmatch(process)) and Path("/proc", process).exists()
    holder, remedy = "Another orchestration, or a drill,", "wait for its end"
    kind, _, work = what.partition(": ")
    if known and kind == _ORCHESTRATION:
        holder = f"Another orchestration, {work}," if work else "Another orchestration"
        remedy = f"{remedy} (salt-run pgha.watch shows how far it is)"
    elif known and what.startswith(_DRILL):
        holder, remedy = f"A drill of {what.removeprefix(_DRILL)}", f"{remedy}, or end it by Ctrl-C in its terminal"
    begin = f", since {since}" if known and since else ""
    about = f"process {process if known else 'unknown'}{begin}"
    return f"{holder} is running on this master ({about}): {remedy}. Nothing was touched"
