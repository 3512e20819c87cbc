"""
The notes of what a service was started with: its unit writes them (ExecStartPre), ``pghalib.host.files.changed_since``
compares.
"""

import os
import re

import pghalib.host.files

DIRECTORY = "/run/pgha"
# The digest of nothing that is on a disk.
UNREAD = "0" * 64


def note(unit):
    """Return the path of the note of a unit, which is the path of one, such as ``…/consul.service``."""
    return f"{DIRECTORY}/{os.path.basename(unit).removesuffix('.service')}.started-with"


def by_an_older_unit(unit):
    """
    Note that what runs was started by an older unit than the one on the disk. To be called before systemd reads that:
    the note of a start since the change has the digest of a unit that systemd had not read.

    unit
        Path of the unit.

    Returns nothing; without a note there is nothing to correct.
    """
    path = note(unit)
    text = pghalib.host.files.read_foreign(path, 65536)
    if text is None:
        return
    corrected = re.sub(rf"(?m)^\S+(?=\s+{re.escape(unit)}$)", UNREAD, text)
    pghalib.host.files.write_private(path, corrected)
