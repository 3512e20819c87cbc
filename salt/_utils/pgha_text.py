"""
Text that others wrote (a host, a process, a peer), made fit to be shown. Pure functions.
"""

# Characters of one piece of text, and of a whole sentence with several of them.
WORD, SENTENCE = 200, 1000


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
