"""
The contents of the files in the store of secrets: their types, and their shapes, which are checked when a file is read.

A type has the keys that the formula writes. The shape of a file must bear what other versions wrote, too: keys that are
missing, and keys that nobody knows here.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from typing_extensions import NotRequired

    from pghalib.secrets.x509 import Pair
    from pghalib.shapes import Json, RepositorySecrets, Token

    #: What a token of a cluster is for.
    Use = Literal["patroni", "vip"]
    #: See :py:func:`misshapen`.
    Shape = Callable[[Json], bool] | dict[str, Json] | tuple[Json, ...]


class Agents(TypedDict, total=False):
    """The tokens of the agents on hosts, by the name of the host."""

    agents: dict[str, Token]


class Datacenter(Agents, total=False):
    """The secrets of a datacenter."""

    gossip_key: str
    management: Token


class Cluster(Agents, total=False):
    """The secrets of a database cluster; ``vip`` only where vip-manager asks Consul, ``backup`` by repository."""

    patroni: Token
    vip: Token
    superuser: str
    replication: str
    rewind: str
    restapi: str
    backup: dict[str, RepositorySecrets]


class Authorities(TypedDict, total=False):
    """The formula's own authorities of a datacenter; ``next`` and ``last`` during a change."""

    current: Pair
    next: Pair
    last: Pair


class Own(TypedDict, total=False):
    """The certificates of a host: Consul's lies beside ``services``, those of the other services in it."""

    key: str
    certificate: str
    services: dict[str, Pair]


class Tls(TypedDict, total=False):
    """Authorities and certificates of a datacenter; ``pghalib.secrets.trust`` explains the authorities."""

    authorities: Authorities
    hosts: dict[str, Own]
    ca: str
    next_ca: str
    former: str
    revision: int


class Host(TypedDict):
    """The place of a host, as the master knows it; only a database host has ``cluster``."""

    role: Literal["dcs", "db", "repository"]
    name: str
    datacenter: str
    cluster: NotRequired[str]


class Noted(TypedDict):
    """The place of a cluster, and the names of its tokens."""

    datacenter: str
    tokens: list[Use]


class Derived(TypedDict):
    """The part of the index that follows from the pillar."""

    hosts: dict[str, Host]
    clusters: dict[str, Noted]
    tls: dict[str, bool]


class Index(Derived):
    """The index of the store."""

    settled: dict[str, bool]
    made: dict[str, str]


def misshapen(value: Json, shape: Shape, where: str = "") -> str | None:
    """
    Return the first place where ``value`` does not have a shape, as a short text with no value in it, else None.

    shape
        A mapping: ``value`` is a mapping, and a value under one of these keys has the shape given here (keys may be
        missing; other keys are not checked). ``{"*": shape}``: a mapping with any keys. A tuple ``(shape, names…)``: a
        mapping that must have these keys. A function: it must return true for ``value``.
    """
    if isinstance(shape, tuple):
        missing = [key for key in shape[1:] if not isinstance(value, dict) or key not in value]
        return f"{where or 'it'} has no {missing[0]}" if missing else misshapen(value, shape[0], where)
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


def is_text(value: object) -> bool:
    """Return whether a value is a text of printable characters, and not empty."""
    return isinstance(value, str) and bool(value) and value.isprintable()


def _is_pem(value: object) -> bool:
    return isinstance(value, str) and "-----BEGIN " in value


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_gossip_key(value: object) -> bool:
    try:
        return isinstance(value, str) and len(base64.b64decode(value, validate=True)) in (16, 24, 32)
    except (binascii.Error, ValueError):
        return False


def is_bool(value: object) -> bool:
    """Return whether a value is True or False."""
    return isinstance(value, bool)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(is_text(name) for name in value)


def _is_count(value: Json) -> bool:
    return type(value) is int and value >= 0


_TOKEN = ({"accessor": _is_uuid, "secret": _is_uuid}, "accessor", "secret")
_PAIR = ({"key": _is_pem, "certificate": _is_pem}, "key", "certificate")
_HOST = {"role": lambda role: role in ("dcs", "db", "repository"), "name": is_text, "datacenter": is_text}
DATACENTER_SHAPE = {"gossip_key": _is_gossip_key, "management": _TOKEN, "agents": {"*": _TOKEN}}
CLUSTER_SHAPE = {
    "agents": {"*": _TOKEN},
    **dict.fromkeys(("patroni", "vip"), _TOKEN),
    **dict.fromkeys(("superuser", "replication", "rewind", "restapi"), is_text),
    "backup": {"*": dict.fromkeys(("passphrase", "key", "key_secret"), is_text)},
}
_OWN = {**_PAIR[0], "services": {"*": _PAIR}}


def _is_own(value: Json) -> bool:
    """Whether this is the entry of a host: Consul's pair, or, without Consul, that of pgBackRest."""
    return misshapen(value, _OWN) is None and (
        "repository" in value.get("services", {}) or {"key", "certificate"} <= set(value)
    )


TLS_SHAPE = {
    "authorities": {"*": _PAIR},
    "hosts": {"*": _is_own},
    "ca": _is_pem,
    "next_ca": _is_pem,
    "former": _is_pem,
    "revision": _is_count,
}
INDEX_SHAPE = {
    "hosts": {"*": (_HOST, *_HOST)},
    "clusters": {"*": ({"datacenter": is_text, "tokens": _is_names}, "datacenter", "tokens")},
    "tls": {"*": is_bool},
    "settled": {"*": is_bool},
    "made": {"*": is_text},
}
