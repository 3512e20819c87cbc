"""
Interpreters that a hardened system keeps from users other than root (``astra-interpreters-lock``): the backups, their
proofs and Patroni run by them, as the user of PostgreSQL.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, TypedDict

import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pghalib.host.users import Ran
    from pghalib.shapes import Settings

SHELL, PYTHON = "/bin/sh", "/usr/bin/python3"
# Seconds for a program that does nothing, on a busy host.
TIMEOUT = 60
# It starts the program: its exit code tells a program that may not be executed from runuser's own failures.
STARTER = "env"
# What it returns for such a program; from SIGNALLED on, the program was killed.
REFUSED, SIGNALLED = (126, 127), 128


class Refusal(TypedDict):
    """A program that a user may not run, and what was said of that."""

    program: str
    user: str
    code: int
    said: str


def trials(settings: Settings) -> list[list[str]]:
    """Return a command that does nothing, as a list of words, for each interpreter of the formula that is there."""
    pythons = dict.fromkeys((PYTHON, settings["patroni"]["python"]))
    commands = [[SHELL, "-c", ":"], *([path, "-I", "-c", ""] for path in pythons)]
    return [words for words in commands if os.path.exists(words[0])]


def doubtful(release: Mapping[str, str], paths: Iterable[str]) -> bool:
    """
    Return whether it is worth two processes to find out who may run programs: on Astra Linux, and where a program has
    an attribute of a security module or may not be executed by everybody.

    release
        The result of ``pghalib.host.os_release.read``.
    paths
        Absolute paths of the programs.
    """
    return release.get("ID") == "astra" or any(map(_odd, paths))


def refusal(program: str, user: str, ran: Ran) -> Refusal | None:
    """
    Return that a program was refused; None when it ran, also when it failed: no lock does that.

    ran
        The result of ``pghalib.host.users.run``, for the program behind ``STARTER``.
    """
    code = ran["retcode"]
    if code not in REFUSED and 0 <= code < SIGNALLED:
        return None
    return {"program": program, "user": user, "code": code, "said": pghalib.text.line(ran["stderr"])}


def faults(found: Iterable[Refusal], astra: bool) -> list[str]:
    """
    Return a sentence, as a list, when programs were refused.

    astra
        Whether this is Astra Linux.
    """
    refused = list(found)
    if not refused:
        return []
    what = "; ".join(f"{one['program']}: exit code {one['code']} {one['said']}".rstrip() for one in refused)
    remedy = (
        "probably the lock of interpreters is on: run astra-interpreters-lock disable (docs/astra.md)"
        if astra
        else "give everybody the right to execute it (ls -lL, getfattr -d -m security)"
    )
    return [
        f"the user {refused[0]['user']} may not run what backups, their proofs and Patroni run by ({what}): {remedy}"
    ]


def _odd(path: str) -> bool:
    try:
        closed = not os.stat(path).st_mode & stat.S_IXOTH
        return closed or any(name.startswith("security.") for name in os.listxattr(path))
    except OSError:
        # Missing, or on a file system without attributes.
        return False
