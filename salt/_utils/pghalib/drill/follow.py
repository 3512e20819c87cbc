"""
The history of a drill while it is written: each look reads only what was written since the look before it, so that a
look costs the same after hours as in the first minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pghalib.drill.history

if TYPE_CHECKING:
    from pathlib import Path

    from pghalib.drill.history import History


class _Place(NamedTuple):
    """How far a file was read, in bytes, and its last line as far as its writer had come."""

    position: int
    rest: bytes


class Follower:
    """
    A reader of the history.

    directory
        Where the files are (``*.jsonl``). Their writers only append to them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._places: dict[Path, _Place] = {}

    def new(self) -> History:
        """
        Return what was written since the last call. A line that its writer has not yet ended is in a later answer.

        Raises CommandExecutionError that names a line that is no record. The next call meets the same line again.
        """
        places, lines = dict(self._places), list[str]()
        for path in sorted(self._directory.glob("*.jsonl")):
            place = places.get(path, _Place(0, b""))
            with path.open("rb") as file:
                file.seek(place.position)
                content = file.read()
            *whole, rest = (place.rest + content).split(b"\n")
            lines += [line.decode(errors="replace") + "\n" for line in whole]
            places[path] = _Place(place.position + len(content), rest)
        found = pghalib.drill.history.read(lines)
        self._places = places
        return found
