"""
The verdict on the history of a drill: rules that every fault has to leave whole. Each rule looks at an operation once.

The rules come from what a client may rely on: an acknowledged write is there exactly once, a read shows everything that
was acknowledged before it, one server at most acknowledges writes, and one host at most has the virtual IP.

Pure functions.
"""

from __future__ import annotations

import collections
import itertools
from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pghalib.drill.history import History, Look, Read, Visit, Write

#: The most examples in a verdict.
SHOWN = 5
MS = 10**6


class Verdict(TypedDict):
    """
    The verdict of one rule: whether it held, how often it was broken, and some examples, as sentences. ``held`` is None
    where the rule cannot be judged; the only example says why.
    """

    rule: str
    held: bool | None
    count: int
    examples: list[str]


class Span(NamedTuple):
    """The time from ``start`` to ``end`` (nanoseconds) in which something held of a host."""

    start: int
    end: int
    host: str


def check(
    history: History, overlap: int | None = 250, unseen: Iterable[str] = (), unsettled: str | None = None
) -> list[Verdict]:
    """
    Return the verdict of every rule. A rule that nothing in the history could have broken is not held.

    history
        The result of ``pghalib.drill.history.read``.
    overlap
        Milliseconds that two hosts may both have the virtual IP: as long as vip-manager and the guard do not look. None
        for a cluster without one: it has no such rule.
    unseen
        Hosts of which something is missing that their observers saw.
    unsettled
        Why the last lists and looks may not be what the cluster comes to in the end, as a sentence; None when they are.
    """
    acknowledged = _acknowledged(history["writes"])
    final = {key: collections.Counter(values) for key, values in history["final"].items()}
    listless = sorted(set(acknowledged) - set(final))
    ends = f"the last lists of clients {', '.join(map(str, listless))} are missing" if listless else unsettled
    if not acknowledged:
        ends = "no write was acknowledged"
    reads = _unless(bool(history["reads"]), "no client has read anything")
    hosts = ", ".join(unseen)
    looks = f"something that the observers of {hosts} saw is missing" if hosts else unsettled
    led = looks or _unless(
        any(look["acknowledged"] for look in history["looks"]), "no observer had a write acknowledged"
    )
    there = looks or _unless(any(look["address"] for look in history["looks"]), "no observer saw the virtual IP")
    found = [
        _verdict("every acknowledged write is there", _lost(acknowledged, final), ends),
        _verdict("nothing is there that no client wrote", _phantoms(history["writes"], final), ends),
        _verdict("every write is there once", _duplicates(final), ends),
        _verdict("a read shows what was acknowledged before it", _stale(history["writes"], history["reads"]), reads),
        _verdict("what was read is there in the end", _vanished(history["reads"], final), reads or ends),
        _verdict("one server at most acknowledges writes", _primaries(history["looks"]), led),
    ]
    if overlap is None:
        return found
    return [*found, _verdict("one host at most has the virtual IP", _addresses(history["looks"], overlap), there)]


def outage(writes: Iterable[Write | Visit], since: int = 0, until: int | None = None) -> Span:
    """
    Return the longest time between two acknowledged writes of any client, as a Span without a host. It begins with the
    first write, and ends with the end of the last one, acknowledged or not. The same for new connections.

    writes
        In any order.
    since
        The moment (nanoseconds) from which on the writes count, in place of the first one's.
    until
        The moment (nanoseconds) until which they count, in place of the last one's: who waits then has no line yet.
    """
    writes = [write for write in writes if since < write["end"] and (until is None or write["end"] <= until)]
    moments = sorted(write["end"] for write in writes if write["outcome"] == "ok")
    first = since or min((write["start"] for write in writes), default=0)
    edges = [first, *moments, max((w["end"] for w in writes), default=0) if until is None else until]
    start, end = max(itertools.pairwise(edges), key=lambda pair: pair[1] - pair[0])
    return Span(start, end, "")


class Phases(TypedDict):
    """
    What an outage went to, in seconds that add up to it: until a server acknowledged writes, until the virtual IP was
    on that server's host, until a client wrote. ``address`` is None where no host ever had a virtual IP: clients find
    the server by themselves there.
    """

    server: float
    address: float | None
    client: float


def phases(history: History, gap: Span) -> Phases | None:
    """
    Return what an outage went to, by what the observers saw; None when no observer saw a server that took writes.

    gap
        The result of :py:func:`outage`.
    """
    seen = [look for look in history["looks"] if gap.start < look["end"] <= gap.end]
    taken = [look for look in seen if look["acknowledged"]]
    if not taken:
        return None
    # The server that takes writes in the end; in the beginning the former leader may still take some.
    last = taken[-1]["host"], taken[-1]["timeline"]
    server = next(look["end"] for look in taken if (look["host"], look["timeline"]) == last)
    if not any(look["address"] for look in history["looks"]):
        return {"server": (server - gap.start) / 1e9, "address": None, "client": (gap.end - server) / 1e9}
    there = (look["end"] for look in seen if look["address"] and look["host"] == last[0] and look["end"] >= server)
    address = next(there, gap.end)
    return {
        "server": (server - gap.start) / 1e9,
        "address": (address - server) / 1e9,
        "client": (gap.end - address) / 1e9,
    }


