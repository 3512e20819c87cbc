"""
How long a client waits in each fault, for each profile and mode of replication: the table of docs/failover.md.

    tests/lab/lab run -- PYTHON bench/faults.py --configs normal/off,normal/on,fast/on,fast/quorum --rounds 3
    PYTHON bench/faults.py --report

PYTHON is that of the tests' environment (`tests/run` makes it). The drill makes its faults on the lab; the power of the
leader's and of a replica's host is cut by the lab, and that of two of three servers of Consul. After each kind of fault
the main job must have nothing to change. Results are added to bench/faults.json. `--faults ''` leaves the drill out,
`--lab ''` what the lab does.
"""

import argparse
import contextlib
import json
import re
import statistics
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "salt/_utils")]

from integration import formula  # noqa: E402
from integration.cluster import Cluster  # noqa: E402
from integration.ledger import Ledger  # noqa: E402
from lab import Lab  # noqa: E402
from lab.tools import wait_for  # noqa: E402

RESULTS = HERE / "faults.json"
FAULTS = (
    "switchover",
    "kill-postgres",
    "kill-patroni",
    "kill-agent",
    "kill-vip-manager",
    "hang-patroni",
    "hang-vip-manager+switchover",
    "freeze",
    "isolate",
    "cut-replication",
)


def become(lab, pillar, rto, mode):
    """Give the first cluster a profile and a mode, and return it when it is whole."""
    strict = {"synchronous_mode": "on", "synchronous_mode_strict": True}
    pillar.put({"patroni": {"rto": rto, **(strict if mode == "strict" else {"synchronous_mode": mode})}})
    lab.wait_ready()
    lab.salt("salt-run", "saltutil.sync_all")
    for sls in ("pgha", "pgha.restart"):
        run = formula.run(lab, sls=sls)
        if run.code:
            sys.exit(run.text)
    cluster = Cluster(lab)
    cluster.wait_healthy()
    if mode != "off":
        cluster.wait_synchronous()
    return cluster


def drilled(cluster, fault, rounds):
    """The outages of a fault (seconds), and the rules that were broken, by the drill itself."""
    words = [
        "salt-run",
        "pgha.drill",
        cluster.name,
        f"faults={','.join([fault] * rounds)}",
        "harmful=True",
        "-l",
        "quiet",
    ]
    said = cluster.lab.salt(*words, check=False, timeout=7200).stdout
    print(said[said.index("Drill of") :] if "Drill of" in said else said, flush=True)
    (where,) = re.findall(r"The report is (\S+)/report\.html", said)
    return told(json.loads(cluster.lab.master.read(f"{where}/report.json")), fault)


def told(report, fault):
    """The outages of a fault (seconds), and what broke, by the report of a drill that was to make this fault alone."""
    seconds = [round(one["outage"], 2) for one in report["results"] if one["fault"] == fault]
    # Of two faults together the second one is not always made.
    broken = [f"{fault}: only {one['fault']} was made" for one in report["results"] if one["fault"] != fault]
    late = "{fault}: {outage:.2f} s, longer than the {bound:.0f} s that are promised"
    broken += [late.format(**one) for one in report["results"] if one["outage"] > one["bound"]]
    rules = [one for one in report["verdicts"] if not one["held"]]
    broken += [f"{fault}: {one['rule']} ({one['count']}): {one['examples'][0]}" for one in rules]
    return seconds, [*broken, *([f"{fault}: {report['early']}"] if report["early"] else [])]


def changed(cluster, fault):
    """What the main job changes after a fault; nothing is right."""
    cluster.wait_healthy()
    run = formula.run(cluster.lab)
    return [f"after {fault}: {line}" for line in (run.changed() if run.code == 0 else [run.text])]


def replica(cluster):
    """The host of a replica, one that commits wait for if there is one."""
    members = {one["role"]: one["name"] for one in cluster.members()}
    return cluster.lab[members.get("sync_standby") or members.get("quorum_standby") or members["replica"]]


def answers(question):
    """What a question is answered; None when nobody answers."""
    with contextlib.suppress(Exception):
        return question()
    return None


