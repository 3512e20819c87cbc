"""Settings of PostgreSQL, made from the declared settings and from the host's size. Nothing is run here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

import pghalib.postgres.archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.sections import Postgres
    from pghalib.shapes import Json

#: Patroni takes these only from the DCS, the same for all members, and ignores a value in a host's own file.
CLUSTER_WIDE = frozenset(
    {
        "hot_standby",
        "max_connections",
        "max_locks_per_transaction",
        "max_prepared_transactions",
        "max_replication_slots",
        "max_wal_senders",
        "max_worker_processes",
        "track_commit_timestamp",
        "wal_keep_size",
        "wal_level",
        "wal_log_hints",
    }
)

#: Patroni sets these itself, from other settings.
PATRONI_OWN = frozenset({"cluster_name", "listen_addresses", "port"})

#: The parameters that are the same on all members: those of the by-hand procedure, and how soon a connection counts as
#: dead. A synchronous replica that is gone holds up all writes for wal_sender_timeout and a loop of Patroni; a client
#: that is gone holds its locks until the keepalives end. A replica asks again each second for a leader that is away
#: (5 s is PostgreSQL's own): a commit waits for it. The log has one file for each day of a month, since PostgreSQL
#: itself never removes a file. Not here: what depends on a host's memory, cores or disk (`calculate`), and
#: `wal_keep_segments`, which became `wal_keep_size`.
DEFAULTS = {
    **pghalib.postgres.archive.DEFAULTS,
    "checkpoint_timeout": "15min",
    "commit_delay": 1000,
    "hot_standby": "on",
    "log_connections": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%d.log",
    "log_rotation_age": "1d",
    "log_rotation_size": 0,
    "log_truncate_on_rotation": "on",
    "logging_collector": "on",
    "max_connections": 100,
    "max_files_per_process": 10000,
    "max_parallel_maintenance_workers": 2,
    "max_parallel_workers_per_gather": 0,
    "max_replication_slots": 10,
    "max_wal_senders": 10,
    "password_encryption": "scram-sha-256",
    "tcp_keepalives_count": 6,
    "tcp_keepalives_idle": 60,
    "tcp_keepalives_interval": 10,
    "wal_keep_size": "128MB",
    "wal_level": "replica",
    "wal_receiver_timeout": "15s",
    "wal_retrieve_retry_interval": "1s",
    "wal_sender_timeout": "15s",
}

#: Parameters that 1C:Enterprise needs on any server.
ONE_C = {"standard_conforming_strings": "off", "escape_string_warning": "off", "max_locks_per_transaction": 256}

_SETTING = re.compile(r"^\s*([A-Za-z_][\w.]*)\s*(?:=\s*|\s+)(.*)$")
_QUOTED = re.compile(r"^'((?:[^'\\]|''|\\.)*)'")


class Parameters(TypedDict):
    """The parameters of a host, see ``pgha_postgres.parameters``."""

    shared: dict[str, Json]
    host: dict[str, Json]
    source: str
    left_out: dict[str, str]


def canonical(value: Json) -> Json:
    """
    Return a parameter's value in the form in which it is stored and compared: booleans (YAML reads on and off so) as
    ``on`` or ``off``, whole numbers in a text as numbers, all else unchanged, as a blank at the end may matter.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str) and re.fullmatch(r"0|-?[1-9][0-9]*", value):
        return int(value)
    return value


def parse_tuned(text: str) -> dict[str, Json] | None:
    """
    Return the settings that pgpro_tune added to a postgresql.conf, as ``{name: value}``, or None when it added none.

    text
        The content of postgresql.conf. pgpro_tune marks its block by a first line "The following settings were added
        by pgpro_tune" and a last line "End of settings added by pgpro_tune"; of several blocks the last one counts, as
        for the server.
    """
    inside = False
    settings: dict[str, Json] | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#") or not stripped:
            if "settings were added by pgpro_tune" in stripped:
                inside, settings = True, {}
            elif "End of settings added by pgpro_tune" in stripped:
                inside = False
            continue
        if inside and settings is not None:
            match = _SETTING.match(line)
            if match:
                settings[match.group(1).lower()] = canonical(_value(match.group(2)))
    return settings


