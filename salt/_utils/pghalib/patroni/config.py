"""
Patroni's configuration, made from settings, secrets and tuned parameters. Nothing is run or read here.

The differences from the by-hand procedure, with reasons: docs/procedure.md, 28 to 41.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, TypedDict

import yaml

import pghalib.consul.client
import pghalib.inventory
import pghalib.patroni.dynamic
import pghalib.postgres.archive
import pghalib.tls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from pghalib.shapes import Json, MemberSettings, Secrets, Settings

    Role = Literal["superuser", "replication", "rewind"]

#: What moves the virtual IP when Patroni calls it, where vip-manager does not (salt/pgha/vip/files).
CALLBACK = "/usr/local/sbin/pgha-vip-callback"

ROLES: dict[Role, str] = {"superuser": "postgres", "replication": "replicator", "rewind": "rewind"}

#: What Patroni calls otherwise than the settings.
_SYNCHRONOUS = {"off": False, "on": True}

DYNAMIC = (
    "ttl",
    "loop_wait",
    "retry_timeout",
    "maximum_lag_on_failover",
    "primary_start_timeout",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "failsafe_mode",
)


class Api(TypedDict):
    """How a member's REST API is asked."""

    url: str
    verify: str | bool
    cert: str | None
    user: str | None


def pg_hba(settings: MemberSettings) -> list[str]:
    """
    Return the lines of pg_hba.conf: the user's lines first, then the local superuser, replication and rewind from the
    members of the cluster only, all other roles from the clients' networks; all but the local superuser with
    scram-sha-256.

    The superuser may connect through the network only from networks that are set for him; not through loopback either.
    The formula and Patroni do not need loopback, the user postgres has the socket, and anybody on the host could try
    passwords.

    settings
        The resolved settings. The virtual IP counts as a member's address for the rewind role: it is the source address
        when its holder connects to it, as the check of the virtual IP does.
    """
    postgres, cluster = settings["postgres"], settings["cluster"]
    members = [host["address"] for host in cluster["hosts"]]
    lines = list(postgres.get("pg_hba") or [])
    lines.append(f"local all {ROLES['superuser']} peer")
    lines.append("local all all scram-sha-256")
    lines.append(f"local replication {ROLES['replication']} scram-sha-256")
    # With TLS members need hostssl. 'reject' lines stay 'host': they refuse both kinds.
    host = "hostssl" if pghalib.tls.enabled(settings) else "host"
    client = pghalib.tls.clients(settings)
    lines += [f"{host} replication {ROLES['replication']} {member}/32 scram-sha-256" for member in members]
    if cluster["vip"]:
        members.append(cluster["vip"]["address"])
    lines += [f"{host} postgres {ROLES['rewind']} {member}/32 scram-sha-256" for member in members]
    superuser = ROLES["superuser"]
    lines += [f"{host} all {superuser} {network} scram-sha-256" for network in postgres["superuser_networks"]]
    lines += [f"host all {role} all reject" for role in (ROLES["replication"], ROLES["rewind"], superuser)]
    lines.append("host all all 127.0.0.1/32 scram-sha-256")
    lines += [f"{client} all all {network} scram-sha-256" for network in postgres["client_networks"]]
    return lines


