"""
Names in an inventory: the correct form of each, and the check that no two collide. Pure functions.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections import defaultdict
from typing import TYPE_CHECKING

import pghalib.consul.config
import pghalib.inventory
import pghalib.parse
import pghalib.pillar.origin
from pghalib.text import at, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pghalib.inventory import Place
    from pghalib.shapes import Address, Json, Scope

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# Consul: datacenter names are lower case letters, digits, - and _.
_DATACENTER = re.compile(r"[a-z0-9][a-z0-9_-]*")
# The name of Consul's service, which Patroni registers, cannot be longer.
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def is_host(name: object) -> bool:
    """Return whether a value can be the name of a host: one label of DNS."""
    return isinstance(name, str) and bool(_HOST.fullmatch(name))


def is_label(name: object) -> bool:
    """Return whether the name of a datacenter can be a label of DNS, as a certificate needs it."""
    return is_host(name)


def is_domain(name: str) -> bool:
    """Return whether a text can be a name in DNS; its first label may be ``*``, as in a certificate."""
    first, *others = name.split(".")
    return (is_host(first) or (first == "*" and bool(others))) and all(map(is_host, others))


def is_address(text: object) -> bool:
    """Return whether a value is an address, of IPv4 or IPv6."""
    try:
        return bool(ipaddress.ip_address(str(text)))
    except ValueError:
        return False


def is_datacenter(name: str) -> bool:
    """Return whether Consul accepts this as the name of a datacenter."""
    return bool(_DATACENTER.fullmatch(name))


def is_cluster(name: str) -> bool:
    """Return whether this can be the name of a cluster, which is Patroni's scope."""
    return bool(_CLUSTER.fullmatch(name))


def unnamed(path: str, name: object) -> list[str]:
    """
    Return the fault, as a list, of a name that a command could not have as an argument: ``on``, ``null`` and ``007``
    are a truth, nothing and 7 there. A number such as 2026 is known by its digits.

    path, name
        Where the name is in the pillar, and what it is.
    """
    if not isinstance(name, str):
        return []
    try:
        read = pghalib.parse.from_yaml(name)
    except ValueError:
        read = None
    # Salt makes nothing of None too.
    if type(read) in (str, int) and str(read) == name != "None":
        return []
    return [f"{path}: YAML makes no text of the word {shown(name)}, so no command could name it; give another"]


def twice(pgha: dict[str, Json]) -> list[str]:
    """Return the faults of ids, names and addresses that occur more than once in the whole inventory, as lines."""
    seen: dict[str, dict[str, list[str]]] = {
        "minion id": defaultdict(list),
        "host name": defaultdict(list),
        "address": defaultdict(list),
    }
    for host in pghalib.inventory.everyone(pgha):
        place = f"{_group(host)}:{host['id']}"
        seen["minion id"][host["id"]].append(place)
        seen["host name"][str(host["name"]).lower()].append(place)
        # A faulty address was left empty, and is reported elsewhere.
        if host["address"]:
            seen["address"][host["address"]].append(place)
    for name, entry in pgha["clusters"].items():
        vip = _vip(name, entry)
        if vip:
            seen["host name"][str(vip["name"]).lower()].append(f"clusters:{name}:vip")
            seen["address"][vip["address"]].append(f"clusters:{name}:vip")
    return [
        f"pgha: the {kind} {value} stands in {' and in '.join(places)}; each may stand only once"
        for kind, values in seen.items()
        for value, places in values.items()
        if len(places) > 1
    ]


def _group(host: Place) -> str:
    """Where a host stands in the pillar, below ``pgha``."""
    if host["role"] == "db":
        return f"clusters:{host['cluster']}:hosts"
    return f"datacenters:{host['datacenter']}:{'servers' if host['role'] == 'dcs' else 'repository_hosts'}"


