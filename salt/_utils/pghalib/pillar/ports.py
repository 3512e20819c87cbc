"""
The ports that the services of a host open by its settings, and the check that no two are the same. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pghalib.consul.ports
import pghalib.inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

# The ports that Consul opens unless consul:config says otherwise; -1 is closed. pghalib.consul.config closes the other
# ports that a server would open, as nothing here uses them.
_CONSUL = {
    "dns": pghalib.consul.ports.DNS,
    "http": pghalib.consul.ports.HTTP,
    "https": -1,
    "grpc": -1,
    "grpc_tls": -1,
    "serf_lan": pghalib.consul.ports.GOSSIP,
}
_SERVER = {"server": pghalib.consul.ports.SERVER, "serf_wan": -1}
# The agents use these between each other; the others are for clients, at client_addr.
_BETWEEN_AGENTS = ("server", "serf_lan", "serf_wan")
_BY_UDP = ("dns", "serf_lan", "serf_wan")


class Port(TypedDict):
    """A port of an agent of Consul; ``bind`` is a list of addresses, or None for the host's own address."""

    name: str
    port: int
    protocol: str
    bind: list[str] | None


def of_consul(consul: Mapping[str, Json], server: bool, encrypted: bool) -> list[Port]:
    """
    Return the ports that an agent of Consul opens: a list of ``{"name", "port", "protocol", "bind"}``; ``bind`` is a
    list of addresses, or None for the host's own address.

    consul
        The section of that name of the settings.
    server
        Whether the agent is a server.
    encrypted
        Whether the agent speaks TLS.
    """
    passed = consul["config"] if isinstance(consul.get("config"), dict) else {}
    numbers = {**_CONSUL, **(_SERVER if server else {})}
    # As pghalib.consul.config sets it.
    if encrypted:
        numbers.update(http=-1, https=pghalib.consul.ports.HTTPS)
    given = passed["ports"] if isinstance(passed.get("ports"), dict) else {}
    numbers.update({name: number for name, number in given.items() if name in numbers})
    addresses = passed["addresses"] if isinstance(passed.get("addresses"), dict) else {}
    clients = passed.get("client_addr") or consul.get("client_addr") or "127.0.0.1"
    return [
        {
            "name": name,
            "port": number,
            "protocol": protocol,
            "bind": None if name in _BETWEEN_AGENTS else str(addresses.get(name) or clients).split(),
        }
        for name, number in numbers.items()
        if _is_port(number)
        for protocol in (("tcp", "udp") if name in _BY_UDP else ("tcp",))
    ]


def meeting(pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    """
    Return the faults of services of one host that have the same port, as lines.

    pgha, defaults
        The pillar of that name, and the content of defaults.yaml.
    """
    faults = []
    for datacenter in pgha["datacenters"]:
        faults += _twice(f"pgha:datacenters:{datacenter}", _consul_of(pgha, defaults, datacenter, None))
    for name, entry in pgha["clusters"].items():
        if isinstance(entry, dict):
            datacenter = pghalib.inventory.datacenter_of(pgha, name)
            opened = _consul_of(pgha, defaults, datacenter, name)
            postgres, patroni = (
                pghalib.inventory.section(one, pgha, defaults, datacenter, name) for one in ("postgres", "patroni")
            )
            opened["PostgreSQL (postgres:port)"] = postgres["port"]
            opened["Patroni's REST API (patroni:restapi_port)"] = patroni["restapi_port"]
            faults += _twice(f"pgha:clusters:{name}", opened)
    return faults


def _consul_of(
    pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str | None, cluster: str | None
) -> dict[str, Json]:
    """The ports of an agent of a cluster, or (None) of a server."""
    consul, tls = (pghalib.inventory.section(one, pgha, defaults, datacenter, cluster) for one in ("consul", "tls"))
    opened = of_consul(consul, cluster is None, tls["enabled"] is not False)
    return {f"Consul (consul:config:ports:{one['name']})": one["port"] for one in opened}


def _twice(path: str, opened: Mapping[str, Json]) -> list[str]:
    owners: dict[int, list[str]] = {}
    for name, port in opened.items():
        if _is_port(port):
            owners.setdefault(int(port), []).append(name)
    return [
        f"{path}: {' and '.join(names)} have the same port {port}; give each its own"
        for port, names in owners.items()
        if len(names) > 1
    ]


def _is_port(number: object) -> bool:
    return not isinstance(number, bool) and str(number).isascii() and str(number).isdigit() and int(str(number)) > 0
