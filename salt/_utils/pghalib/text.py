"""
Text that others wrote (a host, a process, a peer, a pillar), made fit to be shown. Pure functions.
"""

import difflib
import re

# Characters of one piece of text, and of a whole sentence with several of them.
WORD, SENTENCE = 200, 1000
_KEY = re.compile(r"[A-Za-z0-9_./*@-]+")


def printable(value, limit=WORD):
    """
    Return a text with a question mark for every character that does not print (control and escape characters, marks
    that turn the direction of writing, broken encodings), and cut off behind ``limit`` characters.
    """
    text = str(value)
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def line(value, limit=SENTENCE):
    """Return a text as :py:func:`printable` does, and as one line: what was between words is a blank."""
    # More than is shown is not looked at: a blank may stand for many characters, but not for any number.
    return printable(" ".join(str(value)[: 10 * limit].split()), limit)


def at(path, *keys):
    """Return the path of keys below a path; one that would be hard to tell from its surroundings is quoted."""
    for key in keys:
        path = f"{path}:{key if isinstance(key, str) and _KEY.fullmatch(key) else shown(key)}"
    return path


def shown(value):
    """Return how a value is shown in a message: as Python writes it, cut short."""
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:80]}…"


def guess(word, names):
    """Return the end of a message about a word that is none of these names."""
    names = sorted(map(str, names))
    close = difflib.get_close_matches(str(word)[:100], names, 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(names)}" if names else ""
