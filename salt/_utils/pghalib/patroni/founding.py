"""
The wait of a member until another member has founded the cluster. When the founder has failed, the service that does
not run on it shows where. And who has data of the cluster already: then nobody founds it.
"""

from __future__ import annotations

import concurrent.futures
import functools
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.patroni.client
import pghalib.wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.shapes import Host, MemberSettings

#: In place of a system identifier: Patroni runs there, and what it says cannot be understood.
UNKNOWN = "unknown"


def others(settings: MemberSettings) -> dict[str, str]:
    """
    Return the other members of the cluster that have data of it, by what their Patroni says: ``{name: system
    identifier}``, with ``UNKNOWN`` where something listens in Patroni's place and gives no answer that can be verified.
    A member where nobody listens is left out, and so is one whose Patroni has no data yet.

    settings
        The result of ``pgha.settings`` on this host.

    All are asked at once: where nothing listens that takes no time, and a host that is off costs its time-out once.
    """
    asked = [one for one in settings["cluster"]["hosts"] if one["id"] != settings["id"]]
    with concurrent.futures.ThreadPoolExecutor(max(1, len(asked))) as pool:
        told = list(pool.map(functools.partial(_identifier, settings), asked))
    return {one["name"]: found for one, found in zip(asked, told, strict=True) if found}


def _identifier(settings: MemberSettings, host: Host) -> str | None:
    port, timeout = settings["patroni"]["restapi_port"], pghalib.patroni.client.TIMEOUT
    if not pghalib.wait.listening(host["address"], port, timeout):
        return None
    try:
        body = pghalib.patroni.client.ask(settings, None, "GET", "/patroni", address=host["address"])["body"]
    except CommandExecutionError:
        return UNKNOWN
    if not isinstance(body, dict):
        return UNKNOWN
    found = body.get("database_system_identifier")
    if not found:
        return None
    return found if isinstance(found, str) and found.isascii() and found.isdecimal() else UNKNOWN


def wait(
    founder: Host,
    ports: dict[str, int],
    initialized: Callable[[], object],
    patience: float,
    timeout: float,
    living: dict[str, str],
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
    living
        On the founder itself: the result of :py:func:`others`. Their Patroni writes the identifier, and nothing else is
        waited for. Else {}.

    Returns nothing. Raises CommandExecutionError that names what was not there in time, and where to look.
    """
    here = founder["name"]
    if living:
        found = ", ".join(f"{name} (system identifier {one})" for name, one in sorted(living.items()))
        what = (
            f"Consul has the system identifier of the cluster again; {here} has no data and does not found the cluster"
            f" anew, because there are data on {found}, and Patroni there writes the identifier (journalctl -u patroni"
            " on these hosts says why it does not)"
        )
        pghalib.wait.until(initialized, timeout, what)
        return
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
