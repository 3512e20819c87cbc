"""The file systems of this host: on which one a directory is, or will be, and their free space."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def short(paths: Iterable[str], percent: float) -> list[str]:
    """
    Return a sentence for each file system on which less than a part is free, with those of the paths that are on it.

    paths
        Directories. One that is not there counts as the next directory above it that is.
    percent
        The least part that is to be free, of what users other than root may have: as ``df`` tells it.

    Raises OSError when a file system does not answer.
    """
    places: dict[int, list[str]] = {}
    for path in dict.fromkeys(paths):
        places.setdefault(os.stat(nearest(path)).st_dev, []).append(path)
    found = []
    for here in places.values():
        told = os.statvfs(nearest(here[0]))
        free, room = told.f_bavail, told.f_blocks - told.f_bfree + told.f_bavail
        part = 100 * free / room if room else 100
        if part < percent:
            # Not rounded up: "10 %, less than 10 %" could not be read.
            found.append(f"{int(part)} % ({free * told.f_frsize >> 20} MB) are free for {', '.join(here)}")
    return found


def nearest(path: str) -> str:
    """Return a path, or the nearest directory above it that exists: above a relative one, the working directory."""
    while not os.path.exists(path):
        path = os.path.dirname(path) or "."
    return path
