"""What two texts differ in, with no secret in it."""

import difflib
import re

MASK = "**********"
# What only a secret follows, and what only a secret looks like: in the text that a file had before there may be secrets
# that nobody knows any more, such as one that a person put there, or one that has been replaced.
NAMED = re.compile(r"""(?i)([\w-]*(?:password|passphrase|secret|token|encrypt)["']?\s*[:=]\s*)[^\s{\[].*""")
TOKEN = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def mask(text, secrets):
    """Return ``text`` with every one of ``secrets`` (strings; empty ones are passed over) replaced by asterisks."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def diff(old, new, secrets=()):
    """
    Return how two texts differ, in the unified form, with no secret in it.

    old
        None when there was none.
    new
        The text that ``secrets`` (strings) are in.

    Of a line that begins like one that has a secret now, of one whose key says that its value is a secret, and of what
    looks like a token of Consul, nothing is shown either: the old text may have another secret. A file that has nothing
    but secrets is not shown at all.
    """
    lines, heads = new.splitlines(), set()
    for line in lines:
        found = [line.index(secret) for secret in filter(None, secrets) if secret in line]
        heads |= {line[: min(found)]} if found else set()
    if heads and all(line.startswith(tuple(heads)) for line in lines):
        return "the secret in it, which is not shown"
    shown = difflib.unified_diff((old or "").splitlines(), lines, "old", "new", lineterm="", n=1)
    return "\n".join(_private(line, heads, secrets) for line in shown) or "the file is made, empty"


def _private(line, heads, secrets):
    """A line of a diff without what is, or may be, a secret. Its first character says whose it is."""
    mark, text = line[:1], line[1:]
    head = max((head for head in heads if text.startswith(head)), key=len, default=None)
    text = mask(text, secrets) if head is None else head + MASK
    return mark + TOKEN.sub(MASK, NAMED.sub(rf"\g<1>{MASK}", text))
