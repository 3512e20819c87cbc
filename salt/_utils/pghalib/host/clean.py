"""
What the formula put into a directory is removed, and nothing else: files of others in the same place stay. Root works
with descriptors here, in directories that only root can change.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import stat
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.errors
import pghalib.host.descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    # ``{name: the files in it}``; None in place of these for what is no directory.
    Entries = dict[str, list[str] | None]
    # Gets the path of what is gone.
    Gone = Callable[[str], None]


#: Where the links to programs are.
LINKS = "/usr/bin"


def release(path: str, program: str, gone: Gone, *, test: bool) -> bool:
    """
    Remove the link to a program (:py:func:`link`) and the version directories below a directory that hold nothing but
    the program and drafts of it, and then the directory when nothing else is in it.

    path
        Absolute path of the directory, e.g. ``/opt/consul``.
    program
        Name of the program in each version directory; drafts of it are named ``.PROGRAM.…``.
    gone
        Gets each path as soon as it is, or would be, removed.
    test
        True: nothing is touched.

    Returns whether something of others is left. Raises FileNotFoundError when there is no such directory, or when
    somebody else removes something in it meanwhile; CommandExecutionError when others may change it, or when something
    cannot be removed.
    """
    link(path, program, gone, test=test)
    patterns = (program, f".{program}.*")
    return _cleaned(path, lambda place: _versions(place, patterns), gone, test)


def link(path: str, program: str, gone: Gone, *, test: bool) -> None:
    """
    Remove ``/usr/bin/PROGRAM`` where it is a link that leads below a directory: any other one is of somebody else.

    path, program, gone, test
        As for :py:func:`release`.

    Raises CommandExecutionError when it cannot be removed.
    """
    place = f"{LINKS}/{program}"
    if not os.path.islink(place):
        return
    with pghalib.errors.about(place):
        # What the link says, not where that leads: another link on the way there changes nothing.
        leads = os.path.normpath(os.path.join(LINKS, os.readlink(place)))
        if not leads.startswith(f"{path}/"):
            return
        if not test:
            os.unlink(place)
    gone(place)


def files(path: str, patterns: Collection[str], gone: Gone, *, test: bool) -> bool:
    """
    Remove the files with some names from a directory, and then the directory when nothing else is in it.

    path
        Absolute path of the directory.
    patterns
        Names of files; ``*`` stands for any characters.
    gone, test
        As for :py:func:`release`, like what this returns and raises.
    """
    return _cleaned(path, lambda place: _matching(place, patterns), gone, test)


def _cleaned(path: str, chosen: Callable[[int], Entries], gone: Gone, test: bool) -> bool:
    """Remove what a function chooses in a directory, and then the directory when nothing else is in it."""
    try:
        # A sticky directory of root is allowed as well: others can add files there, but not exchange them.
        with pghalib.host.descriptors.trusted(path, sticky=True) as place:
            entries = chosen(place)
            left = set(os.listdir(place)) - entries.keys()
            for entry, inside in entries.items():
                if not test:
                    _remove(place, entry, inside)
                gone(f"{path}/{entry}")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CommandExecutionError(pghalib.errors.sentence(error, path)) from None
    except CommandExecutionError as error:
        # In a directory that others may change, nobody can know which files are the formula's.
        raise CommandExecutionError(f"{path} stays as it is: {error}") from None
    if not left:
        if not test:
            with contextlib.suppress(OSError):
                os.rmdir(path)
        gone(path)
    return bool(left)


def _remove(place: int, entry: str, inside: list[str] | None) -> None:
    if inside is None:
        os.unlink(entry, dir_fd=place)
        return
    handle = _opened(place, entry)
    try:
        for file in inside:
            os.unlink(file, dir_fd=handle)
    finally:
        os.close(handle)
    os.rmdir(entry, dir_fd=place)


def _versions(place: int, patterns: Collection[str]) -> Entries:
    """The version directories that hold only the formula's files."""
    found: Entries = {}
    for entry in os.listdir(place):
        if not stat.S_ISDIR(os.stat(entry, dir_fd=place, follow_symlinks=False).st_mode):
            continue
        handle = _opened(place, entry)
        try:
            inside = os.listdir(handle)
            # An empty directory is left by an interrupted run, or belongs to others: its name must look like a version.
            if len(_matching(handle, patterns)) == len(inside) and (inside or entry[0].isdigit()):
                found[entry] = inside
        finally:
            os.close(handle)
    return found


def _matching(place: int, patterns: Collection[str]) -> Entries:
    return {
        entry: None
        for entry in os.listdir(place)
        if any(fnmatch.fnmatchcase(entry, pattern) for pattern in patterns)
        and not stat.S_ISDIR(os.stat(entry, dir_fd=place, follow_symlinks=False).st_mode)
    }


def _opened(place: int, entry: str) -> int:
    return os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
