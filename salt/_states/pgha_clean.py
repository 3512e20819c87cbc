"""
Remove what the formula put on a host, and nothing else: files of others in the same place stay. A host whose PostgreSQL
would go on without Patroni is left as it is.
"""

import pghalib.host.clean
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
    The programs that ``pgha_release.unpacked`` put below a directory are gone, with their version directories, and so
    is the link of ``pgha_release.in_use`` to one of them. The directory itself is removed too when nothing else is in
    it.

    name
        State ID; not used.
    path
        E.g. ``/opt/consul``, which has a directory for each version.
    program
        Name of the program in each version directory; drafts of it are named ``.PROGRAM.…``.
    """
    return _cleaned(ret, pghalib.host.clean.release, path, program)


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
    return _cleaned(ret, pghalib.host.clean.files, path, patterns)


def _cleaned(ret, clean, path, what):
    """Let a function of the library remove something from a directory, and tell what went, also before a failure."""

    def gone(removed):
        ret.changes[removed] = {"old": "there", "new": None}

    left = False
    try:
        left = clean(path, what, gone, test=ret.test)
    except FileNotFoundError:
        # The link to a program may have been there without it.
        if not ret.changes:
            return f"There is nothing to remove in {path}."
    if ret.changes:
        ret.say(f"What the formula put into {path} {'would be' if ret.test else 'was'} removed.")
    return f"{path} stays, as others have put something there." if left else None