def calculate(memory: int, cores: int, disk: int) -> dict[str, str | int]:
    """
    Return the settings that pgpro_tune would give a host, for servers without pgpro_tune.

    memory
        MB of main memory.
    cores
        Number of processors.
    disk
        MB of the file system of the data directory.

    The rules come from the block that pgpro_tune wrote for 2 cores, 2 GB and 16 GB of disk. They reproduce this block,
    with the memory rounded (:py:func:`steady`), except max_connections, which is the same on all members and so does
    not depend on the host.

    =============================  ==============================================================================
    setting                        rule and reason
    =============================  ==============================================================================
    shared_buffers                 a quarter of memory: the common starting point, the rest serves the page cache
    effective_cache_size           half: what of the page cache a query may count on
    maintenance_work_mem           a sixteenth, 2 GB at most
    autovacuum_work_mem            half of that: there are several workers
    work_mem                       32 MB (1C sorts a lot), from 13 GB of memory on a quarter of it by 100 connections;
                                   less than 1 GB of memory gets less
    temp_buffers                   half of work_mem, at least 8 MB: 1C lives on temporary tables
    autovacuum_max_workers         twice the cores, from 4 to 16, and vacuum_cost_limit 100 for each
    max_wal_size, min_wal_size     a quarter and an eighth of the disk, 16 and 8 GB at most
    bgwriter_*                     pgpro_tune's: writes ahead of the backends
    effective_io_concurrency       for an SSD, as is random_page_cost
    jit                            off: 1C's queries are many and short
    =============================  ==============================================================================
    """
    memory = steady(memory)
    work_mem = max(min(32, memory // 32), memory // 400)
    maintenance = min(memory // 16, 2048)
    workers = min(max(4, 2 * cores), 16)
    max_wal = min(max(disk // 4096, 1), 16)
    return {
        "shared_buffers": f"{memory // 4}MB",
        "effective_cache_size": f"{memory // 2}MB",
        "work_mem": f"{work_mem}MB",
        "temp_buffers": f"{max(8, work_mem // 2)}MB",
        "maintenance_work_mem": f"{maintenance}MB",
        "autovacuum_work_mem": f"{maintenance // 2}MB",
        "autovacuum_max_workers": workers,
        "vacuum_cost_limit": 100 * workers,
        "autovacuum_naptime": "20s",
        "autovacuum_analyze_scale_factor": "0.005",
        "bgwriter_delay": "20ms",
        "bgwriter_lru_multiplier": "4.0",
        "bgwriter_lru_maxpages": 4000,
        "track_activity_query_size": "10kB",
        "default_statistics_target": 800,
        "wal_compression": "lz4",
        "default_toast_compression": "lz4",
        "log_lock_waits": "on",
        "log_connections": "on",
        "log_disconnections": "on",
        "max_wal_size": f"{max_wal}GB",
        "min_wal_size": f"{max_wal * 512}MB",
        "effective_io_concurrency": 200,
        "random_page_cost": "1.1",
        "jit": "off",
    }


def steady(memory: int) -> int:
    """
    Return the memory (MB) that counts for a host: rounded down to a sixteenth of the next power of two. Another kernel
    or a balloon takes some MB more or less, and shared_buffers would wait for a restart each time. A host has a few
    percent less than the size of its memory, which is such a step itself, so that it is far from both ends of a step.
    """
    step = max(1, (1 << max(0, memory - 1).bit_length()) // 16)
    return memory // step * step


def slot_limit(disk: int) -> str:
    """
    Return the WAL that a stopped replica may hold back on a disk of ``disk`` MB: a quarter, on a small disk 1 GB or the
    half of the disk. PostgreSQL's own default has no limit, so a single replica that stays away would fill the disk of
    the primary.
    """
    return f"{max(disk // 4, min(1024, disk // 2))}MB"


def shared(settings: Postgres) -> dict[str, Json]:
    """
    Return the parameters that are the same on all members and live in the DCS: the defaults, those of 1C when the
    distribution is for 1C, overridden by the user's. A null of the user's removes a parameter.

    settings
        The section `postgres` of the resolved settings.
    """
    parameters: dict[str, Json] = {**DEFAULTS, "lc_messages": settings["lc_messages"]}
    if settings.get("for_1c"):
        parameters.update(ONE_C)
    parameters.update(settings.get("parameters") or {})
    return {name: canonical(value) for name, value in sorted(parameters.items()) if name not in PATRONI_OWN}


def host_only(tuned: Mapping[str, Json], settings: Postgres) -> dict[str, Json]:
    """
    Return the tuned parameters that belong into the host's own file. Left out: parameters that must be equal on all
    members, parameters that the user has set for all, and values that all members have anyway.
    """
    decided = CLUSTER_WIDE | PATRONI_OWN | set(settings.get("parameters") or {})
    same = shared(settings)
    values = {name: canonical(value) for name, value in tuned.items() if name not in decided}
    return {name: value for name, value in values.items() if same.get(name) != value}


def sentences(parameters: Parameters) -> str:
    """
    Return who decides about the memory settings, and which tuned parameters are left out and why, as a text.

    parameters
        The result of ``pgha_postgres.parameters``.
    """
    told = {"pgpro_tune": "Memory settings are pgpro_tune's.", "calculated": "Memory settings are calculated."}
    said = [told.get(parameters["source"], "Memory settings are PostgreSQL's own.")]
    said += [f"{name} is left out: {why}." for name, why in sorted(parameters["left_out"].items())]
    return " ".join(said)


def refused_name(message: str) -> str | None:
    """Return the name of the parameter that an error message of the server is about, or None when it names none."""
    match = re.search(r'parameter "([^"]+)"', message)
    return match.group(1) if match else None


def control_data(text: str) -> dict[str, str]:
    """Return the output of pg_controldata as ``{label: value}``."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {label.strip(): value.strip() for label, value in pairs}


def timeline(control: dict[str, str]) -> int | None:
    """
    Return the timeline of data by what pg_controldata says of them (:py:func:`control_data`), None when it says none.
    After a promotion the new number is with the end of recovery until the first checkpoint.
    """
    labels = ("Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline")
    return max((int(control[one]) for one in labels if control.get(one, "").isdecimal()), default=0) or None


def locale_key(name: str) -> str:
    """Return a locale's name as ``locale -a`` writes it, for comparing: ``ru_RU.UTF-8`` becomes ``ru_RU.utf8``."""
    base, _, codeset = name.partition(".")
    codeset, at, modifier = codeset.partition("@")
    return f"{base}.{codeset.lower().replace('-', '')}{at}{modifier}" if codeset else name


def _value(text: str) -> str:
    """The value of a setting's line: without quotes and without a comment after it."""
    text = text.strip()
    match = _QUOTED.match(text)
    if match:
        return match.group(1).replace("''", "'").replace("\\'", "'")
    return text.split("#", 1)[0].strip()
