"""
Which Salt, and which Python of it, the formula works with: what is older fails amid a run, by a traceback.

Pure functions, which run on any Python 3.
"""

import re

# The oldest that has the Python and the cryptography that the modules use.
OLDEST_SALT, OLDEST_PYTHON = "3006.27", "3.10"


def too_old(salt_version, python_version, who="minion"):
    """
    Return one sentence when a Salt is too old for the formula, with the remedy; None when it is not.

    salt_version, python_version
        As text (``"3006.9"``, ``"3.10.14 (main, …)"``), or as the grains ``saltversioninfo`` and ``pythonversion`` have
        them (lists). None, and what has no number in it, is not known and counts as new enough.
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


def _numbers(version):
    """The first numbers of a version, three at the most: 3008.0rc1 and 3008.0+5.gabc are those of 3008.0."""
    if isinstance(version, (list, tuple)):
        version = ".".join(str(one) for one in version)
    found = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", str(version or ""))
    return tuple(int(number) for number in found.groups() if number is not None) if found else ()
