"""
The inventory: the pillar ``pgha``, resolved for one host or for the whole orchestration.

    pgha:
      datacenters: {NAME: {servers: {MINION_ID: ADDRESS, …}, repository_hosts: {MINION_ID: ADDRESS, …}}}
      clusters: {NAME: {datacenter: NAME, vip: ADDRESS/PREFIX, hosts: {MINION_ID: ADDRESS, …}}}

Pure functions of the pillar and the defaults (``salt/pgha/defaults.yaml``). The pillar counts as correct here;
``pghalib.pillar.validate`` checks it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal, TypedDict, cast

import pghalib.run
import pghalib.words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pghalib.shapes import Address, Cluster, Host, Json, Settings

#: What defaults.yaml has beside the sections of settings.
PRESETS = ("distributions", "profiles")
#: An access key and its secret, which the pillar may have in a repository of backups. The settings of a host never have
#: them: execution functions return settings, and jobs are stored.
ACCESS = ("key", "key_secret")
# Settings that have "off" or "on" among their words.
ON_OFF = (("patroni", "synchronous_mode"), ("patroni", "watchdog"), ("tls", "clients"))


class Place(TypedDict):
    """The place of a host in an inventory; datacenter and cluster by name, the latter of a database host alone."""

    role: Literal["dcs", "repository", "db"]
    id: str
    name: str
    address: str
    datacenter: str | None
    cluster: str | None


class Plan(TypedDict):
    """What the orchestration works on; hosts by their minion ids, datacenters and clusters by name."""

    hosts: list[str]
    datacenters: dict[str, list[str]]
    repositories: dict[str, list[str]]
    clusters: dict[str, list[str]]
    datacenter_of: dict[str, str]
    run: dict[str, list[Json]]
    names: dict[str, str]


def merge(*layers: Mapping[str, Json] | None) -> dict[str, Json]:
    """Return mappings merged from left to right: mappings inside them are merged too, everything else is replaced."""
    result: dict[str, Json] = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            if isinstance(value, dict) and isinstance(result.get(key), dict):
                result[key] = merge(result[key], value)
            else:
                result[key] = copy.deepcopy(value)
    return result


def everyone(pgha: dict[str, Json]) -> Iterator[Place]:
    """Yield the place of each host of an inventory, in the order of the pillar; none when it is no inventory."""
    for name, entry in _mapping(pgha.get("datacenters")).items():
        for host in hosts(_mapping(entry).get("servers")):
            yield {"role": "dcs", **host, "datacenter": name, "cluster": None}
        for host in hosts(_mapping(entry).get("repository_hosts")):
            yield {"role": "repository", **host, "datacenter": name, "cluster": None}
    for name, entry in _mapping(pgha.get("clusters")).items():
        for host in hosts(_mapping(entry).get("hosts")):
            yield {"role": "db", **host, "datacenter": datacenter_of(pgha, name), "cluster": name}


def place(pgha: dict[str, Json], minion_id: str) -> Place | None:
    """Return the place of a minion id in an inventory, or None when the id is not there."""
    return next((one for one in everyone(pgha) if one["id"] == minion_id), None)


def settings(pgha: dict[str, Json], defaults: dict[str, Json], minion_id: str) -> Settings | None:
    """
    Return the settings of one host, or None when the inventory does not name it.

    pgha
        The pillar of that name.
    defaults
        The content of defaults.yaml.
    minion_id
        The host.

    The keys: ``role``, ``id``, ``name``, ``address``, ``datacenter`` (name, servers, repository_hosts, and
    ``registrar``: the server that registers policies and tokens), ``cluster`` (as :py:func:`clusters_of` returns it,
    plus ``founder``, the host that founds it; None where the role is not ``db``),
    ``clusters`` (all of the datacenter), the sections of the defaults with everything merged and filled in, and
    ``without`` (ids of hosts that this run leaves out).
    """
    found = place(pgha, minion_id)
    if found is None:
        return None
    datacenter, without = found["datacenter"], pghalib.run.as_list(pgha.get("without"))
    clusters = clusters_of(pgha, defaults, datacenter)
    cluster = next((known for known in clusters if known["name"] == found["cluster"]), None)
    if cluster:
        cluster["founder"] = pghalib.run.present(cluster["hosts"], without)[0]
    names = [name for name in defaults if name not in PRESETS]
    sections = {name: section(name, pgha, defaults, datacenter, found["cluster"]) for name in names}
    repositories = sections["backup"]["repositories"] or {}
    sections["backup"]["repositories"] = {
        name: {key: one[key] for key in one if key not in ACCESS} for name, one in repositories.items()
    }
    for name, key in ON_OFF:
        sections[name][key] = on_off(sections[name][key])
    result = {**found, "cluster": cluster, "clusters": clusters, "without": without, **sections}
    groups = {key: hosts(pgha["datacenters"][datacenter].get(key)) for key in ("servers", "repository_hosts")}
    registrar = next(iter(pghalib.run.present(groups["servers"], without)), None)
    result["datacenter"] = {"name": datacenter, **groups, "registrar": registrar}
    # The sections have their names from the defaults.
    return cast("Settings", result)


def hosts(entries: Json) -> list[Host]:
    """Return hosts in the order of the pillar: id, name (the id up to its first dot) and address of each."""
    result: list[Host] = []
    for minion_id, entry in _mapping(entries).items():
        entry = entry if isinstance(entry, dict) else {"address": entry}
        name = entry.get("name") or str(minion_id).split(".")[0]
        result.append({"id": str(minion_id), "name": name, "address": str(entry.get("address"))})
    return result


def vip(cluster_name: str, entry: Json) -> Address | None:
    """Return ``address``, ``prefix`` and ``name`` of a virtual IP given as ``ADDRESS/PREFIX`` or as a mapping."""
    entry = entry if isinstance(entry, dict) else {"address": entry}
    if not entry.get("address"):
        return None
    address, _, prefix = str(entry["address"]).partition("/")
    return {"address": address, "prefix": int(prefix or 32), "name": entry.get("name") or f"{cluster_name}-db-cl"}


def datacenter_of(pgha: dict[str, Json], cluster_name: str) -> str | None:
    """Return the name of a cluster's datacenter: the one that it names, else the only one that exists, else None."""
    named: str | None = _mapping(pgha["clusters"][cluster_name]).get("datacenter")
    if named:
        return named
    names = list(_mapping(pgha.get("datacenters")))
    return names[0] if len(names) == 1 else None


