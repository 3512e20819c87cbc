"""
The verdict of the preflight on data, services and configurations that are on a host already and are not the formula's.
Pure functions. Nothing is ever removed: a person decides.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypedDict

import pghalib.pillar.ports
import pghalib.preflight.identity
import pghalib.text
import pghalib.tls
import pghalib.versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pghalib.preflight.facts import Data
    from pghalib.preflight.identity import RunsAs
    from pghalib.shapes import Settings

    # Where a path leads.
    Place = Callable[[str], str]
    # A fault and a warning, None each when there is none.
    Verdict = tuple[str | None, str | None]

# Names in the top level of a data directory. An interrupted bootstrap leaves some of them without a PG_VERSION.
# fmt: off
PGDATA = frozenset(
    (
        "base", "global", "log", "pg_commit_ts", "pg_dynshmem", "pg_hba.conf", "pg_ident.conf", "pg_logical",
        "pg_multixact", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp",
        "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal", "pg_xact", "backup_label", "backup_manifest",
        "current_logfiles", "patroni.dynamic.json", "postgresql.auto.conf", "postgresql.base.conf",
        "postgresql.conf", "postmaster.opts", "postmaster.pid", "standby.signal", "recovery.signal",
        "tablespace_map",
        # When they are needed no more; Patroni's own; pgBackRest's until a restore has ended.
        "backup_label.old", "tablespace_map.old", "pg_hba.conf.backup", "pg_ident.conf.backup",
        "postgresql.base.conf.backup", "postgresql.conf.backup", "backup.manifest",
    )
)
#: The end of the name of a file that pgBackRest was writing when it was killed.
UNFINISHED = ".pgbackrest.tmp"
# fmt: on
# The most names in a message, when others gave these names.
SHOWN = 5
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104


class Known(TypedDict):
    """What a process says of itself, made printable."""

    name: str
    user: str | None
    cmdline: list[str]
    cwd: str | None


class Process(Known):
    """A process that listens at an address and port; what is not known of it is None or empty."""

    address: str
    port: int
    protocol: str
    pid: int | None
    runs_as: RunsAs | None


def data_directory(data: Data, settings: Settings) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) on PostgreSQL's data directory.

    data
        The result of ``pghalib.preflight.facts.data_directory``.
    """
    faults, warnings = _contents(data, settings)
    faults += [data["strangers"]] if data["strangers"] else []
    if data["link"]:
        # reinit removes the link, if it may, and makes the new copy in the link's place.
        warnings.append(
            f"{data['path']} is a link, which patronictl reinit cannot replace: name the directory that it leads to in"
            " postgres:data_dir, or make a link of the directory above"
        )
    if data["root"]:
        beside = data["path"].rpartition("/")[0] or "/"
        # A member on such a disk goes on: Patroni empties the directory before it fails to remove it.
        (warnings if data["settled"] else faults).append(
            f"{data['path']} is the root of a file system: proofs of backups write to the disk of {beside}, a restore"
            " cannot keep the data of now, Patroni cannot remove or rename the directory; mount the disk at a directory"
            " above, or set postgres:data_dir to a directory in it"
        )
    return faults, warnings


def _contents(data: Data, settings: Settings) -> tuple[list[str], list[str]]:
    path, wanted = data["path"], pghalib.versions.parts(settings["postgres"]["version"])[0]
    if data["version"]:
        if pghalib.versions.parts(data["version"])[0] != wanted:
            return [
                f"{path} holds data of PostgreSQL {data['version']}, the pillar says {wanted}: set postgres:version or"
                " another postgres:data_dir (this formula upgrades no data)"
            ], []
        return [], []
    names = set(data["entries"]) - {"lost+found"}
    strange = sorted(name for name in names - PGDATA if not name.endswith(UNFINISHED))
    if strange:
        some = _some(strange)
        return [f"{path} holds files that are not PostgreSQL's ({some}): move them away or set postgres:data_dir"], []
    if names:
        return [], [f"{path} has no PG_VERSION: it looks like an initdb or a copy that was interrupted"]
    return [], []


def paths(settings: Settings) -> list[str]:
    """
    Return the absolute paths in a host's settings that identify a running process, as a list. The kernel gives paths
    without links, so compare these by where they lead.
    """
    postgres = settings["postgres"]
    found = [settings["consul"]["config_dir"], settings["patroni"]["config_dir"]]
    return [path for path in [*found, postgres["data_dir"], postgres.get("package_data_dir")] if path]


def named(one: Process) -> list[str]:
    """Return the absolute paths in a listener's command line that show whether the process is ours, as a list."""
    words = _options(one["cmdline"], ("config-dir", "config-file"))
    words += [word for word in one["cmdline"] if word.endswith((".yml", ".yaml"))]
    return [word for word in words if word.startswith("/")]


