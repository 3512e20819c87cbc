"""
The check of the whole pillar. All faults are found at once, each with its path and the remedy.

Pure functions over the pillar and the defaults: no host is asked, so this runs on the master before any host is
touched. First each value is checked in its place (``pghalib.pillar.sound``) and faulty ones are left out. Then the rest
is checked for settings that do not fit together; a faulty setting counts as its default there.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pghalib.backup.config
import pghalib.consul.config
import pghalib.inventory
import pghalib.patroni.config
import pghalib.patroni.guard
import pghalib.pillar.names
import pghalib.pillar.origin
import pghalib.pillar.owned
import pghalib.pillar.parameters
import pghalib.pillar.ports
import pghalib.pillar.sound
import pghalib.run
import pghalib.tls
import pghalib.versions
from pghalib.text import at, guess, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.shapes import Json

    # Called with settings, each as (section, key, …).
    Place = Callable[..., str]

# Consul refuses a session TTL below 10 s, and Patroni asks for ttl/2 (Patroni, dcs/consul.py).
SMALLEST_TTL = 20


def faults(pgha: Json, defaults: dict[str, Json], who: str | None = None) -> list[str]:
    """
    Return the faults of a whole inventory as a list of lines, empty when there is none.

    pgha
        The pillar of that name, as the master's own id sees it: all datacenters and clusters.
    defaults
        The content of defaults.yaml; a setting that is not in it is unknown.
    who
        The minion id whose pillar it is, for the message that the pillar is missing.
    """
    if not isinstance(pgha, dict) or not pgha:
        of_whom = "the master's own id" if who is None else f"the id {str(who)!r}"
        return [
            f"pgha: there is no such pillar for {of_whom}; name the inventory for it in the pillar's top.sls"
            if not pgha
            else f"pgha: must be a mapping with datacenters and clusters, not {shown(pgha)}"
        ]
    wrong, sound = pghalib.pillar.sound.sift(pgha, defaults)
    found = _fitting(pgha, sound, defaults)
    # A hash that is missing only because a faulty part was left out is not another fault.
    left_out = {fault.partition(": ")[0] for fault in wrong}
    for fault in found:
        path = fault.partition(": ")[0]
        if not (path.endswith(":hashes") and left_out & {path, path.removesuffix(":hashes")}):
            wrong.append(fault)
    return list(dict.fromkeys(wrong))


def _ids(groups: dict[str, Json], key: str) -> dict[str, list[str]]:
    """Minion ids by the name of their datacenter or cluster."""
    return {name: list(entry[key]) for name, entry in groups.items()}


def refusal(faults: list[str]) -> str:
    """Return the faults of a pillar as the text of its refusal."""
    return "The pillar cannot work, so nothing was touched:\n" + "\n".join(f"  - {fault}" for fault in faults)


def _fitting(pgha: dict[str, Json], sound: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    """The faults of settings, hosts and names that do not fit together."""
    datacenters, clusters = sound["datacenters"], sound["clusters"]
    found = []
    for name in datacenters:
        found += _datacenter(name, sound, defaults)
    for name in clusters:
        found += _cluster(name, pgha["clusters"][name], sound, defaults)
    keepers = [host for entry in datacenters.values() for host in entry["repository_hosts"]]
    found += pghalib.run.faults(sound, _ids(datacenters, "servers"), _ids(clusters, "hosts"), keepers)
    found += pghalib.pillar.names.twice(sound)
    found += pghalib.pillar.ports.meeting(sound, defaults)
    return found + pghalib.pillar.names.meeting(sound, defaults) + pghalib.pillar.names.posing(sound, defaults)


def _place(pgha: dict[str, Json], datacenter: str | None, cluster: str | None) -> Place:
    """A function that returns the path in the pillar of the first given setting, (section, key, …), that is set."""

    def place(*wanted: tuple[str, ...]) -> str:
        paths = [pghalib.pillar.origin.origin(pgha, keys, datacenter, cluster) for keys in wanted]
        return next(filter(None, paths), at("pgha", *wanted[0]))

    return place


def _datacenter(name: str, pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    path = at("pgha:datacenters", name)
    servers = pgha["datacenters"][name]["servers"]

    place = _place(pgha, name, None)
    consul, tls = (pghalib.inventory.section(one, pgha, defaults, name, None) for one in ("consul", "tls"))
    found = []
    if servers and (len(servers) < 3 or len(servers) % 2 == 0) and not consul["allow_weak_quorum"]:
        found.append(
            f"{path}:servers: {len(servers)} servers bear the loss of no more than {max(0, (len(servers) - 1) // 2)};"
            " give 3, 5 or 7, or set consul:allow_weak_quorum to true"
        )
    if tls["enabled"] and not pghalib.pillar.names.is_label(name):
        found.append(
            f"{path}: with tls:enabled the name is part of the name in a certificate: letters, digits and - within, 63"
            " at most; give another (a living datacenter keeps it and leaves tls:enabled out)"
        )
    found += pghalib.tls.faults(lambda *keys: place(*(("tls", key) for key in keys)), tls)
    found += pghalib.pillar.owned.consul(
        lambda keys: place(("consul", "config", *keys)), consul["config"] or {}, tls["enabled"]
    )
    if pghalib.versions.at_least(consul["version"], pghalib.consul.config.NODE_IDENTITIES):
        found += pghalib.pillar.names.capitals(pgha, name)
    if pgha["datacenters"][name]["repository_hosts"]:
        backup = pghalib.inventory.section("backup", pgha, defaults, name, None)
        found += pghalib.versions.unlisted(place(("backup", "hashes")), "pgBackRest", backup)
    return found + pghalib.versions.unlisted(place(("consul", "hashes")), "consul", consul)


def _cluster(name: str, given: Json, pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    path = at("pgha:clusters", name)
    entry, datacenters = pgha["clusters"][name], pgha["datacenters"]
    found = []
    datacenter = pghalib.inventory.datacenter_of(pgha, name)
    named = isinstance(given, dict) and given.get("datacenter") is not None
    if datacenter is None and datacenters and not named:
        found.append(f"{path}:datacenter: there are several datacenters, so name one of {', '.join(datacenters)}")
    elif datacenter is not None and datacenter not in datacenters:
        found.append(f"{path}:datacenter: there is no datacenter {shown(datacenter)}{guess(datacenter, datacenters)}")

    place = _place(pgha, datacenter, name)
    vip, patroni, postgres, tls, consul = (
        pghalib.inventory.section(one, pgha, defaults, datacenter, name)
        for one in ("vip", "patroni", "postgres", "tls", "consul")
    )
    # Of the agents; the servers have what is said of the datacenter.
    found += pghalib.pillar.owned.consul(
        lambda keys: place(("consul", "config", *keys)), consul["config"] or {}, tls["enabled"]
    )
    found += pghalib.versions.unlisted(place(("consul", "hashes")), "consul", consul)
    found += _vip(path, place, given, entry, vip)
    found += _patroni(lambda *keys: place(*(("patroni", key) for key in keys)), patroni, len(entry["hosts"]))
    found += _postgres(place, postgres, pgha, defaults)
    found += pghalib.pillar.owned.patroni(
        lambda keys: place(("patroni", "config", *keys)),
        patroni["config"] or {},
        tls["enabled"],
        vip["manager"],
        patroni["restapi_port"],
    )
    found += pghalib.pillar.owned.vip(lambda keys: place(("vip", "config", *keys)), vip["config"] or {})
    given_parameters = postgres["parameters"] or {}
    found += pghalib.pillar.parameters.faults(
        lambda keys: place(("postgres", "parameters", *keys)), given_parameters, tls["enabled"]
    )
    # A repository host has the settings of its datacenter.
    of_keepers = str(pghalib.inventory.section("backup", pgha, defaults, datacenter, None)["version"])
    known = datacenters[datacenter]["repository_hosts"] if datacenter in datacenters else {}
    keepers: dict[str, str] = dict.fromkeys(known, of_keepers)
    backup = pghalib.inventory.section("backup", pgha, defaults, datacenter, name)
    if name in pghalib.run.listed({"pgha": pgha}, "from_backup") and not backup["repositories"]:
        found.append(f"pgha:from_backup: {name} has no repository whose backups it could begin with; leave it out")
    return found + pghalib.backup.config.faults(place, backup, postgres, patroni, tls, keepers)


def _vip(path: str, place: Place, given: Json, entry: dict[str, Json], settings: dict[str, Json]) -> list[str]:
    found: list[str] = []
    wanted = given.get("vip") if isinstance(given, dict) else None
    address = wanted.get("address") if isinstance(wanted, dict) else wanted
    if settings["manager"] == "none" and address is None:
        return found
    if settings["manager"] == "vip-manager":
        found += pghalib.versions.unlisted(place(("vip", "hashes")), "vip-manager", settings)
    if address is None:
        if isinstance(given, dict):
            found.append(f"{path}:vip: None is no virtual IP; write ADDRESS/PREFIX, such as 192.0.2.40/24")
        return found
    if "address" in entry["vip"]:
        interface = ipaddress.IPv4Interface(entry["vip"]["address"])
        for host, one in entry["hosts"].items():
            if one["address"] and ipaddress.IPv4Address(one["address"]) not in interface.network:
                found.append(
                    f"{path}:vip: {interface} is outside the subnet of {host} ({one['address']}); both must be in one"
                    " network"
                )
    return found


def _patroni(place: Callable[..., str], settings: dict[str, Json], members: int) -> list[str]:
    found = []
    ttl, loop_wait, retry = (settings[key] for key in ("ttl", "loop_wait", "retry_timeout"))
    least = loop_wait + 2 * retry
    if ttl < least:
        found.append(
            f"{place('ttl', 'loop_wait', 'retry_timeout')}: a ttl of {ttl} is less than loop_wait + 2 * retry_timeout"
            f" ({loop_wait} + 2 * {retry}); give {least} or more, or lower the others"
        )
    if ttl < SMALLEST_TTL:
        found.append(
            f"{place('ttl')}: Consul keeps no session shorter than that of ttl {SMALLEST_TTL}; {ttl} is too low"
        )
    guarded = pghalib.patroni.guard.LEAST + pghalib.patroni.guard.MARGIN
    if settings["guard"] and pghalib.patroni.guard.limit(ttl, loop_wait) < pghalib.patroni.guard.LEAST:
        found.append(
            f"{place('ttl', 'loop_wait')}: a ttl of {ttl} is less than loop_wait + {guarded} ({loop_wait} + {guarded}):"
            " the guard would stop the server of a Patroni that only starts again;"
            f" give {loop_wait + guarded} or more, lower loop_wait, or set guard to false"
        )
    mode, count = pghalib.inventory.on_off(settings["synchronous_mode"]), settings["synchronous_node_count"]
    if mode != "off" and members and count > members - 1:
        found.append(
            f"{place('synchronous_node_count', 'synchronous_mode')}: {count} synchronous standbys cannot"
            f" be had from {members} hosts; give {members - 1} at the most"
        )
    if settings["synchronous_mode_strict"] and mode == "off":
        found.append(
            f"{place('synchronous_mode_strict')}: means nothing while synchronous_mode is off; set both or none"
        )
    return found


def _postgres(place: Place, settings: dict[str, Json], pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    found = []
    known = {*defaults["distributions"], *pgha["distributions"]}
    if settings["distribution"] not in known:
        found.append(
            f"{place(('postgres', 'distribution'))}: {shown(settings['distribution'])} is none of"
            f" {', '.join(sorted(known))}"
        )
    else:
        name = settings["distribution"]
        found += [
            f"{place(('postgres', 'distribution'))}: {name} has no {key}; set it in distributions:{name}"
            for key in ("bin_dir", "packages", "services")
            if settings.get(key) is None
        ]
    if settings.get("repo") is not None and not settings["repo"].get("name"):
        found.append(f"{place(('postgres', 'repo'))}: has no name, the line of the apt source; set it, or repo: null")
    superuser = pghalib.patroni.config.ROLES["superuser"]
    if settings["user"] != superuser:
        found.append(
            f"{place(('postgres', 'user'))}: {shown(settings['user'])} cannot come in: PostgreSQL takes its superuser"
            f" {superuser} through the socket from the system's user of that name alone; leave user out"
        )
    for key in ("client_networks", "superuser_networks"):
        for network in settings[key]:
            if network in ("samenet", "samehost"):
                continue
            try:
                wrong = "PostgreSQL listens on IPv4 alone" if ipaddress.ip_network(network).version == 6 else None
            except ValueError as error:
                wrong = str(error)
            if wrong is None and "/" not in network:
                wrong = f"{shown(network)} has no length"
            if wrong:
                found.append(f"{place(('postgres', key))}: {wrong}; write a network as 192.0.2.0/24, or samenet")
    return found
