"""
Keys below ``config`` that a person may not set there: the formula sets them from other settings, or they hold secrets.
Each has its remedy. Pure functions.

Everything else that Consul, Patroni, vip-manager and PostgreSQL accept may be passed through. Of vip-manager's keys the
types are checked: it does not start with a wrong one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.patroni.config
import pghalib.pillar.parameters
from pghalib.pillar.types import LARGEST
from pghalib.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pghalib.shapes import Json

    Place = Callable[[list[str]], str]

_MADE = "the master makes the passwords and tokens, and every host is given its own"
_NAME = "set the name of the host in the inventory (MINION_ID: {address: …, name: …})"
_ADDRESS = "set the address of the host in the inventory"
_SERVERS = "name the servers under pgha:datacenters:NAME:servers"
_DATACENTER = "the datacenter is the name under pgha:datacenters"
_ACL = "without it nobody needs a token"
_OWN_AGENT = "Patroni asks the agent of its own host; set consul:client_addr or consul:config:ports"
_IN_CONSUL = "the state of the clusters is kept in Consul"
_BY_VIP = "the address is that of pgha:clusters:NAME:vip"
_LEADER = "vip-manager is told by vip:dcs_type where the leader is known"
_LISTENS = "set postgres:port; PostgreSQL listens on all addresses, as the virtual IP comes and goes"

CONSUL = {
    "acl.enabled": _ACL,
    "acl.default_policy": _ACL,
    "acl.enable_token_persistence": "a server keeps its token by it",
    **dict.fromkeys((f"acl.tokens.{key}" for key in ("agent", "initial_management", "master")), _MADE),
    **dict.fromkeys(("acl_agent_token", "acl_master_token"), _MADE),
    **dict.fromkeys(("acl_datacenter", "acl_default_policy"), _ACL),
    **dict.fromkeys(("advertise_addr", "bind_addr"), _ADDRESS),
    **dict.fromkeys(("addresses.http", "addresses.https"), "set consul:client_addr"),
    **dict.fromkeys(("bootstrap", "bootstrap_expect", "server"), _SERVERS),
    "data_dir": "set consul:data_dir",
    **dict.fromkeys(("datacenter", "primary_datacenter"), _DATACENTER),
    "domain": "set consul:domain",
    "encrypt": _MADE,
    "node_name": _NAME,
}
CONSUL_TLS = ("tls", "ca_file", "ca_path", "cert_file", "key_file", "verify_incoming", "verify_incoming_rpc",
              "verify_outgoing", "verify_server_hostname", "auto_encrypt")  # fmt: skip
_DYNAMIC = (*pghalib.patroni.config.DYNAMIC, "synchronous_mode")
PATRONI = {
    "scope": "the scope is the name under pgha:clusters",
    "namespace": "set patroni:namespace",
    "name": _NAME,
    **dict.fromkeys(_DYNAMIC, ""),
    **dict.fromkeys((f"bootstrap.dcs.{key}" for key in _DYNAMIC), ""),
    "bootstrap.dcs.postgresql.pg_hba": "set postgres:pg_hba",
    **dict.fromkeys((f"consul.{key}" for key in ("host", "port", "url", "scheme", "cacert", "verify")), _OWN_AGENT),
    "consul.token": _MADE,
    **dict.fromkeys(("etcd", "etcd3", "exhibitor", "kubernetes", "raft", "zookeeper"), _IN_CONSUL),
    "log.dir": "set patroni:log_dir",
    "watchdog.mode": "set patroni:watchdog",
    "restapi.authentication": _MADE,
    "restapi.connect_address": f"{_ADDRESS}, or patroni:restapi_port",
    **{
        f"postgresql.authentication.{role}.{key}": _MADE
        for role in pghalib.patroni.config.ROLES
        for key in ("username", "password")
    },
    "postgresql.bin_dir": "set postgres:bin_dir, or another postgres:distribution",
    "postgresql.connect_address": f"{_ADDRESS}, or postgres:port",
    "postgresql.data_dir": "set postgres:data_dir",
    "postgresql.listen": _LISTENS,
    "postgresql.pg_hba": "set postgres:pg_hba",
    "postgresql.pgpass": "root and Patroni know where it is, and nobody else can read it there",
}
CALLBACKS = (
    *(f"postgresql.callbacks.{key}" for key in ("on_start", "on_stop", "on_restart", "on_role_change")),
    "postgresql.before_stop",
)
VIP = {
    **dict.fromkeys(("ip", "netmask"), _BY_VIP),
    "interface": "set vip:interface",
    "dcs-type": "set vip:dcs_type",
    **dict.fromkeys(("dcs-endpoints", "trigger-key", "trigger-value"), _LEADER),
    "consul-token": _MADE,
}
# The least number of each. The first try counts as well: with none, no neighbour is told where the address is.
VIP_NUMBERS = {"interval": 1, "retry-after": 0, "retry-num": 1}
VIP_TEXTS = ("manager-type", "etcd-user", "etcd-password", "etcd-ca-file", "etcd-cert-file", "etcd-key-file")
# Names that vip-manager knows for those keys as well, in any case of letters (its config.go). It ends when two names of
# one key have two values.
VIP_NAMES = {
    **dict.fromkeys(("type", "endpoint_type"), "dcs-type"),
    **dict.fromkeys(("endpoint", "endpoints"), "dcs-endpoints"),
    **dict.fromkeys(("host", "nodename"), "trigger-value"),
    **dict.fromkeys(("hostingtype", "hosting_type"), "manager-type"),
    "mask": "netmask",
    "iface": "interface",
    "key": "trigger-key",
    "consul_token": "consul-token",
    "etcd_user": "etcd-user",
    "etcd_password": "etcd-password",
    "retry_num": "retry-num",
    "retry_after": "retry-after",
    **{name: name for name in (*VIP, *VIP_NUMBERS, *VIP_TEXTS, "verbose")},
}
# Mappings that the formula generates or reads: any other type in their place would remove settings that it needs.
MAPPINGS = {
    "consul": ("acl", "acl.tokens", "addresses", "dns_config", "ports", "tls"),
    "patroni": (
        "bootstrap", "bootstrap.dcs", "bootstrap.dcs.postgresql", "bootstrap.dcs.postgresql.parameters", "consul",
        "ctl", "log", "postgresql", "postgresql.authentication", "postgresql.callbacks", "postgresql.parameters",
        "restapi", "tags", "watchdog", *(f"postgresql.authentication.{role}" for role in pghalib.patroni.config.ROLES),
    ),
    "vip": (),
}  # fmt: skip


def consul(place: Place, config: Mapping[str, Json], tls: bool | None) -> list[str]:
    """
    Return the faults of ``consul:config``, as lines.

    place
        A function that returns the path in the pillar of a key below ``config``, given as the list of keys to it.
    config
        The merged mapping.
    tls
        The value of ``tls:enabled``: True, False, or None when the master decides.
    """
    owned = CONSUL if tls is False else {**CONSUL, **dict.fromkeys(CONSUL_TLS, pghalib.pillar.parameters.OWN_TLS)}
    found = _owned(place, "consul", config, owned)
    ports = config["ports"] if isinstance(config.get("ports"), dict) else {}
    asked = {None: (), False: ("http",), True: ("https",)}[tls]
    for key in ("server", "serf_lan", *asked):
        if key in ports and not _is_whole(ports[key], 1, 65535):
            found.append(f"{place(['ports', key])}: {shown(ports[key])} should be a whole number from 1 to 65535")
    return found


def patroni(place: Place, config: Mapping[str, Json], tls: bool | None, manager: str, port: int) -> list[str]:
    """
    Return the faults of ``patroni:config``, as lines.

    place, config, tls
        As for :py:func:`consul`.
    manager, port
        The values of ``vip:manager`` and ``patroni:restapi_port``.
    """
    owned = dict(PATRONI)
    if tls:
        owned.update((f"restapi.{key}", pghalib.pillar.parameters.OWN_TLS) for key in ("certfile", "keyfile", "cafile"))
    if manager == "callback":
        owned.update((key, "vip:manager is callback, which needs it") for key in CALLBACKS)
    found = _owned(place, "patroni", config, owned)
    listen = _at(config, ["restapi", "listen"])
    if listen is not _ABSENT and not str(listen).endswith(f":{port}"):
        found.append(
            f"{place(['restapi', 'listen'])}: {shown(listen)} has not the port {port}, at which the others ask;"
            " set patroni:restapi_port"
        )
    for keys in (["postgresql", "parameters"], ["bootstrap", "dcs", "postgresql", "parameters"]):
        values = _at(config, keys)
        if isinstance(values, dict):
            found += pghalib.pillar.parameters.faults(_below(place, keys), values, tls, local=len(keys) == 2)
    return found


def vip(place: Place, config: Mapping[str, Json]) -> list[str]:
    """
    Return the faults of ``vip:config``, as lines; the arguments are as for :py:func:`consul`.

    With a value of a wrong type vip-manager ends when it is restarted, and nobody holds the address. A null removes a
    key.
    """
    found = _owned(place, "vip", config, VIP)
    for key in config:
        name = VIP_NAMES.get(str(key).lower(), key)
        if name != key:
            remedy = f", which is the formula's: {VIP[name]}" if name in VIP else ": write that"
            found.append(f"{place([key])}: is another name of {name}{remedy}")
    given = {key: value for key, value in config.items() if value is not None}
    for key in [key for key in VIP_NUMBERS if key in given]:
        if not _is_whole(given[key], VIP_NUMBERS[key], LARGEST):
            right = f"a whole number from {VIP_NUMBERS[key]} on"
            found.append(f"{place([key])}: {shown(given[key])} should be {right}")
    if not isinstance(given.get("verbose", True), bool):
        found.append(f"{place(['verbose'])}: {shown(given['verbose'])} should be true or false")
    # Without the value, which may be a password.
    texts = [key for key in VIP_TEXTS if not isinstance(given.get(key, ""), str)]
    return found + [f"{place([key])}: should be text; put it in quotes" for key in texts]


def _owned(place: Place, section: str, config: Mapping[str, Json], owned: Mapping[str, str]) -> list[str]:
    found = []
    for name in MAPPINGS[section]:
        value = _at(config, name.split("."))
        if value is not _ABSENT and not isinstance(value, dict):
            found.append(f"{place(name.split('.'))}: must be a mapping, not {shown(value)}")
    for name, remedy in owned.items():
        keys = name.split(".")
        if _at(config, keys) is not _ABSENT:
            found.append(f"{place(keys)}: is the formula's: {remedy or f'set {section}:{keys[-1]}'}")
    return found


_ABSENT = object()


def _below(place: Place, above: list[str]) -> Place:
    """The function that returns the path of a key below these keys."""
    return lambda keys: place([*above, *keys])


def _at(config: Json, keys: list[str]) -> Json:
    for key in keys:
        if not isinstance(config, dict) or key not in config:
            return _ABSENT
        config = config[key]
    return config


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
