"""
vip-manager and the callback of Patroni: their configuration, and its differences by version. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from salt.exceptions import CommandExecutionError

import pghalib.consul.client
import pghalib.consul.config
import pghalib.patroni.config
from pghalib.vip_manager import dcs_type

if TYPE_CHECKING:
    from pghalib.shapes import Json, Settings

HEADER = "# Written by Salt (pgha); changes here are lost. The file may hold a token: only root reads it.\n"


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
        # Patroni of this host: it listens on the host's own address.
        url = pghalib.patroni.config.api(settings)["url"]
        # A string, not a number: vip-manager compares it with text.
        result |= {"dcs-endpoints": [url], "trigger-key": "/leader", "trigger-value": "200"}
    return {key: value for key, value in (result | (wanted["config"] or {})).items() if value is not None}


def text(mapping: dict[str, Json]) -> str:
    """Return the configuration as the text of its file."""
    written: str = yaml.safe_dump(mapping, sort_keys=False, default_flow_style=False, allow_unicode=True)
    return HEADER + written