def dynamic(settings: MemberSettings, shared: Mapping[str, Json], live: Json = None) -> dict[str, Json]:
    """
    Return the dynamic configuration (``bootstrap.dcs``), which is the same on all members and lives in the DCS, with a
    note of its names. A new cluster starts with it; a living cluster gets it by ``PATCH /config``.

    settings
        The resolved settings; ``patroni.config.bootstrap.dcs`` is merged over the result.
    shared
        The PostgreSQL parameters of all members. A null removes a parameter from a living cluster.
    live
        The configuration of a living cluster: what others archive there stays.
    """
    patroni: Mapping[str, Json] = settings["patroni"]
    result = {key: patroni[key] for key in DYNAMIC}
    result["synchronous_mode"] = _SYNCHRONOUS.get(patroni["synchronous_mode"], patroni["synchronous_mode"])
    result["postgresql"] = {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": dict(shared),
        "pg_hba": pg_hba(settings),
    }
    config = patroni.get("config") or {}
    given = (config.get("bootstrap") or {}).get("dcs") or {}
    result = _plain(pghalib.inventory.merge(result, given))
    declared = [settings["postgres"], given.get("postgresql"), config.get("postgresql")]
    result["postgresql"]["parameters"] = pghalib.postgres.archive.beside_others(
        result["postgresql"]["parameters"],
        {name for one in declared for name in (one or {}).get("parameters") or ()},
        *pghalib.patroni.dynamic.parameters(live),
        backup=pghalib.postgres.archive.by_pgbackrest(settings["cluster"]["name"]),
        wanted=bool(settings["backup"]["repositories"]),
    )
    return pghalib.patroni.dynamic.with_note(result)


def document(
    settings: MemberSettings, secrets: Secrets, shared: Mapping[str, Json], host: Mapping[str, Json]
) -> dict[str, Json]:
    """
    Return the whole patroni.yml of a host as a mapping.

    settings
        The resolved settings; ``patroni.config`` is merged over the result.
    secrets
        This host's secrets.
    shared, host
        PostgreSQL parameters of all members, and those of this host only.
    """
    postgres, patroni, cluster = settings["postgres"], settings["patroni"], settings["cluster"]
    address = settings["address"]
    passwords = {key: secrets[key] for key in ROLES}
    result: dict[str, Json] = {
        "scope": cluster["name"],
        "namespace": patroni["namespace"],
        "name": settings["name"],
        "watchdog": {"mode": patroni["watchdog"]},
        "log": {
            "level": patroni["log_level"],
            "format": "%(asctime)s %(levelname)s: %(message)s",
            "max_queue_size": 1000,
            "dir": patroni["log_dir"],
            "mode": 0o640,
            "file_num": 4,
            "file_size": 25000000,
            "loggers": {"postgres.postmaster": "INFO"},
        },
        "restapi": {
            "listen": f"{address}:{patroni['restapi_port']}",
            "connect_address": f"{address}:{patroni['restapi_port']}",
            "authentication": {"username": "patroni", "password": secrets["restapi"]},
        },
        "consul": {
            "host": pghalib.consul.client.api(settings)["address"].partition("://")[2],
            # A server of Consul that leads again right after its restart answers with the state of its last snapshot,
            # until it has read its log. By that state of a minute ago a replica took itself for the leader.
            "consistency": "consistent",
            "register_service": True,
            **({"checks": ["serfHealth"]} if patroni["serf_health"] else {}),
            "token": secrets["patroni"]["secret"],
        },
        "bootstrap": {
            "dcs": _without_null(dynamic(settings, shared)),
            "initdb": [
                {"encoding": "UTF8"},
                "data-checksums",
                {"locale": postgres["locale"]},
                *([] if postgres["tune"] else postgres.get("untuned_initdb") or []),
            ],
        },
        "postgresql": {
            # All addresses, because the virtual IP comes and goes.
            "listen": f"0.0.0.0:{postgres['port']}",
            "connect_address": f"{address}:{postgres['port']}",
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "data_dir": postgres["data_dir"],
            "bin_dir": postgres["bin_dir"],
            # Patroni needs a directory where it may make files: it writes this file whenever it follows another leader.
            "pgpass": "/run/patroni/pgpass",
            "authentication": {key: {"username": name, "password": passwords[key]} for key, name in ROLES.items()},
            # A new replica does not wait for the next spread checkpoint, which may take five minutes.
            "basebackup": [{"checkpoint": "fast"}],
            "parameters": {"unix_socket_directories": postgres["socket_dir"], **host},
        },
        "tags": {
            "nofailover": False,
            "noloadbalance": False,
            "clonefrom": False,
            "nosync": False,
            **(patroni["tags"] or {}),
        },
    }
    if settings["vip"]["manager"] == "callback":
        actions = ("on_start", "on_stop", "on_restart", "on_role_change")
        result["postgresql"]["callbacks"] = dict.fromkeys(actions, CALLBACK)
        # on_stop runs only after PostgreSQL has stopped, and PostgreSQL may wait long for unreachable replicas.
        result["postgresql"]["before_stop"] = f"{CALLBACK} before_stop"
    if settings["backup"]["repositories"] and settings["backup"]["catch_up"]:
        command = pghalib.postgres.archive.from_pgbackrest(cluster["name"])
        result["postgresql"]["recovery_conf"] = {"restore_command": command}
        if settings["backup"]["new_replicas"]:
            result["postgresql"]["create_replica_methods"] = ["pgbackrest", "basebackup"]
            # Equal files are kept. Patroni empties the directory before it copies the leader.
            result["postgresql"]["pgbackrest"] = {"command": pghalib.postgres.archive.REPLICA, "keep_data": True}
    if pghalib.tls.enabled(settings):
        revision = secrets.get("tls", {}).get("revision", 0)
        result = pghalib.inventory.merge(result, pghalib.tls.patroni(settings, ROLES, revision))
    given = copy.deepcopy(patroni.get("config") or {})
    # Already merged in `dynamic`, where a null removes a key.
    (given.get("bootstrap") or {}).pop("dcs", None)
    return _plain(pghalib.inventory.merge(result, given))


