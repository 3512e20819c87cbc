"""
A copy: the backups of one cluster restored on the hosts of another. What these are told of the source comes from the
master, since a database host need not have other clusters in its pillar. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.backup.repositories
import pghalib.inventory

if TYPE_CHECKING:
    from pghalib.shapes import Json

#: What a host has to know of the source, of its section ``backup``.
_KEYS = ("repositories", "version", "url", "hashes", "packages", "processes", "retention", "config")


def settings(pgha: dict[str, Json], defaults: dict[str, Json], source: str, cluster: str) -> dict[str, Json]:
    """
    Return what the hosts of a copy are told of its source: ``name``, and ``backup``, its section without keys of S3 and
    without what is on repository hosts of another datacenter, whose authority the hosts do not know.

    pgha, defaults
        The pillar of that name, the content of defaults.yaml.
    source, cluster
        Whose backups are copied, and to which cluster.
    """
    datacenter = pghalib.inventory.datacenter_of(pgha, source)
    near = datacenter == pghalib.inventory.datacenter_of(pgha, cluster)
    backup = pghalib.inventory.section("backup", pgha, defaults, datacenter, source)
    found = {key: backup[key] for key in _KEYS}
    found["repositories"] = {
        name: {key: value for key, value in one.items() if key not in pghalib.inventory.ACCESS}
        for name, one in backup["repositories"].items()
        if near or one["type"] != "host"
    }
    return {"name": source, "backup": found}


def keepers(pgha: dict[str, Json], defaults: dict[str, Json], source: str, cluster: str) -> list[str]:
    """Return the minion ids of the repository hosts that let the copy read; arguments as for :py:func:`settings`."""
    repositories = settings(pgha, defaults, source, cluster)["backup"]["repositories"]
    return sorted(set(pghalib.backup.repositories.hosts(repositories)))


def faults(pgha: dict[str, Json], defaults: dict[str, Json], source: str, cluster: str) -> list[str]:
    """
    Return the reasons why a cluster cannot get the data of another one, as lines.

    pgha, defaults
        As for :py:func:`settings`.
    source, cluster
        Whose backups, and which cluster is to get them.
    """
    versions = []
    for name in (source, cluster):
        datacenter = pghalib.inventory.datacenter_of(pgha, name)
        postgres = pghalib.inventory.section("postgres", pgha, defaults, datacenter, name)
        versions.append((postgres["distribution"], postgres["version"]))
    found = []
    if versions[0] != versions[1]:
        of_source, own = (f"{distribution} {version}" for distribution, version in versions)
        found.append(
            f"pgha_restore:from: {source} is {of_source}, {cluster} is {own}: only the same server reads its data files"
        )
    if not settings(pgha, defaults, source, cluster)["backup"]["repositories"]:
        found.append(
            f"pgha_restore:from: the backups of {source} are on repository hosts alone, which know no host of another"
            f" datacenter by its certificate; copy {source} to a cluster of its own datacenter"
        )
    return found
