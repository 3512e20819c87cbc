"""
Changes that a running service has not taken up yet: a change of its files is noted before it is made, and the note is
removed when the service has taken the change up. If a run ends in between, for any reason, the next run does the rest.

The notes belong to root, below /run: after a reboot they are gone, and every service reads its files at its start.
"""

import grp
import os
import pwd
import re

from salt.exceptions import CommandExecutionError

import pghalib.host.descriptors
import pghalib.host.files

DIRECTORY = "/run/pgha"


def owe(note):
    """
    Write a note. Call this before the change that the note is about; writing a note twice is the same as once.

    note
        Its name, e.g. ``patroni.reload-owed``: letters, digits, dots and hyphens.

    Returns nothing. Raises CommandExecutionError when the note cannot be written: then the change must not be made.
    """
    path = _path(note)
    owner = {"user": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
    pghalib.host.descriptors.directory(DIRECTORY, **owner, mode="0755", test=False)
    pghalib.host.files.manage(path, f"{note}\n", **owner, mode="0644", test=False)


def owed(note):
    """Return whether there is a note. Arguments as those of :py:func:`owe`."""
    return pghalib.host.files.read_foreign(_path(note), 4096) is not None


def paid(note):
    """Remove the note. Call this when the service has taken the change up. Returns nothing. Arguments as ``owe``."""
    pghalib.host.files.remove(_path(note), test=False)


def owing(note, check):
    """
    Return a check of the draft of a file. If the draft is valid, the check writes the note before the draft replaces
    the file.

    note
        As for :py:func:`owe`.
    check
        A function that takes the path of the draft and returns None, or the fault.
    """

    def checked(path):
        fault = check(path)
        if not fault:
            owe(note)
        return fault

    return checked


def _path(note):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", note):
        raise CommandExecutionError(f"{note!r} is no name of a note")
    return f"{DIRECTORY}/{note}"
