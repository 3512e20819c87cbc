"""Locks between processes, in files that only root can open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.errors
import pghalib.host.descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def held(path: str | Path, seconds: float) -> Iterator[int]:
    """
    Context manager: a lock between processes; the kernel releases it when its holder ends. Gives its descriptor.

    path
        The lock's file, in a directory of root's. It is made with 0600, so no other user can hold the lock.
    seconds
        How long to wait for the lock.

    Raises CommandExecutionError when another process keeps the lock for longer, or when the file cannot be made.
    """
    handle = take(path, seconds)
    try:
        yield handle
    finally:
        os.close(handle)


def take(path: str | Path, seconds: float) -> int:
    """
    Take a lock as :py:func:`held` does, and return its descriptor. The lock is held until the descriptor is closed,
    or until this process and all that inherited the descriptor have ended.

    Raises CommandExecutionError when another process has held the lock for so many seconds.
    """
    target = Path(path)
    with pghalib.errors.about(str(path)), pghalib.host.descriptors.trusted(target.parent) as directory:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(target.name, flags, 0o600, dir_fd=directory)
    try:
        # An older version may have made the file open to all.
        os.fchmod(handle, 0o600)
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise CommandExecutionError(
                        f"Another process has had the lock {path} for {seconds} s (fuser {path} names it)"
                    )
                time.sleep(0.05)
    except BaseException:
        os.close(handle)
        raise
