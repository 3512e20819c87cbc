"""
A copy: the backups of one cluster restored on the hosts of another. What these are told of the source comes from the
master, since a database host need not have other clusters in its pillar. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.inventory

if TYPE_CHECKING:
    from pghalib.shapes import Json

#: What a host has to know of the source, of its section ``backup``.
_KEYS = ("repositories", "version", "url", "hashes", "packages", "processes", "retention", "config")


def settings(pgha: dict[str, Json], defaults: dict[str, Json], source: str) -> dict[str, Json]:
    """
    Return what the hosts of a copy are told of its source: ``name``, and ``backup``, its section without keys of S3 and
    without what is on repository hosts, which let only the source's own hosts read.

    pgha, defaults, source
        The pillar of that name, the content of defaults.yaml, the name of the cluster.
    """
    datacenter = pghalib.inventory.datacenter_of(pgha, source)
    backup = pghalib.inventory.section("backup", pgha, defaults, datacenter, source)
    found = {key: backup[key] for key in _KEYS}
    found["repositories"] = {
        name: {key: value for key, value in one.items() if key not in pghalib.inventory.ACCESS}
        for name, one in backup["repositories"].items()
        if one["type"] != "host"
    }
    return {"name": source, "backup": found}


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
    if not settings(pgha, defaults, source)["backup"]["repositories"]:
        found.append(
            f"pgha_restore:from: the backups of {source} are on repository hosts alone, which let only its own hosts"
            " read them; such a cluster cannot be copied yet"
        )
    return found
