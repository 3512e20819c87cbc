"""
The report of a drill as one HTML page that stands alone: no network, light and dark, fit for print. A time line shows
what clients had, who led, and who had the virtual IP. Pure functions.
"""

from __future__ import annotations

import html
import statistics
from typing import TYPE_CHECKING

import pghalib.drill.checker
import pghalib.drill.outcome
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Literal

    from pghalib.drill.checker import Phases, Span, Verdict
    from pghalib.drill.history import History
    from pghalib.drill.outcome import Outcome, Result

    Phase = Literal["server", "address", "client"]

# In units of the picture: its width, the column of names on the left, a row of a host, the height of a curve.
WIDTH, LEFT, ROW, CURVE = 1000, 130, 22, 90
# The most faults whose names have room above the time line.
NAMED = 16
# The most steps of a curve, and the shortest one in seconds.
STEPS, SHORTEST = 400, 0.25
_PHASES: tuple[Phase, ...] = ("server", "address", "client")
_SUMMARY: tuple[Literal["least", "median", "greatest"], ...] = ("least", "median", "greatest")
_EXPLAINED = {
    "server": "until a server takes writes (server)",
    "address": "until the virtual IP is on its host (address)",
    "client": "until a client has written (client)",
}
STYLE = """
:root { --ink: #1c2126; --soft: #5b6670; --line: #d5dbe0; --paper: #ffffff; --good: #1f7a4d; --bad: #b3261e;
        --curve: #2f6fab; --fault: #b3261e; --host0: #2f6fab; --host1: #b06a00; --host2: #6b4fa0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaee; --soft: #9aa6b1; --line: #39424b; --paper: #14181c; --good: #58c48d; --bad: #ff8a80;
          --curve: #7db4e6; --fault: #ff8a80; --host0: #7db4e6; --host1: #e3a54f; --host2: #b9a1e8; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
       max-width: 1060px; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; color: var(--soft); } .verdict { font-weight: 600; font-size: 1.1rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; } svg { min-width: 720px; width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .75rem .3rem 0;
        border-bottom: 1px solid var(--line); vertical-align: top; } th { color: var(--soft); font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.name { white-space: nowrap; }
ul { margin: .25rem 0; padding-left: 1.2rem; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .soft { fill: var(--soft); }
svg .line { stroke: var(--line); } svg .curve { fill: none; stroke: var(--curve); stroke-width: 1.5; }
svg .area { fill: var(--curve); opacity: .25; } svg .fault { stroke: var(--fault); stroke-dasharray: 3 3; }
svg .outage { fill: var(--fault); opacity: .15; }
@media print { body { max-width: none; padding: 0; } svg { min-width: 0; } h2 { break-after: avoid; } }
"""


def page(cluster: str, outcome: Outcome, about: Mapping[str, object], repeated: bool = False) -> str:
    """
    Return the page.

    cluster
        Its name.
    outcome
        What came of its course.
    about
        Facts for the reader, such as versions and settings: name and value.
    repeated
        Whether the faults were made round by round: then each fault also has a summary.
    """
    results, history = outcome["results"], outcome["history"]
    good = pghalib.drill.outcome.good(outcome)
    worst = max((one["outage"] for one in results), default=0.0)
    each = _summary(results) if repeated else ""
    early = f"<p>The drill ended early. {_text(outcome['early'])}</p>\n" if outcome["early"] else ""
    writes = [one for one in history["writes"] if one["outcome"] == "ok"]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Drill of {_text(cluster)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Drill of {_text(cluster)}</h1>\n"
        f'<p class="verdict {_class(good)}">{_said(outcome)}</p>\n'
        f"<p>{len(results)} faults, {len(writes)} acknowledged writes, longest outage {worst:.2f} s.</p>\n{early}"
        f'<h2>What happened</h2>\n<div class="wide">{_picture(results, history)}</div>\n'
        f"<h2>Outages</h2>\n{_results(results)}\n{each}<h2>Rules</h2>\n{_verdicts(outcome['verdicts'])}\n"
        f"<h2>About</h2>\n{_about(about)}\n</body>\n</html>\n"
    )


def _said(outcome: Outcome) -> str:
    """What came of it, in a sentence."""
    if pghalib.drill.outcome.good(outcome):
        return "Every rule held, and no outage was longer than promised."
    if pghalib.drill.outcome.broken(outcome):
        return "A rule or a promise was broken."
    if outcome["early"]:
        return "The drill ended early. Nothing that was judged was broken."
    return "Not every rule could be judged. Nothing that was judged was broken."


