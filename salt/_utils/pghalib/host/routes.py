"""
The source address of this host's connections to the other members of its cluster. pg_hba allows members by address, and
for PostgreSQL's connections the kernel chooses the source; Consul, Patroni and the preflight bind the host's address.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pghalib.shapes import Settings


def sources(addresses: Iterable[str]) -> dict[str, str | None]:
    """
    Return the source address that the kernel chooses for each target address; None when there is no route. Nothing is
    sent.

    addresses
        List of IPv4 addresses.
    """
    return {address: _source(address) for address in addresses}


def peers(settings: Settings) -> list[str]:
    """Return the addresses of the other members of this host's cluster; [] for a server of Consul."""
    members = settings["cluster"]["hosts"] if settings["cluster"] else []
    return [one["address"] for one in members if one["address"] != settings["address"]]


def faults(found: Mapping[str, str | None], settings: Settings) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) when this host would connect to members from another address than the inventory's.

    found
        What :py:func:`sources` returns.
    settings
        The result of ``pgha.settings``. The virtual IP is allowed too. With lines in ``postgres:pg_hba`` it is only a
        warning, as they may allow the other address.
    """
    own, names, cluster = settings["address"], _names(settings), settings["cluster"]
    vip = cluster["vip"] if cluster else None
    allowed = {None, own, vip["address"] if vip else None}
    wrong: dict[str | None, list[str]] = {}
    for address, source in found.items():
        if source not in allowed:
            wrong.setdefault(source, []).append(names.get(address, address))
    told = [
        f"PostgreSQL would connect to {', '.join(others)} from {source}, where only {own} is let in, this host's"
        f" address in the pillar: write {source} into the inventory, or make {own} the source (it is the first address"
        " of its interface, or the route has src)"
        for source, others in wrong.items()
    ]
    return ([], told) if settings["postgres"].get("pg_hba") else (told, [])


def translated(
    found: Mapping[tuple[str, int, str], Mapping[str, object]], settings: Settings
) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) when members see this host's connections come from another address than its own.

    found
        The result of ``pghalib.preflight.rendezvous.meet``: ``seen_as`` is the address that a peer saw.
    """
    own, names = settings["address"], _names(settings)
    wrong: dict[object, dict[str, None]] = {}
    for (peer, _port, _protocol), link in found.items():
        seen = link.get("seen_as")
        if seen not in (None, own) and peer in names:
            wrong.setdefault(seen, {})[names[peer]] = None
    told = [
        f"{', '.join(others)} sees {seen} when this host connects from {own}: something in between translates"
        " addresses, and PostgreSQL knows its members by them; let the members reach each other without it"
        for seen, others in wrong.items()
    ]
    return ([], told) if settings["postgres"].get("pg_hba") else (told, [])


def _names(settings: Settings) -> dict[str, str]:
    members = settings["cluster"]["hosts"] if settings["cluster"] else []
    return {one["address"]: one["name"] for one in members}


def _source(address: str) -> str | None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            # With UDP, connect only chooses the route. The port must not be 0.
            one.connect((address, 9))
            return str(one.getsockname()[0])
    except OSError:
        return None
