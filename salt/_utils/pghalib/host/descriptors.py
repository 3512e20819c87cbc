"""
Directories and files as descriptors: a path is walked down name by name, and no link is followed that another user can
have put there.
"""

import contextlib
import grp
import os
import pwd
import stat

from salt.exceptions import CommandExecutionError

import pghalib.errors

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOPS = 20


@contextlib.contextmanager
def opened(path):
    """
    Context manager: a directory, open, as ``(descriptor, stranger)``.

    path
        Its absolute path. Links of root's in a directory of root's are followed, others are not.

    ``stranger`` is the first directory on the way, or this one, that belongs to another user than root and the one of
    this process, or that another may write in; None when there is none. A sticky one of root's counts as root's here:
    in it nobody moves what is not his.

    Raises FileNotFoundError when it is not there, OSError when it is no directory or lies behind a link of another's.
    """
    handle, stranger = _open(os.path.abspath(path), 0)
    try:
        yield handle, stranger
    finally:
        os.close(handle)


@contextlib.contextmanager
def trusted(path, sticky=False):
    """
    Context manager: the descriptor of a directory in which, and on the way to which, nobody but root and the user of
    this process can change a thing.

    path
        Its absolute path.
    sticky
        True: it may be a sticky one of root's that others may write in.

    Raises CommandExecutionError for any other directory, OSError when it cannot be opened.
    """
    with opened(path) as (handle, stranger):
        if not stranger and not sticky and os.fstat(handle).st_mode & 0o022:
            stranger = path
        if stranger:
            info = os.stat(stranger)
            owner = f"{name_of(pwd.getpwuid, info.st_uid)}:{name_of(grp.getgrgid, info.st_gid)}"
            raise CommandExecutionError(
                f"Root writes nothing in {path}: others than root may change {stranger} ({owner},"
                f" {stat.S_IMODE(info.st_mode):04o}) and could lead it elsewhere. Make that root's: chown root"
                f" {stranger}; chmod go-w {stranger}"
            )
        yield handle


def regular(directory, name):
    """
    Open a file for reading and return its descriptor. Nothing is waited for, such as a pipe's writer.

    directory
        Descriptor of its directory.
    name
        Its name in it.

    Raises ValueError that says what it is when it is no regular file, OSError when it cannot be opened.
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


def content(handle, limit, tail=False):
    """
    Return the bytes of an open file.

    handle
        Its descriptor.
    limit
        How many are read at most.
    tail
        True: of a larger file the last ones.

    Raises ValueError for a larger file.
    """
    size = os.fstat(handle).st_size
    if size > limit and not tail:
        raise ValueError(f"a file of {size} bytes, of which no more than {limit} can be right")
    os.lseek(handle, max(0, size - limit), os.SEEK_SET)
    with os.fdopen(os.dup(handle), "rb") as stream:
        return stream.read(limit)


def directory(path, *, user, group, mode, test):
    """
    Bring a directory to the given owner and mode, and make it where it is missing.

    path
        Absolute path. The directory above it must exist (in test mode it need not).
    user, group
        Names of the owner. In test mode they need not exist yet.
    mode
        Permission bits as an octal string, e.g. ``"0700"``.
    test
        True: nothing is touched.

    Returns the changes; ``made`` is among them when it is missing. Raises CommandExecutionError when something is to be
    changed and another user can change the directory above, and when it cannot be done.
    """
    # One that is a link of root's, to another disk, say, is the directory that it leads to.
    above, name = os.path.split(real(path))
    try:
        with contextlib.ExitStack() as stack:
            changes = {"made": {"old": None, "new": path}}
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
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            # A step of the way, where the whole is meant.
            error.filename = error.filename2 = None
        raise CommandExecutionError(pghalib.errors.sentence(error, path))


def ids(user, group):
    """Return the numbers of a user and a group by their names; ValueError says which of them is not there."""
    found = []
    for lookup, name, what in ((pwd.getpwnam, user, "user"), (grp.getgrnam, group, "group")):
        try:
            found.append(lookup(name)[2])
        except KeyError:
            raise ValueError(f"there is no {what} {name} on this host to give it to") from None
    return found


def ownership(info, user, group, mode):
    """
    Return how owner and mode of what ``info`` (of stat) describes differ from what is wanted, as changes.

    user, group
        Names of the owner.
    mode
        Permission bits as an octal string.
    """
    changes = {}
    owner = f"{name_of(pwd.getpwuid, info.st_uid)}:{name_of(grp.getgrgid, info.st_gid)}"
    if owner != f"{user}:{group}":
        changes["owner"] = {"old": owner, "new": f"{user}:{group}"}
    bits = f"{stat.S_IMODE(info.st_mode):04o}"
    if int(bits, 8) != int(mode, 8):
        changes["mode"] = {"old": bits, "new": mode}
    return changes


def real(path):
    """
    Return where a path leads, for comparing it with another one: links of root's are followed, no others. A path that
    leads to no directory keeps its last name, or all of its names where that cannot be told.

    path
        Absolute path.
    """
    path = os.path.normpath(path)
    for directory, rest in ((path, ""), os.path.split(path)):
        with contextlib.suppress(OSError), opened(directory) as (handle, _):
            return os.path.normpath(os.path.join(os.readlink(f"/proc/self/fd/{handle}"), rest))
    return path


def owner(path):
    """
    Return ``user``, ``group`` and ``mode`` of a file that is there, in the words that ``pghalib.host.files.manage``
    takes, so that one which belongs to others keeps them.

    path
        Its absolute path. Raises OSError when it is not there.
    """
    info = os.stat(path)
    user, group = name_of(pwd.getpwuid, info.st_uid), name_of(grp.getgrgid, info.st_gid)
    return {"user": user, "group": group, "mode": f"{stat.S_IMODE(info.st_mode):04o}"}


def name_of(lookup, number):
    """Return the name of a user or group (``lookup`` is getpwuid or getgrgid), or the number when it has none."""
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)


def _ours(info):
    return info.st_uid in (0, os.geteuid())


def _open(path, hops):
    at, handle, stranger = "/", os.open("/", _FLAGS), None
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
                handle = None
                return _open(os.path.normpath(os.path.join(at, link, *names[index + 1 :])), hops + 1)
            os.close(handle)
            handle, at = child, os.path.join(at, name)
            info = os.fstat(handle)
            if not _ours(info) or (info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX):
                stranger = stranger or at
        return handle, stranger
    except BaseException:
        if handle is not None:
            os.close(handle)
        raise


def _link(name, directory):
    """Where a link of ours leads; None for anything else."""
    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return os.readlink(name, dir_fd=directory) if stat.S_ISLNK(info.st_mode) and _ours(info) else None
