"""
A repository host (role ``repository``): a server of pgBackRest in front of directories. The members of the clusters
make their backups there themselves, and encrypt them before: this host has no key, and knows the members by their
certificates. Pure functions.

pgBackRest lets a client name the directory, and does what it says with the rights of the server. So the unit of the
server lets it write in the directories of the pillar and nowhere else.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pghalib.backup.repositories
import pghalib.tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json, Settings

#: The unit of the server.
UNIT = "pgha-repository"
#: Its locks; systemd makes the directory.
LOCKS = "/run/pgha-repository"
#: The note that the server has not read its configuration since the last change.
RELOAD = "repository.reload-owed"


def directories(settings: Settings) -> list[tuple[str, str]]:
    """Return the directories that this host keeps, each with the name of its cluster, in the order of the pillar."""
    return [
        (kept["path"].rstrip("/"), cluster["name"])
        for cluster in settings["clusters"]
        for kept in cluster["kept_on"]
        if kept["host"] == settings["id"]
    ]


def document(settings: Settings, readers: Mapping[str, list[str]]) -> dict[str, dict[str, Json]]:
    """
    Return the configuration of the server as ``{section: {option: value}}``.

    A client is known by the name in its certificate, which is the name of the host: it may work for its own cluster.

    settings
        Those of the host.
    readers
        The names of hosts to which the backups of a cluster are copied now, by the name of that cluster.
    """
    kept = {cluster for _path, cluster in directories(settings)}
    allowed: dict[str, list[str]] = {}
    for cluster in settings["clusters"]:
        if cluster["name"] in kept:
            for name in [*(host["name"] for host in cluster["hosts"]), *readers.get(cluster["name"], ())]:
                allowed.setdefault(name, []).append(cluster["name"])
    own = pghalib.tls.pem("repository")
    return {
        "global": {
            "lock-path": LOCKS,
            # To the journal of the unit.
            "log-level-console": "info",
            "log-level-file": "off",
            "tls-server-port": pghalib.backup.repositories.PORT,
            "tls-server-ca-file": pghalib.tls.CA,
            "tls-server-cert-file": own,
            "tls-server-key-file": own,
            # pgBackRest takes each client once, with all of its clusters.
            "tls-server-auth": [f"{name}={','.join(clusters)}" for name, clusters in allowed.items()],
        }
    }


def unencrypted(settings: Settings) -> list[str]:
    """
    Return the fault of repository hosts where the traffic is not encrypted, for a host with this part in it: a list of
    one line, or [].
    """
    cluster = settings["cluster"]
    concerned = bool(cluster["kept_on"]) if cluster else settings["role"] == "repository"
    if not concerned or pghalib.tls.enabled(settings):
        return []
    return [
        f"a repository host is reached by TLS alone, and {settings['datacenter']['name']} is not encrypted"
        " (docs/tls.md): take a repository of another type"
    ]


def overlapping(settings: Settings) -> list[str]:
    """Return the faults of directories on this host that lie within each other, as lines."""
    return [
        f"{inner}, of {its}, lies in {outer}, of {other}: give each a directory of its own"
        for (outer, other), (inner, its) in itertools.permutations(directories(settings), 2)
        if f"{inner}/".startswith(f"{outer}/")
    ]
