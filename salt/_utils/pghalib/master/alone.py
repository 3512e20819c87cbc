"""
One orchestration, or one drill, runs on a master at a time: the kernel keeps the lock (flock) and releases it when its
holder ends, in whatever way.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.secrets.store

if TYPE_CHECKING:
    from pathlib import Path


def lock(path: Path) -> None:
    """
    Take the lock until this process and its child processes have ended.

    path
        Directory of the store; made when it does not exist.

    Raises CommandExecutionError that names the holder, or the remedy when the lock cannot be made.
    """
    pghalib.secrets.store.prepare(path)
    # Not closed, on purpose: the lock must last as long as the process.
    try:
        handle = os.open(path / ".orchestration.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandExecutionError(pghalib.secrets.store.unwritable(path, error)) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 100, 0).decode() or "unknown"
        os.close(handle)
        raise CommandExecutionError(
            f"Another orchestration is running on this master (process {holder}); wait for its end. Nothing was touched"
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
