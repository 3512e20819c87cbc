"""
Files that the formula writes: they are compared, checked before the old file is replaced, and replaced by a rename.
Secrets are masked.

Root works with descriptors here, in directories that only root can change. A file gets its owner and mode before its
content, and no name is looked up twice. Files in directories of another user are only read, as data.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.errors
import pghalib.host.descriptors
from pghalib.host.diff import diff, mask

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pghalib.shapes import Json

    # Gets the path of a draft, returns its fault.
    Check = Callable[[str], str | None]

# The most bytes that are read of a file: more than any of our files has, and little for a host's memory.
LIMIT = 16 * 1024 * 1024


class Done(TypedDict):
    """What was done to one thing, such as a file. The result is None when it would be done, in a dry run."""

    result: bool | None
    changes: dict[str, Json]
    comment: str


def manage(
    path: str,
    content: str,
    *,
    user: str,
    group: str,
    mode: str,
    test: bool,
    check: Check | None = None,
    secrets: Collection[str] = (),
    sticky: bool = False,
) -> Done:
    """
    Give a file its content, owner and mode, and return what changed.

    path
        Absolute path. Its directory must exist (in test mode it need not: a real run would have made it).
    content
        The whole text.
    user, group
        Names of the owner. In test mode they need not exist yet.
    mode
        Permission bits as an octal string, e.g. ``"0600"``.
    test
        True: nothing is touched.
    check
        A function that gets the path of a draft with the new content: in the same directory, with the same owner and
        mode, but with another suffix. It returns None when the draft is good, else the fault as text. Not called in
        test mode or when the content does not change.
    secrets
        Strings that must not be seen in the changes.
    sticky
        True: the directory may be a sticky directory of root's that others can write to.

    Returns the keys ``result``, ``changes`` and ``comment`` of a state. The file is replaced by a rename: a reader sees
    the old file or the new one, never a part. Anything but a regular file, such as a link, is itself replaced.
    Leftovers of an interrupted write of this file are removed.

    Raises CommandExecutionError when another user can change the directory, and when the file cannot be written.
    """
    target = Path(path)
    with pghalib.errors.about(path), contextlib.ExitStack() as stack:
        directory = _directory(stack, target.parent, test, sticky)
        leftovers = _leftovers(directory, target.name)
        left: dict[str, Json] = {"leftovers": {"old": leftovers, "new": None}} if leftovers else {}
        kind, handle = _existing(stack, directory, target.name)
        old = None if handle is None else pghalib.host.descriptors.content(handle, LIMIT).decode(errors="replace")
        changes: dict[str, Json] = {"kind": {"old": kind, "new": "a regular file"}} if kind else {}
        if old != content:
            changes["diff"] = diff(old, content, secrets)
        if handle is not None:
            changes.update(pghalib.host.descriptors.ownership(os.fstat(handle), user, group, mode))
        if not changes and not left:
            return {"result": True, "changes": {}, "comment": f"{path} is as it should be."}
        # Only in test mode can the directory be missing.
        if test or directory is None:
            return {"result": None, "changes": {**left, **changes}, "comment": f"{path} would be written."}
        for name in leftovers:
            os.unlink(name, dir_fd=directory)
        if not changes:
            comment = f"What an interrupted run had left of {path} was removed."
            return {"result": True, "changes": left, "comment": comment}
        uid, gid = pghalib.host.descriptors.ids(user, group)
        # A file with a second name (hard link) may lie elsewhere too, where this owner and mode would be wrong.
        if handle is not None and "diff" not in changes and os.fstat(handle).st_nlink == 1:
            os.fchown(handle, uid, gid)
            os.fchmod(handle, int(mode, 8))
            return {"result": True, "changes": {**left, **changes}, "comment": f"Owner and mode of {path} were set."}
        error = _replace(directory, target, content, uid, gid, int(mode, 8), check)
    if error:
        comment = f"{path} was left as it is, because its new content is refused: {mask(error, secrets)}"
        return {"result": False, "changes": left, "comment": comment}
    return {"result": True, "changes": {**left, **changes}, "comment": f"{path} was written."}


def remove(path: str, *, test: bool) -> list[str]:
    """
    Remove a file and the leftovers of its interrupted writes, and sync the directory to the disk, so that they do not
    come back after a crash of the host. A link is removed itself.

    path
        Absolute path.
    test
        True: nothing is touched.

    Returns a list of the names that are, or would be, removed. Raises CommandExecutionError as :py:func:`manage`.
    """
    target = Path(path)
    with pghalib.errors.about(path), contextlib.ExitStack() as stack:
        if not os.path.lexists(target.parent):
            return []
        directory = _directory(stack, target.parent, test, False)
        names = _leftovers(directory, target.name)
        if target.name in _names(directory):
            names.append(target.name)
        # Only in test mode can the directory be missing.
        if test or directory is None or not names:
            return names
        for name in names:
            os.unlink(name, dir_fd=directory)
        os.fsync(directory)
    return names


def read_foreign(path: str, limit: int = LIMIT, tail: bool = False) -> str | None:
    """
    Return the text of a file in a directory that another user can write to, or None when it does not exist. Bytes that
    are not UTF-8 are replaced.

    path
        Absolute path. A link that another user may have made is not followed.
    limit
        The most bytes that are read.
    tail
        True: return the last ``limit`` bytes of a larger file.

    Raises CommandExecutionError when it is no regular file, lies behind a link, or is larger.
    """
    content = _foreign(path, limit, tail)
    return None if content is None else content.decode(errors="replace")


def peek(path: str, limit: int = 2**20) -> str | None:
    """
    Return the text of a file as :py:func:`read_foreign` does, and None also when that is refused: it is no regular
    file, lies behind a link, or is larger than ``limit`` bytes.
    """
    try:
        return read_foreign(path, limit)
    except CommandExecutionError:
        return None


def digest(path: str) -> str | None:
    """
    Return the SHA-256 of a file as hexadecimal digits; None when it is missing, ``unreadable`` when it may not be read
    (see :py:func:`read_foreign`).
    """
    try:
        content = _foreign(path, LIMIT)
    except CommandExecutionError:
        return "unreadable"
    return None if content is None else hashlib.sha256(content).hexdigest()


def write_private(path: str, content: str) -> None:
    """
    Write a file that only its owner may read (0600) in place of the old one, and sync it to the disk, so that it
    survives a crash of the host. Leftovers of an interrupted write of this file are removed.

    Returns nothing; raises CommandExecutionError as :py:func:`manage`.
    """
    target = Path(path)
    with pghalib.errors.about(path), pghalib.host.descriptors.trusted(target.parent) as directory:
        for name in _leftovers(directory, target.name):
            os.unlink(name, dir_fd=directory)
        _replace(directory, target, content, os.geteuid(), os.getegid(), 0o600, None)


def _directory(stack: contextlib.ExitStack, path: Path, test: bool, sticky: bool) -> int | None:
    """The descriptor of a file's directory, None when a run would make it. In test mode any directory is good."""
    if not test:
        return stack.enter_context(pghalib.host.descriptors.trusted(path, sticky))
    try:
        return stack.enter_context(pghalib.host.descriptors.opened(path))[0]
    except FileNotFoundError:
        return None


