"""When the servers of the inventory are in quorum, and when a run must not wait for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.consul.drift

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pghalib.consul.answers import Peer
    from pghalib.shapes import Host


class Verdict(TypedDict, total=False):
    """One of both: the leader's address, or the servers that are not in the inventory."""

    leader: str
    foreign: list[Peer]


def verdict(
    peers: Collection[Peer], servers: Iterable[Host], wanted: set[str], leader: Callable[[], str | None]
) -> Verdict | None:
    """
    Return ``{"leader": its address}`` when the servers are in quorum, None while they have no leader, and
    ``{"foreign": …}`` at once when a server is not in the inventory: every server has all tokens, so the run must not
    give it more.

    peers
        The servers in raft, as ``pgha_consul.raft_peers`` returns them. Without ``voter`` a server counts as a voter.
    servers
        The servers of the inventory.
    wanted
        Addresses of those that have to vote.
    leader
        A function that returns the leader's address, or None.

    Raises CommandExecutionError that names the servers without a vote.
    """
    foreign = pghalib.consul.drift.foreign_servers(peers, servers)
    if foreign:
        return {"foreign": foreign}
    missing = wanted - {one["address"] for one in peers if one.get("voter", True)}
    if missing:
        raise CommandExecutionError(f"not among the voting servers: {', '.join(sorted(missing))}")
    return {"leader": found} if (found := leader()) else None
