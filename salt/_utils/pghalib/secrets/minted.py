"""
The secrets of an inventory, on the master. Missing secrets are made and stored before anything uses them, no secret is
made twice, and each minion id gets only its own.

The index of the store tells the role of a minion. The master wrote it when it made the secrets: from its own pillar,
never from a pillar that a minion can influence.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.run
import pghalib.secrets.anew
import pghalib.secrets.contents
import pghalib.secrets.credentials
import pghalib.secrets.encryption
import pghalib.secrets.needed
import pghalib.secrets.pki
import pghalib.secrets.restores
import pghalib.secrets.store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pghalib.secrets.contents import Agents, Cluster, Datacenter, Derived, Host, Index, Noted
    from pghalib.secrets.needed import Makers
    from pghalib.shapes import Json, Secrets, Token

_SHAPES: dict[str, Json] = {
    "datacenter": pghalib.secrets.contents.DATACENTER_SHAPE,
    "cluster": pghalib.secrets.contents.CLUSTER_SHAPE,
}


def missing(path: Path, pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    """
    Return the sorted names of everything that :py:func:`mint` would make or note; nothing is written.

    path, pgha, defaults
        As for :py:func:`mint`. Raises the same errors.
    """
    index = pghalib.secrets.store.index(path)
    wanted = _index(path, pgha, defaults, index)
    names = [name for _, _, names in _lacking(path, pgha, defaults) for name in names]
    names += pghalib.secrets.pki.missing(path, pgha, defaults, wanted["tls"])
    _never_again(path, names, index, pgha)
    brought = pghalib.secrets.credentials.taken(path, pgha, defaults, test=True)
    return sorted([*names, *_noted(index, wanted), *brought])


def mint(path: Path, pgha: dict[str, Json], defaults: dict[str, Json], force: bool = False) -> list[str]:
    """
    Make and store the missing secrets of an inventory, take over the keys of repositories that the pillar has, and note
    the role of each host.

    path
        Directory of the store; made with 0700 when it does not exist.
    pgha
        The pillar of that name, as the master's own id has it. ``new_secrets`` in it lists the secrets that may be made
        although the store had them once: names of datacenters, of clusters, or of single secrets as they are shown.
    defaults
        The content of defaults.yaml.
    force
        True makes every certificate anew (never an authority).

    Returns the sorted names of all that was made, and ``index`` when the index has changed. Raises
    CommandExecutionError when the store cannot be read or written, when it lacks a secret that it once had, or when the
    name of a new datacenter cannot be in its certificates; then nothing is made.
    """
    pghalib.secrets.store.prepare(path)
    with pghalib.secrets.store.locked(path):
        index = pghalib.secrets.store.index(path)
        wanted = _index(path, pgha, defaults, index)
        lacking = _lacking(path, pgha, defaults)
        made = [name for _, _, names in lacking for name in names]
        certificates = pghalib.secrets.pki.missing(path, pgha, defaults, wanted["tls"], force)
        _never_again(path, [*made, *certificates], index, pgha)
        noted = _noted(index, wanted)
        # The roles and the encryption first: when the run is interrupted after this, the next run decides the same.
        if noted:
            index["hosts"], index["clusters"], index["tls"] = wanted["hosts"], wanted["clusters"], wanted["tls"]
            pghalib.secrets.store.write_index(path, index)
        for file, stored, names in lacking:
            for name, make in names.items():
                _put(stored, name.split("/")[1:], make())
            if names:
                pghalib.secrets.store.write(file, stored)
        made += pghalib.secrets.pki.fill(path, pgha, defaults, wanted["tls"], force)
        # The list of made secrets last: so it never names a secret that is not on the disk.
        present = _present(path, pgha, defaults) - set(index["made"])
        if present:
            now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            index["made"].update(dict.fromkeys(present, now))
            pghalib.secrets.store.write_index(path, index)
    return sorted([*made, *noted, *pghalib.secrets.credentials.taken(path, pgha, defaults)])


def settle(path: Path, datacenters: Iterable[str], test: bool = False) -> list[str]:
    """
    Note that the hosts of datacenters have not refused their encryption as the store has it. They stay so, even when a
    later setting, which the hosts refuse, says otherwise for a time.

    path
        Directory of the store.
    datacenters
        Their names.
    test
        True changes nothing.

    Returns the names of the datacenters that were not noted so before. Raises CommandExecutionError when the store
    cannot be read or written.
    """
    with contextlib.nullcontext() if test else pghalib.secrets.store.locked(path):
        index = pghalib.secrets.store.index(path)
        tls, settled = index["tls"], index["settled"]
        news = {name: tls[name] for name in datacenters if name in tls and settled.get(name) is not tls[name]}
        if news and not test:
            settled.update(news)
            pghalib.secrets.store.write_index(path, index)
    return sorted(news)


def of_minion(path: Path, minion_id: str) -> Secrets | None:
    """
    Return the secrets of one host by its minion id; None when the index does not name it, or when a secret is missing.

    path
        Directory of the store.
    minion_id
        The id that the master has authenticated.

    A database host gets the gossip key, its own agent token, and the secrets of its cluster. A server of Consul gets
    the gossip key, its own agent token, the management token, and the tokens that it registers. A repository host gets
    none of these: what it keeps is encrypted before it comes there. All get ``tls``, their own key and certificate,
    where the traffic is encrypted. A host to which the backups of another cluster are copied gets the secrets of that
    one's repositories, while the master's note says so; the repository hosts get its name as one of the ``readers``.
    Raises CommandExecutionError when the store cannot be read.
    """
    index = pghalib.secrets.store.index(path)
    host = index["hosts"].get(minion_id)
    datacenter: Datacenter | None = _read(path, "datacenter", host["datacenter"]) if host else None
    if not host or not datacenter:
        return None
    # None stands for a secret that is missing.
    own: Json = {} if host["role"] == "repository" else {"gossip_key": datacenter.get("gossip_key")}
    if host["role"] == "db":
        own.update(_of_member(path, host, index["clusters"].get(host.get("cluster", ""))))
    elif host["role"] == "dcs":
        own["management"] = datacenter.get("management")
        own["agent"] = datacenter.get("agents", {}).get(host["name"])
        own["tokens"] = _registered(path, host["datacenter"], datacenter, index)
    if not all(own.values()):
        return None
    if index["tls"].get(host["datacenter"]):
        certificates = pghalib.secrets.pki.of_host(path, host["datacenter"], host["name"], host["role"])
        if certificates:
            own["tls"] = certificates
    source = pghalib.secrets.restores.copied_to(path, minion_id, index["clusters"])
    if source:
        own["copied"] = _read(path, "cluster", source).get("backup", {})
    if host["role"] == "repository" and (readers := _readers(path, host["datacenter"], index)):
        own["readers"] = readers
    complete: Secrets = own
    return complete


def _of_member(path: Path, host: Host, cluster: Noted | None) -> dict[str, Json]:
    stored: Cluster = _read(path, "cluster", host["cluster"]) if cluster else {}
    keys = (*cluster["tokens"], *pghalib.secrets.needed.PASSWORDS) if cluster else ()
    found: dict[str, Json] = {key: stored.get(key) for key in keys}
    own = {**found, "agent": stored.get("agents", {}).get(host["name"])}
    return {**own, "backup": stored["backup"]} if stored.get("backup") else own


def _readers(path: Path, datacenter: str, index: Index) -> dict[str, list[str]]:
    """The names of the hosts that may read backups of another cluster now, by that cluster: those of a datacenter."""
    found = {}
    for cluster, ids in pghalib.secrets.restores.readers(path, index["clusters"]).items():
        known = [index["hosts"][one] for one in ids if one in index["hosts"]]
        names = [host["name"] for host in known if host["datacenter"] == datacenter]
        if names:
            found[cluster] = names
    return found


def _registered(path: Path, name: str, datacenter: Datacenter, index: Index) -> dict[str, Token]:
    """The tokens that the servers of a datacenter register: only those of the inventory, not all of the store."""
    found: dict[str, Token | None] = {}
    clusters: dict[str, Cluster] = {}
    for host in index["hosts"].values():
        if host["datacenter"] == name and host["role"] != "repository":
            holder: Agents = datacenter
            cluster = host.get("cluster")
            if cluster is not None:
                if cluster not in clusters:
                    clusters[cluster] = _read(path, "cluster", cluster)
                holder = clusters[cluster]
            found[f"agent-{host['name']}"] = holder.get("agents", {}).get(host["name"])
    for cluster, about in index["clusters"].items():
        if about["datacenter"] == name and cluster in clusters:
            found.update({f"{use}-{cluster}": clusters[cluster].get(use) for use in about["tokens"]})
    return {name: token for name, token in found.items() if token}


def _index(path: Path, pgha: dict[str, Json], defaults: dict[str, Json], index: Index) -> Derived:
    """The part of the index that follows from this pillar: hosts, clusters, and which datacenters are encrypted."""
    hosts: dict[str, Host] = {}
    clusters: dict[str, Noted] = {}
    tls = pghalib.secrets.encryption.of(path, pgha, defaults, index)
    # In a correct pillar every cluster has a datacenter.
    for host in pghalib.inventory.everyone(pgha):
        known: Host = {"role": host["role"], "name": host["name"], "datacenter": host["datacenter"] or ""}
        if host["cluster"] is not None:
            known["cluster"] = host["cluster"]
        hosts[host["id"]] = known
    for name in pgha.get("clusters") or {}:
        datacenter = pghalib.inventory.datacenter_of(pgha, name) or ""
        clusters[name] = {
            "datacenter": datacenter,
            "tokens": pghalib.secrets.needed.tokens(pgha, defaults, datacenter, name),
        }
    return {"hosts": hosts, "clusters": clusters, "tls": tls}


def _noted(index: Index, wanted: Derived) -> list[str]:
    return ["index"] if {**index, **wanted} != index else []


def _lacking(
    path: Path, pgha: dict[str, Json], defaults: dict[str, Json]
) -> list[tuple[Path, dict[str, Json], Makers]]:
    """Return (file, its content, {name of a missing secret: function that makes it}) for each file of an inventory."""
    result = []
    for kind, name, wanted in pghalib.secrets.needed.of(pgha, defaults):
        stored = _read(path, kind, name)
        lacking = {f"{name}/{key}": make for key, make in wanted.items() if not _get(stored, key.split("/"))}
        result.append((pghalib.secrets.store.file(path, kind, name), stored, lacking))
    return result


def _present(path: Path, pgha: dict[str, Json], defaults: dict[str, Json]) -> set[str]:
    """Names of all secrets that the inventory needs and the store has."""
    found = set()
    for kind, name, wanted in pghalib.secrets.needed.of(pgha, defaults):
        stored = _read(path, kind, name)
        found |= {f"{name}/{key}" for key in wanted if _get(stored, key.split("/"))}
    return found | pghalib.secrets.pki.present(path, pgha)


def _never_again(path: Path, names: Iterable[str], index: Index, pgha: dict[str, Json]) -> None:
    """Fail when a secret would be made that the store had once, unless the pillar asks for it by name."""
    allowed = [str(one) for one in pghalib.run.as_list(pgha.get("new_secrets"))]
    lost = [
        name
        for name in sorted(names)
        if name in index["made"] and not any(pghalib.secrets.anew.covers(one, [name]) for one in allowed)
    ]
    if lost:
        lines = [f"  - {name}, made {index['made'][name]}" for name in lost]
        raise CommandExecutionError(
            f"The store of secrets {path} lacks what it once had. Nothing was made or touched: the living clusters use"
            " these, and new ones would lock them out.\n"
            + "\n".join(lines)
            + f"\nRemedy: {pghalib.secrets.store.RESTORE}. Only if no copy exists anywhere, name what is to be made"
            " anew in pgha:new_secrets"
        )


def _read(path: Path, kind: str, name: str) -> Json:
    return pghalib.secrets.store.read(pghalib.secrets.store.file(path, kind, name), _SHAPES[kind])


def _get(stored: Json, keys: list[str]) -> Json:
    for key in keys:
        stored = stored.get(key) if isinstance(stored, dict) else None
    return stored


def _put(stored: Json, keys: list[str], value: Token | str) -> None:
    for key in keys[:-1]:
        stored = stored.setdefault(key, {})
    stored[keys[-1]] = value
