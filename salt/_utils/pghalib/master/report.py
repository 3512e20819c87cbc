"""
The state of the clusters, put together from the hosts' answers, and its tables for a person.

Pure functions: the runner ``pgha.status`` asks the hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pghalib.consul.drift
import pghalib.master.answers
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    # Python 3.10 has it in no module of its own.
    from typing_extensions import NotRequired

    from pghalib.consul.answers import Peer
    from pghalib.inventory import Plan
    from pghalib.master.told import Member, Node, Proof, Server, Status, Tls
    from pghalib.shapes import Json

LEADERS = ("leader", "standby_leader")
#: Bytes: a replica that is farther behind takes minutes to catch up, and may not lead meanwhile.
BEHIND = 2**30
#: Seconds: a proof is made each week, and takes its time.
UNPROVEN = 8 * 86400


class Datacenter(TypedDict):
    """A datacenter: ``voters`` are not known where no server knows a leader."""

    leader: str | None
    members: list[Node]
    voters: NotRequired[list[str | None] | None]


class Cluster(TypedDict):
    """A database cluster; ``vip_holders`` are names of hosts, ``undeclared`` keys that are only in the DCS."""

    members: list[Member]
    vip: str | None
    vip_holders: list[str]
    undeclared: list[str]


class State(TypedDict):
    """The state of everything in an inventory, see :py:func:`summary`."""

    datacenters: dict[str, Datacenter]
    clusters: dict[str, Cluster]
    faults: list[str]


def summary(plan: Plan, told: Mapping[str, Json]) -> State:
    """
    Return the state of everything in an inventory, with its faults.

    plan
        The result of ``pghalib.inventory.plan``.
    told
        For each minion id that answered, its result of ``pgha.status``, not yet checked.

    The keys: ``datacenters``, ``clusters`` (a mapping by name each), ``faults`` (a list of lines, empty when all is
    well).
    """
    good, refused = pghalib.master.answers.sort(plan["hosts"], told, pghalib.master.answers.status)
    for host in [host for host, answer in good.items() if answer["name"] != plan["names"][host]]:
        refused[host] = f"calls itself {good.pop(host)['name']}, the pillar {plan['names'][host]}"
    faults = [f"{host}: {refused[host]}" for host in plan["hosts"] if host in refused]
    faults += [f"{host}: {fault}" for host, answer in good.items() for fault in _tls(answer["tls"])]
    faults += [f"{host}: {fault}" for host, answer in good.items() for fault in answer["faults"] or []]
    datacenters = {name: _datacenter(name, hosts, good, faults) for name, hosts in plan["datacenters"].items()}
    clusters = {
        name: _cluster(name, {host: plan["names"][host] for host in hosts}, good, faults)
        for name, hosts in plan["clusters"].items()
    }
    faults += [
        f"{host}: {service} waits for a restart: {'; '.join(why)}"
        for host, answer in good.items()
        for service, why in (answer["pending"] or {}).items()
    ]
    return {"datacenters": datacenters, "clusters": clusters, "faults": faults}


def _tls(tls: Tls | None) -> list[str]:
    if not tls:
        return []
    found = [f"{port} shows another certificate than the one on the disk; restart it" for port in tls["outdated"]]
    if not tls["until"]:
        found.append("there is no certificate; run the main job")
    elif tls["due"]:
        remedy = "the main job renews it"
        if tls["authority"] and not tls["authority"]["own"]:
            remedy = "put its successor on the master where tls:certificate and tls:key say, and run the main job"
        found.append(f"the certificate ends in {tls['days']:.0f} days ({tls['until'][:10]}); {remedy}")
    return found


def _authority(name: str, hosts: list[str], told: Mapping[str, Status]) -> list[str]:
    """The fault of an authority that ends: once for a datacenter, as all of its hosts have the same authority."""
    tls = [told[host]["tls"] for host in hosts if host in told]
    ending = [one["authority"] for one in tls if one and one["authority"] and one["authority"]["due"]]
    if not ending:
        return []
    first = min(ending, key=lambda one: one["until"])
    remedy = f"salt-run pgha.authority {name} step=add begins to replace it"
    if not first["own"]:
        remedy = "set tls:ca, tls:certificate and tls:key to the next ones, and run the main job"
    return [
        f"Consul {name}: the authority of all certificates ends in {first['days']:.0f} days ({first['until'][:10]}),"
        f" and none is valid for longer; {remedy} (docs/tls.md)"
    ]


def _datacenter(name: str, hosts: list[str], told: Mapping[str, Status], faults: list[str]) -> Datacenter:
    faults += _authority(name, hosts, told)
    answers = [told[host]["consul"] for host in hosts if host in told]
    seen = [health for health in answers if health and health["leader"]]
    if not seen:
        faults.append(f"Consul {name}: no server knows a leader")
        return {"leader": None, "members": []}
    # A host that Consul refuses knows the leader but no members.
    health = next((health for health in seen if health["members"]), seen[0])
    leaders = sorted({other["leader"] for other in seen if other["leader"]})
    if len(leaders) > 1:
        faults.append(f"Consul {name}: the servers disagree about the leader: {', '.join(leaders)}")
    if not health["members"]:
        faults.append(f"Consul {name}: no server tells the members; see salt HOST pgha_consul.health")
    for member in health["members"] or []:
        if member["status"] != "alive":
            faults.append(f"Consul {name}: {member['name']} is {member['status']}")
    foreign = health["foreign_servers"] or []
    faults += [f"Consul {name}: {_server(peer)}" for peer in foreign]
    own = len(health["voters"] or ()) - sum(bool(peer["voter"]) for peer in foreign)
    if health["voters"] is not None and own != len(hosts):
        faults.append(f"Consul {name}: {own} voters instead of {len(hosts)}")
    tokens = [told[host]["foreign_tokens"] for host in hosts if host in told]
    for token in next((found for found in tokens if found is not None), []):
        faults.append(f"Consul {name}: {pghalib.consul.drift.token_sentence(token)}")
    return {"leader": health["leader"], "members": health["members"] or [], "voters": health["voters"]}


def _server(server: Server) -> str:
    raft_address = server["raft_address"] or server["address"]
    peer: Peer = {"name": server["name"], "address": server["address"], "raft_address": raft_address}
    return pghalib.consul.drift.server_sentence(peer)


def _cluster(name: str, names: dict[str, str], told: Mapping[str, Status], faults: list[str]) -> Cluster:
    answers = {host: told[host] for host in names if host in told}
    members: dict[str, Member] = {}
    strangers: dict[str, str] = {}
    for host, answer in answers.items():
        for member in answer["members"] or []:
            if member["name"] == names[host]:
                # A host knows its own state best; the others' word counts only for a silent host.
                members[names[host]] = member
            elif member["name"] in names.values():
                members.setdefault(member["name"], member)
            else:
                strangers.setdefault(member["name"], host)
    for stranger, host in strangers.items():
        faults.append(
            f"{name}: {stranger} is a member by what {host} says, and is not in the inventory: put it back, or follow"
            ' "Remove a host" in docs/runbooks.md'
        )
    holders = sorted(answer["name"] for answer in answers.values() if answer["holds_vip"])
    leaders = sorted(member["name"] for member in members.values() if member["role"] in LEADERS)
    if not leaders:
        faults.append(f"{name}: no leader")
    if any(answer["paused"] for answer in answers.values()):
        faults.append(f"{name}: Patroni is paused, so nobody takes over from a dead leader; patronictl resume ends it")
    for lost in sorted({answer["name"] for answer in answers.values()} - set(members)):
        faults.append(f"{name}: {lost} is no member; see journalctl -u patroni there")
    for member in members.values():
        if member["state"] != ("running" if member["role"] in LEADERS else "streaming"):
            faults.append(f"{name}: {member['name']} ({member['role']}) is {member['state']}")
        elif isinstance(member["lag"], (int, float)) and member["lag"] > BEHIND and member["role"] not in LEADERS:
            faults.append(
                f"{name}: {member['name']} ({member['role']}) is {member['lag'] / 2**30:.1f} GiB behind the leader"
            )
    if len(answers) == len(names):
        faults += _unproven(name, [answer["proof"] for answer in answers.values()])
    vip = next((answer["vip"] for answer in answers.values() if answer["vip"]), None)
    if vip and holders != leaders:
        faults.append(
            f"{name}: {vip} is on {', '.join(holders) or 'no host'}, the leader is {', '.join(leaders) or 'nobody'}"
        )
    return {
        "members": sorted(members.values(), key=lambda member: member["name"]),
        "vip": vip,
        "vip_holders": holders,
        "undeclared": next((answer["undeclared"] for answer in answers.values() if answer["undeclared"]), []),
    }


def _unproven(name: str, told: list[Proof | None]) -> list[str]:
    """The fault of backups that were not proven for too long. Any member may have made the newest proof."""
    proofs = [one for one in told if one]
    proven = [one["proven"] for one in proofs if one["proven"] is not None]
    age = min(proven) if proven else max((one["since"] for one in proofs), default=0)
    if age <= UNPROVEN:
        return []
    return [
        f"{name}: for {age / 86400:.0f} days nothing has proven that its backups can be restored: journalctl -u"
        f" pgha-proof on its hosts says why; salt-run pgha.proof {name} does it now"
    ]


def text(state: State) -> str:
    """Return a summary as tables: the clusters first, then Consul, then the faults."""
    parts = []
    for name, cluster in state["clusters"].items():
        head = f"cluster {name}"
        if cluster["vip"]:
            head += f", virtual IP {cluster['vip']} on {', '.join(cluster['vip_holders']) or 'NO HOST'}"
        rows = [
            (
                member["name"],
                _plain(member["host"]),
                "sync standby" if member["role"] == "sync_standby" else member["role"],
                member["state"],
                _plain(member["timeline"]),
                "" if member["role"] == "leader" else _plain(member["lag"]),
                "yes" if member["name"] in cluster["vip_holders"] else "",
            )
            for member in cluster["members"]
        ]
        table = pghalib.text.table(("member", "address", "role", "state", "timeline", "lag", "VIP"), rows)
        # Not a fault: a person set these.
        beside = f"\n  only in the DCS, not in the pillar: {', '.join(cluster['undeclared'])}"
        parts.append(f"{head}\n{table}" + (beside if cluster["undeclared"] else ""))
    for name, datacenter in state["datacenters"].items():
        nodes = [
            (
                member["name"],
                member["address"],
                _plain(member["type"]),
                member["status"],
                _plain(member["build"]),
                "leader" if member["name"] == datacenter["leader"] else "",
            )
            for member in sorted(datacenter["members"], key=lambda member: (member["type"] != "server", member["name"]))
        ]
        parts.append(
            f"Consul {name}\n" + pghalib.text.table(("node", "address", "type", "status", "version", "raft"), nodes)
        )
    faults = state["faults"]
    parts.append(
        "\n".join(["WRONG:", *(f"  - {fault}" for fault in faults)]) if faults else "Everything is as it should be."
    )
    return "\n\n".join(parts)


def _plain(value: object) -> str:
    return "" if value is None else str(value)
