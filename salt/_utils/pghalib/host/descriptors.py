"""
Directories and files as descriptors: a path is opened name by name, and a link that another user may have made is not
followed.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pghalib.host.diff import Change

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOPS = 20
_CLOSED = -1


class Owner(TypedDict):
    """Owner and mode of a file: names, and permission bits as an octal string."""

    user: str
    group: str
    mode: str


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[tuple[int, str | None]]:
    """
    Context manager: a directory, open, as ``(descriptor, stranger)``.

    path
        Its absolute path. Links of root's in a directory of root's are followed, others are not.

    ``stranger`` is the first directory on the path (its end included) that belongs neither to root nor to the user of
    this process, or that another user can write to; None when there is none. A sticky directory of root's is no
    stranger: in it nobody can move the files of others.

    Raises FileNotFoundError when it does not exist, OSError when it is no directory or lies behind another user's link.
    """
    handle, stranger = _open(os.path.abspath(path), 0)
    try:
        yield handle, stranger
    finally:
        os.close(handle)


@contextlib.contextmanager
def trusted(path: str | Path, sticky: bool = False) -> Iterator[int]:
    """
    Context manager: the descriptor of a directory that only root and the user of this process can change; the same
    holds for every directory above it.

    path
        Its absolute path.
    sticky
        True: a sticky directory of root's is allowed too, although others can write to it.

    Raises CommandExecutionError for any other directory, OSError when it cannot be opened.
    """
    with opened(path) as (handle, stranger):
        if not stranger and not sticky and os.fstat(handle).st_mode & 0o022:
            stranger = str(path)
        if stranger:
            its = owner(stranger)
            raise CommandExecutionError(
                f"Root writes nothing in {path}: others than root may change {stranger} ({its['user']}:{its['group']},"
                f" {its['mode']}) and could lead it elsewhere. Make that root's: chown root {stranger}; chmod go-w"
                f" {stranger}"
            )
        yield handle


def regular(directory: int, name: str) -> int:
    """
    Open a file for reading and return its descriptor. The call never blocks, not even for a pipe's writer.

    directory
        Descriptor of its directory.
    name
        Its name in that directory.

    Raises ValueError with the kind of file when it is no regular file, OSError when it cannot be opened.
    """
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory"}
    kind = stat.S_IFMT(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(kinds.get(kind, "a pipe, socket or device"))
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("no regular file")
    return handle


def content(handle: int, limit: int, tail: bool = False) -> bytes:
    """
    Return the bytes of an open file.

    handle
        Its descriptor.
    limit
        The most bytes that are read.
    tail
        True: return the last bytes of a larger file.

    Raises ValueError for a larger file without ``tail``.
    """
    size = os.fstat(handle).st_size
    if size > limit and not tail:
        raise ValueError(f"a file of {size} bytes, of which no more than {limit} can be right")
    os.lseek(handle, max(0, size - limit), os.SEEK_SET)
    with os.fdopen(os.dup(handle), "rb") as stream:
        return stream.read(limit)


def directory(path: str, *, user: str, group: str, mode: str, test: bool) -> dict[str, Change]:
    """
    Give a directory its owner and mode, and make it when it is missing.

    path
        Absolute path. The directory above it must exist (in test mode it need not).
    user, group
        Names of the owner. In test mode they need not exist yet.
    mode
        Permission bits as an octal string, e.g. ``"0700"``.
    test
        True: nothing is touched.

    Returns the changes; ``made`` is among them when it is missing. Raises CommandExecutionError when a change is needed
    and another user can change the directory above, or when the change fails.
    """
    # A link of root's (to another disk, for example) stands for the directory that it leads to.
    above, name = os.path.split(real(path))
    with pghalib.errors.about(path), contextlib.ExitStack() as stack:
        changes: dict[str, Change] = {"made": {"old": None, "new": path}}
        with contextlib.suppress(FileNotFoundError):
            changes = ownership(os.fstat(stack.enter_context(opened(path))[0]), user, group, mode)
        if test or not changes:
            return changes
        parent = stack.enter_context(trusted(above))
        if "made" in changes:
            os.mkdir(name, 0o700, dir_fd=parent)
        handle = os.open(name, _FLAGS, dir_fd=parent)
        stack.callback(os.close, handle)
        os.fchown(handle, *ids(user, group))
        os.fchmod(handle, int(mode, 8))
        return changes


def ids(user: str, group: str) -> list[int]:
    """Return the numbers of a user and a group by their names. Raises ValueError that names the one that is missing."""
    found = []
    for lookup, name, what in ((pwd.getpwnam, user, "user"), (grp.getgrnam, group, "group")):
        try:
            found.append(lookup(name)[2])
        except KeyError:
            raise ValueError(f"there is no {what} {name} on this host to give it to") from None
    return found


def ownership(info: os.stat_result, user: str, group: str, mode: str) -> dict[str, Change]:
    """
    Return the changes that owner and mode of a file need; ``info`` is its result of stat.

    user, group
        Names of the owner.
    mode
        Permission bits as an octal string.
    """
    changes: dict[str, Change] = {}
    its = described(info)
    if (its["user"], its["group"]) != (user, group):
        changes["owner"] = {"old": f"{its['user']}:{its['group']}", "new": f"{user}:{group}"}
    if int(its["mode"], 8) != int(mode, 8):
        changes["mode"] = {"old": its["mode"], "new": mode}
    return changes


def real(path: str) -> str:
    """
    Return where a path leads, to compare it with another path. Only links of root's are followed. When the path leads
    to no directory, its last name is kept; when the directory above cannot be opened either, the whole path is kept.

    path
        Absolute path.
    """
    path = os.path.normpath(path)
    for directory, rest in ((path, ""), os.path.split(path)):
        with contextlib.suppress(OSError), opened(directory) as (handle, _):
            return os.path.normpath(os.path.join(os.readlink(f"/proc/self/fd/{handle}"), rest))
    return path


def owner(path: str | Path) -> Owner:
    """
    Return ``user``, ``group`` and ``mode`` of an existing file, in the form that ``pghalib.host.files.manage`` takes:
    so a file of another owner keeps its owner and mode.

    path
        Its absolute path. Raises OSError when it does not exist.
    """
    return described(os.stat(path))


def described(info: os.stat_result) -> Owner:
    """Return what :py:func:`owner` returns, of a file of which this is the result of stat."""
    user, group = _name(pwd.getpwuid, info.st_uid), _name(grp.getgrgid, info.st_gid)
    return {"user": user, "group": group, "mode": f"{stat.S_IMODE(info.st_mode):04o}"}


def _name(lookup: Callable[[int], pwd.struct_passwd] | Callable[[int], grp.struct_group], number: int) -> str:
    """The name of a user or group (``lookup`` is getpwuid or getgrgid), or its number when it has no name."""
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)


def _ours(info: os.stat_result) -> bool:
    return info.st_uid in (0, os.geteuid())


def _open(path: str, hops: int) -> tuple[int, str | None]:
    at, handle = "/", os.open("/", _FLAGS)
    stranger: str | None = None
    try:
        names = [name for name in path.split("/") if name]
        for index, name in enumerate(names):
            try:
                child = os.open(name, _FLAGS, dir_fd=handle)
            except OSError:
                link = None if stranger or hops == _HOPS else _link(name, handle)
                if link is None:
                    raise
                os.close(handle)
                handle = _CLOSED
                return _open(os.path.normpath(os.path.join(at, link, *names[index + 1 :])), hops + 1)
            os.close(handle)
            handle, at = child, os.path.join(at, name)
            info = os.fstat(handle)
            if not _ours(info) or (info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX):
                stranger = stranger or at
        return handle, stranger
    except BaseException:
        if handle != _CLOSED:
            os.close(handle)
        raise


def _link(name: str, directory: int) -> str | None:
    """The target of a link that belongs to root or to this process's user; None for anything else."""
    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return os.readlink(name, dir_fd=directory) if stat.S_ISLNK(info.st_mode) and _ours(info) else None
