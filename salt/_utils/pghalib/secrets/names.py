"""The names that the certificates of the hosts must have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.inventory
import pghalib.pillar.names

if TYPE_CHECKING:
    from pghalib.shapes import Host, Json

    #: The names that certificates must have, by the name of a host and the service.
    Wanted = dict[str, dict[str, set[str]]]


def wanted(pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str) -> Wanted:
    """
    Return the names that certificates must have: ``{host: {service: names}}``.

    A server of Consul: its name, its address, and ``server.DATACENTER.DOMAIN``, which tells a server from an agent. The
    agent of a database host: only ``client.DATACENTER.DOMAIN``. It is asked on loopback alone, and with a name of the
    host it could pose as its databases. PostgreSQL and Patroni: name and address of the host, the virtual IP and its
    name, and ``tls:names``, because clients connect by these names. pgBackRest of a repository host: its name and its
    address. All have loopback, where the formula asks them.
    """
    section, is_address = pghalib.inventory.section, pghalib.pillar.names.is_address
    domain = section("hosts", pgha, defaults, datacenter, None)["domain"]
    consul = section("consul", pgha, defaults, datacenter, None)["domain"]
    extra = [str(name) for name in section("tls", pgha, defaults, datacenter, None)["names"]]

    def names(host: Host, *more: str) -> set[str]:
        full = [f"{name}.{domain}" for name in (host["name"], *more) if domain and not is_address(name)]
        return {host["name"], host["address"], *loopback, *more, *full}

    loopback = ("localhost", "127.0.0.1")
    server, client = (f"{kind}.{datacenter}.{consul}" for kind in ("server", "client"))
    servers = pghalib.inventory.hosts(pgha["datacenters"][datacenter]["servers"])
    found: Wanted = {host["name"]: {"consul": names(host) | {server}} for host in servers}
    keepers = pghalib.inventory.hosts(pgha["datacenters"][datacenter].get("repository_hosts"))
    found.update({host["name"]: {"repository": names(host)} for host in keepers})
    for cluster in pghalib.inventory.clusters_of(pgha, defaults, datacenter):
        vip = [cluster["vip"]["address"], cluster["vip"]["name"]] if cluster["vip"] else []
        for host in cluster["hosts"]:
            found[host["name"]] = {"consul": {client, *loopback}, "postgres": names(host, *vip) | set(extra)}
    return found
