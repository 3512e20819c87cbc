"""
What a host says to a peer that connects to it before its services run, and the check of what a peer says. Pure
functions, except for the clock.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import time
from typing import TYPE_CHECKING, TypedDict

import pghalib.parse
import pghalib.preflight.packets
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = "pgha-preflight"
# Seconds since 1970: a later time is no real clock.
LAST = 10**11


class Said(TypedDict, total=False):
    """What a peer says, see :py:func:`said`. All keys of a temporary listener are there together or not."""

    id: str
    udp: bool
    hold: list[int]
    seen_as: str | None
    follows: int
    http: bool
    time: float
    unsure: float


def line(me: str, udp: bool, hold: Iterable[int], seen_as: str | None) -> bytes:
    """
    Return the line of a temporary listener.

    me
        This host's id.
    udp
        Whether it listens on UDP too.
    hold
        Ports that it does not open.
    seen_as
        The address from which the peer connects, None when it has gone already.
    """
    told = {MAGIC: 1, "id": me, "time": time.time(), "udp": udp, "hold": sorted(hold), "seen_as": seen_as}
    return json.dumps({**told, "follows": pghalib.preflight.packets.FOLLOWS}).encode() + b"\n"


def said(answer: bytes, http: bool) -> Said | None:
    """
    Return the content of a peer's first bytes, ``{}`` when there are none, None when they are nonsense.

    http
        Whether the port speaks HTTP.

    The keys: ``time`` of the peer and its ``unsure`` seconds; from a temporary listener ``id``, ``udp`` (it listens on
    UDP too), ``hold`` (ports that it does not open), ``seen_as`` (the address from which the peer sees this host
    connect) and ``follows`` (how many bytes it sends after the last brace); from a service ``http``.
    """
    try:
        if answer.startswith(b"{"):
            given = pghalib.parse.from_json(answer)
            told = {key: given[key] for key in ("id", "time", "udp", "hold", "seen_as")}
            fits = MAGIC in given and isinstance(told["id"], str) and isinstance(told["udp"], bool)
            fits = fits and isinstance(told["hold"], list) and all(isinstance(port, int) for port in told["hold"])
            fits = fits and isinstance(told["time"], (int, float)) and 0 <= told["time"] < LAST
            # IPv4Address takes numbers too.
            fits = fits and isinstance(told["seen_as"], (str, type(None)))
            # A listener of an older version sends nothing more.
            follows = given.get("follows", 0)
            if not fits or not isinstance(follows, int) or not 0 <= follows <= pghalib.preflight.packets.MOST:
                return None
            seen = None if told["seen_as"] is None else str(ipaddress.IPv4Address(told["seen_as"]))
            name = pghalib.text.printable(told["id"])
            listener: Said = {"id": name, "time": told["time"], "udp": told["udp"], "hold": told["hold"]}
            return {**listener, "seen_as": seen, "follows": follows}
        if answer.startswith(b"HTTP/") and http:
            service: Said = {"http": True}
            for header in answer.decode("latin-1").split("\r\n")[1:]:
                if header.lower().startswith("date:"):
                    # Date has whole seconds only, cut off.
                    service["time"] = email.utils.parsedate_to_datetime(header[5:].strip()).timestamp() + 0.5
                    service["unsure"] = 0.5
            return service if 0 <= service.get("time", 0) < LAST else None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError):
        return None
    return None if answer else {}
