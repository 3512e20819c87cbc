"""
Text of others (a host, a process, a peer, a pillar), made safe to show, and numbers as a person reads them. Pure
functions, but for the zone of this host.
"""

from __future__ import annotations

import difflib
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The most characters of one piece of text, and of a whole sentence with several pieces.
WORD, SENTENCE = 200, 1000
_KEY = re.compile(r"[A-Za-z0-9_./*@-]+")


def printable(value: object, limit: int = WORD) -> str:
    """
    Return a text with a question mark for every unprintable character (control and escape characters, marks that change
    the direction of writing, broken encodings), cut off after ``limit`` characters.
    """
    text = str(value)
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def line(value: object, limit: int = SENTENCE) -> str:
    """Return a text as :py:func:`printable` does, in one line: a single blank is left between words."""
    # Not much more text is read than is shown: a blank may replace many characters, but not any number of them.
    return printable(" ".join(str(value)[: 10 * limit].split()), limit)


def at(path: str, *keys: object) -> str:
    """Return the path of keys below a path; a key with unusual characters is quoted."""
    for key in keys:
        path = f"{path}:{key if isinstance(key, str) and _KEY.fullmatch(key) else shown(key)}"
    return path


def shown(value: object) -> str:
    """Return a value as a message shows it: as Python writes it, cut short."""
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:80]}…"


def guess(word: object, names: Iterable[object]) -> str:
    """Return the end of a message about a word that is none of these names: the closest name, or all names."""
    names = sorted(map(str, names))
    close = difflib.get_close_matches(str(word)[:100], names, 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(names)}" if names else ""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as the text of a table with this head, indented by two blanks."""
    cells = [tuple(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join("  " + line for line in lines)


def size(number: float) -> str:
    """Return a number of bytes as a person reads it: ``3 GB``, where a GB has 1024 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"


def moment(seconds: float) -> str:
    """
    Return a moment as a person reads it, by the clock of this host and with its offset from UTC:
    ``2026-11-29 12:00:00+0300``. A restore takes it as its target as it stands (``pghalib.backup.target``).

    seconds
        Since 1970, as a day of some year (``pghalib.parse.is_amount``); parts of a second are left out.
    """
    return time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(seconds))
