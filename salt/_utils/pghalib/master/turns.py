"""
The order of the hosts in a rolling restart. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.host.diff import Change
    from pghalib.inventory import Plan
    from pghalib.master.told import RestartFacts
    from pghalib.shapes import Json

SERVER = ["pgha.consul.restart"]
# Patroni first: so a leader has become a replica before the agent and vip-manager of its host are restarted.
DATABASE = ["pgha.patroni.restart", "pgha.consul.restart", "pgha.vip.restart"]
LOWERED = ["pgha.patroni.lower"]
# What may wait for a restart on a host.
SERVICES = ("Consul", "Patroni", "PostgreSQL", "vip-manager")

# A standby refuses to run when one of these is lower than on its primary.
AT_LEAST_THE_PRIMARYS = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)


class Turn(TypedDict):
    """The turn of one host: the states that it runs, and the services that wait for them."""

    host: str
    sls: list[str]
    what: str


def order(plan: Plan, told: Mapping[str, RestartFacts]) -> list[Turn]:
    """
    Return the turns of a rolling restart, one host after another: a list of ``{"host", "sls", "what"}``, [] when
    nothing is pending.

    plan
        The result of ``pgha.plan``.
    told
        For each of its hosts the result of ``pgha_restart.facts``, as ``pghalib.master.answers`` returns it.

    Consul's servers come first, their leader last; then the database hosts of each cluster: replicas, the synchronous
    ones after the others, and the leader last. Exception: parameters that a standby needs as high as its primary
    (``max_connections`` and others) were lowered. Then the leader is restarted first, without a switchover.
    """
    turns: list[Turn] = []
    for servers in plan["datacenters"].values():
        turns += [_turn(host, SERVER, told) for host in sorted(servers, key=lambda host: told[host]["leads"])]
    for hosts in plan["clusters"].values():
        waiting = sorted(hosts, key=lambda host: (told[host]["leads"], told[host]["synchronous"]))
        turns += [_turn(host, LOWERED, told) for host in hosts if told[host]["leads"] and told[host]["lowered"]]
        turns += [_turn(host, DATABASE, told) for host in waiting]
    return [turn for turn in turns if turn["what"]]


def lowered(reasons: Mapping[str, dict[str, Json]]) -> dict[str, Change]:
    """
    Return the parameters that are to be lowered and that a standby needs as high as its primary, as
    ``{name: {"old", "new"}}``.

    reasons
        Patroni's ``pending_restart_reason``: ``{name: {"old_value", "new_value"}}``. Patroni writes ``?`` for a value
        that the server program does not tell it. What is no whole number does not count as lowered.
    """
    return {
        name: {"old": values["old_value"], "new": values["new_value"]}
        for name, values in reasons.items()
        if name in AT_LEAST_THE_PRIMARYS and _is_lower(values["new_value"], values["old_value"])
    }


def _is_lower(new: Json, old: Json) -> bool:
    numbers = _whole(new), _whole(old)
    return numbers[0] is not None and numbers[1] is not None and numbers[0] < numbers[1]


def _whole(value: Json) -> int | None:
    """A whole number, also as a text; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _turn(host: str, sls: list[str], told: Mapping[str, RestartFacts]) -> Turn:
    # No text of the host's own: the orchestration is made from this.
    return {"host": host, "sls": sls, "what": ", ".join(name for name in SERVICES if told[host]["pending"].get(name))}
