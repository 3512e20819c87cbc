"""
Versions of programs, compared part by part, and looked up in the list of their downloads; and the oldest Salt, with the
oldest Python, that the formula runs with: an older one fails during a run, with a traceback.

Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

# The oldest versions with the Python and the cryptography that the modules need.
OLDEST_SALT, OLDEST_PYTHON = "3006.27", "3.10"


def at_least(version: object, minimum: str) -> bool:
    """
    Return whether a version is ``minimum`` or newer. Missing parts are 0.

    version
        E.g. ``1.8.7``, ``v1.22.3+ent``, ``1.8.7+dfsg1`` or the number 18.
    minimum
        E.g. ``1.15``.

    Raises CommandExecutionError when ``version`` does not begin with a number.
    """
    return parts(version) >= parts(minimum)


def parts(version: object) -> tuple[int, int, int]:
    """Return ``(1, 8, 7)`` for the version ``1.8.7+dfsg1``. Raises CommandExecutionError as :py:func:`at_least`."""
    numbers = _numbers(version)
    if not numbers:
        raise CommandExecutionError(f"{version!r} is not a version such as 1.22.3")
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch


def unlisted(path: str, what: str, settings: Mapping[str, Json]) -> list[str]:
    """
    Return a fault of the pillar, as a list, when nothing is listed by which the download of a program could be checked.

    path
        The path in the pillar of the section's ``hashes``.
    what
        The program, for the message.
    settings
        The merged section, with ``version`` and ``hashes``.
    """
    version = settings["version"]
    if version in (settings["hashes"] or {}):
        return []
    return [f"{path}: no SHA-256 of {what} {version} is listed, so its download could not be checked; add it"]


def too_old(salt_version: object, python_version: object, who: str = "minion") -> str | None:
    """
    Return one sentence with the remedy when a Salt is too old for the formula; None when it is not.

    salt_version, python_version
        As text (``"3006.9"``, ``"3.10.14 (main, …)"``), or as lists, like the grains ``saltversioninfo`` and
        ``pythonversion``. None, or a value without a number, is unknown and counts as new enough.
    who
        ``minion`` or ``master``: whose Salt it is.
    """
    remedy = f"{OLDEST_SALT} or newer is needed; update salt-{who}"
    for name, given, oldest, text in (
        ("Salt", salt_version, OLDEST_SALT, remedy),
        ("Python of Salt", python_version, OLDEST_PYTHON, f"{OLDEST_PYTHON} or newer is needed, Salt {remedy}"),
    ):
        numbers = _numbers(given)
        if numbers and numbers < _numbers(oldest):
            return f"{name} of this {who} is {'.'.join(map(str, numbers))}: {text}"
    return None


def _numbers(version: object) -> tuple[int, ...]:
    """The first numbers of a version, at most three: 3008.0rc1 and 3008.0+5.gabc give the same as 3008.0."""
    if isinstance(version, (list, tuple)):
        version = ".".join(str(one) for one in version)
    found = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", str(version or ""))
    return tuple(int(number) for number in found.groups() if number is not None) if found else ()