def capitals(pgha: dict[str, Json], datacenter: str) -> list[str]:
    """
    Return the faults of names of hosts with capitals, as lines: an agent's token is linked to a node identity of
    Consul, and node identities have no capitals.

    pgha, datacenter
        The pillar of that name, and the datacenter whose hosts are checked.
    """
    return [
        f"{at(f'pgha:{_group(host)}', host['id'])}: Consul takes no capitals in the name of a host: set name, as in"
        f" {host['id']}: {{address: {host['address'] or '…'}, name: {host['name'].lower()}}}"
        for host in pghalib.inventory.everyone(pgha)
        if host["datacenter"] == datacenter and host["role"] != "repository" and host["name"] != host["name"].lower()
    ]


def meeting(pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    """
    Return the faults of clusters that collide in the same Consul, as lines: they have the same service name, or the
    keys of one lie below the keys of the other. The rights of Patroni's token depend on these names.

    pgha, defaults
        The pillar of that name, and the content of defaults.yaml.
    """
    shared: dict[str | None, list[tuple[str, str, str]]] = defaultdict(list)
    for name, entry in pgha["clusters"].items():
        if isinstance(entry, dict):
            datacenter = pghalib.inventory.datacenter_of(pgha, name)
            patroni = pghalib.inventory.section("patroni", pgha, defaults, datacenter, name)
            place: Scope = {"namespace": str(patroni["namespace"]), "name": str(name)}
            found = (f"pgha:clusters:{name}", pghalib.consul.config.key_prefix(place))
            shared[datacenter].append((*found, pghalib.consul.config.service_name(str(name))))
    faults = []
    for clusters in shared.values():
        for (path, keys, service), (other, its_keys, its_service) in itertools.combinations(clusters, 2):
            if service == its_service:
                faults.append(
                    f"{path}: {other} has the same service {service!r} in Consul (case, _ and - make no difference"
                    " there); give one of them another name"
                )
            if keys.startswith(its_keys) or its_keys.startswith(keys):
                faults.append(
                    f"{path}: its keys in Consul ({keys}) and those of {other} ({its_keys}) lie within each other; give"
                    " one of them another patroni:namespace"
                )
    return faults


def posing(pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    """
    Return the faults of names that would make a database host's certificate valid for a server of Consul
    (``server.DATACENTER.DOMAIN``), and of ``tls:names`` that are neither DNS names nor addresses, as lines.
    """
    faults = []
    for datacenter in pgha["datacenters"]:
        of_consul, hosts, tls = (
            pghalib.inventory.section(name, pgha, defaults, datacenter, None) for name in ("consul", "hosts", "tls")
        )
        server = f"server.{datacenter}.{of_consul['domain']}".lower()
        # A certificate for *.DATACENTER.DOMAIN is valid for the server too.
        servers = {server, "*" + server.removeprefix("server")}
        place = pghalib.pillar.origin.origin(pgha, ("tls", "names"), datacenter, None) or "pgha:tls:names"
        for name in tls["names"]:
            plain = name.rstrip(".").lower()
            if plain in servers:
                faults.append(
                    f"{place}: {shown(name)} is the name by which Consul of {datacenter} knows its servers; a"
                    " database host must not have it"
                )
            elif not (is_address(name) or is_domain(plain)):
                faults.append(f"{place}: {shown(name)} is neither a name in DNS nor an address")
        for path, name in _names_of_databases(pgha, datacenter):
            if f"{name}.{hosts['domain']}".rstrip(".").lower() in servers:
                faults.append(
                    f"{path}: with hosts:domain {hosts['domain']} its name is {name}.{hosts['domain']}, by which Consul"
                    f" knows its servers; set name, or another hosts:domain"
                )
    return faults


def _names_of_databases(pgha: dict[str, Json], datacenter: str) -> Iterator[tuple[str, str]]:
    for name, entry in pgha["clusters"].items():
        if isinstance(entry, dict) and pghalib.inventory.datacenter_of(pgha, name) == datacenter:
            for host in pghalib.inventory.hosts(entry.get("hosts")):
                yield f"pgha:clusters:{name}:hosts:{host['id']}", host["name"]
            vip = _vip(name, entry)
            if vip:
                yield f"pgha:clusters:{name}:vip:name", vip["name"]


def _vip(name: str, entry: Json) -> Address | None:
    try:
        return pghalib.inventory.vip(name, entry.get("vip")) if isinstance(entry, dict) else None
    except ValueError:
        return None
