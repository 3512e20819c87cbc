"""
The history of a drill: one JSON object a line, written while it happens by clients, observers and the drill itself.

All moments are nanoseconds of the time of day, as several hosts write. Those of the client and of the drill itself go
on evenly, whoever sets the clock of the host meanwhile (``pghalib.drill.clock``); those of an observer are of the clock
of its host (``time.time_ns``), which is also right after the host has stood still. Pure functions.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pghalib.shapes import Json


class Write(TypedDict):
    """
    A client appended ``value`` to its list ``key``. A client writes 1, 2, 3, … to a list of its own, one at a time.

    ``outcome`` is ``ok`` (acknowledged without any doubt), ``fail`` (certainly not written) or ``info`` (nobody can
    know: the connection was lost, or the COMMIT came with a WARNING).
    """

    kind: Literal["write"]
    key: int
    value: int
    start: int
    end: int
    outcome: Literal["ok", "fail", "info"]


class Visit(TypedDict):
    """A client connected anew and asked something: ``ok`` with an answer, else ``fail``."""

    kind: Literal["visit"]
    start: int
    end: int
    outcome: Literal["ok", "fail"]


class Read(TypedDict):
    """A client read all values above ``floor`` in the list ``key``."""

    kind: Literal["read"]
    key: int
    floor: int
    values: list[int]
    start: int
    end: int


class Look(TypedDict):
    """
    What an observer saw on its own host: whether the host has the virtual IP at the end of the look, whether its
    PostgreSQL is a primary (None when there is no answer), the timeline, whether it acknowledged a write on its own
    address, and the members for which its commits wait (None when it is no primary).
    """

    kind: Literal["look"]
    host: str
    start: int
    end: int
    address: bool
    primary: bool | None
    timeline: int | None
    acknowledged: bool
    synchronous: list[str] | None


class Mark(TypedDict):
    """Something that the drill did, such as the begin and the end of a fault."""

    kind: Literal["mark"]
    at: int
    what: str


class Trouble(TypedDict):
    """Why a client could not connect, in the words of libpq; it is noted as long as no client has written."""

    kind: Literal["trouble"]
    at: int
    what: str


class History(TypedDict):
    """A whole history. ``final`` has the lists as they were in the end, in the order in which they are stored."""

    writes: list[Write]
    visits: list[Visit]
    reads: list[Read]
    looks: list[Look]
    marks: list[Mark]
    troubles: list[Trouble]
    final: dict[int, list[int]]


_WHOLE = {
    "write": {"key": int, "value": int, "start": int, "end": int, "outcome": str},
    "visit": {"start": int, "end": int, "outcome": str},
    "read": {"key": int, "floor": int, "values": list, "start": int, "end": int},
    "look": {"host": str, "start": int, "end": int, "address": bool, "acknowledged": bool},
    "mark": {"at": int, "what": str},
    "trouble": {"at": int, "what": str},
    "final": {"key": int, "values": list},
}
#: The kinds of line that a client notes, and those that an observer does. Marks are the drill's own.
CLIENT, OBSERVER = ("write", "visit", "read", "trouble", "final"), ("look",)
# What a look may lack, and may have as null.
_OPTIONAL = {"look": {"primary": bool, "timeline": int, "synchronous": list}}
_LACKING: dict[str, dict[str, Json]] = {kind: dict.fromkeys(keys) for kind, keys in _OPTIONAL.items()}
_OUTCOMES = {"write": ("ok", "fail", "info"), "visit": ("ok", "fail")}
# PostgreSQL's limit of an application_name.
_NAME = 63
# Moments and values are smaller: PostgreSQL's bigint, and nanoseconds until the year 2262.
_LARGEST = 2**63


def read(lines: Iterable[str], kinds: Collection[str] = tuple(_WHOLE)) -> History:
    """
    Return the history in lines of JSON.

    lines
        In any order, of one or several files. A line that was cut off at its end (its writer was killed) is passed over
        when it is the last one of its file: give the files one after another.
    kinds
        The kinds of line that their writer may note. Default: all, for lines of which each writer's own were looked at
        when they came.

    Raises CommandExecutionError that names the number and the fault of a line that is no record.
    """
    found: dict[str, list[Json]] = {kind: [] for kind in _WHOLE}
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            continue
        try:
            record = pghalib.parse.from_json(line, _shared)
        except ValueError:
            raise CommandExecutionError(f"line {number} of the history is not JSON") from None
        fault = _fault(record, kinds)
        if fault:
            raise CommandExecutionError(f"line {number} of the history: {fault}")
        # Who judges it asks for each of these.
        found[record["kind"]].append({**_LACKING.get(record["kind"], {}), **record})
    final: dict[int, list[int]] = {}
    for record in found["final"]:
        final.setdefault(record["key"], []).extend(record["values"])
    return {
        "writes": sorted(found["write"], key=_start),
        "visits": sorted(found["visit"], key=_start),
        "reads": sorted(found["read"], key=_start),
        "looks": sorted(found["look"], key=_start),
        "marks": sorted(found["mark"], key=_at),
        "troubles": sorted(found["trouble"], key=_at),
        "final": final,
    }


def _shared(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """A record whose words are kept in memory once for all records: they are more than half of a long history."""
    return {sys.intern(name): sys.intern(value) if type(value) is str else value for name, value in pairs}


def _start(record: Json) -> int:
    start: int = record["start"]
    return start


def _at(record: Json) -> int:
    at: int = record["at"]
    return at


def _fault(record: object, kinds: Collection[str]) -> str | None:
    """What is wrong with the shape of a record, or None. The true type is asked for: a boolean is no number."""
    if not isinstance(record, dict) or str(record.get("kind")) not in _WHOLE:
        return "it has no known kind"
    if record["kind"] not in kinds:
        return f"a {record['kind']} is none of {', '.join(kinds)}, which alone its writer notes"
    wrong = [key for key, kind in _WHOLE[record["kind"]].items() if type(record.get(key)) is not kind]
    optional = _OPTIONAL.get(record["kind"], {})
    wrong += [key for key, kind in optional.items() if type(record.get(key)) not in (kind, type(None))]
    if wrong:
        return f"{', '.join(wrong)} of a {record['kind']} is missing or of another type"
    outcomes = _OUTCOMES.get(record["kind"])
    if outcomes and record["outcome"] not in outcomes:
        return f"the outcome of a {record['kind']} is one of {', '.join(outcomes)}"
    if any(type(name) is not str or len(name) > _NAME for name in record.get("synchronous") or ()):
        return f"names of members are texts of at most {_NAME} characters"
    values = record.get("values", ())
    if any(type(value) is not int for value in values):
        return "values are whole numbers"
    if any(abs(value) >= _LARGEST for value in (*record.values(), *values) if type(value) is int):
        return f"a number is not below {_LARGEST}"
    return None
