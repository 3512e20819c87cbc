"""
Errors of the system (no right, no space, a read-only file system) as one sentence with the path, instead of a
traceback.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError, SaltException

import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDIES = {
    errno.ENOSPC: "make room there (df -h and df -i show how much is left)",
    errno.EDQUOT: "make room there, or raise the quota",
    errno.EROFS: "mount it read-write",
    errno.EACCES: "root is kept from it by a mount, an attribute (lsattr) or a security module",
    errno.EPERM: "root is kept from it by a mount, an attribute (lsattr) or a security module",
    errno.EIO: "the disk is failing; see dmesg",
}
# Errors that a person can correct. Any other error is a fault of the formula; its traceback shows where.
REPAIRABLE = (SaltException, OSError, UnicodeError)


def sentence(error: Exception, path: str | None = None) -> str:
    """
    Return the message of an exception as one line: the path, what is wrong with it, and the remedy.

    error
        One of ``REPAIRABLE``.
    path
        The path in question, for an error that does not name one.
    """
    if not isinstance(error, OSError):
        text = f"not UTF-8 ({error})" if isinstance(error, UnicodeDecodeError) else str(error)
        return f"{path}: {text}" if path else text
    named = [one for one in (error.filename, error.filename2) if one is not None]
    where = " -> ".join(map(pghalib.text.printable, named)) or path
    text = error.strerror or str(error) or type(error).__name__
    remedy = f": {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
    return f"{where}: {text}{remedy}" if where else f"{text}{remedy}"


@contextlib.contextmanager
def at(path: str) -> Iterator[None]:
    """Context manager: raises an error in it as CommandExecutionError, whose sentence begins with the path."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise CommandExecutionError(sentence(error, path)) from None


@contextlib.contextmanager
def about(path: str) -> Iterator[None]:
    """
    Context manager: as :py:func:`at`, for work on one file that touches others on the way. It raises a ValueError as
    CommandExecutionError, too. The sentence names only the intended path, not the one of the error.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            error.filename = error.filename2 = None
        raise CommandExecutionError(sentence(error, path))