def render(config: Mapping[str, Json]) -> str:
    """Return a configuration as YAML, in the order of its keys."""
    head = "# Written by Salt (pgha.patroni.config); changes made here are lost.\n"
    text: str = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True, width=200)
    return head + text


def secret_values(secrets: Secrets) -> list[str]:
    """
    Return the secrets that the files of a database host hold, for masking: as they are, and as YAML and a password file
    write them.
    """
    values = [*(secrets[key] for key in ROLES), secrets["restapi"], secrets["patroni"]["secret"]]
    quoted = [yaml.safe_dump([value], default_flow_style=False).strip()[2:].strip("'\"") for value in values]
    return [*values, *quoted, *map(_escape, values)]


def api(settings: Settings, address: str | None = None) -> Api:
    """
    Return how to ask a member's REST API, for ``pghalib.http.request``: ``url``; ``verify``; ``cert``, which requests
    that change something need (None without TLS); and ``user``, who must listen there on this host.

    The user who listens on another host cannot be seen from here, so ``user`` is None for another member. Without TLS
    that host is believed to be the member; with TLS its certificate is verified.

    address
        Default: this host's own. When the user gives Patroni a certificate of his own, his ``cafile`` verifies it.
    """
    own = (settings["patroni"]["config"] or {}).get("restapi") or {}
    tls = pghalib.tls.enabled(settings)
    scheme = "https" if tls or own.get("certfile") else "http"
    host = address or settings["address"]
    user = settings["postgres"]["user"] if host == settings["address"] else None
    return {
        "url": f"{scheme}://{host}:{settings['patroni']['restapi_port']}",
        "verify": own.get("cafile") or pghalib.tls.verify(settings),
        "cert": pghalib.tls.pem("postgres") if tls else None,
        "user": user,
    }


def pgpass(settings: Settings, secrets: Secrets) -> str:
    """Return the password file with which the formula checks that a server at some address accepts a write."""
    return f"*:{settings['postgres']['port']}:*:{ROLES['rewind']}:{_escape(secrets['rewind'])}\n"


def _escape(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")


def _without_null(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return value


def _plain(value: Mapping[str, Json]) -> dict[str, Json]:
    """The value with plain types of YAML and JSON: those of the pillar may be subclasses."""
    plain: dict[str, Json] = json.loads(json.dumps(value))
    return plain
