"""
The secrets of an inventory, on the master. Missing secrets are made and stored before anything uses them, no secret is
made twice, and each minion id gets only its own.

The index of the store tells the role of a minion. The master wrote it when it made the secrets: from its own pillar,
never from a pillar that a minion can influence.
"""

import base64
import contextlib
import os
import secrets
import time
import uuid

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.secrets.pki
import pghalib.secrets.store
import pghalib.vip_manager

_SHAPES = {"datacenter": pghalib.secrets.store.DATACENTER_SHAPE, "cluster": pghalib.secrets.store.CLUSTER_SHAPE}
_PASSWORDS = ("superuser", "replication", "rewind", "restapi")


def missing(path, pgha, defaults):
    """
    Return the sorted names of everything that :py:func:`mint` would make or note; nothing is written.

    path, pgha, defaults
        As for :py:func:`mint`. Raises the same errors.
    """
    index = pghalib.secrets.store.index(path)
    wanted = _index(path, pgha, defaults, index)
    names = [name for _, _, names in _lacking(path, pgha, defaults, index) for name in names]
    names += pghalib.secrets.pki.missing(path, pgha, defaults, wanted["tls"])
    _never_again(path, names, index, pgha)
    return sorted([*names, *_noted(index, wanted)])


def mint(path, pgha, defaults, force=False):
    """
    Make and store the missing secrets of an inventory, and note the role of each host.

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
    CommandExecutionError when the store cannot be read or written, or when it lacks a secret that it once had; then
    nothing is made.
    """
    pghalib.secrets.store.prepare(path)
    with pghalib.secrets.store.locked(path):
        index = pghalib.secrets.store.index(path)
        wanted = _index(path, pgha, defaults, index)
        lacking = _lacking(path, pgha, defaults, index)
        made = [name for _, _, names in lacking for name in names]
        certificates = pghalib.secrets.pki.missing(path, pgha, defaults, wanted["tls"], force)
        _never_again(path, [*made, *certificates], index, pgha)
        noted = _noted(index, wanted)
        # The roles and the encryption first: when the run is interrupted after this, the next run decides the same.
        if noted:
            index.update(wanted)
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
    return sorted([*made, *noted])


def settle(path, datacenters, test=False):
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


def of_minion(path, minion_id):
    """
    Return the secrets of one host by its minion id; None when the index does not name it, or when a secret is missing.

    path
        Directory of the store.
    minion_id
        The id that the master has authenticated.

    A database host gets the gossip key, its own agent token, and the secrets of its cluster. A server of Consul gets
    the gossip key, its own agent token, the management token, and the tokens that it registers. Both get ``tls``, their
    own key and certificate, where the traffic is encrypted. Raises CommandExecutionError when the store cannot be read.
    """
    index = pghalib.secrets.store.index(path)
    host = index["hosts"].get(minion_id)
    datacenter = _read(path, "datacenter", host["datacenter"]) if host else None
    if not datacenter:
        return None
    own = {"gossip_key": datacenter.get("gossip_key")}
    if host["role"] == "db":
        own.update(_of_member(path, host, index["clusters"].get(host.get("cluster"))))
    else:
        own["management"] = datacenter.get("management")
        own["agent"] = datacenter.get("agents", {}).get(host["name"])
        own["tokens"] = _registered(path, host["datacenter"], datacenter, index)
    if not all(own.values()):
        return None
    if index["tls"].get(host["datacenter"]):
        own["tls"] = pghalib.secrets.pki.of_host(path, host["datacenter"], host["name"], host["role"])
    return own


def _of_member(path, host, cluster):
    stored = _read(path, "cluster", host["cluster"]) if cluster else {}
    found = {key: stored.get(key) for key in (*cluster["tokens"], *_PASSWORDS)} if cluster else {}
    return {**found, "agent": stored.get("agents", {}).get(host["name"])}


def _registered(path, name, datacenter, index):
    """The tokens that the servers of a datacenter register: only those of the inventory, not all of the store."""
    found = {}
    files = {None: datacenter}
    for host in index["hosts"].values():
        if host["datacenter"] == name:
            cluster = host.get("cluster")
            files.setdefault(cluster, None)
            if files[cluster] is None:
                files[cluster] = _read(path, "cluster", cluster)
            found[f"agent-{host['name']}"] = files[cluster].get("agents", {}).get(host["name"])
    for cluster, about in index["clusters"].items():
        if about["datacenter"] == name and files.get(cluster):
            found.update({f"{use}-{cluster}": files[cluster].get(use) for use in about["tokens"]})
    return {name: token for name, token in found.items() if token}


