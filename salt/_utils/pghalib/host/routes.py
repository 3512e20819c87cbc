"""
From which address this host speaks to the others of its cluster. PostgreSQL lets its members in by their address, and
its connections leave with whatever address the kernel chooses; Consul, Patroni and the preflight bind their own.
"""

import socket


def sources(addresses):
    """
    Return the address that the kernel has this host speak from, for each one that it speaks to; None where there is no
    route. Nothing is sent.

    addresses
        List of IPv4 or IPv6 addresses.
    """
    return {address: _source(address) for address in addresses}


def peers(settings):
    """Return the addresses of the other members of this host's cluster; none for a server of Consul."""
    members = settings["cluster"]["hosts"] if settings["cluster"] else []
    return [one["address"] for one in members if one["address"] != settings["address"]]


def faults(found, settings):
    """
    Return (faults, warnings) of a host that would speak to the members from another address than the inventory's.

    found
        What :py:func:`sources` returns.
    settings
        What ``pgha.settings`` returns. The virtual IP is let in as well. Lines of one's own in ``postgres:pg_hba`` may
        let in the other address, so it is a warning then.
    """
    own, names = settings["address"], _names(settings)
    allowed = {None, own, ((settings["cluster"] or {}).get("vip") or {}).get("address")}
    wrong = {}
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


def translated(found, settings):
    """
    Return (faults, warnings) of a host whose connections reach the members with another address than they left with.

    found
        What ``pghalib.preflight.rendezvous.meet`` returns: ``seen_as`` is the address that a peer saw.
    """
    own, names, wrong = settings["address"], _names(settings), {}
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


def _names(settings):
    return {one["address"]: one["name"] for one in (settings["cluster"] or {}).get("hosts", [])}


def _source(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            # Of UDP this chooses the route and no more. The port must not be 0.
            one.connect((address, 9))
            return one.getsockname()[0]
    except OSError:
        return None
