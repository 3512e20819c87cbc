"""
The configuration of Consul, and its policies and tokens, made from the settings of a host: pure functions.

The differences between Consul 1.8 and 1.22 are handled here. Consul does not start with a key that it does not know.

The differences from the by-hand procedure, with reasons: docs/procedure.md, 5 to 16, 20 and 21.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypedDict

import pghalib.consul.ports
import pghalib.inventory
import pghalib.tls
import pghalib.versions
import pghalib.vip_manager

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pghalib.sections import Consul
    from pghalib.shapes import Json, Secrets, Settings

#: From this version on an agent's token has a node identity, and node identities have no capitals.
NODE_IDENTITIES = "1.8.1"
# Keys that `consul reload` applies, or that even a restart would not apply; every other key needs a restart. From
# "Reloadable configuration" in the documentation, the part that is the same from 1.8 to 1.22.
RELOADED = (
    ("acl", "tokens"),
    # Read only once, when a datacenter is new; from then on the API sets it (pgha_consul_registrar).
    ("autopilot",),
    ("checks",),
    ("config_entries",),
    ("discard_check_output",),
    # Read only at the first start: from then on the key is in the keyring, which changes without a restart.
    ("encrypt",),
    ("limits", "http_max_conns_per_client"),
    ("limits", "rpc_max_burst"),
    ("limits", "rpc_rate"),
    ("log_level",),
    ("node_meta",),
    ("services",),
    ("watches",),
)


class Policy(TypedDict):
    """A policy of Consul; ``rules`` are HCL."""

    description: str
    rules: str


class Links(TypedDict):
    """What gives a token its rights: names of policies, and node identities in the form of Consul's API."""

    description: str
    policies: list[str]
    node_identities: list[dict[str, str]]


def config(settings: Settings, secrets: Secrets) -> dict[str, Json]:
    """
    Return the configuration of this host's agent.

    settings, secrets
        The results of ``pgha.settings`` and ``pghalib.secrets.served.own``. ``consul:config`` is merged over the
        result.

    The configuration of a database host holds its agent token, so the agent starts with it. A server gets its token by
    the API once there are ACLs, and keeps it in its data directory.
    """
    consul = settings["consul"]
    servers = settings["datacenter"]["servers"]
    server = settings["role"] == "dcs"
    result: dict[str, Json] = {
        "acl": {"enabled": True, "default_policy": "deny", "down_policy": "extend-cache"},
        "advertise_addr": settings["address"],
        "bind_addr": settings["address"],
        "client_addr": consul["client_addr"],
        "data_dir": consul["data_dir"],
        "datacenter": settings["datacenter"]["name"],
        "disable_update_check": True,
        "dns_config": {"enable_truncate": True, "only_passing": True},
        "domain": consul["domain"],
        "enable_local_script_checks": True,
        "enable_syslog": False,
        "encrypt": secrets["gossip_key"],
        "gossip_lan": {"suspicion_mult": consul["suspicion_mult"]},
        "leave_on_terminate": False,
        "log_file": consul["log_dir"].rstrip("/") + "/",
        "log_level": consul["log_level"] or ("INFO" if server else "WARN"),
        "log_rotate_duration": "24h",
        "log_rotate_max_files": consul["log_rotate_max_files"],
        "node_name": settings["name"],
        "rejoin_after_leave": True,
        "retry_join": [one["address"] for one in servers],
        "server": server,
        "skip_leave_on_interrupt": True,
    }
    if server:
        result["acl"]["enable_token_persistence"] = True
        result["autopilot"] = {"min_quorum": len(servers)}
        result["bootstrap_expect"] = len(servers)
        result["performance"] = {"raft_multiplier": consul["raft_multiplier"]}
        result["ports"] = _closed(consul)
        result["primary_datacenter"] = settings["datacenter"]["name"]
        result.update(_ui(consul))
    else:
        result["acl"]["tokens"] = {"agent": secrets["agent"]["secret"]}
    if pghalib.tls.enabled(settings):
        result = pghalib.inventory.merge(result, _tls(consul))
    return pghalib.inventory.merge(result, consul.get("config"))


def render(mapping: dict[str, Json]) -> str:
    """Return a configuration as the text of its file: the same mapping gives the same text."""
    return json.dumps(mapping, indent=2, sort_keys=True) + "\n"


def preset(settings: Settings, secrets: Secrets) -> dict[str, Json] | None:
    """
    Return the configuration that presets the management token, None for a host that is no server.

    The server that becomes leader installs the token, and so bootstraps the ACLs. Otherwise anybody could do that
    first, because the bootstrap call needs no token. The preset is a separate file, which is removed as soon as the
    token works: the installed token stays, and the running process needs no restart. ``pgha_consul_acl.preset_wanted``
    decides whether the file is wanted.
    """
    if settings["role"] != "dcs":
        return None
    key = "initial_management" if pghalib.versions.at_least(settings["consul"]["version"], "1.11") else "master"
    return {"acl": {"tokens": {key: secrets["management"]["secret"]}}}


def restart_keys(old: dict[str, Json] | None, new: dict[str, Json]) -> list[str]:
    """
    Return the sorted dotted names of the keys that differ between two configurations and need a restart.

    old
        A configuration, or None (there was none, so nothing is pending).
    """
    return sorted(".".join(path) for path in _differing(old or new, new, ()) if not _reloaded(path))


