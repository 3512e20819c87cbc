"""
The store of secrets on the master: files that are checked when they are read and replaced by a rename, and the index,
which knows the secrets that the store once had and the role of each host.

One JSON file for each datacenter and for each cluster, 0600, in a directory with 0700 outside git and the file roots.
``index.json`` beside them holds no secret:

    {"hosts": {MINION_ID: {"role", "name", "datacenter", "cluster"}},
     "clusters": {NAME: {"datacenter", "tokens"}},
     "tls": {DATACENTER: whether its traffic is to be encrypted},
     "settled": {DATACENTER: the same, once no host refused it},
     "made": {NAME OF A SECRET: when it was made, or first seen}}

It is an error when a file cannot be read, has another shape, or lacks a secret that the index names. It is never a
reason to make new secrets: the living clusters use the old ones.
"""

import base64
import binascii
import errno
import json
import os
import pwd
import stat
import uuid
from pathlib import Path

from salt.exceptions import CommandExecutionError

import pghalib.host.files
import pghalib.host.lock

DEFAULT_PATH = "/var/lib/pgha"
INDEX = "index"
#: Seconds: a change of the store makes some keys and is short.
LOCKED = 60
RESTORE = "restore the store from its backup (docs/runbooks.md, The store of secrets)"


def directory(opts):
    """Return the path of the store: ``pgha_store`` of the master's configuration, or /var/lib/pgha."""
    return Path(opts.get("pgha_store") or DEFAULT_PATH)