def _text(value: object) -> str:
    return html.escape(pghalib.text.line(value, pghalib.drill.outcome.TEXT))


def _class(good: bool) -> str:
    return "good" if good else "bad"


def _results(results: Sequence[Result]) -> str:
    # A cluster without a virtual IP has no such phase.
    without = any(one["phases"] and one["phases"]["address"] is None for one in results)
    phases = [name for name in _PHASES if not (without and name == "address")]
    rows = "".join(
        f'<tr><td>{_text(one["fault"])}</td><td class="name">{_text(one["host"])}</td>'
        f'<td class="number {_class(one["outage"] <= one["bound"])}">{one["outage"]:.2f} s</td>'
        f'<td class="number">{one["bound"]:.0f} s</td><td class="number">{one["connect"]:.2f} s</td>'
        f"{_phases(one['phases'], phases)}</tr>"
        for one in results
    )
    numbers = "".join(f'<th class="number">{name}</th>' for name in ("outage", "promised", "connect", *phases))
    *others, last = (_EXPLAINED[name] for name in phases)
    explained = (
        f"<p>An outage lasts {', '.join(others)} and {last}, as the observers saw it. Connect is the longest time in"
        " which a client got no answer that connects anew for each question.</p>"
    )
    return f'<div class="wide"><table><tr><th>fault</th><th>host</th>{numbers}</tr>{rows}</table></div>{explained}'


def _summary(results: Iterable[Result]) -> str:
    rows = "".join(
        f'<tr><td>{_text(one["fault"])}</td><td class="number">{one["times"]}</td>'
        + "".join(f'<td class="number">{one[name]:.2f} s</td>' for name in _SUMMARY)
        + "</tr>"
        for one in pghalib.drill.outcome.summary(results)
    )
    numbers = "".join(f'<th class="number">{name}</th>' for name in ("times", *_SUMMARY))
    return f'<h2>Each fault</h2>\n<div class="wide"><table><tr><th>fault</th>{numbers}</tr>{rows}</table></div>\n'


def _phases(phases: Phases | None, names: Iterable[Phase]) -> str:
    told = [f"{phases[name]:.2f} s" if phases else "" for name in names]
    return "".join(f'<td class="number">{one}</td>' for one in told)


def _verdicts(verdicts: Iterable[Verdict]) -> str:
    rows = []
    for one in verdicts:
        examples = "".join(f"<li>{_text(example)}</li>" for example in one["examples"])
        more = one["count"] - len(one["examples"])
        examples += f"<li>and {more} more</li>" if more > 0 else ""
        word = "not judged" if one["held"] is None else "held" if one["held"] else f"broken {one['count']} times"
        shown = f"<ul>{examples}</ul>" if examples else ""
        rows.append(f'<tr><td>{_text(one["rule"])}{shown}</td><td class="{_class(bool(one["held"]))}">{word}</td></tr>')
    return f"<table>{''.join(rows)}</table>"


def _about(about: Mapping[str, object]) -> str:
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in about.items())
    return f"<table>{rows}</table>"


def _picture(results: Sequence[Result], history: History) -> str:
    """The time line: writes a second, their latency, who led, who had the address; faults and outages across all."""
    moments = [moment for one in history["writes"] for moment in (one["start"], one["end"])]
    if not moments:
        return "<p>No client wrote.</p>"
    start, end = min(moments), max(moments)
    seconds = max((end - start) / 1e9, 1.0)

    def place(moment: float) -> float:
        return LEFT + (WIDTH - LEFT) * max(0.0, min(1.0, (moment - start) / (end - start or 1)))

    step = max(SHORTEST, seconds / STEPS)
    rate, delay = _curves(history, start, seconds, step)
    hosts = sorted({look["host"] for look in history["looks"]})
    parts, top = [], 34
    for title, values, unit in (("writes a second", rate, ""), ("longest wait", delay, " ms")):
        parts.append(_curve(title, values, unit, top))
        top += CURVE + 34
    awaited = pghalib.drill.checker.awaited(history["looks"])
    for title, rows, spans in (
        ("acknowledges writes", hosts, pghalib.drill.checker.leaders(history["looks"])),
        ("has the virtual IP", hosts, pghalib.drill.checker.addresses(history["looks"])),
        ("commits wait for", sorted({span.host for span in awaited}), awaited),
    ):
        if not rows:
            # With asynchronous replication commits wait for nobody.
            continue
        parts.append(f'<text class="soft" x="0" y="{top + 4}">{title}</text>')
        parts += _bars(rows, spans, place, top + 12)
        top += 12 + ROW * len(rows) + 26
    under = [_fault(one, index, place, top, len(results) <= NAMED) for index, one in enumerate(results)]
    axis = "".join(
        f'<text class="soft" x="{place(start + second * 1e9):.0f}" y="{top}" text-anchor="{_anchor(second, seconds)}">'
        f"{second} s</text>"
        for second in _ticks(seconds)
    )
    label = f"Time line of {seconds:.0f} seconds: writes, leader and virtual IP through {len(results)} faults"
    drawn = "".join([*under, *parts])
    return f'<svg viewBox="0 0 {WIDTH} {top + 10}" role="img" aria-label="{label}">{drawn}{axis}</svg>'


