"""
The store of secrets on the master: what is missing is made and stored before anything uses it, nothing is made twice.

One JSON file for each datacenter and for each cluster in a directory that lies outside git and the file roots, 0700,
each file 0600 and replaced at once. A file that cannot be read is an error and never a reason to make new secrets.
"""

import base64
import fcntl
import json
import os
import secrets
import uuid
from pathlib import Path

import pgha_files
import pgha_inventory
from salt.exceptions import CommandExecutionError

DEFAULT_PATH = "/var/lib/pgha"


def directory(opts):
    """Return the path of the store: ``pgha_store`` of the master's configuration, or /var/lib/pgha."""
    return Path(opts.get("pgha_store") or DEFAULT_PATH)


def missing(path, pgha):
    """Return the names of the secrets that an inventory needs and the store ``path`` has not, sorted."""
    return sorted(name for _, _, names in _wanted(path, pgha) for name in names)


def fill(path, pgha):
    """
    Make and store what is missing for an inventory.

    path
        Directory of the store; made with 0700 when it is not there.
    pgha
        The pillar of that name.

    Returns the names of what was made, sorted. Raises CommandExecutionError when a file of the store cannot be read.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    made = []
    with open(path / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for file, stored, names in _wanted(path, pgha):
            for name, make in names.items():
                _put(stored, name.split("/")[1:], make())
            if names:
                pgha_files.write_private(str(file), json.dumps(stored, indent=2, sort_keys=True) + "\n")
            made += names
    return sorted(made)


def of_minion(path, pgha, minion_id):
    """
    Return the secrets of one host, by its minion id, or None when the inventory does not name it or nothing is stored.

    A database host gets the gossip key, its own agent token, and the secrets of its cluster. A server of Consul gets
    the gossip key, its own agent token, the management token, and the tokens that it registers.
    """
    host = pgha_inventory.place(pgha, minion_id)
    datacenter = _read(_file(path, "datacenter", host["datacenter"])) if host else None
    if not datacenter:
        return None
    own = {"gossip_key": datacenter["gossip_key"]}
    if host["role"] == "db":
        cluster = _read(_file(path, "cluster", host["cluster"]))
        own.update({key: value for key, value in cluster.items() if key != "agents"})
        own["agent"] = cluster.get("agents", {}).get(host["name"])
        return own if own["agent"] else None
    own["management"] = datacenter["management"]
    own["agent"] = datacenter["agents"].get(host["name"])
    own["tokens"] = {f"agent-{name}": token for name, token in datacenter["agents"].items()}
    for name in pgha.get("clusters") or {}:
        if pgha_inventory.datacenter_of(pgha, name) == host["datacenter"]:
            cluster = _read(_file(path, "cluster", name))
            own["tokens"].update({f"agent-{agent}": token for agent, token in cluster.get("agents", {}).items()})
            own["tokens"].update({f"{use}-{name}": cluster[use] for use in ("patroni", "vip") if use in cluster})
    return own


def _wanted(path, pgha):
    """Return (file, what it holds, {path of a missing secret: how it is made}) for each file of an inventory."""
    result = []
    names_of = pgha_inventory.hosts
    for name, entry in (pgha.get("datacenters") or {}).items():
        wanted = {"gossip_key": _key, "management": _token}
        wanted.update({f"agents/{host['name']}": _token for host in names_of(entry.get("servers"))})
        result.append(_lacking(_file(path, "datacenter", name), name, wanted))
    for name, entry in (pgha.get("clusters") or {}).items():
        wanted = {"patroni": _token, "vip": _token}
        wanted.update(dict.fromkeys(("superuser", "replication", "rewind", "restapi"), _password))
        wanted.update({f"agents/{host['name']}": _token for host in names_of(entry.get("hosts"))})
        result.append(_lacking(_file(path, "cluster", name), name, wanted))
    return result


def _lacking(file, owner, wanted):
    stored = _read(file)
    lacking = {f"{owner}/{name}": make for name, make in wanted.items() if not _get(stored, name.split("/"))}
    return file, stored, lacking


def _file(path, kind, name):
    return path / f"{kind}-{name}.json"


def _read(file):
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandExecutionError(
            f"The store of secrets {file} cannot be read ({type(error).__name__}); restore it from a backup. Nothing is"
            " made anew in its place, because the clusters use what it held"
        )


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
    """Accessor and secret of a Consul token, both chosen here: registering twice is then the same as once."""
    return {"accessor": str(uuid.uuid4()), "secret": str(uuid.uuid4())}


def _password():
    """192 random bits in letters, digits, - and _: no quoting is needed in a file, a URL or SQL."""
    return secrets.token_urlsafe(24)
