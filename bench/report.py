"""Tables of what was measured, as text that is also Markdown."""

import os
import platform
import re
import statistics
from pathlib import Path

NAMES = {
    "plain": "plain parallel shell script",
    "tuned": "tuned parallel shell script",
    "pgha": "`state.orchestrate pgha`",
    "again": "`state.orchestrate pgha` again",
}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
LONGEST = 16
# Of one processor, taken by others on the machine: a run with more of it is left out, as long as there is a better one.
DISTURBED = 0.5


def machine():
    """One line on the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    processor = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {memory} GiB, Linux {os.uname().release.split('-')[0]}"


def digest(answer, wall):
    """
    What to keep of the JSON that an orchestration prints.

    Args:
        answer: the parsed JSON.
        wall: seconds since the epoch when it was started; the hosts' clocks show UTC.

    Returns:
        ``changes`` ("host: state" of everything that changed) and ``stages``: name, start and seconds of each, and of
        those that changed something ``states``: (seconds, id, start, host) of each id where it took longest.
    """
    stages, changes = [], []
    for states in answer["data"].values():
        for state in states.values():
            stage = {"name": state["__id__"], "start": _since(state["start_time"], wall), "states": []}
            stage["seconds"] = round(state["duration"] / 1000, 2)
            told = state.get("changes") or {}
            hosts = told.get("ret") if isinstance(told, dict) else None
            if told and not hosts:
                changes.append(f"master: {state['__id__']}")
            stage["states"], stage["own"] = _states(hosts or {}, stage["seconds"], wall, changes)
            stages.append(stage)
    return {"changes": changes, "stages": sorted(stages, key=lambda stage: stage["start"])}


def _states(hosts, seconds, wall, changes):
    """Each state where it took longest; and what of the stage no state of its busiest host accounts for."""
    longest, sums = {}, []
    for host, states in hosts.items():
        sums.append(sum(state["duration"] for state in states.values()) / 1000)
        for state in states.values():
            took = round(state["duration"] / 1000, 2)
            # Ids of one state on several hosts differ by the host's name alone.
            name = state["__id__"].replace(host, "HOST")
            if took > longest.get(name, (-1,))[0]:
                longest[name] = (took, name, _since(state["start_time"], wall), host)
            if state["changes"]:
                changes.append(f"{host}: {state['__id__']}")
    return sorted(longest.values(), reverse=True), round(seconds - max(sums, default=0), 2)


def _since(clock, wall):
    hours, minutes, seconds = clock.split(":")
    day = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return round((day - wall % 86400) % 86400, 1)


def publish(results, document):
    """Print the tables, and put them between the marks in ``document``."""
    text = tables(results)
    print(text)
    old = document.read_text(encoding="utf-8") if document.exists() else f"{BEGIN}\n{END}\n"
    head, tail = old.split(BEGIN)[0], old.split(END)[-1]
    document.parent.mkdir(exist_ok=True)
    document.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def tables(results):
    """All tables as Markdown."""
    rows = {name: [run for run in results["runs"] if run["variant"] == name] for name in NAMES}
    rows = {name: runs for name, runs in rows.items() if runs}
    calm = {name: [run for run in runs if not disturbed(run)] or runs for name, runs in rows.items()}
    parts = [f"Measured {results['when']} UTC on {results['machine']}."]
    for name, runs in rows.items():
        left_out = [f"{run['seconds']} s" for run in runs if run not in calm[name]]
        if left_out:
            parts.append(
                f"Left out, as others took over half a processor meanwhile: {NAMES[name]}, {', '.join(left_out)}."
            )
        elif disturbed(runs[0]):
            parts.append(f"**No run of {NAMES[name]} was undisturbed: its times say little.**")
    rows = calm
    parts += [_summary(rows), _costs(rows)]
    if "pgha" in rows:
        parts += [_stages(_median_run(rows["pgha"])), _longest(_median_run(rows["pgha"]))]
    parts += [_line(NAMES[name], _median_run(rows[name])) for name in ("plain", "tuned") if name in rows]
    if results.get("inventory"):
        parts.append(inventory(results["inventory"]))
    return "\n\n".join(parts)


def disturbed(run):
    """Whether others took so much of the machine during a run that its time tells little."""
    return run["others"] > DISTURBED * run["seconds"]


def _median_run(runs):
    return sorted(runs, key=lambda run: run["seconds"])[(len(runs) - 1) // 2]


def _summary(rows):
    middle = {name: statistics.median(run["seconds"] for run in runs) for name, runs in rows.items()}
    told = {name for name, runs in rows.items() if not disturbed(runs[0])}
    body = []
    for name, runs in rows.items():
        times = [run["seconds"] for run in runs]
        # A ratio to or of a disturbed run would be worth nothing.
        ratios = [f"{middle[name] / middle[base]:.2f}" if {name, base} <= told else "" for base in ("plain", "tuned")]
        spread = [f"{min(times):.1f}", f"**{middle[name]:.1f}**", f"{max(times):.1f}"]
        body.append([NAMES[name], str(len(runs)), *spread, *ratios, _changes(runs)])
    return table(["how", "runs", "min, s", "median, s", "max, s", "to plain", "to tuned", "changes"], body)


def _changes(runs):
    """How many states changed something, in the run with most of them; nothing for scripts, which do not know."""
    return str(max(len(run["changes"]) for run in runs)) if "changes" in runs[0] else ""


def _costs(rows):
    body = []
    for name, runs in rows.items():
        peak = {key: max(run["memory"].get(key, 0) for run in runs) for run in runs for key in run["memory"]}
        memory = [
            f"{peak[f'{host} pss']} / {peak[f'{host} rss']}" if f"{host} pss" in peak else ""
            for host in ("test-db1", "test-dcs1", "salt")
        ]
        medians = [statistics.median(run[key] for run in runs) for key in ("cpu", "others")]
        calls = [str(round(statistics.median(run["calls"][api] for run in runs))) for api in ("consul", "patroni")]
        body.append([NAMES[name], *(f"{value:.0f}" for value in medians), *calls, *memory])
    head = ["how", "processor, s", "others', s", "calls of Consul", "of Patroni"]
    return table([*head, "Salt on a database host, PSS / RSS, MB", "on a Consul server", "on the master"], body)


def _stages(run):
    body = [
        [
            stage["name"],
            f"{stage['start']:.1f}",
            f"{stage['seconds']:.1f}",
            f"{stage['own']:.1f}" if stage["states"] else "",
        ]
        for stage in run["stages"]
    ]
    end = max(stage["start"] + stage["seconds"] for stage in run["stages"])
    first = min(stage["start"] for stage in run["stages"])
    body.insert(0, ["`salt-run` starts, the job is rendered", "0.0", f"{first:.1f}", ""])
    body.append(["`salt-run` prints and ends", f"{end:.1f}", f"{max(0, run['seconds'] - end):.1f}", ""])
    return table(["stage of the main job", "from, s", "takes, s", "of it outside of states, s"], body)


def _longest(run):
    states = sorted((state for stage in run["stages"] for state in stage["states"]), reverse=True)[:LONGEST]
    body = [[name, f"{start:.1f}", f"{took:.1f}", host] for took, name, start, host in states]
    return table(["longest states (of each the host where it took longest)", "from, s", "takes, s", "host"], body)


def _line(name, run):
    """When the last host had come to each mark of a script."""
    reached = {}
    for at, text in run["line"]:
        host, _, what = text.partition(": ")
        reached.setdefault(what, []).append((at, host))
    body = [
        [what, f"{min(at for at, _ in hosts):.1f}", f"{max(at for at, _ in hosts):.1f}"]
        for what, hosts in reached.items()
    ]
    return table([f"time line of the {name}", "first host, s", "last host, s"], body)


def inventory(found):
    """The table of inventory.py's results."""
    body = []
    labels = {
        "files": "a file and a target for each cluster",
        "computed": "a file for each cluster, one target",
        "single": "everything in one file",
    }
    for key, label in labels.items():
        sizes = sorted(found[key], key=int)
        for what, name in (("pillar", "pillar of a minion"), ("states", "its states")):
            times = [found[key][size][what] for size in sizes]
            body.append([f"{label}: {name}", *(f"{1000 * time:.0f}" for time in times), f"{times[-1] / times[0]:.2f}"])
    hosts = sorted(found["files"], key=int)
    return table(
        ["compiled on the master, ms of processor", *(f"{size} hosts" for size in hosts), f"{hosts[-1]} to {hosts[0]}"],
        body,
    )


def table(head, body):
    """A Markdown table; numbers to the right."""
    align = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, align, *body])
