"""
The formula's own modules as a minion has them, in one figure: where it is the master's, none is asked for again.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Kinds of modules, and how the names of the formula's begin.
KINDS = {"utils": "pghalib/", "grains": "pgha", "modules": "pgha", "states": "pgha"}


def ours(path: str) -> bool:
    """Return whether a file, ``KIND/NAME.py`` with a nested name for utils, is one of the formula's modules."""
    kind, _, name = path.partition("/")
    return kind in KINDS and name.startswith(KINDS[kind]) and name.endswith(".py")


def digest(hashes: Mapping[str, str]) -> str:
    """
    Return the figure of a set of files.

    hashes
        ``{KIND/NAME.py: SHA-256 of its content, in hexadecimal}``
    """
    lines = "".join(f"{found}  {path}\n" for path, found in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def here(directory: str) -> str:
    """
    Return the figure of the modules that a minion has.

    directory
        ``extension_modules`` of its configuration. A file that cannot be read counts as another one.
    """
    return digest({path: _hash(os.path.join(directory, path)) for path in _files(directory)})


def _files(directory: str) -> Iterator[str]:
    for kind in KINDS:
        for place, _, names in os.walk(os.path.join(directory, kind)):
            paths = (os.path.relpath(os.path.join(place, name), directory) for name in names)
            yield from filter(ours, paths)


def _hash(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""
