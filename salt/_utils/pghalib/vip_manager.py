"""
Where vip-manager looks for the leader (Consul or Patroni), and so whether it needs a token. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json


def dcs_type(version: object, chosen: str | None = None) -> str:
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
    return chosen or ("patroni" if pghalib.versions.at_least(version, "5") else "consul")


def asks_consul(vip: Mapping[str, Json]) -> bool:
    """Return whether vip-manager moves the virtual IP and asks Consul for the leader, by the section ``vip``."""
    return vip["manager"] == "vip-manager" and dcs_type(vip["version"], vip["dcs_type"]) == "consul"
