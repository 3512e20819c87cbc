"""
The wait of a member until another member has founded the cluster. When the founder has failed, the service that does
not run on it shows where.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.shapes import Host


def wait(
    founder: Host, ports: dict[str, int], initialized: Callable[[], object], patience: float, timeout: float
) -> None:
    """
    Wait until the cluster is initialised.

    founder
        The member that founds the cluster: ``{"name", "address"}``.
    ports
        The ports of the cluster's services; ``gossip`` and ``rest`` are used.
    initialized
        A function that returns the system identifier of the cluster, a false value while there is none. It may raise
        CommandExecutionError when it cannot tell.
    patience
        Seconds to wait for each of the founder's services, Consul and then Patroni; at most ``timeout``.
    timeout
        Seconds to wait after both run.

    Returns nothing. Raises CommandExecutionError that names what was not there in time, and where to look.
    """
    here = founder["name"]
    steps = [
        ("gossip", f"Consul runs on {here}, which founds the cluster (journalctl -u consul on {here} says why)"),
        (
            "rest",
            f"Patroni runs on {here}, which founds the cluster (journalctl -u patroni on {here} says why; where it"
            f" was not started, the result of {here} in this run)",
        ),
    ]
    for service, what in steps:
        started = functools.partial(pghalib.wait.listening, founder["address"], ports[service])
        either = functools.partial(_either, initialized, started)
        pghalib.wait.until(either, min(timeout, patience), what, interval=1)
    what = f"{here} founds the cluster (journalctl -u patroni and Patroni's log on {here} say why)"
    pghalib.wait.until(initialized, timeout, what)


def _either(asked: Callable[[], object], enough: Callable[[], bool]) -> bool:
    """Whether one of two conditions holds. An error of the first is raised only while the second does not hold."""
    try:
        if asked():
            return True
    except CommandExecutionError:
        if not enough():
            raise
        return True
    return enough()
