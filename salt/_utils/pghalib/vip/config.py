"""
vip-manager and the callback of Patroni: their configuration, and its differences by version. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import yaml
from salt.exceptions import CommandExecutionError

import pghalib.consul.client
import pghalib.consul.config
import pghalib.parse
import pghalib.patroni.config
from pghalib.vip_manager import dcs_type

if TYPE_CHECKING:
    from pghalib.shapes import Json, Settings

HEADER = "# Written by Salt (pgha); changes here are lost. The file may hold a token: only root reads it.\n"


class Interface(TypedDict):
    """An address of this host with the length of its prefix, and the interface that has it."""

    interface: str
    address: str
    prefix: int


def config(settings: Settings, interface: str, token: str | None = None) -> dict[str, Json]:
    """
    Return the configuration of vip-manager as a mapping.

    settings
        The result of ``pgha.settings`` for a database host.
    interface
        Name of the interface that gets the virtual IP.
    token
        Consul's token that may read the leader key; used only when vip-manager asks Consul.

    ``vip:config`` overrides the result; a null there removes a key.

    Raises CommandExecutionError for a host without a virtual IP.
    """
    cluster, wanted = settings["cluster"], settings["vip"]
    vip = cluster["vip"] if cluster else None
    if cluster is None or vip is None:
        raise CommandExecutionError(f"{settings['id']} is in no cluster with a virtual IP that vip-manager could move")
    kind = dcs_type(wanted["version"], wanted["dcs_type"])
    result = {
        "ip": vip["address"],
        "netmask": vip["prefix"],
        "interface": interface,
        "manager-type": "basic",
        "interval": wanted["interval"],
        "retry-num": 3,
        "retry-after": 250,
        "dcs-type": kind,
    }
    if kind == "consul":
        result |= {
            "dcs-endpoints": [pghalib.consul.client.api(settings)["address"]],
            "trigger-key": f"{pghalib.consul.config.key_prefix(cluster)}leader",
            "trigger-value": settings["name"],
            "consul-token": token,
        }
    else:
        # A string, not a number: vip-manager compares it with text.
        result |= {"dcs-endpoints": [patroni_url(settings)], "trigger-key": "/leader", "trigger-value": "200"}
    return {key: value for key, value in (result | (wanted["config"] or {})).items() if value is not None}


def patroni_url(settings: Settings) -> str:
    """Return the URL of Patroni's REST API on this host: it listens on the host's own address."""
    return pghalib.patroni.config.api(settings)["url"]


def text(mapping: dict[str, Json]) -> str:
    """Return the configuration as the text of its file."""
    written: str = yaml.safe_dump(mapping, sort_keys=False, default_flow_style=False, allow_unicode=True)
    return HEADER + written


def interfaces(listing: str) -> list[Interface]:
    """
    Return ``[{"interface", "address", "prefix"}]`` for the output of ``ip -j addr show``.

    Raises ValueError for any other text.
    """
    found: list[Interface] = []
    for link in pghalib.parse.from_json(listing or "[]"):
        for entry in link.get("addr_info", ()):
            if "local" in entry:
                # `ip -j` gives empty entries for filtered links.
                row: Interface = {"interface": link["ifname"], "address": entry["local"], "prefix": entry["prefixlen"]}
                found.append(row)
    return found