def clusters_of(pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str | None) -> list[Cluster]:
    """
    Return the database clusters that keep their state in a datacenter: name, hosts, vip, namespace, vip_settings (which
    decide how the virtual IP is moved) and kept_on (where its repositories on repository hosts are) of each.
    """
    result: list[Cluster] = []
    for name, cluster in _mapping(pgha.get("clusters")).items():
        if datacenter_of(pgha, name) == datacenter:
            patroni, moved, backup = (
                section(one, pgha, defaults, datacenter, name) for one in ("patroni", "vip", "backup")
            )
            hosted = [one for one in (backup["repositories"] or {}).values() if one.get("type") == "host"]
            result.append(
                {
                    "name": name,
                    "hosts": hosts(cluster.get("hosts")),
                    "vip": vip(name, cluster.get("vip")),
                    "namespace": "/" + str(patroni["namespace"]).strip("/") + "/",
                    "vip_settings": {
                        "manager": moved["manager"],
                        "version": moved["version"],
                        "dcs_type": moved["dcs_type"],
                    },
                    "kept_on": [{"host": one.get("host"), "path": one.get("path")} for one in hosted],
                }
            )
    return result


def section(
    name: str, pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str | None, cluster: str | None
) -> dict[str, Json]:
    """
    Return one section of settings, from the least to the most specific: defaults, the presets of the distribution
    (``postgres`` only) and of ``patroni:rto``, pillar, datacenter, cluster. ``{version}`` and ``{cluster}`` are filled
    in, paths are written in one way, and a list that is null is empty. ``true`` or ``false`` in place of a section is
    its setting ``enabled``.
    """
    layers = _layers(name, pgha, datacenter, cluster)
    preset: dict[str, Json] = {}
    if name == "postgres":
        presets = merge(defaults["distributions"], pgha.get("distributions"))
        preset = presets.get(merge(defaults[name], *layers)["distribution"]) or {}
    rto = merge(defaults["patroni"], *_layers("patroni", pgha, datacenter, cluster))["rto"]
    preset = merge(preset, _mapping(defaults["profiles"].get(rto)).get(name))
    merged = merge(defaults[name], preset, *layers)
    lists = [key for key, value in {**defaults[name], **preset}.items() if isinstance(value, list)]
    merged.update({key: [] for key in lists if merged[key] is None})
    words = {"version": str(merged.get("version", "")), "cluster": str(cluster or "")}
    return pghalib.words.normal(name, _fill(merged, words))


