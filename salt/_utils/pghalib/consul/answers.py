"""
Answers of Consul's API about its servers and agents, in the form in which the formula passes them on. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired

    from pghalib.shapes import Json

_STATES = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}
_TYPES = {"consul": "server", "node": "client"}


class Member(TypedDict):
    """A member of the datacenter; ``type`` is ``server`` or ``client``."""

    name: str
    address: str
    status: str
    type: str | None
    build: str


class Peer(TypedDict):
    """A server in raft. Who may not read the configuration of raft knows only the two addresses."""

    address: str
    raft_address: str
    name: NotRequired[str | None]
    voter: NotRequired[bool]
    leader: NotRequired[bool]


class Judged(TypedDict):
    """A server as autopilot reports it; ``index`` is that of its last entry in raft's log."""

    name: str
    healthy: bool
    voter: bool
    index: int


class Autopilot(TypedDict):
    """Autopilot's report."""

    healthy: bool
    failure_tolerance: int
    servers: list[Judged]


def members(found: Json) -> list[Member]:
    """
    Return the members of the datacenter, sorted by name: ``name``, ``address``, ``status``, ``type`` and ``build`` of
    each.

    found
        The answer of ``/v1/agent/members``, None when it is empty.
    """
    result: list[Member] = []
    for one in found or []:
        tags: Json = one.get("Tags") or {}
        result.append(
            {
                "name": one["Name"],
                "address": one["Addr"],
                "status": _STATES.get(one["Status"], str(one["Status"])),
                "type": _TYPES.get(tags.get("role"), tags.get("role")),
                "build": tags.get("build", "").split(":")[0],
            }
        )
    return sorted(result, key=lambda one: one["name"])


def servers(configuration: Json) -> list[Peer]:
    """
    Return the servers in raft: ``address`` and ``raft_address`` as for :py:func:`peer`, ``name`` (None while the server
    that was asked does not know it), ``voter`` and ``leader`` of each.

    configuration
        The answer of ``/v1/operator/raft/configuration``.
    """
    return [
        {
            **peer(one["Address"]),
            "name": None if one["Node"] == "(unknown)" else one["Node"],
            "voter": one["Voter"],
            "leader": one["Leader"],
        }
        for one in configuration["Servers"]
    ]


def peer(address: str) -> Peer:
    """Return a server in raft by its address with the port: ``address`` (of the host) and ``raft_address``."""
    return {"address": host(address), "raft_address": address}


def host(address: str) -> str:
    """Return an address of Consul without its port."""
    return address.rpartition(":")[0]


def autopilot(body: Json) -> Autopilot:
    """
    Return autopilot's report: ``healthy``, ``failure_tolerance`` and ``servers`` (``name``, ``healthy``, ``voter``,
    ``index``).

    body
        The answer of ``/v1/operator/autopilot/health``.
    """
    listed: list[Judged] = [
        {"name": one["Name"], "healthy": one["Healthy"], "voter": one["Voter"], "index": one["LastIndex"]}
        for one in body["Servers"] or []
    ]
    return {"healthy": body["Healthy"], "failure_tolerance": body["FailureTolerance"], "servers": listed}
