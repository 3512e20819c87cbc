"""
The write that proves that a server accepts writes: a transaction with a message in the WAL. It waits for a synchronous
replica like any other transaction, and leaves nothing in a table. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.patroni.config
import pghalib.patroni.member
import pghalib.tls

if TYPE_CHECKING:
    from pghalib.shapes import Json, MemberSettings, Settings

#: Seconds that the whole write may take.
TIMEOUT = 15
# What psql says when the network, and no server, has answered or stayed silent.
_NETWORK = ("timeout expired", "Connection timed out", "No route to host", "Network is unreachable", "Host is down")
_ASKED = (
    "Whether the leader has the address is what pgha.status says. If it has it, does the hypervisor or the switch allow"
    " an address there that is not the port's own (OpenStack: allowed_address_pairs; Proxmox: ipfilter; VMware NSX:"
    " SpoofGuard)?"
)


def address(settings: MemberSettings) -> str:
    """Return the address to write through: the virtual IP of the cluster, else this host's own address."""
    vip = settings["cluster"]["vip"]
    return vip["address"] if vip else settings["address"]


def command(settings: Settings) -> list[str]:
    """Return the command of the write, as a list of words. The statement is no secret; the password is in a file."""
    statement = "SELECT pg_catalog.pg_logical_emit_message(true, 'pgha', 'a write as proof')"
    # -X: read no psqlrc.
    options = ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-c", statement]
    return [f"{settings['postgres']['bin_dir']}/psql", *options]


def environment(settings: Settings, host: str) -> dict[str, str]:
    """Return the variables of the environment for the command, to write through the address ``host``."""
    return {
        "PGHOST": host,
        "PGPORT": str(settings["postgres"]["port"]),
        "PGUSER": pghalib.patroni.config.ROLES["rewind"],
        "PGDATABASE": "postgres",
        "PGPASSFILE": f"{settings['patroni']['config_dir']}/pgpass.check",
        "PGCONNECT_TIMEOUT": "3",
        **pghalib.tls.libpq(settings),
        "PGOPTIONS": "-c statement_timeout=5s",
        "LC_ALL": "C",
    }


def failure(error: str, outdated: str | None, member: dict[str, Json]) -> str:
    """
    Return why no write through the address of the cluster succeeded, with the remedy or a question that leads to it.

    error
        The last error; in it are the words of psql.
    outdated
        A sentence when vip-manager works with an old configuration.
    member
        This host's member by its own answer. A leader reaches its own address without the network.
    """
    if outdated:
        return f"{outdated} {error}"
    unreached = any(words in error for words in _NETWORK) and "FATAL:" not in error
    return f"{error}\n{_ASKED}" if unreached and not pghalib.patroni.member.leads(member) else error