def without_quorum(cluster, rounds):
    """
    {fault: [seconds]}: Consul loses its quorum, then the power of a replica's host is cut, and nobody may lead; from
    the moment in which Consul has a leader again until a write is acknowledged. And what broke, as in `drilled`.
    """
    found = {"return of Consul's quorum, after a replica died": []}
    for seconds in [next(iter(found.values()))] * rounds:
        cluster.wait_healthy()
        with Ledger(cluster) as ledger:
            leader, host, away = cluster.leader(), replica(cluster), cluster.dcs[1:]
            for server in away:
                server.poweroff()

            def by_failsafe(leader=leader):
                return answers(lambda: cluster.ask(leader, "/patroni").get("failsafe_mode_is_active"))

            wait_for(by_failsafe, timeout=60, what="the leader works by failsafe_mode", interval=0.5)
            ledger.wait_for_writes()
            host.poweroff()

            def demoted(leader=leader):
                return answers(lambda: cluster.psql(leader, "SELECT pg_is_in_recovery()")) != "f"

            wait_for(demoted, timeout=120, what="nobody leads", interval=0.5)
            for server in away:
                server.poweron()
            wait_for(lambda: answers(cluster.dcs_leader), timeout=60, what="Consul has a leader", interval=0.1)
            moment = time.time_ns()
            ledger.wait_for_writes(300)
            host.poweron()
            cluster.wait_healthy()
        ledger.check()
        first = min(one["end"] for one in ledger.history()["writes"] if one["outcome"] == "ok" and one["end"] > moment)
        seconds.append(round((first - moment) / 1e9, 2))
        print(found, flush=True)
        cluster.lab.wait_ready()
    return found, changed(cluster, "Consul had no quorum")


def powered_off(cluster, rounds):
    """{fault: [seconds]}: the power of the leader's host and of a replica's is cut; and what broke, as in `drilled`."""
    found = {"power-off of the leader's host": [], "power-off of a replica's host": []}
    for _ in range(rounds):
        for what, seconds in found.items():
            cluster.wait_healthy()
            with Ledger(cluster) as ledger:
                if "leader" in what:
                    cluster.survive_power_off(ledger)
                else:
                    host = replica(cluster)
                    host.poweroff()
                    ledger.wait_for_writes()
                    host.poweron()
                    cluster.wait_healthy()
            ledger.check()
            seconds.append(round(ledger.outage(), 2))
            print(what, seconds, flush=True)
            cluster.lab.wait_ready()
    return found, changed(cluster, "the power was cut")


LAB = {"power": powered_off, "quorum": without_quorum}


def table(results):
    """The results as a table in Markdown: least, median, greatest; one value where all are the same run."""
    configs = list(results)
    names = list(dict.fromkeys(name for one in results.values() for name in one["outages"]))

    def cell(seconds):
        if not seconds:
            return "–"
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        return f"{middle:.1f}" if len(seconds) == 1 else f"{low:.1f} / {middle:.1f} / {high:.1f}"

    rows = [
        f"| {name} | " + " | ".join(cell(results[c]["outages"].get(name)) for c in configs) + " |" for name in names
    ]
    head = [f"| fault | {' | '.join(configs)} |", f"| --- |{' --- |' * len(configs)}"]
    notes = [f"- {config}: {why}" for config, one in results.items() for why in one["broken"]]
    return "\n".join([*head, *rows, "", *notes])


def main():
    """Run it with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", default="normal/off,normal/on,normal/quorum,fast/off,fast/on,fast/quorum")
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--lab", default=",".join(LAB))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not given.report:
        lab = Lab()
        pillar = formula.Pillar(lab)
        for config in given.configs.split(","):
            rto, _, mode = config.partition("/")
            cluster = become(lab, pillar, rto, mode)
            outages, broken = {}, []
            for fault in given.faults.split(",") if given.faults else []:
                outages[fault], rules = drilled(cluster, fault, given.rounds)
                broken += [*rules, *changed(cluster, fault)]
            for name in given.lab.split(",") if given.lab else []:
                seen, rules = LAB[name](cluster, given.rounds)
                outages |= seen
                broken += rules
            known = results.setdefault(config, {"outages": {}, "broken": []})
            for name, seconds in outages.items():
                known["outages"].setdefault(name, []).extend(seconds)
            known["broken"] += broken
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
