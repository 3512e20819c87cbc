"""pgBackRest's configuration, made from settings and secrets, and the settings that do not fit. Pure functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pghalib.backup.repositories
import pghalib.inventory
import pghalib.patroni.config
import pghalib.versions
from pghalib.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pghalib.shapes import Json, MemberSettings, RepositorySecrets

    Place = Callable[..., str]

#: Where pgBackRest looks when nobody names a file: so a person needs no option on the command line.
PATH = "/etc/pgbackrest/pgbackrest.conf"
#: The configuration for the backups of another cluster, while they are copied to this host.
SOURCE = "/etc/pgbackrest/pgha-copy.conf"
#: The first line: a file without it is somebody else's.
HEAD = "# Written by Salt (pgha.backup.config); changes made here are lost.\n"
#: Files on their way to a repository, and locks; pgBackRest's own place for locks is /tmp.
SPOOL = "/var/spool/pgbackrest"
#: Seconds for a file of WAL to get into the archive before PostgreSQL is told to try it again; what sends it goes on. A
#: server that stops tries the last file six times, and Patroni's unit is given two minutes for that.
PUSH = 10
#: PostgreSQL's version: the first version of pgBackRest that knows it, where Debian 12's own does not. 2.55 and 2.56
#: knew only the betas of 18 (pgBackRest, release notes).
KNOWS = {18: "2.57"}
#: The upper half of the control version of Postgres Pro's editions, "PP" (pgbackrest issues 1231 and 2310).
POSTGRES_PRO = 0x5050
# Options that follow from other settings, and where they are set.
_OWNED = {
    "lock-path": "files of locks lie in a directory of the server's user",
    "spool-path": "files on their way lie in a directory of the server's user",
    "process-max": "set backup:processes",
    "archive-async": "it is always on",
}
_PREFIXES = {
    "repo": "set backup:repositories, or backup:retention",
    "pg": "pgBackRest asks the server of its own host",
}
# How pgBackRest reads what is true or false.
_SWITCH = {True: "y", False: "n"}
#: Parameters of PostgreSQL that decide what is archived, and how.
PARAMETERS = ("archive_mode", "archive_command", "archive_library")


def faults(
    place: Place,
    backup: Mapping[str, Json],
    postgres: Mapping[str, Json],
    patroni: Mapping[str, Json],
    tls: Mapping[str, Json],
    keepers: Mapping[str, str],
) -> list[str]:
    """
    Return the faults of the section ``backup`` of a cluster, as lines; [] while it names no repository.

    place
        A function that returns the path in the pillar of settings, each given as (section, key, …).
    backup, postgres, patroni, tls
        The merged sections.
    keepers
        The version of pgBackRest on each repository host of the datacenter, by minion id.
    """
    repositories = backup["repositories"] or {}
    if not repositories:
        return []
    found = pghalib.backup.repositories.lacking(place(("backup", "repositories")), repositories)
    found += pghalib.backup.repositories.hosted(place(("backup", "repositories")), repositories, keepers, tls)
    hosted = {one["host"] for one in repositories.values() if one.get("type") == "host" and one.get("host") in keepers}
    if hosted and not pghalib.versions.at_least(backup["version"], pghalib.backup.repositories.REMOTE):
        found.append(
            f"{place(('backup', 'version'))}: pgBackRest {backup['version']} makes no backup on a repository host; give"
            f" {pghalib.backup.repositories.REMOTE} or later"
        )
    found += [
        f"{place(('backup', 'version'))}: the repository host {host} has pgBackRest {keepers[host]}, and the cluster"
        f" {backup['version']}: they understand each other only with the same; set it for the datacenter"
        for host in sorted(hosted)
        if keepers[host] != backup["version"]
    ]
    least = KNOWS.get(postgres["version"])
    if least and not pghalib.versions.at_least(backup["version"], least):
        found.append(
            f"{place(('backup', 'version'))}: pgBackRest {backup['version']} does not know PostgreSQL"
            f" {postgres['version']}; give {least} or later"
        )
    found += pghalib.versions.unlisted(place(("backup", "hashes")), "pgBackRest", backup)
    if backup["new_replicas"] and not backup["catch_up"]:
        found.append(
            f"{place(('backup', 'new_replicas'))}: a replica that comes from a backup needs the WAL after"
            " that, which its leader may have no more; set backup:catch_up to true as well, or take this out"
        )
    for keys, parameters in _parameters(postgres, patroni):
        found += [
            f"{place((*keys, name))}: with backup:repositories pgBackRest archives; take this out"
            for name in PARAMETERS
            if parameters.get(name) is not None
        ]
    for name, value in (backup["config"] or {}).items():
        numbered = re.match(r"(repo|pg)\d", name.lower())
        remedy = _OWNED.get(name.lower()) or (_PREFIXES[numbered.group(1)] if numbered else None)
        if remedy:
            found.append(f"{place(('backup', 'config', name))}: is the formula's: {remedy}")
        elif not isinstance(value, (str, int, float)) or "\n" in str(value):
            found.append(f"{place(('backup', 'config', name))}: {shown(value)} should be text or a number")
    return found


def _parameters(
    postgres: Mapping[str, Json], patroni: Mapping[str, Json]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Json]]]:
    """The parameters of PostgreSQL that the pillar sets, with the keys of each place where it may."""
    yield ("postgres", "parameters"), postgres["parameters"] or {}
    for keys in (("postgresql", "parameters"), ("bootstrap", "dcs", "postgresql", "parameters")):
        value: Json = patroni["config"]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict):
            yield ("patroni", "config", *keys), value


def document(
    settings: MemberSettings, secrets: Mapping[str, RepositorySecrets], control_version: int
) -> dict[str, dict[str, Json]]:
    """
    Return pgBackRest's configuration of a host, as ``{section: {option: value}}``.

    settings
        The resolved settings; ``backup.config`` is merged over the general options.
    secrets
        The secrets of the repositories, by name.
    control_version
        What pg_controldata calls the version number of pg_control. pgBackRest does not know that of Postgres Pro, and
        is told which PostgreSQL it is.
    """
    backup, postgres, cluster = settings["backup"], settings["postgres"], settings["cluster"]
    general: dict[str, Json] = {}
    keepers = {host["id"]: host["name"] for host in settings["datacenter"]["repository_hosts"]}
    for number, (name, repository) in enumerate(backup["repositories"].items(), 1):
        general.update(
            pghalib.backup.repositories.options(
                number, cluster["name"], repository, secrets.get(name, {}), backup["retention"], keepers
            )
        )
    general.update(
        {
            "process-max": backup["processes"],
            "compress-type": "zst",
            "archive-async": "y",
            "spool-path": SPOOL,
            "lock-path": f"{SPOOL}/lock",
            # To the journal of the unit, or to PostgreSQL's log.
            "log-level-console": "info",
            "log-level-file": "off",
            # The next checkpoint may be minutes away.
            "start-fast": "y",
            "delta": "y",
        }
    )
    stanza: dict[str, Json] = {
        "pg1-path": postgres["data_dir"],
        "pg1-port": postgres["port"],
        "pg1-socket-path": postgres["socket_dir"],
        "pg1-user": pghalib.patroni.config.ROLES["superuser"],
    }
    if control_version >> 16 == POSTGRES_PRO:
        stanza["pg-version-force"] = postgres["version"]
    found = {"global": pghalib.inventory.merge(general, backup["config"])}
    if "archive-timeout" not in (backup["config"] or {}):
        found["global:archive-push"] = {"archive-timeout": PUSH}
    return {**found, cluster["name"]: stanza}


def of_source(
    settings: MemberSettings,
    source: Mapping[str, Json],
    secrets: Mapping[str, RepositorySecrets],
    control_version: int,
) -> dict[str, dict[str, Json]]:
    """
    Return pgBackRest's configuration for the backups of another cluster, which are copied to this host.

    settings, secrets, control_version
        As for :py:func:`document`; the secrets are those of the other cluster.
    source
        ``name`` and ``backup`` of the other cluster (``pghalib.master.copied.settings``).
    """
    backup: Json = {**settings["backup"], **source["backup"]}
    cluster: Json = {**settings["cluster"], "name": source["name"]}
    own: Json = {**settings, "backup": backup, "cluster": cluster}
    return document(own, secrets, control_version)


def render(document: Mapping[str, Mapping[str, Json]]) -> str:
    """
    Return a configuration as the text of its file; an option whose value is a list has a line for each item. True and
    False, which YAML makes of yes and no, are written y and n: pgBackRest ends with an error at any other word.
    """
    parts = [
        f"[{section}]\n"
        + "".join(
            f"{option}={_SWITCH[one] if isinstance(one, bool) else one}\n"
            for option, value in options.items()
            for one in (value if isinstance(value, list) else [value])
        )
        for section, options in document.items()
    ]
    return HEAD + "\n".join(parts)


def secret_values(secrets: Mapping[str, RepositorySecrets]) -> list[str]:
    """Return the secrets in the file, for masking."""
    return [text for one in secrets.values() for text in one.values() if isinstance(text, str)]
