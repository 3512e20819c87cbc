"""
How a change of a file is shown, without a secret in it.

The secrets of the new text are known. Those of the old text are not: a person may have written it, with passwords under
names that no list has. So a file of settings (JSON, YAML) is shown as the keys that come, go and change. An old value
is shown only when our new value of that key is no secret, and when the old value is short and does not look like one.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, TypedDict

import pghalib.parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pghalib.shapes import Json

MASK = "**********"
LONGEST_OLD = 64
# Names of keys that hold a secret, and patterns of a secret or of a text with a secret in it.
_NAMED = re.compile(
    r"(?i).*(pass|passwd|password|passphrase|pwd|secret|tokens?|encrypt|credentials?|(api|private)[_-]?key)"
)
_LOOKS = re.compile(
    r"""(?ix)
    [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}                       # a token of Consul
    | ://[^/\s]*@                                                   # a URL with somebody's name
    | (pass|pwd|secret|token|credential)[\w-]*["']?\s*[=:]          # as in pg_hba, in a connection string
    | -----BEGIN
    """
)
# Random letters and digits. A long name looks the same, so only old texts are tested for it.
_DRAWN = re.compile(r"(?i)(?=[a-z+_-]*[0-9])(?=[0-9+_-]*[a-z])[a-z0-9+_-]{20,}")


class Change(TypedDict):
    """A change as a state shows it."""

    old: Json
    new: Json


def mask(text: str, secrets: Iterable[str | None]) -> str:
    """Return ``text`` with each of ``secrets`` (strings; empty ones are ignored) replaced by asterisks."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def diff(old: str | None, new: str, secrets: Collection[str] = ()) -> str:
    """
    Return how two texts differ, with no secret in it.

    old
        The old text, None when there was none.
    new
        The new text, which may hold ``secrets`` (strings).

    JSON and YAML: one line for each key. Another text with secrets: only the new lines, the secrets masked. Any other
    text: the unified form.
    """
    settings = _settings(new)
    if settings is not None:
        return _of_settings(old, settings, secrets)
    shown = difflib.unified_diff((old or "").splitlines(), new.splitlines(), "old", "new", lineterm="", n=1)
    if not any(filter(None, secrets)):
        return "\n".join(shown) or "the file is made, empty"
    lines = [mask(line, secrets) if line.startswith("+") else f"-{MASK}" for line in list(shown)[2:] if line[0] in "+-"]
    return "\n".join(lines) or "its lines end otherwise"


def changes(name: str, old: Json, new: Json) -> Change:
    """
    Return the change of a setting in the form of a state's changes, ``{"old", "new"}``, by the same rules as
    :py:func:`diff`. In an old list only the items that stay are shown.

    name
        The dotted name of the setting.
    """
    path = tuple(name.split("."))
    now: Json
    was: Json
    if isinstance(new, list):
        now = [MASK if _new(path, item, ()) == MASK else item for item in new]
        was = [item if item in now else MASK for item in old] if isinstance(old, list) else MASK
    else:
        now = MASK if _new(path, new, ()) == MASK else new
        was = MASK if MASK in (now, _old(path, old, new)) else old
    return {"old": None if old is None else was, "new": now}


def _of_settings(old: str | None, new: dict[Json, Json], secrets: Collection[str]) -> str:
    before, after, lines = {} if old is None else _leaves(old), dict(_flat(new)), []
    if before is None:
        before = {}
        lines.append(f"the old text is of another form: {MASK}")
    for path in sorted(before.keys() | after.keys()):
        name = _name(path)
        if path not in before:
            lines.append(f"+ {name}: {_new(path, after[path], secrets)}")
        elif path not in after:
            lines.append(f"- {name}")
        elif isinstance(before[path], list) and isinstance(after[path], list):
            lines += _of_lists(path, before[path], after[path], secrets)
        elif not _same(before[path], after[path]):
            now = _new(path, after[path], secrets)
            was = MASK if now == MASK else _old(path, before[path], after[path])
            lines.append(f"{name}: {was} -> {now}")
    return "\n".join(lines) or "the same settings, written otherwise"


def _of_lists(path: tuple[str, ...], before: list[Json], after: list[Json], secrets: Collection[str]) -> list[str]:
    name = _name(path)
    lines = [f"+ {name}: {_new(path, item, secrets)}" for item in after if item not in before]
    gone = sum(item not in after for item in before)
    if gone:
        lines.append(f"- {name}: {gone} of {len(before)}, {MASK}")
    return lines or ([f"{name}: in another order"] if before != after else [])


def _settings(text: str) -> dict[Json, Json] | None:
    for read in (pghalib.parse.from_json, pghalib.parse.from_yaml):
        try:
            found = read(text)
        except ValueError:
            continue
        return found if isinstance(found, dict) else None
    return None


def _leaves(text: str) -> dict[tuple[str, ...], Json] | None:
    """The settings of an old text as :py:func:`_flat` yields them; None when it has none."""
    settings = _settings(text)
    try:
        return None if settings is None else dict(_flat(settings))
    # YAML of a person's may contain itself.
    except RecursionError:
        return None


def _flat(tree: dict[Json, Json], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Yield (path, value) of each leaf; a list is a leaf, and so is an empty mapping."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def _same(one: Json, other: Json) -> bool:
    return (type(one), one) == (type(other), other)


def _name(path: tuple[str, ...]) -> str:
    return ".".join(part if _harmless_old(part) else MASK for part in path)


def _new(path: tuple[str, ...], value: Json, secrets: Collection[str]) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bool) or value is None:
        return text
    known = any(secret in text for secret in filter(None, secrets))
    return MASK if known or any(map(_NAMED.fullmatch, path)) or not _harmless(text) else text


def _old(path: tuple[str, ...], value: Json, new: Json) -> str:
    plain = isinstance(value, (str, int, float, type(None))) and isinstance(new, (str, int, float, type(None)))
    return _new(path, value, ()) if plain and _harmless_old(str(value)) else MASK


def _harmless_old(text: str) -> bool:
    return len(text) <= LONGEST_OLD and _harmless(text) and not _DRAWN.search(text)


def _harmless(text: str) -> bool:
    return text.isprintable() and not _LOOKS.search(text)
