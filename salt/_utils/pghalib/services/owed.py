"""
What is owed to a running service: a change of its files is noted before it is made, and the note goes when the service
has taken the change up. A run that ends in between, however it ends, so leaves the debt to the next one.

The notes are root's, below /run: a reboot starts every service anew, and each reads its files then.
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
    Note that something is owed. To be called before the change that makes it so; noting it twice is noting it once.

    note
        Name of the debt, e.g. ``patroni.reload-owed``: letters, digits, dots and hyphens.

    Returns nothing. Raises CommandExecutionError when the note cannot be written: then the change must not be made.
    """
    path = _path(note)
    owner = {"user": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
    pghalib.host.descriptors.directory(DIRECTORY, **owner, mode="0755", test=False)
    pghalib.host.files.manage(path, f"{note}\n", **owner, mode="0644", test=False)


def owed(note):
    """Return whether something is owed. Arguments as those of :py:func:`owe`."""
    return pghalib.host.files.read_foreign(_path(note), 4096) is not None


def paid(note):
    """Take the note away: to be called when the service has done it. Returns nothing. Arguments as ``owe``."""
    pghalib.host.files.remove(_path(note), test=False)


def _path(note):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", note):
        raise CommandExecutionError(f"{note!r} is no name of a note")
    return f"{DIRECTORY}/{note}"