def policies(settings: Settings) -> dict[str, Policy]:
    """
    Return the policies of a datacenter: ``{name: {"description", "rules"}}``, each with only the rights that it needs.

    For each database cluster ``patroni-CLUSTER`` (its keys, sessions on its nodes, its service), and ``vip-CLUSTER``
    (reads the leader key) where vip-manager asks Consul; ``agent-NODE`` for each node when Consul has no node
    identities yet (before 1.8.1).
    """
    result: dict[str, Policy] = {}
    for cluster in settings["clusters"]:
        name = cluster["name"]
        prefix = key_prefix(cluster)
        nodes = [host["name"] for host in cluster["hosts"]]
        result[f"patroni-{name}"] = {
            "description": f"Patroni of the database cluster {name}",
            "rules": _rules(
                [("key_prefix", prefix, "write"), ("service", service_name(name), "write")]
                + [("session", node, "write") for node in nodes]
                + [("agent", node, "read") for node in nodes]
            ),
        }
        if pghalib.vip_manager.asks_consul(cluster["vip_settings"]):
            result[f"vip-{name}"] = {
                "description": f"Reads who leads the database cluster {name}",
                "rules": _rules([("key", f"{prefix}leader", "read")]),
            }
    if not _node_identities(settings):
        for node in _nodes(settings):
            result[f"agent-{node}"] = {
                "description": f"Consul agent on {node}",
                "rules": _rules([("node", node, "write"), ("service_prefix", "", "read")]),
            }
    return result


def tokens(settings: Settings) -> dict[str, Links]:
    """
    Return the links of each token of a datacenter: ``{name: {"description", "policies", "node_identities"}}``.

    The names are those of the secrets: ``agent-NODE``, ``patroni-CLUSTER``, and, where vip-manager asks Consul,
    ``vip-CLUSTER``. The list is complete: exactly these tokens are registered and waited for.
    """
    result: dict[str, Links] = {}
    for node in _nodes(settings):
        identity = [{"NodeName": node, "Datacenter": settings["datacenter"]["name"]}]
        by_identity = _node_identities(settings)
        result[f"agent-{node}"] = {
            "description": f"Consul agent on {node}",
            "policies": [] if by_identity else [f"agent-{node}"],
            "node_identities": identity if by_identity else [],
        }
    for cluster in settings["clusters"]:
        uses = {"patroni": "Patroni"}
        if pghalib.vip_manager.asks_consul(cluster["vip_settings"]):
            uses["vip"] = "Virtual IP"
        for use, text in uses.items():
            name = f"{use}-{cluster['name']}"
            result[name] = {
                "description": f"{text} of the database cluster {cluster['name']}",
                "policies": [name],
                "node_identities": [],
            }
    return result


def key_prefix(cluster: Mapping[str, Json]) -> str:
    """Return the key prefix of a cluster's state, ``NAMESPACE/SCOPE/``: keys of Consul have no leading slash."""
    return "/".join(filter(None, (cluster["namespace"].strip("/"), cluster["name"]))) + "/"


def service_name(scope: str) -> str:
    """
    Return the name under which Patroni registers a scope, after ``service_name_from_scope_name`` of its Consul client:
    lower case, ``.``, ``_`` and blanks become ``-``, other characters ``uNNNN``, 63 characters at most.
    """
    return re.sub(r"[^a-z0-9-]", _plain, scope.lower())[:63]


def _plain(match: re.Match[str]) -> str:
    return "-" if match.group() in "._ " else f"u{ord(match.group()):04d}"


def _ui(consul: Consul) -> dict[str, Json]:
    if pghalib.versions.at_least(consul["version"], "1.9"):
        return {"ui_config": {"enabled": bool(consul["ui"])}}
    return {"ui": bool(consul["ui"])}


def _closed(consul: Consul) -> dict[str, int]:
    """Unused ports that a server opens by default, to close them: for other datacenters and for proxies of a mesh."""
    return {"serf_wan": -1, **({"grpc_tls": -1} if pghalib.versions.at_least(consul["version"], "1.14") else {})}


def _tls(consul: Consul) -> dict[str, Json]:
    """
    The API speaks only HTTPS; its clients show a token and need no certificate. Between agents both sides show a
    certificate, and only that of a server has the name of a server. The checks of Patroni's REST API verify it too.
    """
    own = pghalib.tls.pem("consul")
    files = {"ca_file": pghalib.tls.CA, "cert_file": own, "key_file": own, "verify_outgoing": True}
    result = {"enable_agent_tls_for_checks": True, "ports": {"http": -1, "https": pghalib.consul.ports.HTTPS}}
    if pghalib.versions.at_least(consul["version"], "1.12"):
        rpc = {"verify_incoming": True, "verify_server_hostname": True}
        return {**result, "tls": {"defaults": files, "internal_rpc": rpc}}
    return {**result, **files, "verify_incoming_rpc": True, "verify_server_hostname": True}


def _rules(entries: Iterable[tuple[str, str, str]]) -> str:
    return "".join(f'{kind} "{name}" {{\n  policy = "{policy}"\n}}\n' for kind, name, policy in entries)


def _nodes(settings: Settings) -> list[str]:
    servers = [one["name"] for one in settings["datacenter"]["servers"]]
    return servers + [host["name"] for cluster in settings["clusters"] for host in cluster["hosts"]]


def _node_identities(settings: Settings) -> bool:
    return pghalib.versions.at_least(settings["consul"]["version"], NODE_IDENTITIES)


def _reloaded(path: tuple[str, ...]) -> bool:
    return any(path[: len(known)] == known for known in RELOADED)


def _differing(old: object, new: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differing(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield path
