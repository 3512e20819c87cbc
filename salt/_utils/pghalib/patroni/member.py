"""
What a member says about itself (``GET /patroni``) and about the others (``GET /cluster``): whether it leads, serves or
is down, and why it does not stream. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.text

if TYPE_CHECKING:
    from pghalib.shapes import Json, MemberSettings


def leads(member: dict[str, Json]) -> bool:
    """Return whether a member runs as the leader, by its own answer (``GET /patroni``) or by Patroni's list."""
    return writes(member) or member.get("role") in ("leader", "standby_leader")


def writes(member: dict[str, Json]) -> bool:
    """Return whether a member leads and takes writes, by its own answer (``master``: of a Patroni before 4.0)."""
    return member.get("role") in ("primary", "master")


def serves(member: dict[str, Json]) -> bool:
    """Return whether a member runs as the leader or as a streaming replica, by its own answer."""
    return member.get("state") == "running" and (leads(member) or member.get("replication_state") == "streaming")


def down(member: dict[str, Json]) -> bool:
    """Return whether a member's PostgreSQL does not run, by its own answer: it has stopped, or it cannot start."""
    return any(word in str(member.get("state")) for word in ("failed", "crashed", "stopped"))


def copies(member: dict[str, Json]) -> bool:
    """Return whether a member copies the data of the leader, by its own answer."""
    return member.get("state") == "creating replica"


def leader_of(members: list[dict[str, Json]], name: str) -> dict[str, Json] | None:
    """
    Return the leader that has this member in its cluster, as an entry of Patroni's list. None while the member is not
    listed, and when no other member leads.

    members
        The list, as ``pgha_patroni.cluster`` returns it.
    name
        Name of this member.
    """
    leader = next((entry for entry in members if leads(entry) and entry["name"] != name), None)
    return leader if name in [entry["name"] for entry in members] else None


def diagnosis(member: dict[str, Json] | None, timeout: float, logged: list[str], settings: MemberSettings) -> str:
    """
    Return why a member neither leads nor streams, as a text of several lines, with the remedy.

    member
        Its own last answer, None when Patroni does not answer.
    timeout
        Seconds that were waited.
    logged
        Last lines of the logs. They are not trusted.
    settings
        The result of ``pgha.settings`` on its host.
    """
    if member is None:
        said = "Patroni does not answer on this host"
    else:
        keys = ("role", "state", "replication_state", "timeline")
        said = "This member says " + ", ".join(f"{key}: {member[key]}" for key in keys if key in member)
    log = "\n".join(map(pghalib.text.line, logged))
    reinit = f"patronictl reinit {settings['cluster']['name']} {settings['name']}"
    return (
        f"{said}, after {timeout} s. The logs end with:\n{log}\nSee journalctl -u patroni as well. A replica that"
        f" cannot be repaired gets the leader's data anew by: {reinit}"
    )
