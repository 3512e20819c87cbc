"""
What a drill needs to know before it begins: its numbers, the members of the cluster, how its client connects, and
whether the cluster may be harmed now. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.drill
import pghalib.drill.faults
import pghalib.drill.hunt
import pghalib.master.refusal
import pghalib.master.report
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.inventory import Plan
    from pghalib.master.report import State
    from pghalib.shapes import Json, MemberSettings

# The most clients that write. Each of them, the one that reads and the one that connects anew have two connections for
# a moment: one that was lost and whose end the server has not noticed yet, and a new one.
WORKERS = pghalib.drill.CONNECTIONS // 2 - 2
# Eight hours: in the end the whole history is in the master's memory.
MINUTES = 480


def numbers(workers: object, minutes: object, hunt: object = False) -> tuple[int, int | None, int | None]:
    """
    Return (workers, minutes, seed) as numbers.

    workers
        What a person gave as the number of clients that write.
    minutes
        What a person gave as the minutes in which the faults are made again and again; None for nothing.
    hunt
        False: the faults are made in order. True, or a seed: they are picked at random, for an hour if there are no
        minutes.

    Raises CommandExecutionError that names each argument that is no positive whole number, or too large.
    """
    given = {"workers": (workers, WORKERS), "minutes": (1 if minutes is None else minutes, MINUTES)}
    if not isinstance(hunt, bool) and hunt is not None:
        given["hunt"] = (hunt, pghalib.drill.hunt.MOST)
    wrong = [
        f"{name}={pghalib.text.printable(value, 80)} is no whole number from 1 to {most}"
        f"{' and neither True nor False' if name == 'hunt' else ''}"
        for name, (value, most) in given.items()
        if not pghalib.master.refusal.is_whole(value, most)
    ]
    if wrong:
        raise CommandExecutionError(f"No drill was made: {'; '.join(wrong)}")
    if hunt is None or hunt is False:
        return int(str(workers)), None if minutes is None else int(str(minutes)), None
    seed = pghalib.drill.hunt.seed() if hunt is True else int(str(hunt))
    return int(str(workers)), 60 if minutes is None else int(str(minutes)), seed


def standing(cluster: str, plan: Plan, state: State) -> tuple[str | None, list[str], list[str]]:
    """
    Return (leader, replicas, faults): minion ids, and everything that the status has to say.

    plan
        The result of ``pghalib.inventory.plan``.
    state
        The result of ``pghalib.master.report.summary``.
    """
    ids = {plan["names"][host]: host for host in plan["clusters"][cluster]}
    known = [(ids[one["name"]], one["role"]) for one in state["clusters"][cluster]["members"] if one["name"] in ids]
    leader = next((host for host, role in known if role in pghalib.master.report.LEADERS), None)
    return leader, [host for host, _ in known if host != leader], state["faults"]


def reasons(
    wanted: list[str] | None, settings: MemberSettings, harmful: bool, faults: list[str], dynamic: Mapping[str, Json]
) -> list[str]:
    """
    Return why a drill may not begin, as sentences.

    wanted
        Names of faults, None for all harmless ones.
    settings
        Those of one member.
    harmful
        Whether the person has said that harmful faults may be made.
    faults
        What the status has to say.
    dynamic
        The cluster's dynamic configuration.
    """
    found = pghalib.drill.faults.chosen(wanted, settings["vip"], harmful)[1]
    if wanted is not None and not wanted:
        found.append("faults names no fault")
    if dynamic.get("pause"):
        found.append("Patroni is paused (patronictl resume ends that)")
    return [*found, *(f"the status says: {fault}" for fault in faults)]


def cut_off(
    wanted: list[str] | None, clients: str | None, master: list[str], servers: list[str], members: list[str]
) -> list[str]:
    """
    Return why a fault that cuts hosts off from each other would cut off the drill as well, as sentences.

    wanted
        Names of faults, None for all harmless ones.
    clients
        Minion id of the host where the clients run; None: on the master.
    master
        Minion ids of the hosts of the cluster or of its Consul that are the master's own.
    servers, members
        Minion ids of Consul's servers, and of the members of the cluster.
    """
    found = []
    for name in dict.fromkeys(one for step in wanted or () for one in pghalib.drill.faults.parts(step)):
        how = pghalib.drill.faults.FAULTS[name]["how"] if name in pghalib.drill.faults.FAULTS else ""
        cut = {"cut-servers": servers, "cut-everyone": [*servers, *members], "cut-replication": members}.get(how, [])
        if clients in cut or not clients and set(master) & set(cut):
            where = pghalib.text.printable(clients or "the master")
            found.append(f"{name} would cut off the clients, too, since {where} is one of the hosts that it cuts off")
        elif how != "cut-replication" and set(master) & set(cut):
            found.append(f"{name} would cut off the master, too, since it is one of the hosts that it cuts off")
    return found


def connection(settings: MemberSettings, authorities: str | None) -> dict[str, Json]:
    """
    Return libpq's keywords for a client of the cluster, without user and password.

    settings
        Those of one member.
    authorities
        The file with the authorities that a client verifies the server by; None where the traffic is not encrypted.
    """
    cluster, postgres = settings["cluster"], settings["postgres"]
    hosts = [cluster["vip"]["address"]] if cluster["vip"] else [one["address"] for one in cluster["hosts"]]
    found: dict[str, Json] = {"host": ",".join(hosts), "port": postgres["port"], "dbname": "postgres"}
    if not cluster["vip"]:
        found["target_session_attrs"] = "read-write"
    if authorities and settings["tls"]["clients"] != "off":
        found |= {"sslmode": "verify-full", "sslrootcert": authorities}
    return found
