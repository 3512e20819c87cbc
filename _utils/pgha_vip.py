"""
vip-manager and the callback of Patroni: what differs by version and what is in their files. Pure functions.
"""

import json

import pgha_consul
import pgha_patroni
import yaml

HEADER = "# Written by Salt (pgha); changes here are lost. The file may hold a token: only root reads it.\n"


def dcs_type(version, chosen=None):
    """
    Return ``consul`` or ``patroni``: where vip-manager looks for the leader.

    version
        Version of vip-manager, e.g. ``4.0.0``.
    chosen
        The setting ``vip:dcs_type``; it wins.

    Up to 4.x the patroni checker keeps the virtual IP when Patroni's REST API is dead or hung (vip-manager 323, 336,
    401), so two hosts can have it; the consul checker gives it up on any error. From 5.0 the patroni checker gives it
    up after one to two seconds, needs no token, and keeps it where Patroni's failsafe mode keeps the leader without
    Consul.
    """
    return chosen or ("consul" if int(str(version).split(".")[0]) < 5 else "patroni")


def asks_consul(vip):
    """Return whether vip-manager moves the virtual IP and asks Consul who leads, by the section ``vip`` of settings."""
    return vip["manager"] == "vip-manager" and dcs_type(vip["version"], vip["dcs_type"]) == "consul"


def trigger_key(namespace, scope):
    """Return the key of a cluster's leader in Consul; Consul's keys have no leading slash, Patroni's namespace has."""
    return "/".join(part for part in (str(namespace).strip("/"), scope, "leader") if part)


def config(settings, interface, token=None):
    """
    Return the configuration of vip-manager as a mapping.

    settings
        What ``pgha.settings`` gives for a database host.
    interface
        Name of the interface that gets the virtual IP.
    token
        Consul's token that may read the leader key; only used where vip-manager asks Consul.

    What ``vip:config`` says is put over it; null there takes a key away.
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
            "dcs-endpoints": [pgha_consul.api(settings)["address"]],
            "trigger-key": trigger_key(cluster["namespace"], cluster["name"]),
            "trigger-value": settings["name"],
            "consul-token": token,
        }
    else:
        # A string, although it looks like a number: vip-manager compares it with text.
        result |= {"dcs-endpoints": [api(settings)], "trigger-key": "/leader", "trigger-value": "200"}
    return {key: value for key, value in (result | (wanted["config"] or {})).items() if value is not None}


def api(settings):
    """Return the URL of Patroni's REST API on this host: it listens on the host's own address."""
    return pgha_patroni.api(settings)["url"]


def text(mapping):
    """Return the configuration as the text of its file."""
    return HEADER + yaml.safe_dump(mapping, sort_keys=False, default_flow_style=False, allow_unicode=True)


def interfaces(listing):
    """
    Return ``[{"interface", "address", "prefix"}]`` for the output of ``ip -j addr show``.

    Raises ValueError for what is no such output.
    """
    found = []
    for link in json.loads(listing or "[]"):
        for entry in link.get("addr_info", ()):
            if "local" in entry:
                # `ip -j` gives empty entries for filtered links.
                row = {"interface": link["ifname"], "address": entry["local"], "prefix": entry["prefixlen"]}
                found.append(row)
    return found
