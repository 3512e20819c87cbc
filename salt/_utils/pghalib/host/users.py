"""Whose things are: programs that root starts as another user, and places that nobody but root can change."""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

# What a program of another user gets of the environment: root's TMPDIR may be closed to it, and proxies or variables of
# PostgreSQL that are set for the minion would lead it elsewhere.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}

SCRATCH = "/tmp"  # noqa: S108


def run(run_all, user, words, env=None, **options):
    """
    Run a program as another user and return what ``cmd.run_all`` returns; every program of the formula that is not to
    run as root is started here.

    run_all
        ``__salt__["cmd.run_all"]``.
    user
        Name of the user.
    words
        The program and its arguments, a list.
    env
        Variables of its environment beside ``ENVIRONMENT``; it gets none of this process.
    options
        More for ``cmd.run_all``, such as ``timeout``.

    The program has a session of its own, no terminal as its input, and so none that it could open: whoever runs as this
    user could push characters into root's own terminal (TIOCSTI), where root has called salt-call. runuser, as Salt's
    runas costs three processes more.
    """
    return run_all(
        ["setsid", "--wait", "runuser", "-u", user, "--", *words],
        python_shell=False,
        cwd="/",
        umask="022",
        stdin="",
        ignore_retcode=True,
        clean_env=True,
        env={**ENVIRONMENT, **(env or {})},
        **options,
    )


@contextlib.contextmanager
def scratch():
    """
    Context manager: the path of an empty directory that may be given to another user; it is removed at the end.

    Not in the TMPDIR of this process, which may be closed to everybody else.
    """
    place = tempfile.mkdtemp(prefix="pgha-", dir=SCRATCH)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def exposed(path):
    """
    Return the first step of the way to a path (the path itself included) that others than root can exchange or write
    to, None when there is none. A directory on the way may be like /tmp (sticky): what is root's in it stays.

    path
        Absolute path of something that is there. Links are followed, and the ways that they lead are looked at too.

    Raises OSError when it is not there.
    """
    os.path.realpath(path, strict=True)
    for step in _way(Path(path)):
        if not _roots(step, sticky=step != Path(path)):
            return str(step)
    return None


def roots_alone(tree):
    """
    Return True when a directory and everything in it belong to root, and nobody else can write to any of it.

    tree
        Path; False when it is not there, or is no directory. Links are not followed.
    """
    try:
        return stat.S_ISDIR(os.lstat(tree).st_mode) and _roots(tree) and all(map(_roots, _inside(tree)))
    except FileNotFoundError:
        return False


def _way(path):
    for step in [*reversed(path.parents), path]:
        yield step
        if step.is_symlink():
            yield from _way(step.parent / step.readlink())


def _inside(tree):
    for place, folders, files in os.walk(tree):
        yield from (os.path.join(place, name) for name in [*folders, *files])


def _roots(path, sticky=False):
    """Whether something is root's and nobody else can write to it; the mode of a link says nothing."""
    info = os.lstat(path)
    kept = stat.S_ISLNK(info.st_mode) or (sticky and info.st_mode & stat.S_ISVTX)
    return info.st_uid == 0 and bool(kept or not info.st_mode & 0o022)
