"""
The files that a running service was started with: its unit notes them (ExecStartPre: ``sha256sum PATH…``), and the note
is compared with the files as they are now.

``service`` is the name of a service without its suffix, such as ``consul``.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.host.files
import pghalib.services

if TYPE_CHECKING:
    from collections.abc import Iterable

# No file on a disk has this digest.
UNREAD = "0" * 64


def unit(service: str) -> str:
    """Return the path of the service's unit."""
    return f"{pghalib.services.UNITS}/{service}.service"


def note(service: str) -> str:
    """Return the path of the service's note."""
    return f"{pghalib.services.DIRECTORY}/{service}.started-with"


def noted(service: str) -> bool:
    """Return whether the service has a note. Only an older unit writes none."""
    return os.path.exists(note(service))


def changed(service: str, others: Iterable[str] = ()) -> list[str]:
    """
    Return the paths of the files that have changed since the service was started: of its unit, and of ``others``, which
    the service reads when it starts.

    Without a note an older unit has started the service. Then only the unit is returned: a restart for it takes up all
    files.
    """
    with contextlib.suppress(CommandExecutionError):
        text = pghalib.host.files.read_foreign(note(service), 65536)
        if text is not None:
            lines = (line.split(None, 1) for line in text.splitlines())
            started = {words[1]: words[0] for words in lines if len(words) == 2}
            files = (unit(service), *others)
            return [path for path in files if started.get(path) != pghalib.host.files.digest(path)]
    return [unit(service)]


def by_an_older_unit(service: str) -> None:
    """
    Note that an older unit than the one on the disk has started the running service. Call this before systemd reads the
    new unit: a start since the change has noted the digest of the new unit, but systemd still used the old one.

    Returns nothing. Without a note it does nothing.
    """
    text = pghalib.host.files.read_foreign(note(service), 65536)
    if text is None:
        return
    corrected = re.sub(rf"(?m)^\S+(?=\s+{re.escape(unit(service))}$)", UNREAD, text)
    pghalib.host.files.write_private(note(service), corrected)