def _existing(stack: contextlib.ExitStack, directory: int | None, name: str) -> tuple[str | None, int | None]:
    """What a name stands for: (kind, when it is no regular file; descriptor, when it is one). The other is None."""
    try:
        handle = None if directory is None else pghalib.host.descriptors.regular(directory, name)
    except FileNotFoundError:
        return None, None
    except ValueError as error:
        return str(error), None
    if handle is not None:
        stack.callback(os.close, handle)
    return None, handle


def _foreign(path: str, limit: int, tail: bool = False) -> bytes | None:
    target = Path(path)
    try:
        with contextlib.ExitStack() as stack:
            directory, _ = stack.enter_context(pghalib.host.descriptors.opened(target.parent))
            handle = pghalib.host.descriptors.regular(directory, target.name)
            stack.callback(os.close, handle)
            return pghalib.host.descriptors.content(handle, limit, tail)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CommandExecutionError(f"{path} is not read: it is {error}")
    except OSError as error:
        raise CommandExecutionError(f"{path} is not read: {error.strerror}")


def _names(directory: int | None) -> list[str]:
    return [] if directory is None else os.listdir(directory)


def _leftovers(directory: int | None, name: str) -> list[str]:
    """Names of drafts of a file that never replaced it: by the present pattern, and by that of older versions."""
    once = rf"[a-z0-9_]{{8}}{re.escape(Path(name).suffix)}"
    draft = re.compile(rf"\.{re.escape(name)}\.(pgha-[0-9a-f]{{16}}|{once})")
    return sorted(one for one in _names(directory) if draft.fullmatch(one) and _is_file(directory, one))


def _is_file(directory: int | None, name: str) -> bool:
    return not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _replace(
    directory: int, target: Path, content: str, uid: int, gid: int, mode: int, check: Check | None
) -> str | None:
    # The draft has another suffix, so a daemon that reads all files of its directory by suffix does not read it.
    name = f".{target.name}.pgha-{os.urandom(8).hex()}"
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            stream.write(content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        error = check(str(target.parent / name)) if check else None
        if not error:
            os.rename(name, target.name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        return error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
