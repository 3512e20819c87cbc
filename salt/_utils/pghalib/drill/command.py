"""
The command ``salt-run pgha.drill`` on the master: it takes the lock, looks whether the cluster may be harmed now, runs
the course, and tells the result.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import salt.utils.network
from salt.exceptions import CommandExecutionError

import pghalib.drill.begin
import pghalib.drill.clients
import pghalib.drill.course
import pghalib.drill.faults
import pghalib.drill.outcome
import pghalib.drill.report
import pghalib.inventory
import pghalib.master.alone
import pghalib.master.asking
import pghalib.patroni.guard
import pghalib.secrets.pki
import pghalib.secrets.store
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pghalib.drill.clients import Client
    from pghalib.master.report import State
    from pghalib.shapes import Json, MemberSettings

# Seconds until Salt asks whether a member still works on a function of the drill, and the same for the client's host:
# a minion that is not there is known sooner.
PATIENCE, SOON = 120, 10


def run(
    opts: Mapping[str, Json],
    pgha: dict[str, Json],
    defaults: dict[str, Json],
    program: str,
    state: Callable[[], State],
    cluster: str,
    names: list[str] | None,
    workers: object,
    harmful: bool,
    minutes: object,
    hunt: object = False,
    client: object = None,
) -> tuple[str, bool]:
    """
    Make a drill, and return its report as text and whether all is good. Lines of progress are printed.

    opts
        The master's options.
    pgha, defaults
        The pillar of that name, checked, and the content of defaults.yaml.
    program
        The text of the client's program.
    state
        A function that returns the status of everything (``pghalib.master.report.summary``).
    cluster
        Name of a cluster in the pillar.
    names
        Names of faults; None for all harmless ones.
    workers
        How many clients write, as the person gave it.
    harmful
        Whether the person has said that harmful faults may be made.
    minutes
        How long the faults are made again and again, as the person gave it; None: each is made once.
    hunt
        Whether the faults are picked at random, or the seed for that, as the person gave it.
    client
        The minion where the client runs, as the person gave it; None: it runs on the master.

    Raises CommandExecutionError with all reasons when the drill may not begin.
    """
    clients, lasting, seed = pghalib.drill.begin.numbers(workers, minutes, hunt)
    store = pghalib.secrets.store.directory(opts)
    pghalib.master.alone.lock(store, cluster)
    plan, began = pghalib.inventory.plan(pgha, narrowed=False), time.monotonic()
    members = plan["clusters"][cluster]
    settings: Json = pghalib.inventory.settings(pgha, defaults, members[0])
    place = Path(opts["cachedir"], "pgha", "drills", f"{cluster}-{time.strftime('%Y%m%d-%H%M%S')}")

    def ask(host: str, function: str, *given: Json) -> Json:
        return pghalib.master.asking.call(opts, PATIENCE, host, function, *given)

    def soon(host: str, function: str, *given: Json) -> Json:
        return pghalib.master.asking.call(opts, SOON, host, function, *given)

    def standing() -> tuple[str | None, list[str], list[str]]:
        return pghalib.drill.begin.standing(cluster, plan, state())

    def say(line: str) -> None:
        shown = pghalib.text.line(line, pghalib.drill.outcome.TEXT)
        print(f"{time.monotonic() - began:7.1f} s  {shown}", flush=True)

    writer: Client = pghalib.drill.clients.Local(place, program)
    if client is not None:
        writer = pghalib.drill.clients.Remote(soon, str(client), place)
    leader, _, faults = standing()
    told: object = ask(leader, "pgha_patroni.dynamic_config") if leader else {}
    running: object = ask(leader, "pgha_patroni.member") if leader else None
    dynamic: Mapping[str, Json] = told if isinstance(told, dict) else {}
    against = [] if told is dynamic else [f"{leader} does not tell the dynamic configuration of its cluster"]
    against += [*pghalib.drill.begin.reasons(names, settings, harmful, faults, dynamic), *writer.against()]
    servers = plan["datacenters"].get(plan["datacenter_of"][cluster], [])
    where = None if client is None else writer.where
    against += pghalib.drill.begin.cut_off(names, where, _own(settings), servers, members)
    if against:
        raise CommandExecutionError("\n".join(["No drill was made:", *(f"  - {why}" for why in against)]))
    chosen = pghalib.drill.faults.chosen(names, settings["vip"], harmful)[0]
    again = None if seed is None else _again(cluster, chosen, seed, lasting, harmful)
    if again:
        print(f"Faults at random; the same ones again: {again}", flush=True)
    place.mkdir(mode=0o700, parents=True)
    course = pghalib.drill.course.Course(
        ask,
        standing,
        lambda name: pghalib.drill.faults.bound(
            name, settings["patroni"], settings["postgres"]["parameters"], settings["cluster"]["vip"] is not None
        ),
        say,
        place,
        client=writer,
        rest=settings["patroni"]["ttl"],
    )
    outcome = course.run(
        members,
        chosen,
        pghalib.drill.begin.connection(settings, writer.trust(_authorities(settings, store))),
        clients,
        _overlap(settings),
        lasting,
        seed,
    )
    about = _about(settings, clients, writer.where, _which(lasting, again), dynamic, running)
    repeated = lasting is not None
    page = pghalib.drill.report.page(cluster, outcome, about, repeated)
    (place / "report.html").write_text(page, encoding="utf-8")
    told = {
        "cluster": cluster,
        **{key: outcome[key] for key in ("results", "verdicts", "early")},
        "summary": pghalib.drill.outcome.summary(outcome["results"]),
        "about": about,
    }
    (place / "report.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    text = pghalib.drill.outcome.text(cluster, outcome, place, repeated, again)
    return text, pghalib.drill.outcome.good(outcome)


def _again(cluster: str, chosen: list[str], seed: int, minutes: int | None, harmful: bool) -> str:
    """The command that makes the same faults again: the seed picks from the names, in this order."""
    words = f"salt-run pgha.drill {cluster} hunt={seed} minutes={minutes} faults={','.join(chosen)}"
    return f"{words} harmful=True" if harmful else words


def _own(settings: MemberSettings) -> list[str]:
    """The minion ids of the hosts of the cluster and of its Consul that are this one."""
    here = {*salt.utils.network.ip_addrs(), *salt.utils.network.ip_addrs6()}
    hosts = [*settings["datacenter"]["servers"], *settings["cluster"]["hosts"]]
    return [one["id"] for one in hosts if one["address"] in here]


def _overlap(settings: MemberSettings) -> int | None:
    """The milliseconds that two hosts may both have the virtual IP; None for a cluster without one."""
    if not settings["cluster"]["vip"]:
        return None
    # vip-manager looks as often as that, the guard as often as this.
    return max(settings["vip"]["interval"], round(1000 * pghalib.patroni.guard.INTERVAL))


def _which(minutes: int | None, again: str | None) -> str:
    """Which faults were made, in words."""
    if minutes is None:
        return "each once"
    return f"at random for {minutes} min: {again}" if again else f"round by round for {minutes} min"


def _about(
    settings: MemberSettings, workers: int, where: str, which: str, dynamic: Mapping[str, Json], running: object
) -> dict[str, str]:
    """What a reader needs to compare the report with another one; ``running`` is the leader's report of itself."""
    vip, postgres = settings["vip"], settings["postgres"]
    own: Mapping[str, Json] = running if isinstance(running, dict) else {}
    patroni = own.get("patroni")
    version = patroni.get("version") if isinstance(patroni, dict) else None
    timing = ", ".join(f"{key} {dynamic.get(key)}" for key in ("ttl", "loop_wait", "retry_timeout"))
    return {
        "faults": which,
        "made": pghalib.text.moment(time.time()),
        "clients": f"{workers} that write, one that reads, on {where}",
        "PostgreSQL": f"{postgres['distribution']} {postgres['version']} ({_text(own.get('server_version'))})",
        "Patroni": _text(version),
        "Consul": settings["consul"]["version"],
        "virtual IP": f"{vip['manager']} {vip['version'] if vip['manager'] == 'vip-manager' else ''}".strip(),
        "synchronous_mode": str(settings["patroni"]["synchronous_mode"]),
        "profile": str(settings["patroni"]["rto"]),
        "timing of Patroni, in seconds": timing,
        "hosts": ", ".join(one["name"] for one in settings["cluster"]["hosts"]),
        "master": f"{platform.platform()}, {os.cpu_count()} processors",
    }


def _text(value: object) -> str:
    return pghalib.text.line(value, 80) if value else "unknown"


def _authorities(settings: MemberSettings, store: Path) -> str | None:
    """The authorities for the drill's client, as PEM; None where the traffic is not encrypted."""
    datacenter = settings["datacenter"]["name"]
    if not pghalib.secrets.store.index(store)["tls"].get(datacenter):
        return None
    return pghalib.secrets.pki.authorities(store, datacenter) or ""
