"""
The requirements for a host before anything is installed: who connects to whom, and the verdict on the findings. Pure
functions.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypedDict

import pghalib.backup.repositories
import pghalib.preflight.reasons
import pghalib.tls
import pghalib.versions
from pghalib.consul.ports import GOSSIP, HTTP, HTTPS, SERVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pghalib.preflight.facts import Facts
    from pghalib.preflight.rendezvous import Links
    from pghalib.shapes import MemberSettings, Settings

# The first version with CVE-2021-37219 fixed, by minor version; 1.11 and later never had it.
RAFT_FIXED: dict[tuple[int, ...], str] = {(1, 8): "1.8.15", (1, 9): "1.9.9", (1, 10): "1.10.2"}
SUPPORTED = {("debian", "12"), ("astra", "1.8")}


class Plan(TypedDict):
    """Who connects to whom, seen from one host: see :py:func:`plan`; ``ids`` are minion ids by address."""

    links: list[tuple[str, int]]
    listen: list[int]
    expect: dict[int, list[str]]
    names: dict[str, str]
    ids: dict[str, str]


class _Node(TypedDict):
    id: str
    name: str
    address: str
    cluster: str | None
    server: bool
    # The clusters whose backups a repository host keeps; None for all other hosts.
    keeps: list[str] | None


def ports(settings: Settings) -> dict[str, int]:
    """
    Return the ports of the services: ``rpc``, ``gossip``, ``http``, ``postgres``, ``rest``, and ``repository`` of
    pgBackRest on a repository host.
    """
    given = (settings["consul"]["config"] or {}).get("ports") or {}
    kind, http = ("https", HTTPS) if pghalib.tls.enabled(settings) else ("http", HTTP)
    return {
        "rpc": given.get("server", SERVER),
        "gossip": given.get("serf_lan", GOSSIP),
        "http": given.get(kind, http),
        "postgres": settings["postgres"]["port"],
        "rest": settings["patroni"]["restapi_port"],
        "repository": pghalib.backup.repositories.PORT,
    }


def plan(settings: Settings, ids: Iterable[str]) -> Plan:
    """
    Return who connects to whom, seen from one host.

    settings
        The result of ``pgha.settings``.
    ids
        Minion ids that take part in this run.

    The keys: ``links`` (list of (address, port) to reach), ``listen`` (ports of this host), ``expect`` (port: addresses
    that connect to it), ``names`` (address: name). Every agent gossips with every other and calls the servers, the
    members of a database cluster talk to each other's PostgreSQL and Patroni, and to the repository hosts that keep
    their backups.
    """
    known = ports(settings)
    nodes: list[_Node] = [
        {**server, "cluster": None, "server": True, "keeps": None} for server in settings["datacenter"]["servers"]
    ]
    for cluster in settings["clusters"]:
        nodes += [{**host, "cluster": cluster["name"], "server": False, "keeps": None} for host in cluster["hosts"]]
    for host in settings["datacenter"]["repository_hosts"]:
        keeps = [one["name"] for one in settings["clusters"] if host["id"] in [kept["host"] for kept in one["kept_on"]]]
        nodes.append({**host, "cluster": None, "server": False, "keeps": keeps})
    me = next(node for node in nodes if node["id"] == settings["id"])
    peers = [node for node in nodes if node["id"] in set(ids) - {me["id"]}]
    expect: dict[int, list[str]] = {}
    for peer in peers:
        for port in _needed(peer, me, known):
            expect.setdefault(port, []).append(peer["address"])
    return {
        "links": [(peer["address"], port) for peer in peers for port in _needed(me, peer, known)],
        "listen": sorted(expect),
        "expect": expect,
        "names": {node["address"]: node["name"] for node in nodes},
        "ids": {node["address"]: node["id"] for node in nodes},
    }


def _needed(source: _Node, target: _Node, known: Mapping[str, int]) -> list[int]:
    if source["keeps"] is not None or target["keeps"] is not None:
        return [known["repository"]] if source["cluster"] in (target["keeps"] or ()) else []
    needed = [known["gossip"]]
    if target["server"]:
        needed.append(known["rpc"])
    if source["cluster"] and source["cluster"] == target["cluster"]:
        needed += [known["postgres"], known["rest"]]
    return needed


def system(facts: Facts, settings: Settings) -> tuple[list[str], list[str]]:
    """Return (faults, warnings) on operating system, architecture, name and memory."""
    faults, warnings = [], []
    release = facts["release"]
    if (release.get("ID"), ".".join(release.get("VERSION_ID", "").split("_")[0].split(".")[:2])) not in SUPPORTED:
        pretty = release.get("PRETTY_NAME") or release.get("ID") or "unknown"
        warnings.append(f"the system is {pretty}; tried are Debian 12 and Astra Linux 1.8")
    if facts["machine"] != "x86_64":
        urls = {} if settings["role"] == "repository" else {"consul": settings["consul"]["url"]}
        if settings["role"] == "db" and settings["vip"]["manager"] == "vip-manager":
            urls["vip"] = settings["vip"]["url"]
        if settings["role"] == "repository" or settings["backup"]["repositories"]:
            urls["backup"] = settings["backup"]["url"]
        for name, url in urls.items():
            if any(word in url for word in ("amd64", "x86_64")):
                faults.append(
                    f"this host is {facts['machine']}, {name}:url is for x86_64: set {name}:url and {name}:hashes"
                )
    if not facts["systemd"]:
        faults.append("systemd does not run this host, and the services are units of systemd")
    if settings["role"] == "db" and not facts["watchdog"]:
        missing = "this host has no /dev/watchdog (a module such as i6300esb or softdog makes one)"
        if settings["patroni"]["watchdog"] == "required":
            faults.append(f"{missing}, and patroni:watchdog is required: without a watchdog nobody here can lead")
        elif settings["patroni"]["watchdog"] == "automatic":
            warnings.append(f"{missing}: patroni:watchdog does nothing here")
    if facts["hostname"].split(".")[0] != settings["name"]:
        warnings.append(f"the host calls itself {facts['hostname']}, the pillar {settings['name']}")
    least = settings["preflight"]["min_memory_mb"]
    if facts["memory_mb"] < least:
        faults.append(f"{facts['memory_mb']} MB of memory, {least} are needed (preflight:min_memory_mb)")
    for disk in facts["disks"]:
        least = settings["preflight"]["min_disk_mb"]
        if disk["free_mb"] < least:
            text = f"{disk['free_mb']} MB are free for {disk['path']}, {least} are needed (preflight:min_disk_mb)"
            # No fault for a directory in use already: the running service is not stopped for that.
            (warnings if disk["in_use"] else faults).append(text)
    return faults, warnings


def trust(settings: Settings) -> list[str]:
    """Return the warnings on the risks from the network between the hosts, or from a host with a certificate."""
    if not pghalib.tls.enabled(settings):
        return [
            f"the traffic between the hosts is not encrypted (pgha:tls): whoever reaches port {SERVER} or {GOSSIP} of a"
            " server of Consul, or reads what passes by, can take all tokens and the databases; let nobody but the"
            " hosts of the inventory reach them"
        ]
    version = settings["consul"]["version"]
    fixed = RAFT_FIXED.get(pghalib.versions.parts(version)[:2], "1.8.15")
    if not pghalib.versions.at_least(version, "1.11") and not pghalib.versions.at_least(version, fixed):
        return [
            f"Consul {version} takes commands of raft from every host with a certificate, not from servers alone"
            f" (CVE-2021-37219): set consul:version to {fixed} or newer"
        ]
    return []


def network(facts: Facts, settings: Settings) -> tuple[list[str], list[str]]:
    """Return (faults, warnings) on this host's address and the place of the virtual IP."""
    rows, address = facts["addresses"], settings["address"]
    own = next((row for row in rows if row["address"] == address), None)
    if own is None:
        here = ", ".join(f"{row['address']} on {row['interface']}" for row in rows) or "none"
        return [f"the pillar says {address}, this host has {here}: correct the address or the minion id"], []
    cluster, vip = settings["cluster"], settings["vip"]
    if not cluster or not cluster["vip"] or vip["manager"] == "none":
        return [], []
    name = vip["interface"] or own["interface"]
    if name not in facts["interfaces"]:
        known = ", ".join(sorted(facts["interfaces"]))
        return [f"vip:interface is {name}, this host has {known}"], []
    if facts["interfaces"][name]["loopback"]:
        return [f"the virtual IP cannot be on {name}, a loopback interface: set vip:interface"], []
    wanted = ipaddress.ip_address(cluster["vip"]["address"])
    networks = [
        ipaddress.ip_interface(f"{row['address']}/{row['prefix']}").network
        for row in rows
        if row["interface"] == name and row["address"] != str(wanted)
    ]
    home = next((network for network in networks if wanted in network), None)
    if home is None:
        there = ", ".join(str(network) for network in networks) or "no network"
        return [f"the virtual IP {wanted} is not in a network of {name} ({there}): its neighbours cannot find it"], []
    if home.prefixlen != cluster["vip"]["prefix"]:
        return [], [f"the virtual IP has the prefix /{cluster['vip']['prefix']}, its network on {name} is {home}"]
    return [], []


