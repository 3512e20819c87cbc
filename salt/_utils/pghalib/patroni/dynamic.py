"""
The dynamic configuration of a cluster: the declared keys, the keys in the DCS, and the keys that the formula put there.

The formula's keys are noted in the configuration itself, under a key that Patroni keeps and ignores. So the note
changes in the same write as the settings, every member sees it, and a snapshot of Consul includes it. It holds names,
no values. Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pghalib.host.diff
import pghalib.postgres.settings
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pghalib.host.diff import Change
    from pghalib.shapes import Json

    # The keys from the top down to a value.
    Path = tuple[str, ...]

#: What Patroni checks by rules of its own, and gives to the server at its start: it may have another value in the file
#: (Patroni 4.1, ``ConfigHandler.CMDLINE_OPTIONS``).
_CHECKED = pghalib.postgres.settings.CLUSTER_WIDE | pghalib.postgres.settings.PATRONI_OWN | {"wal_keep_segments"}
_WRITTEN = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*) = '(.*)'")
#: The key of the note, and the key in it: a list of names like ``postgresql/parameters/work_mem``.
NOTE, NAMES = "pgha", "declared"


def with_note(declared: dict[str, Json]) -> dict[str, Json]:
    """Return a dynamic configuration together with the note of what it sets (a null sets nothing)."""
    values = {key: value for key, value in declared.items() if key != NOTE}
    return {**values, NOTE: {NAMES: sorted(_name(path) for path, value in _leaves(values) if value is not None)}}


def differences(declared: dict[str, Json], live: Json) -> dict[str, Json]:
    """
    Return the mapping for ``PATCH /config`` that gives the living configuration all declared keys: only the
    differences, {} when there are none. Keys that are not declared are left alone; null removes a key.

    Booleans are compared as PostgreSQL reads them (true, on and "on" are equal), and 100 equals "100". Texts are
    compared exactly, blanks included.
    """
    patch: dict[str, Json] = {}
    for key, value in declared.items():
        now = live.get(key) if isinstance(live, dict) else None
        if isinstance(value, dict):
            inner = differences(value, now if isinstance(now, dict) else {})
            if inner:
                patch[key] = inner
        elif not _same(value, now):
            patch[key] = value
    return patch


def patch(declared: dict[str, Json], live: Json) -> dict[str, Json]:
    """
    Return the mapping for ``PATCH /config``: :py:func:`differences`, and null for each key that the formula once put
    there and no longer declares. Keys of others are left alone.

    declared
        The result of :py:func:`with_note`.
    live
        The living configuration.
    """
    return _merged(differences(declared, live), _gone(live, declared, _noted(live)))


def undeclared(declared: dict[str, Json], live: Json) -> list[str]:
    """
    Return the dotted names of the keys in the living configuration that the formula did not put there, as a sorted
    list. ``pause`` is left out: the status reports it separately.
    """
    live = live if isinstance(live, dict) else {}
    known, noted = {path for path, _ in _leaves(declared)}, _noted(live)
    others = [path for path, _ in _leaves({key: live[key] for key in live.keys() - {NOTE, "pause"}})]
    return sorted(pghalib.text.printable(".".join(path)) for path in others if path not in known | noted)


def parameters(live: Json) -> tuple[dict[str, Json], set[str]]:
    """
    Return PostgreSQL's parameters in the living configuration, as ``{name: value}``, and the names of those among them
    that the formula put there.
    """
    values = {path[2]: value for path, value in _leaves(live if isinstance(live, dict) else {}) if _is_parameter(path)}
    return values, {path[2] for path in _noted(live) if _is_parameter(path)}


def unwritten(live: Json, text: str, own: Mapping[str, Json], formulas: bool = False) -> list[str]:
    """
    Return the names of PostgreSQL's parameters that have another value in a member's postgresql.conf than in the living
    configuration, sorted. Patroni does not write what it hears while its server starts, until it hears of another
    change (Patroni 4.1, ``ConfigHandler.reload_config``).

    live
        The living configuration.
    text
        The file as Patroni has written it: ``name = 'value'`` in a line each.
    own
        The parameters of this member alone, which Patroni takes in place of those.
    formulas
        True: only parameters that the formula has put there. Of those the server itself has said that it takes them;
        what a person puts there, Patroni may write in another form, or leave out.
    """
    values, noted = parameters(live)
    lines = (_WRITTEN.fullmatch(line) for line in text.splitlines())
    written = {found[1].lower(): re.sub(r"(['\\\\])\1", r"\1", found[2]) for found in lines if found}
    others = {name.lower() for name in own} | _CHECKED
    return sorted(
        name
        for name, value in values.items()
        if (name in noted or (not formulas and name.lower() in written))
        and value is not None
        and name.lower() not in others
        and not _same(value, written.get(name.lower()))
    )


def changes(patch: dict[str, Json], live: Json, prefix: str = "") -> dict[str, Change]:
    """
    Return a patch as the changes of a state: ``{dotted key: {"old":…, "new":…}}``. For the note: the names that come
    and go.
    """
    result: dict[str, Change] = {}
    for key, value in patch.items():
        now = live.get(key) if isinstance(live, dict) else None
        if isinstance(value, dict) and not prefix and key == NOTE:
            before, after = {_name(path) for path in _noted(live)}, set(value.get(NAMES) or ())
            result[f"{NOTE}.{NAMES}"] = {"old": sorted(before - after), "new": sorted(after - before)}
        elif isinstance(value, dict):
            result.update(changes(value, now or {}, f"{prefix}{key}."))
        else:
            result[f"{prefix}{key}"] = pghalib.host.diff.changes(f"{prefix}{key}", now, value)
    return result


def _noted(live: Json) -> set[Path]:
    """The paths in the note. It is not trusted: others can write to the DCS too."""
    note = live.get(NOTE) if isinstance(live, dict) else None
    names = note.get(NAMES) if isinstance(note, dict) else None
    paths = [_path(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return {path for path in paths if path[0] != NOTE}


def _gone(live: Json, declared: dict[str, Json], noted: set[Path], above: Path = ()) -> dict[str, Json]:
    """The patch that removes all noted keys that are not declared; a mapping that is empty then is removed too."""
    taken: dict[str, Json] = {}
    for key, value in live.items() if isinstance(live, dict) else ():
        path = (*above, key)
        if isinstance(value, dict):
            wanted = declared.get(key, {})
            inner = _gone(value, wanted, noted, path) if isinstance(wanted, dict) else {}
            empties = key not in declared and inner and all(inner.get(name, 0) is None for name in value)
            if inner:
                taken[key] = None if empties else inner
        elif path in noted and key not in declared:
            taken[key] = None
    return taken


def _leaves(tree: dict[str, Json], above: Path = ()) -> Iterator[tuple[Path, Json]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value


def _is_parameter(path: Path) -> bool:
    return path[:2] == ("postgresql", "parameters") and len(path) == 3


def _merged(patch: dict[str, Json], other: dict[str, Json]) -> dict[str, Json]:
    result = dict(patch)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _name(path: Path) -> str:
    return "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)


def _path(name: str) -> Path:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in name.split("/"))


def _same(value: Json, other: Json) -> bool:
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(value) == len(other) and all(map(_same, value, other))
    if value is None or other is None:
        return value is other
    if isinstance(value, bool) or isinstance(other, bool):
        return _switch(value) == _switch(other)
    return str(value) == str(other)


def _switch(value: Json) -> str:
    text = str(value).lower()
    return {"true": "on", "false": "off"}.get(text, text)
