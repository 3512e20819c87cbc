"""
Settings for one run, on its command line: ``salt-run state.orchestrate pgha pillar='{"pgha": {"only": "test"}}'``.

The orchestration hands them to the hosts under a key of their own: with some values of
``pillar_source_merging_strategy`` a key in a job's pillar replaces the same key in the minion's. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pghalib.text import guess, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pghalib.shapes import Host, Json

# Names of clusters; minion ids that are left out; names of secrets that may be made although the store had them; minion
# ids of members that get new data although they had data; names of lost clusters that are founded with their backups.
KEYS = ("only", "without", "new_secrets", "new_data", "from_backup")
PILLAR = "pgha_run"
# What the orchestration hands over besides: the datacenter of each cluster that it works on.
WORKED_ON = "worked_on"


def of_pillar(pillar: Mapping[str, Json]) -> dict[str, Json]:
    """Return the inventory out of a whole pillar: the key ``pgha``, overridden by the settings of this run."""
    pgha, run = pillar.get("pgha"), pillar.get(PILLAR)
    pgha, run = (one if isinstance(one, dict) else {} for one in (pgha, run))
    return {**pgha, **{key: run[key] for key in KEYS if key in run}}


def worked_on(pillar: Mapping[str, Json]) -> dict[str, str]:
    """Return the clusters that an orchestration works on, out of a whole pillar: ``{cluster: datacenter}``."""
    run = pillar.get(PILLAR)
    found: dict[str, str] = run.get(WORKED_ON, {}) if isinstance(run, dict) else {}
    return found


def of_part(pgha: dict[str, Json]) -> dict[str, Json]:
    """
    Return an inventory without the names of this run that it does not know. A host may know its own part of the
    inventory alone, and the master has looked whether there is such a cluster or host.
    """
    entries = {key: pgha[key] if isinstance(pgha.get(key), dict) else {} for key in ("datacenters", "clusters")}
    hosts = {
        str(host)
        for group in entries.values()
        for entry in group.values()
        for key in ("servers", "repository_hosts", "hosts")
        for host in (entry.get(key) or () if isinstance(entry, dict) else ())
    }
    owners = {*entries["datacenters"], *entries["clusters"]}
    of = {"only": entries["clusters"], "from_backup": entries["clusters"], "without": hosts, "new_data": hosts}
    known = {key: [name for name in as_list(pgha[key]) if name in names] for key, names in of.items() if key in pgha}
    if "new_secrets" in pgha:
        names = as_list(pgha["new_secrets"])
        known["new_secrets"] = [name for name in names if str(name).split("/")[0] in owners]
    return {**pgha, **known}


def as_list(value: Json) -> list[Json]:
    """Return a value of one of :py:data:`KEYS` as a list: a single one may stand alone, and None is no value."""
    return value if isinstance(value, list) else [] if value is None else [value]


def listed(pillar: Mapping[str, Json], key: str) -> list[Json]:
    """Return the value of one of :py:data:`KEYS` in a whole pillar, as a list."""
    return as_list(of_pillar(pillar).get(key))


def present(entries: Iterable[Host], without: list[Json]) -> list[Host]:
    """
    Return the hosts (mappings with ``id``) of a list that a run does not leave out. The first one has the lead: it
    founds the cluster, or registers the tokens.
    """
    return [one for one in entries if one["id"] not in without]


def faults(
    pgha: Mapping[str, Json],
    datacenters: Mapping[str, list[str]],
    clusters: Mapping[str, list[str]],
    keepers: Iterable[str] = (),
) -> list[str]:
    """
    Return the faults of the settings for a run.

    pgha
        The inventory.
    datacenters, clusters
        Mappings of a name to the minion ids of its hosts.
    keepers
        The minion ids of all repository hosts.
    """
    found = []
    for key in ("only", "from_backup"):
        for name in as_list(pgha.get(key)):
            if name not in clusters:
                found.append(f"pgha:{key}: there is no cluster {shown(name)}{guess(name, clusters)}")
    for name in as_list(pgha.get("new_secrets")):
        owner = str(name).split("/")[0]
        if owner not in datacenters and owner not in clusters:
            known = [*datacenters, *clusters]
            found.append(f"pgha:new_secrets: there is no cluster or datacenter {shown(owner)}{guess(owner, known)}")
    members = [host for hosts in clusters.values() for host in hosts]
    for name in as_list(pgha.get("new_data")):
        if name not in members:
            found.append(f"pgha:new_data: there is no database host {shown(name)}{guess(name, members)}")
    return found + _without(as_list(pgha.get("without")), datacenters, clusters, keepers)


def _without(
    without: list[Json],
    datacenters: Mapping[str, list[str]],
    clusters: Mapping[str, list[str]],
    keepers: Iterable[str],
) -> list[str]:
    known = [host for hosts in (*datacenters.values(), *clusters.values(), keepers) for host in hosts]
    found = [
        f"pgha:without: there is no minion {shown(name)}{guess(name, known)}" for name in without if name not in known
    ]
    for name, hosts in datacenters.items():
        left = [host for host in hosts if host not in without]
        if hosts and len(left) <= len(hosts) // 2:
            found.append(
                f"pgha:without: leaves {len(left)} of the {len(hosts)} servers of {name}, which have no quorum then;"
                f" leave out {len(hosts) - len(hosts) // 2 - 1} at the most"
            )
    for name, hosts in clusters.items():
        if hosts and not [host for host in hosts if host not in without]:
            found.append(
                f"pgha:without: leaves no host of the cluster {name}; to work on the others alone, name them in only"
            )
    return found


def strangers(given: Json, stored: Json, path: str = "pgha") -> list[str]:
    """
    Return the paths of other settings on the command line than :py:data:`KEYS`: no host would see them.

    given
        The inventory with the command line in it.
    stored
        The inventory without.
    """
    if isinstance(given, dict) and isinstance(stored, dict):
        rows = [(f"{path}:{key}", key, value) for key, value in given.items() if path != "pgha" or key not in KEYS]
        return [one for where, key, value in rows for one in strangers(value, stored.get(key), where)]
    return [] if given == stored else [path]
