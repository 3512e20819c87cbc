"""
What the events of the master's bus tell about a running orchestration of the formula. A minion may put anything on the
bus, so an event is only data, as the answers of hosts are. Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

import pghalib.text

if TYPE_CHECKING:
    from typing import Literal

    from pghalib.shapes import Json

# The most hosts or states of one event that are read.
MOST = 500
ORCHESTRATIONS = {"pgha", "pgha.restart", "pgha.restore"}
# Three names of the same function of Salt.
RUNNERS = ("runner.state.orchestrate", "runner.state.orch", "runner.state.sls")


class Started(TypedDict):
    """A job starts."""

    what: Literal["new"]
    jid: str
    sls: list[str]
    hosts: list[str]


class Returned(TypedDict):
    """A host returns from a job."""

    what: Literal["ret"]
    jid: str
    host: str
    done: bool


class Ended(TypedDict):
    """The orchestration ends."""

    what: Literal["end"]
    done: bool


def read(tag: object, data: object) -> Started | Returned | Ended | None:
    """
    Return the data of an event of the master's bus about an orchestration of the formula; None for any other event, and
    for one that is a minion's for certain. ``what`` is ``new`` (a job starts: ``jid``, ``sls``, ``hosts``), ``ret`` (a
    host returns: ``jid``, ``host``, ``done``) or ``end`` (the orchestration ends: ``done``).

    What is returned may still be a minion's: Salt fires what a minion sends as a list of events as it is, with any tag
    (``_minion_event`` of its masterapi.py). So it is for a person's eyes alone.
    """
    # Salt gives a single event of a minion this `cmd`, whatever its tag.
    if not isinstance(tag, str) or not isinstance(data, dict) or data.get("cmd") == "_minion_event":
        return None
    parts = tag.split("/")
    done = data.get("retcode") == 0
    if parts[:2] == ["salt", "job"] and parts[3:] == ["new"] and data.get("fun") == "state.sls":
        sls = _sls(data.get("arg"))
        hosts = [pghalib.text.line(host, 100) for host in _as_list(data.get("minions"))[:MOST]]
        ours = sls and all(re.fullmatch(r"pgha(\.[a-z_]+)*", name) for name in sls)
        return {"what": "new", "jid": parts[2], "sls": sls, "hosts": hosts} if ours else None
    if parts[:2] == ["salt", "job"] and parts[3:4] == ["ret"] and len(parts) > 4:
        return {"what": "ret", "jid": parts[2], "host": pghalib.text.line(parts[4], 100), "done": done}
    ended = parts[:2] == ["salt", "run"] and parts[3:] == ["ret"] and data.get("fun") in RUNNERS
    if ended and set(_sls(data.get("fun_args"))) & ORCHESTRATIONS:
        given = data.get("return")
        returned = given if isinstance(given, dict) else {}
        return {"what": "end", "done": data.get("success") is True and returned.get("retcode", 0) == 0}
    return None


def _sls(arguments: Json) -> list[str]:
    """The names of states in the arguments of ``state.sls`` and similar functions, or []."""
    arguments = _as_list(arguments)
    if not arguments:
        return []
    first = arguments[0]
    if isinstance(first, dict):
        first = first.get("mods")
    names = first.split(",") if isinstance(first, str) else _as_list(first)
    return [pghalib.text.line(name, 100) for name in names[:MOST] if isinstance(name, str)]


def _as_list(value: Json) -> list[Json]:
    return list(value) if isinstance(value, (list, tuple)) else []