def listeners(
    found: Iterable[Process], settings: Settings, ports: Mapping[str, int], places: Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) on processes that listen on the ports of our services.

    found
        The result of ``pghalib.preflight.listening.processes``. The name of a process is believed only when root or the
        service's own user runs it.
    ports
        The result of ``pghalib.preflight.verdicts.ports``.
    places
        Mapping of the paths from :py:func:`paths` and :py:func:`named` to where they lead. A missing path is no link.
    """
    places = places or {}
    own, server = [settings["address"]], settings["role"] == "dcs"
    opened = pghalib.pillar.ports.of_consul(settings["consul"], server, pghalib.tls.enabled(settings))
    wanted: dict[tuple[int, str], tuple[Collection[str], str]]
    wanted = {(one["port"], one["protocol"]): (one["bind"] or own, "consul") for one in opened}
    if settings["role"] == "repository":
        wanted = {(ports["repository"], "tcp"): (own, "pgbackrest")}
    elif not server:
        wanted[(ports["postgres"], "tcp")] = (WILDCARDS, "postgres")
        wanted[(ports["rest"], "tcp")] = (own, "patroni")
    faults: dict[str | None, list[str]] = {}
    warnings: dict[str | None, list[str]] = {}
    for one in found:
        bind, service = wanted.get((one["port"], one["protocol"]), ((), None))
        if service and (set(bind) & set(WILDCARDS) or one["address"] in (*bind, *WILDCARDS)):
            where = f"{one['address']}:{one['port']}" + ("/udp" if one["protocol"] == "udp" else "")
            verdict = {"consul": _consul, "postgres": _postgres, "patroni": _patroni, "pgbackrest": _pgbackrest}[
                service
            ]
            fault, warning = verdict(one, settings, functools.partial(_place, places))
            faults.setdefault(fault, []).append(where)
            warnings.setdefault(warning, []).append(where)
    return _with_places(faults), _with_places(warnings)


def _with_places(rows: dict[str | None, list[str]]) -> list[str]:
    """Sentences about processes, each with the places at which they listen."""
    return [f"{text} (it listens at {', '.join(where)})" for text, where in rows.items() if text]


def served(found: Iterable[Process], address: str) -> set[int]:
    """Return the TCP ports on which a process listens, at the given address or at all addresses."""
    return {one["port"] for one in found if one["protocol"] == "tcp" and one["address"] in (address, *WILDCARDS)}


def _consul(one: Process, settings: Settings, place: Place) -> Verdict:
    if one["name"] != "consul" or one["user"] not in ("root", settings["consul"]["user"]):
        return _other(one, "Consul"), None
    paths = _options(one["cmdline"], ("config-dir", "config-file"))
    home = place(settings["consul"]["config_dir"])
    strange = [path for path in paths if not _within(place(path), home)]
    if strange or not paths:
        what = _some(strange) or "no configuration directory"
        who = f"a Consul that is not ours runs with {what}, process {one['pid']}"
        return f"{who}: stop it or set consul:config_dir", None
    return None, None


def _postgres(one: Process, settings: Settings, place: Place) -> Verdict:
    if not one["name"].startswith("postgres") or one["user"] not in ("root", settings["postgres"]["user"]):
        return _other(one, "PostgreSQL"), None
    postgres = settings["postgres"]
    homes = [place(path) for path in (postgres["data_dir"], postgres.get("package_data_dir")) if path]
    if one["cwd"] and one["cwd"] not in homes:
        return (
            f"a PostgreSQL that is not ours runs on {one['cwd']}, process {one['pid']}: stop and disable it, or set"
            " postgres:port"
        ), None
    return None, None


def _patroni(one: Process, settings: Settings, place: Place) -> Verdict:
    named = any(word.rpartition("/")[2] == "patroni" for word in one["cmdline"])
    if not named or one["user"] not in ("root", settings["postgres"]["user"]):
        return _other(one, "Patroni"), None
    fault = pghalib.preflight.identity.fault(one["runs_as"], one["pid"], settings)
    if fault:
        return fault, None
    home = place(settings["patroni"]["config_dir"])
    files = [word for word in one["cmdline"] if word.endswith((".yml", ".yaml"))]
    strange = [word for word in files if not _within(place(word), home)]
    if strange:
        now = settings["patroni"]["config_dir"].rstrip("/") + "/"
        return None, f"Patroni runs with {_some(strange)}; it goes on with that until it is restarted with {now}"
    return None, None


def _pgbackrest(one: Process, _settings: Settings, _place: Place) -> Verdict:
    if one["name"] == "pgbackrest" and one["user"] == pghalib.tls.KEEPER:
        return None, None
    who = f"{one['name']}, process {one['pid']} of {one['user']}," if one["pid"] else "a process that cannot be seen"
    return f"{who} has the port of pgBackRest: stop it, this host is to keep backups there", None


def _place(places: Mapping[str, str], path: str) -> str:
    """Where a path leads; a trailing slash is ignored."""
    return places.get(path, path).rstrip("/")


def _within(path: str, home: str) -> bool:
    return path == home or path.startswith(home + "/")


def _other(one: Process, service: str) -> str:
    who = f"{one['name']}, process {one['pid']} of {one['user']}," if one["pid"] else "a process that cannot be seen"
    setting = {"Consul": "consul:config:ports", "PostgreSQL": "postgres:port", "Patroni": "patroni:restapi_port"}[
        service
    ]
    return f"{who} has the port of {service}: stop it, or set another port ({setting})"


def _options(cmdline: list[str], names: Collection[str]) -> list[str]:
    """Return the values of options; they may be written -name=value or -name value, with one dash or two."""
    values = []
    for word, following in zip(cmdline, [*cmdline[1:], ""], strict=False):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in names:
            values.append(value if equals else following)
    return values


def _some(names: list[str]) -> str:
    """The first few names of a list that others gave, made printable."""
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(pghalib.text.printable(name) for name in names[:SHOWN]) + more