def _index(path, pgha, defaults, index):
    """The part of the index that follows from this pillar: hosts, clusters, and which datacenters are encrypted."""
    hosts, clusters, tls = {}, {}, {}
    for name, entry in (pgha.get("datacenters") or {}).items():
        for host in pghalib.inventory.hosts(entry.get("servers")):
            hosts[host["id"]] = {"role": "dcs", "name": host["name"], "datacenter": name}
        tls[name] = _encrypted(path, name, pghalib.inventory.section("tls", pgha, defaults, name, None), index)
    for name, entry in (pgha.get("clusters") or {}).items():
        datacenter = pghalib.inventory.datacenter_of(pgha, name)
        clusters[name] = {"datacenter": datacenter, "tokens": _tokens(pgha, defaults, datacenter, name)}
        for host in pghalib.inventory.hosts(entry.get("hosts")):
            hosts[host["id"]] = {"role": "db", "name": host["name"], "datacenter": datacenter, "cluster": name}
    return {"hosts": hosts, "clusters": clusters, "tls": tls}


def _encrypted(path, datacenter, tls, index):
    """The pillar's setting; without one, a datacenter stays as it was built, and a new one is encrypted."""
    if tls["enabled"] is not None:
        return tls["enabled"]
    return pghalib.secrets.store.encrypted(index).get(
        datacenter, not pghalib.secrets.store.file(path, "datacenter", datacenter).exists()
    )


def _tokens(pgha, defaults, datacenter, cluster):
    """The tokens of a cluster: vip-manager needs a token only when it asks Consul."""
    vip = pghalib.inventory.section("vip", pgha, defaults, datacenter, cluster)
    return ["patroni", "vip"] if pghalib.vip_manager.asks_consul(vip) else ["patroni"]


def _noted(index, wanted):
    return ["index"] if any(index[key] != value for key, value in wanted.items()) else []


def _lacking(path, pgha, defaults, index):
    """Return (file, its content, {name of a missing secret: function that makes it}) for each file of an inventory."""
    result = []
    for kind, name, wanted in _wanted(pgha, defaults):
        stored = _read(path, kind, name)
        lacking = {f"{name}/{key}": make for key, make in wanted.items() if not _get(stored, key.split("/"))}
        result.append((pghalib.secrets.store.file(path, kind, name), stored, lacking))
    return result


def _wanted(pgha, defaults):
    """Yield (kind of file, its name, {path of a secret in it: function that makes it})."""
    names_of = pghalib.inventory.hosts
    for name, entry in (pgha.get("datacenters") or {}).items():
        agents = {f"agents/{host['name']}": _token for host in names_of(entry.get("servers"))}
        yield "datacenter", name, {"gossip_key": _key, "management": _token, **agents}
    for name, entry in (pgha.get("clusters") or {}).items():
        agents = {f"agents/{host['name']}": _token for host in names_of(entry.get("hosts"))}
        tokens = _tokens(pgha, defaults, pghalib.inventory.datacenter_of(pgha, name), name)
        yield "cluster", name, {**dict.fromkeys(tokens, _token), **dict.fromkeys(_PASSWORDS, _password), **agents}


def _present(path, pgha, defaults):
    """Names of all secrets that the inventory needs and the store has."""
    found = set()
    for kind, name, wanted in _wanted(pgha, defaults):
        stored = _read(path, kind, name)
        found |= {f"{name}/{key}" for key in wanted if _get(stored, key.split("/"))}
    return found | pghalib.secrets.pki.present(path, pgha)


def _never_again(path, names, index, pgha):
    """Fail when a secret would be made that the store had once, unless the pillar asks for it by name."""
    allowed = pgha.get("new_secrets") or []
    allowed = [str(one) for one in (allowed if isinstance(allowed, list) else [allowed])]
    lost = [
        name
        for name in sorted(names)
        if name in index["made"] and not any(name == one or name.startswith(f"{one}/") for one in allowed)
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


def _read(path, kind, name):
    return pghalib.secrets.store.read(pghalib.secrets.store.file(path, kind, name), _SHAPES[kind])


def _get(stored, keys):
    for key in keys:
        stored = stored.get(key) if isinstance(stored, dict) else None
    return stored


def _put(stored, keys, value):
    for key in keys[:-1]:
        stored = stored.setdefault(key, {})
    stored[keys[-1]] = value


def _key():
    """Gossip key: 32 random bytes in base64 (Consul 1.5 and newer take AES-256)."""
    return base64.b64encode(os.urandom(32)).decode()


def _token():
    """Accessor and secret of a Consul token, both chosen here: so registering it twice is the same as once."""
    return {"accessor": str(uuid.uuid4()), "secret": str(uuid.uuid4())}


def _password():
    """192 random bits in letters, digits, - and _: no quoting is needed in a file, a URL or SQL."""
    return secrets.token_urlsafe(24)
