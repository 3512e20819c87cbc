"""
The shapes of what goes through the whole library, for readers and the type checker: the settings of a host with their
sections (made by ``pghalib.inventory.settings``; a test holds them to ``salt/pgha/defaults.yaml``), and its secrets (by
``pghalib.secrets.minted.of_minion``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    # Python 3.10, which the oldest supported Salt runs with, has them in no module of its own.
    from typing_extensions import NotRequired, ReadOnly

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
    """A Consul datacenter, its servers and its repository hosts, in the order of the pillar."""

    name: str
    servers: list[Host]
    repository_hosts: list[Host]


class Hosts(TypedDict):
    """The section ``hosts``: names in /etc/hosts."""

    manage: bool
    domain: str | None


class Consul(TypedDict):
    """The section ``consul``; ``startup_timeout`` in seconds, ``log_rotate_max_files`` in days."""

    version: str
    url: str
    hashes: dict[str, str]
    user: str
    group: str
    config_dir: str
    data_dir: str
    log_dir: str
    log_level: str | None
    log_rotate_max_files: int
    client_addr: str
    ui: bool
    domain: str
    raft_multiplier: int
    allow_weak_quorum: bool
    startup_timeout: int
    config: dict[str, Json]


class Repository(TypedDict):
    """The apt repository of a distribution of PostgreSQL; ``key_hash`` is a SHA-256 in hexadecimal digits."""

    name: str
    key_url: str | None
    key_hash: str | None


class Postgres(TypedDict):
    """The section ``postgres`` with the preset of its distribution merged in."""

    distribution: str
    version: int
    user: str
    group: str
    port: int
    data_dir: str
    socket_dir: str
    locale: str
    locales: list[str]
    lc_messages: str
    client_networks: list[str]
    superuser_networks: list[str]
    pg_hba: list[str]
    tune: bool
    parameters: dict[str, Json]
    host_packages: list[str]
    packages: list[str]
    services: list[str]
    for_1c: NotRequired[bool]
    createcluster: NotRequired[str | None]
    bin_dir: str
    untuned_initdb: list[str]
    package_data_dir: str | None
    repo: Repository | None


class Patroni(TypedDict):
    """The section ``patroni``. Times are in seconds, ``maximum_lag_on_failover`` is in bytes."""

    requirements: str
    index_url: str | None
    find_links: str | None
    venv: str
    python: str
    config_dir: str
    log_dir: str
    log_level: str
    namespace: str
    restapi_port: int
    rto: str
    ttl: int
    loop_wait: int
    retry_timeout: int
    maximum_lag_on_failover: int
    primary_start_timeout: int
    serf_health: bool
    synchronous_mode: str
    synchronous_mode_strict: bool
    synchronous_node_count: int
    failsafe_mode: bool
    guard: bool
    watchdog: str
    tags: dict[str, Json]
    startup_timeout: int
    config: dict[str, Json]


class Vip(TypedDict):
    """The section ``vip``; ``interval`` in milliseconds, ``startup_timeout`` in seconds."""

    manager: str
    interface: str | None
    version: str
    url: str
    hashes: dict[str, str]
    dcs_type: str | None
    interval: int
    startup_timeout: int
    config: dict[str, Json]


class Backup(TypedDict):
    """The section ``backup``; ``times``: HH:MM, ``retention``: days, ``proof_back``, ``startup_timeout``: seconds."""

    repositories: dict[str, dict[str, Json]]
    version: str
    url: str
    hashes: dict[str, str]
    packages: list[str]
    times: list[str]
    full: list[str]
    between: str
    retention: int
    proof_day: str | None
    proof_back: int
    catch_up: bool
    new_replicas: bool
    processes: int
    startup_timeout: int
    config: dict[str, Json]


class Tls(TypedDict):
    """The section ``tls``; ``authority_days`` and ``days`` in days, files are paths on the master."""

    enabled: bool | None
    clients: str
    authority_days: int
    days: int
    names: list[str]
    ca: str | None
    certificate: str | None
    key: str | None


class Preflight(TypedDict):
    """The section ``preflight``. Times are in seconds, sizes in MiB."""

    port_timeout: int
    max_clock_skew: float
    warn_clock_skew: float
    min_disk_mb: int
    min_memory_mb: int
    probe_vip: bool


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
    """PEM texts of one host: the authorities that it trusts, and key with certificate of each of its services."""

    ca: str
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
    The secrets of one host: ``tls`` where the traffic is encrypted (a repository host has no others). A Consul server
    and a database host: ``gossip_key``, ``agent``; the former ``management``, ``tokens`` by name; the latter tokens and
    passwords of its cluster, secrets of its repositories by name, and of those ``copied`` to it now.
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
    tls: Certificates
