"""
The write that proves that a server accepts writes: a transaction with a message in the WAL. It waits for a synchronous
replica like any other transaction, and leaves nothing in a table. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.patroni.config
import pghalib.tls

if TYPE_CHECKING:
    from pghalib.shapes import MemberSettings, Settings

#: Seconds that the whole write may take.
TIMEOUT = 15


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
