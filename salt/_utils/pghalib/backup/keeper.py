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
    from pghalib.shapes import Json, Settings

#: The unit of the server.
UNIT = "pgha-repository"
#: Its locks; systemd makes the directory.
LOCKS = "/run/pgha-repository"


def directories(settings: Settings) -> list[tuple[str, str]]:
    """Return the directories that this host keeps, each with the name of its cluster, in the order of the pillar."""
    return [
        (kept["path"].rstrip("/"), cluster["name"])
        for cluster in settings["clusters"]
        for kept in cluster["kept_on"]
        if kept["host"] == settings["id"]
    ]


def document(settings: Settings) -> dict[str, dict[str, Json]]:
    """
    Return the configuration of the server as ``{section: {option: value}}``; ``settings`` are those of the host.

    A client is known by the name in its certificate, which is the name of the host: it may work for its own cluster.
    """
    kept = {cluster for _path, cluster in directories(settings)}
    clients = [
        f"{host['name']}={cluster['name']}"
        for cluster in settings["clusters"]
        if cluster["name"] in kept
        for host in cluster["hosts"]
    ]
    own = pghalib.tls.pem("repository")
    return {
        "global": {
            "lock-path": LOCKS,
            # To the journal of the unit.
            "log-level-console": "info",
            "log-level-file": "off",
            "tls-server-address": settings["address"],
            "tls-server-port": pghalib.backup.repositories.PORT,
            "tls-server-ca-file": pghalib.tls.CA,
            "tls-server-cert-file": own,
            "tls-server-key-file": own,
            "tls-server-auth": clients,
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
