"""What came of a drill: what each fault cost, the verdicts, and both as text for a person. Pure functions."""

from __future__ import annotations

import bisect
import itertools
import statistics
from typing import TYPE_CHECKING, TypedDict

import pghalib.drill.checker
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pghalib.drill.checker import Phases, Span, Verdict
    from pghalib.drill.history import History, Visit, Write


#: The most characters of one text in a report: why a drill ended early may be several sentences.
TEXT = 10_000
# A verdict's word; None: it cannot be judged.
_WORDS = {True: "held  ", False: "BROKEN", None: "?     "}


class Result(TypedDict):
    """
    What one fault cost, in seconds: the longest time without an acknowledged write, its promised bound, and the longest
    time without a new connection. The moments in which the fault began, and in which the time without a write began and
    ended, in nanoseconds.
    """

    fault: str
    host: str
    outage: float
    connect: float
    bound: float
    since: int
    began: int
    ended: int
    phases: Phases | None


class Outcome(TypedDict):
    """What came of a drill; ``early`` is why it ended before the last fault or without all that was seen, else None."""

    results: list[Result]
    verdicts: list[Verdict]
    history: History
    early: str | None


class Summary(TypedDict):
    """How often a fault was made, and the least, the median and the greatest outage of it, in seconds."""

    fault: str
    times: int
    least: float
    median: float
    greatest: float


def outages(writes: Iterable[Write | Visit], begins: Sequence[int], until: int) -> list[Span]:
    """
    Return the outage of each time from a begin to the next one; the last one goes on until a moment. Nothing is between
    them, so that an outage is in one of them, whenever it was.

    writes
        In any order.
    begins
        Moments (nanoseconds), in their order.
    until
        A moment (nanoseconds).
    """
    writes = sorted(writes, key=lambda one: one["end"])
    bounds = [*begins, max([until, *begins])]
    places = [bisect.bisect_right(writes, bound, key=lambda one: one["end"]) for bound in bounds]
    times = zip(itertools.pairwise(bounds), itertools.pairwise(places), strict=True)
    return [pghalib.drill.checker.outage(writes[first:last], since, end) for (since, end), (first, last) in times]


def weighed(results: Iterable[Result], history: History, begins: list[int]) -> list[Result]:
    """
    Return the results by the whole history: what a fault costs may also come after the drill has looked at it.

    results
        What each fault cost, as far as it was known when it was over.
    history
        Of the whole drill.
    begins
        The moments (nanoseconds) in which the faults began; a last one that has no result ends the time of the one
        before it.
    """
    writes, visits = history["writes"], history["visits"]
    until = max((one["end"] for one in (*writes, *visits)), default=0)
    spans, connects = (outages(one, begins, until) for one in (writes, visits))
    found: list[Result] = []
    for one, span, connect in zip(results, spans, connects, strict=False):
        made = one.copy()
        made["outage"], made["connect"] = ((each.end - each.start) / 1e9 for each in (span, connect))
        made["began"], made["ended"] = span.start, span.end
        made["phases"] = pghalib.drill.checker.phases(history, span)
        found.append(made)
    return found


def summary(results: Iterable[Result]) -> list[Summary]:
    """Return a summary for each fault, in the order in which the faults were first made."""
    outages: dict[str, list[float]] = {}
    for one in results:
        outages.setdefault(one["fault"], []).append(one["outage"])
    return [
        {
            "fault": fault,
            "times": len(seconds),
            "least": min(seconds),
            "median": statistics.median(seconds),
            "greatest": max(seconds),
        }
        for fault, seconds in outages.items()
    ]


def text(cluster: str, outcome: Outcome, place: object, repeated: bool = False, again: str | None = None) -> str:
    """
    Return the report of a drill as text for a person.

    cluster
        Its name.
    outcome
        What came of its course.
    place
        Where the report and the history are.
    repeated
        Whether the faults were made round by round: then each fault also has a summary.
    again
        The command that makes the same faults again, for a drill that was not good.
    """
    results = outcome["results"]
    width = max((len(one["fault"]) for one in results), default=5)
    lines = [f"Drill of {cluster}", "", f"{'fault':{width}}  {'outage':>8}  {'bound':>6}  {'connect':>8}"]
    for one in results:
        late = "" if one["outage"] <= one["bound"] else "  longer than promised"
        told = f"{one['outage']:6.2f} s  {one['bound']:4.0f} s  {one['connect']:6.2f} s"
        lines.append(f"{one['fault']:{width}}  {told}{late}")
    if repeated:
        lines += ["", f"{'fault':{width}}  {'times':>5}  {'least':>8}  {'median':>8}  {'greatest':>8}"]
        for each in summary(results):
            told = "  ".join(f"{seconds:6.2f} s" for seconds in (each["least"], each["median"], each["greatest"]))
            lines.append(f"{each['fault']:{width}}  {each['times']:5}  {told}")
    lines.append("")
    for verdict in outcome["verdicts"]:
        lines.append(f"{_WORDS[verdict['held']]}  {verdict['rule']}")
        lines += [f"          {pghalib.text.line(example)}" for example in verdict["examples"]]
        if verdict["count"] > len(verdict["examples"]):
            lines.append(f"          and {verdict['count'] - len(verdict['examples'])} more")
    if outcome["early"]:
        lines += ["", f"The drill ended early. {pghalib.text.line(outcome['early'], TEXT)}"]
    if again and not good(outcome):
        lines += ["", f"The same faults again: {again}"]
    return "\n".join([*lines, "", f"The report is {place}/report.html, with the history beside it"])


def good(outcome: Outcome) -> bool:
    """Return whether every fault was made, every rule held and no outage was longer than promised."""
    return all(one["held"] for one in outcome["verdicts"]) and not outcome["early"] and not broken(outcome)


def broken(outcome: Outcome) -> bool:
    """Return whether a rule was broken or an outage was longer than promised; what was not judged is neither."""
    late = any(one["outage"] > one["bound"] for one in outcome["results"])
    return late or any(one["held"] is False for one in outcome["verdicts"])
