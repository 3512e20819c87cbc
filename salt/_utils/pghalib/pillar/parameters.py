"""
PostgreSQL's parameters that a person may not set in the pillar: other settings are their place, or Patroni would take
another value. Each has its remedy. Pure functions.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pghalib.postgres.settings
from pghalib.pillar.types import line_fault
from pghalib.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pghalib.shapes import Json

#: The remedy for settings of TLS.
OWN_TLS = "set pgha:tls (ca, certificate and key for files of your own), or tls: false"
PARAMETERS = {
    "port": "set postgres:port",
    "listen_addresses": "PostgreSQL listens on all addresses, as the virtual IP comes and goes; set"
    " postgres:client_networks, or a firewall",
    "cluster_name": "it is the name under pgha:clusters",
    "data_directory": "set postgres:data_dir",
    **dict.fromkeys(("config_file", "hba_file", "ident_file"), "Patroni keeps these files; set postgres:pg_hba"),
    "unix_socket_directories": "set postgres:socket_dir",
    "lc_messages": "set postgres:lc_messages",
    "synchronous_standby_names": "set patroni:synchronous_mode",
    **dict.fromkeys(("primary_conninfo", "primary_slot_name"), "Patroni decides whom a replica follows"),
}
SSL = ("ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file")
#: Numbers below which Patroni takes a value of its own without an error (CMDLINE_OPTIONS of 4.1); a size in MB.
FLOORS = {
    "max_connections": 25,
    "max_locks_per_transaction": 32,
    "max_replication_slots": 4,
    "max_wal_senders": 3,
    "max_worker_processes": 2,
    "wal_keep_size": 16,
}
_MEGABYTES = {"": 1.0, "B": 2.0**-20, "kB": 2.0**-10, "MB": 1.0, "GB": 2.0**10, "TB": 2.0**20}
_PARAMETER = re.compile(r"[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)*", re.ASCII)
# PostgreSQL itself writes these names with capitals.
_CAPITALS = {"DateStyle", "IntervalStyle", "TimeZone"}


def faults(
    place: Callable[[list[str]], str], given: Mapping[str, Json], tls: bool | None, local: bool = False
) -> list[str]:
    """
    Return the faults of PostgreSQL's parameters, as lines.

    place, tls
        As for :py:func:`pghalib.pillar.owned.consul`.
    given
        ``{name: value}``. Case makes no difference in the server's names, but it does in the keys of Patroni and of
        this formula.
    local
        Whether they are for one host's file, where Patroni ignores some.
    """
    found: list[str] = []
    spellings: dict[str, list[str]] = {}
    for name, value in given.items():
        where, plain = place([name]), name.lower()
        if not _PARAMETER.fullmatch(name):
            found.append(f"{where}: {shown(name)} is no name of a parameter")
            continue
        spellings.setdefault(plain, []).append(name)
        remedy = PARAMETERS.get(plain) or (OWN_TLS if plain in SSL and tls is not False else None)
        if remedy:
            found.append(f"{where}: is set by other means: {remedy}")
        elif plain == "hot_standby" and pghalib.postgres.settings.canonical(value) != "on":
            found.append(f"{where}: Patroni has it always on; leave it out")
        elif local and plain in pghalib.postgres.settings.CLUSTER_WIDE:
            found.append(f"{where}: Patroni takes it for all members alone; set it in postgres:parameters")
        elif _number(value) < FLOORS.get(plain, 0):
            least = f"{FLOORS[plain]}{'MB' if plain == 'wal_keep_size' else ''}"
            found.append(f"{where}: {shown(value)} is less than {least}, and Patroni would take a value of its own")
        elif name != plain and "." not in name and name not in _CAPITALS:
            found.append(f"{where}: PostgreSQL's names have no capitals; write {plain}")
        if isinstance(value, (dict, list, tuple)):
            found.append(f"{where}: {shown(value)} should be text, a number, true, false or null")
        elif isinstance(value, str) and value and line_fault(value):
            found.append(f"{where}: {line_fault(value)}, not {shown(value)}")
    for names in spellings.values():
        if len(names) > 1:
            found.append(f"{place([names[0]])}: is one parameter with {', '.join(names[1:])}; write it once")
    return found


def _number(value: Json) -> float:
    """A value as a number, a size in MB; infinite when it is none, which the server itself refuses."""
    size = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|)\s*", str(value), re.ASCII)
    return float(size[1]) * _MEGABYTES[size[2]] if size else math.inf
