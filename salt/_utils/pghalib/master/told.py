"""
The shapes of the answers of hosts, as ``pghalib.master.answers`` returns them when they are checked. What a host left
out is None.
"""

from __future__ import annotations

from typing import TypedDict


class Authority(TypedDict):
    """The authority of a host's certificates; ``own``: it is the formula's."""

    until: str
    days: float
    due: bool
    own: bool


class Tls(TypedDict):
    """A host's certificate; ``outdated`` are the services that show another one than that on the disk."""

    until: str | None
    days: float | None
    due: bool
    authority: Authority | None
    outdated: list[str]


class Node(TypedDict):
    """An agent of Consul, by what another agent knows."""

    name: str
    address: str
    type: str | None
    status: str
    build: str | None


class Server(TypedDict):
    """A server in raft."""

    name: str | None
    address: str
    raft_address: str | None
    voter: bool | None


class Consul(TypedDict):
    """What a host's agent knows of its datacenter. A voter is None of which raft has only addresses."""

    leader: str | None
    members: list[Node] | None
    voters: list[str | None] | None
    foreign_servers: list[Server] | None


class Token(TypedDict):
    """A token of Consul that is not the formula's."""

    accessor: str
    description: str
    management: bool


class Member(TypedDict):
    """A member of a cluster in Patroni's list; a number may be ``unknown`` there."""

    name: str
    host: str | None
    role: str
    state: str
    timeline: float | str | None
    lag: float | str | None


class Proof(TypedDict):
    """Seconds since the last good proof of the backups, and since a timer starts them."""

    proven: float | None
    since: float


class Status(TypedDict):
    """The answer of ``pgha.status``; ``pending`` has the reasons by service."""

    role: str
    name: str
    pending: dict[str, list[str]] | None
    tls: Tls | None
    consul: Consul | None
    members: list[Member] | None
    paused: bool | None
    undeclared: list[str] | None
    vip: str | None
    holds_vip: bool | None
    proof: Proof | None
    foreign_tokens: list[Token] | None
    faults: list[str] | None


class RestartFacts(TypedDict):
    """The answer of ``pgha_restart.facts``."""

    pending: dict[str, list[str]]
    leads: bool
    synchronous: bool
    lowered: list[str]


class Job(TypedDict):
    """A running job of a host: the name of its function."""

    fun: str
