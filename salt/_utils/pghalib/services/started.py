"""
The notes of the files that a service was started with: its unit writes them (ExecStartPre), and
``pghalib.host.files.changed_since`` compares them.
"""

from __future__ import annotations

import os
import re

import pghalib.host.files

DIRECTORY = "/run/pgha"
# No file on a disk has this digest.
UNREAD = "0" * 64


def note(unit: str) -> str:
    """Return the path of a unit's note; the argument is the unit's path, such as ``…/consul.service``."""
    return f"{DIRECTORY}/{os.path.basename(unit).removesuffix('.service')}.started-with"


def by_an_older_unit(unit: str) -> None:
    """
    Note that an older unit than the one on the disk has started the running service. Call this before systemd reads the
    new unit: a start since the change has noted the digest of the new unit, but systemd still used the old one.

    unit
        Path of the unit.

    Returns nothing. Without a note it does nothing.
    """
    path = note(unit)
    text = pghalib.host.files.read_foreign(path, 65536)
    if text is None:
        return
    corrected = re.sub(rf"(?m)^\S+(?=\s+{re.escape(unit)}$)", UNREAD, text)
    pghalib.host.files.write_private(path, corrected)
