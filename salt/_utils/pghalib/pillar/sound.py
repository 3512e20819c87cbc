"""
The usable part of a pillar: each value is checked in its place, and a value of a wrong type is reported and left out.
The rest has the shape that the formula expects; only this rest is checked for settings that do not fit together. Pure
functions.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import pghalib.inventory
import pghalib.pillar.names
import pghalib.pillar.types
import pghalib.run
from pghalib.pillar.types import unknown
from pghalib.text import at, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.shapes import Json

# A minion id is part of a path on the master.
_ID = re.compile(r"[^\s/\x00]+")


def sift(pgha: dict[str, Json], defaults: dict[str, Json]) -> tuple[list[str], dict[str, Json]]:
    """
    Return the faults of type in a whole pillar, as lines that begin with their path, and the rest of the pillar.

    pgha
        The pillar of that name, a mapping.
    defaults
        The content of defaults.yaml.

    The rest has ``datacenters`` and ``clusters``, mappings of mappings with ``servers`` and ``repository_hosts``, or
    with ``hosts``; the settings of one run (``pghalib.run.KEYS``) are lists of texts. A host with a faulty address has
    the address "", and a faulty virtual IP is left out.
    """
    names = sections(defaults)
    found = unknown("pgha", pgha, {*names, "datacenters", "clusters", "distributions", *pghalib.run.KEYS})
    wrong, sound = _sections("pgha", pgha, names, defaults)
    found += wrong
    for key, one, what in (
        ("datacenters", _datacenter, "one Consul datacenter at least"),
        ("clusters", _cluster, "one database cluster at least"),
    ):
        sound[key] = {}
        for name, entry in _mapping(f"pgha:{key}", pgha.get(key), found, what).items():
            wrong, left = one(at(f"pgha:{key}", name), name, entry, defaults)
            found += wrong
            if isinstance(name, str):
                sound[key][name] = left
    wrong, sound["distributions"] = _distributions(pgha.get("distributions"), defaults)
    found += wrong
    for key in pghalib.run.KEYS:
        sound[key] = _texts(f"pgha:{key}", pgha.get(key), found)
    return found, sound


def sections(defaults: dict[str, Json]) -> list[str]:
    """Return the names of the sections of settings."""
    return [name for name in defaults if name not in pghalib.inventory.PRESETS]


def _datacenter(path: str, name: object, entry: Json, defaults: dict[str, Json]) -> tuple[list[str], dict[str, Json]]:
    found = []
    if not (isinstance(name, str) and pghalib.pillar.names.is_datacenter(name)):
        found.append(f"{path}: Consul takes lower case letters, digits, - and _ in the name of a datacenter")
    else:
        found += pghalib.pillar.names.unnamed(path, name)
    if not isinstance(entry, dict):
        return [*found, f"{path}: must be a mapping with servers"], {"servers": {}, "repository_hosts": {}}
    names = sections(defaults)
    found += unknown(path, entry, {"servers", "repository_hosts", *names})
    wrong, sound = _sections(path, entry, names, defaults)
    servers = _mapping(f"{path}:servers", entry.get("servers"), found, "MINION_ID: ADDRESS of each server")
    faults, sound["servers"] = _hosts(f"{path}:servers", servers)
    sound["repository_hosts"] = {}
    if entry.get("repository_hosts") is not None:
        where = f"{path}:repository_hosts"
        keepers = _mapping(where, entry["repository_hosts"], found, "MINION_ID: ADDRESS of each repository host")
        more, sound["repository_hosts"] = _hosts(where, keepers)
        faults += more
    return [*found, *wrong, *faults], sound


def _cluster(path: str, name: object, entry: Json, defaults: dict[str, Json]) -> tuple[list[str], dict[str, Json]]:
    found = []
    if not (isinstance(name, str) and pghalib.pillar.names.is_cluster(name)):
        found.append(f"{path}: the name of a cluster (Patroni's scope) is made of letters, digits, - and _, 63 at most")
    else:
        found += pghalib.pillar.names.unnamed(path, name)
    if not isinstance(entry, dict):
        return [*found, f"{path}: must be a mapping with vip and hosts"], {"hosts": {}}
    if "tls" in entry:
        found.append(f"{path}:tls: is set for everything or for a datacenter, as a cluster speaks to its Consul")
    names = sections(defaults)
    found += unknown(path, entry, {"datacenter", *names})
    wrong, sound = _sections(path, entry, [one for one in names if one not in ("hosts", "vip", "tls")], defaults)
    hosts = _mapping(f"{path}:hosts", entry.get("hosts"), found, "MINION_ID: ADDRESS of each database host")
    faults, sound["hosts"] = _hosts(f"{path}:hosts", hosts)
    of_vip, sound["vip"] = _vip(f"{path}:vip", entry.get("vip"), defaults)
    datacenter = entry.get("datacenter")
    if isinstance(datacenter, str):
        sound["datacenter"] = datacenter
    elif datacenter is not None:
        found.append(f"{path}:datacenter: {shown(datacenter)} should be text, the name of a datacenter")
    return [*found, *wrong, *faults, *of_vip], sound


def _vip(path: str, entry: Json, defaults: dict[str, Json]) -> tuple[list[str], dict[str, Json]]:
    found: list[str] = []
    sound: dict[str, Json] = {}
    address = entry
    if isinstance(entry, dict):
        address = entry.get("address")
        others = {key: value for key, value in entry.items() if key not in ("address", "name")}
        found, sound = pghalib.pillar.types.section(path, "vip", others, defaults)
        name = entry.get("name")
        if pghalib.pillar.names.is_host(name):
            sound["name"] = name
        elif name is not None:
            found.append(f"{path}:name: {shown(name)} is no host name")
    if address is None:
        return found, sound
    wrong = _vip_fault(address)
    if wrong:
        return [*found, f"{path}: {wrong}"], sound
    return found, {**sound, "address": address}


def _vip_fault(address: Json) -> str | None:
    if _reads(ipaddress.IPv6Interface, address):
        return f"{shown(address)} is an address of IPv6; give a virtual IP of IPv4, such as 192.0.2.40/24"
    try:
        interface = ipaddress.IPv4Interface(address) if isinstance(address, str) and "/" in address else None
    except ValueError:
        interface = None
    # IPv4Interface takes 192.0.2.40/255.255.255.0 too.
    if interface is None or not address.rpartition("/")[2].isdigit():
        return f"{shown(address)} is no virtual IP; write ADDRESS/PREFIX, such as 192.0.2.40/24"
    network = interface.network
    if network.prefixlen < 31 and interface.ip in (network.network_address, network.broadcast_address):
        return f"{interface.ip} is the network's own or its broadcast address; give a free host address"
    return None


def _hosts(path: str, entries: dict[Json, Json]) -> tuple[list[str], dict[str, Json]]:
    found, sound = [], {}
    for minion_id, entry in entries.items():
        where = at(path, minion_id)
        if not isinstance(minion_id, str) or not _ID.fullmatch(minion_id) or not minion_id.isprintable():
            quoted = "" if isinstance(minion_id, str) else f"; quote it: '{minion_id}'"
            found.append(f"{where}: {shown(minion_id)} is no minion id{quoted}")
            continue
        given = entry if isinstance(entry, dict) else {"address": entry}
        found += unknown(where, given, {"address", "name"})
        address, name = given.get("address"), given.get("name")
        if not _reads(ipaddress.IPv4Address, address):
            ipv6 = _reads(ipaddress.IPv6Interface, address)
            wrong = "an address of IPv6; give the IPv4 address of the host" if ipv6 else "no IPv4 address"
            found.append(f"{where}: {shown(address)} is {wrong}")
            address = ""
        name = minion_id.split(".")[0] if name in (None, "") else name
        if not pghalib.pillar.names.is_host(name):
            found.append(f"{where}: {shown(name)} is no host name (letters, digits, -); set name")
            sound[minion_id] = {"address": address, "name": ""}
        else:
            sound[minion_id] = {"address": address, "name": name}
    return found, sound


def _reads(kind: Callable[[str], object], value: object) -> bool:
    """Whether a value is a text that a class of ``ipaddress`` reads as an address: it reads numbers, too."""
    try:
        return isinstance(value, str) and bool(kind(value))
    except ValueError:
        return False


def _distributions(given: Json, defaults: dict[str, Json]) -> tuple[list[str], dict[str, Json]]:
    if given is None:
        return [], {}
    if not isinstance(given, dict):
        return ["pgha:distributions: must be a mapping of presets"], {}
    found, sound = [], {}
    for name, preset in given.items():
        path = at("pgha:distributions", name)
        if not isinstance(name, str):
            found.append(f"{path}: the name of a distribution must be text; quote it: '{name}'")
            continue
        wrong, sound[name] = pghalib.pillar.types.section(path, "postgres", preset, defaults)
        found += wrong
    return found, sound


def _sections(
    path: str, holder: dict[str, Json], names: list[str], defaults: dict[str, Json]
) -> tuple[list[str], dict[str, Json]]:
    found, sound = [], {}
    for name in names:
        if name in holder:
            wrong, sound[name] = pghalib.pillar.types.section(f"{path}:{name}", name, holder[name], defaults)
            found += wrong
    return found, sound


def _mapping(path: str, value: Json, found: list[str], wanted: str) -> dict[Json, Json]:
    if isinstance(value, dict) and value:
        return value
    found.append(f"{path}: must be a mapping, {wanted}")
    return {}


def _texts(path: str, value: Json, found: list[str]) -> list[str]:
    """A text, or a list of texts, as a list."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    found += [f"{path}: {shown(one)} should be text, a name" for one in listed if not isinstance(one, str)]
    return [one for one in listed if isinstance(one, str)]
