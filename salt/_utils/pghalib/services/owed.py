"""
Changes that a running service has not taken up yet: a change of its files is noted before it is made, and the note is
removed when the service has taken the change up. If a run ends in between, for any reason, the next run does the rest.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.host.descriptors
import pghalib.host.files
import pghalib.services

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[str], str | None]


def owe(note: str) -> None:
    """
    Write a note. Call this before the change that the note is about; writing a note twice is the same as once.

    note
        Its name, e.g. ``patroni.reload-owed``: letters, digits, dots and hyphens.

    Returns nothing. Raises CommandExecutionError when the note cannot be written: then the change must not be made.
    """
    path = _path(note)
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    pghalib.host.descriptors.directory(pghalib.services.DIRECTORY, user=user, group=group, mode="0755", test=False)
    pghalib.host.files.manage(path, f"{note}\n", user=user, group=group, mode="0644", test=False)


def owed(note: str) -> bool:
    """Return whether there is a note. Arguments as those of :py:func:`owe`."""
    return pghalib.host.files.read_foreign(_path(note), 4096) is not None


def paid(note: str) -> None:
    """Remove the note. Call this when the service has taken the change up. Returns nothing. Arguments as ``owe``."""
    pghalib.host.files.remove(_path(note), test=False)


def owing(note: str, check: Check) -> Check:
    """
    Return a check of the draft of a file. If the draft is valid, the check writes the note before the draft replaces
    the file.

    note
        As for :py:func:`owe`.
    check
        A function that takes the path of the draft and returns None, or the fault.
    """

    def checked(path: str) -> str | None:
        fault = check(path)
        if not fault:
            owe(note)
        return fault

    return checked


def _path(note: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", note):
        raise CommandExecutionError(f"{note!r} is no name of a note")
    return f"{pghalib.services.DIRECTORY}/{note}"
