"""Users and owners: programs that root starts as another user, and paths that only root can change."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pghalib.shapes import Json

# The environment of a program of another user. The minion's is not passed on: root's TMPDIR may be closed to that user,
# and the minion's proxies or variables of PostgreSQL would lead the program to another server.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}

SCRATCH = "/tmp"  # noqa: S108


class Ran(TypedDict):
    """What is read of the result of ``cmd.run_all``."""

    retcode: int
    stdout: str
    stderr: str


def run(
    run_all: Callable[..., Ran],
    user: str,
    words: Sequence[str],
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    **options: Json,
) -> Ran:
    """
    Run a program as another user and return the result of ``cmd.run_all``. Every program of the formula that does not
    run as root is started here, or by ``pghalib.services.transient`` where it outlives the job.

    run_all
        ``__salt__["cmd.run_all"]``.
    user
        Name of the user.
    words
        The program and its arguments, a list.
    env
        More variables of its environment, added to ``ENVIRONMENT``. It gets no variable of this process.
    stdin
        What the program reads: arguments are seen by everybody on the host, and this is not.
    options
        More for ``cmd.run_all``, such as ``timeout``.

    The program gets its own session and no terminal, and cannot open one: otherwise, when root has called salt-call, it
    could push characters into root's terminal (TIOCSTI). runuser is used, as Salt's runas costs three more processes.
    """
    return run_all(
        ["setsid", "--wait", "runuser", "-u", user, "--", *words],
        python_shell=False,
        cwd="/",
        umask="022",
        stdin=stdin,
        ignore_retcode=True,
        clean_env=True,
        env={**ENVIRONMENT, **(env or {})},
        **options,
    )


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """
    Context manager: the path of an empty directory that may be given to another user; it is removed at the end.

    It does not lie in the TMPDIR of this process, which may be closed to other users.
    """
    place = tempfile.mkdtemp(prefix="pgha-", dir=SCRATCH)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def exposed(path: str | Path) -> str | None:
    """
    Return the first part of a path (the path itself included) that others than root can replace or write to, None when
    there is none. A directory above may be sticky, like /tmp: in it nobody can replace root's files.

    path
        Absolute path of something that exists. Links are followed, and the paths that they lead to are checked too.

    Raises OSError when it does not exist.
    """
    os.path.realpath(path, strict=True)
    for step in _way(Path(path)):
        if not _roots(step, sticky=step != Path(path)):
            return str(step)
    return None


def roots_alone(tree: str | Path) -> bool:
    """
    Return True when a directory and everything in it belong to root, and nobody else can write to any of it.

    tree
        Path. The result is False when it does not exist or is no directory. Links are not followed.
    """
    try:
        return stat.S_ISDIR(os.lstat(tree).st_mode) and _roots(tree) and all(map(_roots, _inside(tree)))
    except FileNotFoundError:
        return False


def _way(path: Path) -> Iterator[Path]:
    for step in [*reversed(path.parents), path]:
        yield step
        if step.is_symlink():
            yield from _way(step.parent / step.readlink())


def _inside(tree: str | Path) -> Iterator[str]:
    for place, folders, files in os.walk(tree):
        yield from (os.path.join(place, name) for name in [*folders, *files])


def _roots(path: str | Path, sticky: bool = False) -> bool:
    """Whether a path belongs to root and nobody else can write to it; the mode of a link is ignored."""
    info = os.lstat(path)
    kept = stat.S_ISLNK(info.st_mode) or (sticky and info.st_mode & stat.S_ISVTX)
    return info.st_uid == 0 and bool(kept or not info.st_mode & 0o022)
