"""
The shapes of what goes through the whole library: the settings of a host, its secrets.

For readers and the type checker. ``pghalib.inventory.settings`` makes the settings, and
``pghalib.secrets.minted.of_minion`` the secrets. What is in the sections of the settings says ``pghalib.sections``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    # Python 3.10, which the oldest supported Salt runs with, has them in no module of its own.
    from typing_extensions import NotRequired, ReadOnly

    from pghalib.sections import Backup, Consul, Hosts, Patroni, Postgres, Preflight, Tls, Vip

#: A value as JSON or YAML gives it. Values of others (answers, pillars) have this type until their shape is checked.
Json = Any


class Host(TypedDict):
    """One host of the inventory: its minion id, its short name, its address in the cluster's network."""

    id: str
    name: str
    address: str


class Address(TypedDict):
    """A virtual IP: the address, the length of its network's prefix, and its name in /etc/hosts."""

    address: str
    prefix: int
    name: str


class Moved(TypedDict):
    """The settings that decide how a virtual IP is moved."""

    manager: str
    version: str
    dcs_type: str | None


class Scope(TypedDict):
    """Where Patroni keeps the state of a cluster: below the name of the cluster, in a namespace."""

    name: str
    namespace: str


class Cluster(Scope):
    """
    One database cluster. ``namespace`` begins and ends with a slash; ``kept_on``: minion ids of repository hosts
    (``host``) and directories there (``path``); only the host's own cluster has ``founder``.
    """

    hosts: list[Host]
    vip: Address | None
    vip_settings: Moved
    kept_on: list[dict[str, str]]
    founder: NotRequired[Host]


class Datacenter(TypedDict):
    """
    A Consul datacenter, its servers and its repository hosts, in the order of the pillar. ``registrar`` is the server
    that registers policies and tokens for all: the first one that this run does not leave out.
    """

    name: str
    servers: list[Host]
    repository_hosts: list[Host]
    registrar: Host | None


class Settings(TypedDict):
    """
    The settings of one host. ``role`` is ``dcs`` (a Consul server), ``repository`` (a host that keeps backups), both
    without ``cluster``, or ``db``; ``without`` has the ids of the hosts that this run leaves out.
    """

    role: str
    id: str
    name: str
    address: str
    datacenter: Datacenter
    cluster: ReadOnly[Cluster | None]
    clusters: list[Cluster]
    without: list[str]
    hosts: Hosts
    consul: Consul
    postgres: Postgres
    patroni: Patroni
    vip: Vip
    backup: Backup
    tls: Tls
    preflight: Preflight


class MemberSettings(Settings):
    """The settings of a database host, which is a member of a cluster."""

    cluster: ReadOnly[Cluster]


class Token(TypedDict):
    """A token of Consul: the accessor id names it, the secret id is what a client shows."""

    accessor: str
    secret: str


class Certificates(TypedDict, total=False):
    """
    PEM texts of one host: the authorities that it trusts, and key with certificate of each of its services.
    ``revision``: how often the authorities of its datacenter have changed.
    """

    ca: str
    revision: int
    consul: str
    postgres: str
    repository: str


class RepositorySecrets(TypedDict, total=False):
    """The secrets of a repository of backups: the passphrase of its encryption, and who may write to it (S3)."""

    passphrase: str
    key: str
    key_secret: str


class Secrets(TypedDict, total=False):
    """
    The secrets of one host: ``tls`` where the traffic is encrypted (a repository host has no others; ``readers`` are
    the names of hosts that may read backups of another cluster now, by that cluster). A Consul server and a database
    host: ``gossip_key``, ``agent``; the former ``management``, ``tokens`` by name; the latter tokens and passwords of
    its cluster, secrets of its repositories by name, and of those ``copied`` to it now.
    """

    gossip_key: str
    agent: Token
    management: Token
    tokens: dict[str, Token]
    patroni: Token
    vip: Token
    superuser: str
    replication: str
    rewind: str
    restapi: str
    backup: dict[str, RepositorySecrets]
    copied: dict[str, RepositorySecrets]
    readers: dict[str, list[str]]
    tls: Certificates
