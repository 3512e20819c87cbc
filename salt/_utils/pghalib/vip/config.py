"""
vip-manager and the callback of Patroni: their configuration, and its differences by version. Pure functions.
"""

import json

import yaml

import pghalib.consul.client
import pghalib.consul.config
import pghalib.patroni.config
from pghalib.vip_manager import dcs_type

HEADER = "# Written by Salt (pgha); changes here are lost. The file may hold a token: only root reads it.\n"


def config(settings, interface, token=None):
    """
    Return the configuration of vip-manager as a mapping.

    settings
        The result of ``pgha.settings`` for a database host.
    interface
        Name of the interface that gets the virtual IP.
    token
        Consul's token that may read the leader key; used only when vip-manager asks Consul.

    ``vip:config`` overrides the result; a null there removes a key.
    """
    vip, cluster, wanted = settings["cluster"]["vip"], settings["cluster"], settings["vip"]
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
        result |= {"dcs-endpoints": [api(settings)], "trigger-key": "/leader", "trigger-value": "200"}
    return {key: value for key, value in (result | (wanted["config"] or {})).items() if value is not None}


def api(settings):
    """Return the URL of Patroni's REST API on this host: it listens on the host's own address."""
    return pghalib.patroni.config.api(settings)["url"]


def text(mapping):
    """Return the configuration as the text of its file."""
    return HEADER + yaml.safe_dump(mapping, sort_keys=False, default_flow_style=False, allow_unicode=True)


def interfaces(listing):
    """
    Return ``[{"interface", "address", "prefix"}]`` for the output of ``ip -j addr show``.

    Raises ValueError for any other text.
    """
    found = []
    for link in json.loads(listing or "[]"):
        for entry in link.get("addr_info", ()):
            if "local" in entry:
                # `ip -j` gives empty entries for filtered links.
                row = {"interface": link["ifname"], "address": entry["local"], "prefix": entry["prefixlen"]}
                found.append(row)
    return found
