"""
What a running agent applies only at its next restart: changed settings, whose keys are noted in a file, another
program, and changed files. The note belongs to root, in a directory of root; the unit removes it at every start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pghalib.host.descriptors
import pghalib.host.files
import pghalib.services
import pghalib.services.programs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pghalib.shapes import Json


def noted() -> list[str]:
    """Return the keys of changed settings in the note, as a list; [] without a note."""
    text = pghalib.host.files.read_foreign(_path(), 65536) or ""
    return [word for word in text.split() if re.fullmatch(r"[A-Za-z0-9_.-]+", word)]


def note(keys: Collection[str]) -> list[str]:
    """
    Add keys of changed settings to the note, and return all keys that are noted then, sorted. Without keys nothing is
    written. Raises CommandExecutionError when the note cannot be written.
    """
    known = sorted({*noted(), *keys})
    if keys:
        owner: dict[str, Json] = {"user": "root", "group": "root", "test": False}
        pghalib.host.descriptors.directory(pghalib.services.DIRECTORY, mode="0755", **owner)
        pghalib.host.files.manage(_path(), "\n".join(known) + "\n", mode="0644", **owner)
    return known


def sentences(keys: Collection[str], pid: int, program: str, changed: Iterable[str]) -> list[str]:
    """
    Return what is pending, as a list of sentences.

    keys
        Keys of changed settings.
    pid
        Process id of the running agent.
    program
        Path of the installed program.
    changed
        Paths of the files that have changed since the start of the agent.
    """
    settings = [f"changed settings: {', '.join(keys)}"] if keys else []
    outdated = pghalib.services.programs.outdated(pid, program)
    return [*settings, *([outdated] if outdated else []), *(f"{path} has changed" for path in changed)]


def _path() -> str:
    # The unit of Consul removes it by this name.
    return f"{pghalib.services.DIRECTORY}/consul.restart-pending"