def virtual_ip(
    answering: Iterable[str],
    members: Mapping[str, Iterable[str]],
    attributable: bool,
    patroni_runs: bool,
    settings: MemberSettings,
) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) on who answers at the virtual IP.

    answering
        Hardware addresses that answer for the virtual IP; this host's own is never among them.
    members
        Mapping of a member's address to the hardware addresses that answer for it.
    attributable
        Whether the virtual IP is on the interface with the hosts' own addresses, so that the two can be compared.
    patroni_runs
        Whether Patroni answers on any member. If it does and nothing can be compared, the virtual IP counts as ours.
    """
    vip = settings["cluster"]["vip"]
    if vip is None:
        return [], []
    address = vip["address"]
    ours = {mac: member for member, macs in members.items() for mac in macs}
    strangers = [mac for mac in answering if mac not in ours]
    if strangers and (attributable or not patroni_runs):
        whose = "which is none of the cluster's hosts" if attributable else "and no Patroni of the cluster runs"
        return [
            f"{address}, the virtual IP, is taken: {', '.join(strangers)} answers for it, {whose}; choose a free one"
        ], []
    holders = sorted({ours[mac] for mac in answering if mac in ours})
    if len(holders) > 1:
        return [], [f"the virtual IP {address} is on more than one host: {', '.join(holders)}"]
    return [], []


def reachability(found: Links, names: Mapping[str, str]) -> list[str]:
    """
    Return the faults of the network: one for each peer and reason, with the ports concerned.

    found
        The result of ``pghalib.preflight.rendezvous.meet``.
    names
        Mapping of an address to the name of its host.
    """
    missing: dict[tuple[str, str | None], list[str]] = {}
    for (peer, port, protocol), link in found.items():
        if not link["ok"]:
            missing.setdefault((peer, link["error"]), []).append(f"{port}/{protocol}")
    hints = pghalib.preflight.reasons.HINTS
    return [
        f"cannot reach {names.get(peer, peer)} ({peer}) at {', '.join(where)}: {reason}"
        + (f" ({hints[reason]})" if reason in hints else "")
        for (peer, reason), where in missing.items()
    ]


def identity(found: Links, ids: Mapping[str, str]) -> list[str]:
    """Return the faults of hosts that answer at the address of another host."""
    wrong = {(peer, link["id"]) for (peer, _, _), link in found.items() if link["id"] and link["id"] != ids.get(peer)}
    return [f"at {peer}, the address of {ids.get(peer)}, answers {answered}" for peer, answered in sorted(wrong)]


def clocks(found: Links, names: Mapping[str, str], settings: Settings) -> tuple[list[str], list[str]]:
    """Return (faults, warnings) on clocks: the difference of each peer's clock, less the margin of the measurement."""
    best: dict[str, tuple[float, float]] = {}
    for (peer, _, _), link in found.items():
        offset, margin = link["offset"], link["margin"]
        if offset is not None and margin is not None and (peer not in best or margin < best[peer][1]):
            best[peer] = offset, margin
    limits = settings["preflight"]
    for limit, fatal in ((limits["max_clock_skew"], True), (limits["warn_clock_skew"], False)):
        off = [
            f"{names.get(peer, peer)} {offset:+.1f} s"
            for peer, (offset, margin) in sorted(best.items())
            if abs(offset) - margin > limit
        ]
        if off:
            text = f"clocks differ from this host's by more than {limit} s: {', '.join(off)}; synchronise them"
            return ([text], []) if fatal else ([], [text])
    return [], []
