"""
Errors of the system (no right, no space, a file system that is read-only) as one sentence with the path, in place of a
traceback.
"""

import contextlib
import errno
import functools
import inspect

from salt.exceptions import CommandExecutionError, SaltException

import pghalib.text

REMEDIES = {
    errno.ENOSPC: "make room there (df -h and df -i show how much is left)",
    errno.EDQUOT: "make room there, or raise the quota",
    errno.EROFS: "mount it read-write",
    errno.EACCES: "root is kept from it by a mount, an attribute (lsattr) or a security module",
    errno.EPERM: "root is kept from it by a mount, an attribute (lsattr) or a security module",
    errno.EIO: "the disk is failing; see dmesg",
}
# What a person can correct. Anything else is a fault of the formula, whose traceback shows where.
MENDABLE = (SaltException, OSError, UnicodeError)


def sentence(error, path=None):
    """
    Return what an exception says, as one line: the path, what is wrong with it, and what would be right.

    error
        One of ``MENDABLE``.
    path
        What was worked on, for an error that does not say it.
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
def at(path):
    """Context manager: what goes wrong in it becomes a CommandExecutionError whose sentence begins with the path."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise CommandExecutionError(sentence(error, path)) from None


def told(function):
    """
    Decorator of a state: an error that a person can correct is its comment, and its result is False.

    What a state does on the way it tells itself; this is for what it does not expect.
    """

    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except MENDABLE as error:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            return {"name": given.arguments["name"], "result": False, "changes": {}, "comment": sentence(error)}

    return wrapped