def _anchor(second: float, seconds: float) -> str:
    """How the label of a moment stands to it: the last one would not have room for its second half."""
    return "end" if second > seconds * 0.97 else "middle"


def _ticks(seconds: float) -> list[int]:
    """The seconds at which the axis has a number: round ones, ten at the most."""
    steps = (1, 2, 5, 10, 30, 60, 300, 600, 3600, 36000)
    # A client's host can tell of any moment.
    step = next((one for one in steps if seconds / one <= 10), int(seconds / 10))
    return list(range(0, int(seconds * 0.99) + 1, step))


def _curves(history: History, start: int, seconds: float, step: float) -> tuple[list[float], list[float]]:
    """(writes a second, longest wait in milliseconds) for each step."""
    count = int(seconds / step) + 1
    rate, delay = [0.0] * count, [0.0] * count
    for one in history["writes"]:
        if one["outcome"] == "ok":
            index = min(count - 1, int((one["end"] - start) / 1e9 / step))
            rate[index] += 1 / step
            delay[index] = max(delay[index], (one["end"] - one["start"]) / 1e6)
    return rate, delay


def _curve(title: str, values: Sequence[float], unit: str, top: int) -> str:
    most = max(values) or 1.0
    width = (WIDTH - LEFT) / len(values)
    points = [(LEFT + width * index, top + CURVE * (1 - value / most)) for index, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    floor = top + CURVE
    middle = statistics.median(values)
    return (
        f'<text class="soft" x="0" y="{top + 10}">{title}</text>'
        f'<text x="0" y="{top + 28}">most {most:.0f}{unit}</text>'
        f'<text x="0" y="{top + 44}">median {middle:.0f}{unit}</text>'
        f'<line class="line" x1="{LEFT}" y1="{floor}" x2="{WIDTH}" y2="{floor}"/>'
        f'<polygon class="area" points="{LEFT},{floor} {line} {points[-1][0]:.1f},{floor}"/>'
        f'<polyline class="curve" points="{line}"/>'
    )


def _bars(hosts: Sequence[str], spans: Iterable[Span], place: Callable[[float], float], top: int) -> list[str]:
    parts = [
        f'<text x="0" y="{top + ROW * row + 14}">{_text(host)}</text>'
        f'<line class="line" x1="{LEFT}" y1="{top + ROW * (row + 1)}" x2="{WIDTH}" y2="{top + ROW * (row + 1)}"/>'
        for row, host in enumerate(hosts)
    ]
    for span in spans:
        row, left = hosts.index(span.host), place(span.start)
        width = max(1.0, place(span.end) - left)
        parts.append(
            f'<rect x="{left:.1f}" y="{top + ROW * row + 4}" width="{width:.1f}" height="{ROW - 8}"'
            f' fill="var(--host{row % 3})"><title>{_text(span.host)}</title></rect>'
        )
    return parts


def _fault(one: Result, index: int, place: Callable[[float], float], bottom: int, named: bool) -> str:
    """A line where a fault began, with its name if there is room, and the outage as a field behind everything."""
    left = place(one["since"])
    begin, end = place(one["began"]), place(one["ended"])
    name = f'<text x="{left + 3:.1f}" y="{14 if index % 2 == 0 else 30}">{_text(one["fault"])}</text>' if named else ""
    return (
        f'<rect class="outage" x="{begin:.1f}" y="20" width="{max(0.5, end - begin):.1f}" height="{bottom - 34}"/>'
        f'<line class="fault" x1="{left:.1f}" y1="20" x2="{left:.1f}" y2="{bottom - 14}">'
        f"<title>{_text(one['fault'])}</title></line>{name}"
    )
