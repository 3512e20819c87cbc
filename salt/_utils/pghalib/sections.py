"""
The shapes of the sections of the settings, for readers and the type checker. A test holds them to
``salt/pgha/defaults.yaml``, which says what each setting is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    # Python 3.10, which the oldest supported Salt runs with, has it in no module of its own.
    from typing_extensions import NotRequired


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
    suspicion_mult: int
    allow_weak_quorum: bool
    startup_timeout: int
    config: dict[str, Any]


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
    parameters: dict[str, Any]
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
    tags: dict[str, Any]
    startup_timeout: int
    config: dict[str, Any]


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
    config: dict[str, Any]


class Backup(TypedDict):
    """The section ``backup``; ``times``: HH:MM, ``retention``: days, ``proof_back``, ``startup_timeout``: seconds."""

    repositories: dict[str, dict[str, Any]]
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
    config: dict[str, Any]


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
    """The section ``preflight``. Times are in seconds, sizes in MiB, ``warn_disk_percent`` in percent."""

    port_timeout: int
    max_clock_skew: float
    warn_clock_skew: float
    min_disk_mb: int
    warn_disk_percent: float
    min_memory_mb: int
    probe_vip: bool