def _verdict(rule: str, broken: Iterable[str], missing: str | None = None) -> Verdict:
    """The verdict by what broke a rule; with ``missing``, what should have been looked at too, no rule is held."""
    examples, count = [], 0
    for sentence in broken:
        count += 1
        if count <= SHOWN:
            examples.append(sentence)
    if missing and not count:
        return {"rule": rule, "held": None, "count": 0, "examples": [missing]}
    return {"rule": rule, "held": not count, "count": count, "examples": examples}


def _unless(enough: bool, reason: str) -> str | None:
    return None if enough else reason


def _acknowledged(writes: Iterable[Write]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for write in writes:
        if write["outcome"] == "ok":
            found.setdefault(write["key"], []).append(write["value"])
    return found


def _lost(acknowledged: Mapping[int, list[int]], final: Mapping[int, collections.Counter[int]]) -> Iterator[str]:
    for key in acknowledged.keys() & final.keys():
        values, there = acknowledged[key], final[key]
        yield from (f"client {key}: {value} is lost" for value in values if value not in there)


def _phantoms(writes: Iterable[Write], final: Mapping[int, collections.Counter[int]]) -> Iterator[str]:
    possible: dict[int, set[int]] = {}
    last: dict[int, int] = {}
    for write in writes:
        key, value = write["key"], write["value"]
        last[key] = max(last.get(key, 0), value)
        if write["outcome"] != "fail":
            possible.setdefault(key, set()).add(value)
    for key, values in final.items():
        # The last write of a client that was killed has no line in the history.
        known = possible.get(key, set()) | {last.get(key, 0) + 1}
        yield from (f"client {key}: {value} was not written" for value in values if value not in known)


def _duplicates(final: Mapping[int, collections.Counter[int]]) -> Iterator[str]:
    for key, values in final.items():
        yield from (f"client {key}: {value} is there {times} times" for value, times in values.items() if times > 1)


def _stale(writes: Iterable[Write], reads: Iterable[Read]) -> Iterator[str]:
    """Both are sorted by their start. A write that ended before a read began has to be in it."""
    ended = collections.deque(sorted((one for one in writes if one["outcome"] == "ok"), key=lambda one: one["end"]))
    open_: dict[int, set[int]] = {}
    for read in reads:
        while ended and ended[0]["end"] < read["start"]:
            write = ended.popleft()
            open_.setdefault(write["key"], set()).add(write["value"])
        key = read["key"]
        expected = {value for value in open_.get(key, ()) if value > read["floor"]}
        # Values up to the floor were in an earlier read, and are in no later one.
        open_[key] = expected
        missing = expected.difference(read["values"])
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            yield f"client {key}: a read lacked {min(missing)}{others}, acknowledged before it began"


def _vanished(reads: Iterable[Read], final: Mapping[int, collections.Counter[int]]) -> Iterator[str]:
    told: set[tuple[int, int]] = set()
    for read in reads:
        key = read["key"]
        for value in read["values"] if key in final else ():
            if value not in final[key] and (key, value) not in told:
                told.add((key, value))
                yield f"client {key}: {value} was read and is gone"


def leaders(looks: Iterable[Look]) -> list[Span]:
    """Return the times in which hosts acknowledged writes; a host that leads again has another timeline."""
    spans: dict[tuple[str, int | None], Span] = {}
    for look in looks:
        if look["acknowledged"]:
            own = look["host"], look["timeline"]
            start = spans[own].start if own in spans else look["start"]
            spans[own] = Span(start, look["end"], look["host"])
    return sorted(spans.values())


def _primaries(looks: Iterable[Look]) -> Iterator[str]:
    for one, other, both in _overlaps(leaders(looks)):
        if both > 0:
            yield f"{one} and {other} both acknowledged writes for {both // MS} ms"


def _addresses(looks: Iterable[Look], allowed: int) -> Iterator[str]:
    for one, other, both in _overlaps(addresses(looks)):
        if both > allowed * MS:
            yield f"{one} and {other} both had the virtual IP for {both // MS} ms"


def addresses(looks: Iterable[Look]) -> list[Span]:
    """
    Return the times in which hosts had the virtual IP, by what they saw: from the end of the first look with it to that
    of the last one. A look asks for the address at its end; before, it may have waited for the server.
    """
    found, since = [], dict[str, Span]()
    for look in sorted(looks, key=lambda one: one["end"]):
        host = look["host"]
        if look["address"]:
            start = since[host].start if host in since else look["end"]
            since[host] = Span(start, look["end"], host)
        elif host in since:
            found.append(since.pop(host))
    return sorted([*found, *since.values()])


def awaited(looks: Iterable[Look]) -> list[Span]:
    """
    Return the times in which commits waited for members, by what the primaries saw: from the first look with a member
    to the last. The spans have the names of members in place of hosts.
    """
    found, since = [], dict[tuple[str, str], Span]()
    for look in looks:
        if look["primary"] is True:
            names = {(look["host"], name) for name in look.get("synchronous") or ()}
            found += [since.pop(own) for own in [*since] if own[0] == look["host"] and own not in names]
            for own in names:
                start = since[own].start if own in since else look["start"]
                since[own] = Span(start, look["end"], own[1])
    return sorted([*found, *since.values()])


def _overlaps(spans: Iterable[Span]) -> Iterator[tuple[str, str, int]]:
    """(host, host, nanoseconds) for each two spans of different hosts that overlap. Spans are few: one a change."""
    active: list[Span] = []
    for span in sorted(spans):
        active = [one for one in active if one.end > span.start]
        for one in active:
            if one.host != span.host:
                yield one.host, span.host, min(one.end, span.end) - span.start
        active.append(span)
