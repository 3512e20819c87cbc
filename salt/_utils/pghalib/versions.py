"""
The oldest Salt, and the oldest Python of Salt, for the formula: an older one fails during a run, with a traceback.

Pure functions, which run on any Python 3.
"""

from __future__ import annotations

import re

# The oldest versions with the Python and the cryptography that the modules need.
OLDEST_SALT, OLDEST_PYTHON = "3006.27", "3.10"


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