def _layers(name: str, pgha: dict[str, Json], datacenter: str | None, cluster: str | None) -> list[dict[str, Json]]:
    """What the pillar has of a section, from the least to the most specific place."""
    of_datacenter = _mapping(_mapping(pgha.get("datacenters")).get(datacenter))
    of_cluster = _mapping(_mapping(pgha.get("clusters")).get(cluster))
    given = (pgha.get(name), of_datacenter.get(name), _cluster_section(name, of_cluster))
    return [layer_of(layer) for layer in given]


def layer_of(given: Json) -> dict[str, Json]:
    """Return the pillar's value of a section as a mapping of its settings."""
    return {"enabled": given} if isinstance(given, bool) else _mapping(given)


def _cluster_section(name: str, cluster: dict[str, Json]) -> Json:
    entry = cluster.get(name)
    if name in ("hosts", "tls"):
        # A cluster's `hosts` is its inventory. Both sections belong to the datacenter or to everything: a cluster must
        # speak to its Consul in the way that Consul speaks.
        return {}
    if name == "vip":
        return {key: value for key, value in _mapping(entry).items() if key not in ("address", "name")}
    return entry


def plan(pgha: dict[str, Json], narrowed: bool = True) -> Plan:
    """
    Return what the orchestration works on, as minion ids: ``hosts`` (all), ``datacenters`` and ``clusters`` (by name),
    ``repositories`` (repository hosts by datacenter), ``datacenter_of`` (by cluster), ``names`` (of hosts, by id),
    ``run`` (the settings of this run, as lists). ``pgha:only`` limits it to the clusters that it names and their
    datacenters, ``pgha:without`` leaves hosts out. A datacenter that has no cluster yet is there without ``only``.

    narrowed
        False ignores both, for work on a whole datacenter.
    """
    run = {key: pghalib.run.as_list(pgha.get(key)) if narrowed else [] for key in pghalib.run.KEYS}
    only = run["only"] or list(_mapping(pgha.get("clusters")))
    # In a correct pillar every cluster has a datacenter.
    datacenter_by_cluster = {name: datacenter_of(pgha, name) or "" for name in only}
    clusters = {name: _of_run(pgha["clusters"][name]["hosts"], run) for name in only}
    names = dict.fromkeys(datacenter_by_cluster.values() if run["only"] else _mapping(pgha.get("datacenters")))
    datacenters, repositories = (
        {name: _of_run(pgha["datacenters"][name].get(key), run) for name in names}
        for key in ("servers", "repository_hosts")
    )
    everyone = [host for part in (datacenters, repositories, clusters) for group in part.values() for host in group]

    def ids(groups: dict[str, list[Host]]) -> dict[str, list[str]]:
        return {name: [host["id"] for host in group] for name, group in groups.items()}

    return {
        "hosts": [host["id"] for host in everyone],
        "datacenters": ids(datacenters),
        "repositories": ids(repositories),
        "clusters": ids(clusters),
        "datacenter_of": datacenter_by_cluster,
        "run": run,
        "names": {host["id"]: host["name"] for host in everyone},
    }


def _of_run(entries: Json, run: dict[str, list[Json]]) -> list[Host]:
    return pghalib.run.present(hosts(entries), run["without"])


def hosts_of(plan: Plan, datacenter: str) -> list[str]:
    """Return the minion ids of a datacenter in a plan: its servers, its repository hosts, the hosts of its clusters."""
    clusters = [plan["clusters"][name] for name, its in plan["datacenter_of"].items() if its == datacenter]
    groups = [plan["datacenters"].get(datacenter, []), plan["repositories"].get(datacenter, []), *clusters]
    return [host for group in groups for host in group]


def on_off(value: Json) -> Json:
    """Return ``off`` or ``on`` for a boolean, as YAML reads a bare off and on as booleans; other values as they are."""
    return {False: "off", True: "on"}[value] if isinstance(value, bool) else value


def _fill(value: Json, words: dict[str, str]) -> Json:
    """Fill ``{version}`` and ``{cluster}`` in every string; other braces are left alone (Go templates of Consul)."""
    if isinstance(value, dict):
        kept = ("config", "parameters", "key_secret")
        return {key: item if key in kept else _fill(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, words) for item in value]
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace("{" + word + "}", text)
    return value


def _mapping(value: Json) -> dict[Json, Json]:
    """The value, or {} when it is no mapping: a pillar may hold anything, and validate reports the fault."""
    return value if isinstance(value, dict) else {}
