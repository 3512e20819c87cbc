"""
What os-release(5) tells about the system of this host.

A minion imports this file with its grains and keeps it until it is restarted. So it imports nothing else of the
library, and its functions keep their names and arguments.
"""

import contextlib
import re
from pathlib import Path

# The first one that can be read counts.
PATHS = ("/etc/os-release", "/usr/lib/os-release")
# What os-release(5) says of keys that the file leaves out.
DEFAULTS = {"NAME": "Linux", "ID": "linux", "PRETTY_NAME": "Linux"}


def read() -> dict[str, str]:
    """
    Return the keys and values of this host's os-release; an empty mapping when there is no such file. Bytes that are no
    UTF-8 are replaced, and spoil no other line.
    """
    for path in PATHS:
        with contextlib.suppress(OSError):
            return parse(Path(path).read_text(encoding="utf-8", errors="replace"))
    return {}


def parse(text: str) -> dict[str, str]:
    """
    Return the keys and values of an os-release. Its lines are assignments of a shell: quotes and backslashes are taken
    away by its rules. The last line of a key counts; comments, and lines that are no assignment, are ignored.

    text
        The content of the file.
    """
    found = dict(DEFAULTS)
    for row in text.split("\n"):
        assignment = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", row.strip())
        if assignment:
            found[assignment[1]] = _value(assignment[2])
    return found


def _value(written: str) -> str:
    """A value without its quotes. A backslash escapes anything outside quotes, and four characters in double ones."""
    quote = written[0] if len(written) > 1 and written[0] == written[-1] else ""
    if quote == "'":
        return written[1:-1]
    if quote == '"':
        return re.sub(r'\\([\\"$`])', r"\1", written[1:-1])
    return re.sub(r"\\(.)", r"\1", written)
