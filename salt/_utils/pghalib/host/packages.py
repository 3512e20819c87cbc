"""The packages of this host's system."""

from __future__ import annotations

import os

#: dpkg has files of numbers here while it works, and after it was cut off. apt looks here as well.
UPDATES = "/var/lib/dpkg/updates"


def cut_off() -> bool:
    """
    Return whether dpkg works, or was cut off, as by a loss of power: then apt does nothing until
    ``dpkg --configure -a`` has finished that.

    Raises OSError when the place of dpkg's notes cannot be read.
    """
    return any(name.isdigit() for name in os.listdir(UPDATES))
