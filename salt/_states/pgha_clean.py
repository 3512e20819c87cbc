"""
Remove what the formula put on a host, and nothing else: files of others in the same place stay. A host whose PostgreSQL
would go on without Patroni is left as it is.
"""

import contextlib
import fnmatch
import os
import stat

import pghalib.errors
import pghalib.host.descriptors
import pghalib.states
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def possible(ret):
    """
    Patroni on this host is not paused, so PostgreSQL stops with it. Changes nothing. A paused Patroni leaves its server
    running, and after clean nobody would manage that server, which may be the writable one.

    name
        State ID; not used.
    """
    cluster = __salt__["pgha.settings"]()["cluster"]["name"]
    if (__salt__["pgha_patroni.member"]() or {}).get("pause"):
        raise CommandExecutionError(
            f"Patroni of {cluster} is paused, and PostgreSQL would go on without it: patronictl resume --wait, then"
            " this again"
        )
    return f"Patroni of {cluster} is not paused."


@pghalib.states.state
def release(ret, path, program):
    """
    The programs that ``pgha_release.unpacked`` put below a directory are gone, with their version directories. The
    directory itself is removed too when nothing else is in it.

    name
        State ID; not used.
    path
        E.g. ``/opt/consul``, which has a directory for each version.
    program
        Name of the program in each version directory; drafts of it are named ``.PROGRAM.…``.
    """
    patterns = (program, f".{program}.*")
    return _cleaned(ret, path, lambda place: _versions(place, patterns))


@pghalib.states.state
def files(ret, path, patterns):
    """
    The files with these names are gone from a directory. The directory is removed too when nothing else is in it.

    name
        State ID; not used.
    path
        The directory.
    patterns
        Names of files; ``*`` stands for any characters.
    """
    return _cleaned(ret, path, lambda place: _matching(place, patterns))


def _cleaned(ret, path, chosen):
    """Remove what a function chooses in a directory, and then the directory when nothing else is in it."""
    try:
        # A sticky directory of root is allowed as well: others can add files there, but not exchange them.
        with pghalib.host.descriptors.trusted(path, sticky=True) as place:
            entries = chosen(place)
            left = set(os.listdir(place)) - entries.keys()
            for entry, inside in entries.items():
                if not ret.test:
                    _remove(place, entry, inside)
                ret.changes[f"{path}/{entry}"] = {"old": "there", "new": None}
    except FileNotFoundError:
        return f"There is nothing to remove in {path}."
    except OSError as error:
        raise CommandExecutionError(pghalib.errors.sentence(error, path)) from None
    except CommandExecutionError as error:
        # In a directory that others may change, nobody can know which files are the formula's.
        raise CommandExecutionError(f"{path} stays as it is: {error}") from None
    if not left:
        if not ret.test:
            with contextlib.suppress(OSError):
                os.rmdir(path)
        ret.changes[path] = {"old": "there", "new": None}
    if ret.changes:
        ret.say(f"What the formula put into {path} {'would be' if ret.test else 'was'} removed.")
    return f"{path} stays, as others have put something there." if left else None


def _remove(place, entry, inside):
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


def _versions(place, patterns):
    """``{directory: files in it}`` of the version directories that hold only the formula's files."""
    found = {}
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


def _matching(place, patterns):
    return {
        entry: None
        for entry in os.listdir(place)
        if any(fnmatch.fnmatchcase(entry, pattern) for pattern in patterns)
        and not stat.S_ISDIR(os.stat(entry, dir_fd=place, follow_symlinks=False).st_mode)
    }


def _opened(place, entry):
    return os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