def prepare(path):
    """
    Make the directory of the store, and give it the mode 0700.

    path
        The directory.

    Raises CommandExecutionError with the remedy (a command) when the master's user may not do that.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) != 0o700:
            path.chmod(0o700)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CommandExecutionError(unwritable(path, error)) from None


def locked(path):
    """Return a context in which no other process changes the store ``path``; waits up to LOCKED seconds for it."""
    return pghalib.host.lock.held(path / ".lock", LOCKED)


def file(path, kind, name):
    """Return the file of the store for a kind (``datacenter``, ``cluster``, ``tls``) and its name."""
    return path / f"{kind}-{name}.json"


def read(where, shape):
    """
    Return the content of a file of the store, ``{}`` when the file does not exist.

    where
        Path of the file.
    shape
        The shape that the content must have, see :py:func:`misshapen`.

    Raises CommandExecutionError that names the file, the fault, and the remedy.
    """
    try:
        content = pghalib.host.files.read_foreign(where)
        if content is None:
            return {}
        found = json.loads(content)
    except (CommandExecutionError, ValueError) as error:
        reason = error if isinstance(error, CommandExecutionError) else "it is no JSON"
        allowed = os.access(where.parent, os.X_OK) and (not where.exists() or os.access(where, os.R_OK))
        remedy = RESTORE if allowed else f"give it to the user whom the master runs as: {_install(where.parent)}"
        raise CommandExecutionError(
            f"The store of secrets {where} cannot be read ({reason}): {remedy}. Nothing is made anew in its place,"
            " because the clusters use what it held"
        ) from None
    wrong = misshapen(found, shape)
    if wrong:
        raise CommandExecutionError(
            f"The store of secrets {where} is damaged ({wrong}): {RESTORE}. Nothing is made anew in its place,"
            " because the clusters use what it held"
        )
    return found


def write(where, content):
    """
    Replace a file of the store by a rename, and sync it to the disk.

    where, content
        Path of the file, and its new content, a mapping.

    Raises CommandExecutionError when that fails; then the old file stays.
    """
    try:
        pghalib.host.files.write_private(str(where), json.dumps(content, indent=2, sort_keys=True) + "\n")
    except CommandExecutionError as error:
        raise CommandExecutionError(f"The store of secrets cannot be written: {error}. Nothing was touched") from None


def index(path):
    """Return the index of the store ``path`` with all its keys; their values are empty when there is no index yet."""
    return {**{key: {} for key in INDEX_SHAPE}, **read(path / f"{INDEX}.json", INDEX_SHAPE)}


def encrypted(content):
    """
    Return {DATACENTER: whether it was built encrypted} of an index: ``settled`` (no host refused it) wins over ``tls``
    (wanted).
    """
    return {**content["tls"], **content["settled"]}


def write_index(path, content):
    """Store the index."""
    write(path / f"{INDEX}.json", content)


def misshapen(value, shape, where=""):
    """
    Return the first place where ``value`` does not have a shape, as a short text with no value in it, else None.

    shape
        A mapping: ``value`` is a mapping, and a value under one of these keys has the shape given here (keys may be
        missing; other keys are not checked). ``{"*": shape}``: a mapping with any keys. A tuple ``(shape, names…)``: a
        mapping that must have these keys. A function: it must return true for ``value``.
    """
    if isinstance(shape, tuple):
        missing = [key for key in shape[1:] if not isinstance(value, dict) or key not in value]
        if missing:
            return f"{where or 'it'} has no {missing[0]}"
        shape = shape[0]
    if callable(shape):
        return None if shape(value) else f"{where or 'it'} is not what it must be"
    if not isinstance(value, dict):
        return f"{where or 'it'} is no mapping"
    for key, item in value.items():
        known = shape.get("*", shape.get(key))
        wrong = known is not None and misshapen(item, known, f"{where}/{key}".lstrip("/"))
        if wrong:
            return wrong
    return None


def unwritable(path, error):
    """Return the message, with the remedy, for a store that cannot be written because of an error of the system."""
    return (
        f"The store of secrets {path} cannot be written ({error.strerror or error}). Nothing was touched."
        f" Remedy, when the rights are missing: {_install(path)}"
    )


def _install(path):
    """The command that gives the store to the user whom the master runs as."""
    user = _user()
    return f"install -d -m 0700 -o {user} -g {user} {path} && chown -R {user}:{user} {path}"


def _user():
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _is_text(value):
    return isinstance(value, str) and bool(value) and value.isprintable()


def _is_pem(value):
    return isinstance(value, str) and "-----BEGIN " in value


def _is_uuid(value):
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_gossip_key(value):
    try:
        return isinstance(value, str) and len(base64.b64decode(value, validate=True)) in (16, 24, 32)
    except (binascii.Error, ValueError):
        return False


def _is_bool(value):
    return isinstance(value, bool)


def _is_names(value):
    return isinstance(value, list) and all(_is_text(name) for name in value)


_TOKEN = ({"accessor": _is_uuid, "secret": _is_uuid}, "accessor", "secret")
_PAIR = ({"key": _is_pem, "certificate": _is_pem}, "key", "certificate")
_HOST = {"role": lambda role: role in ("dcs", "db"), "name": _is_text, "datacenter": _is_text}
DATACENTER_SHAPE = {"gossip_key": _is_gossip_key, "management": _TOKEN, "agents": {"*": _TOKEN}}
CLUSTER_SHAPE = {
    "agents": {"*": _TOKEN},
    **dict.fromkeys(("patroni", "vip"), _TOKEN),
    **dict.fromkeys(("superuser", "replication", "rewind", "restapi"), _is_text),
}
_OWN = ({**_PAIR[0], "services": {"*": _PAIR}}, "key", "certificate")
TLS_SHAPE = {
    "authorities": {"*": _PAIR},
    "hosts": {"*": _OWN},
    "ca": _is_pem,
    "next_ca": _is_pem,
    "former": _is_pem,
}
INDEX_SHAPE = {
    "hosts": {"*": (_HOST, *_HOST)},
    "clusters": {"*": ({"datacenter": _is_text, "tokens": _is_names}, "datacenter", "tokens")},
    "tls": {"*": _is_bool},
    "settled": {"*": _is_bool},
    "made": {"*": _is_text},
}
