"""
How a host takes part in the meeting of all hosts: which ports it opens, which it leaves to services that start, and the
verdict on what it found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.host.routes
import pghalib.preflight.foreign
import pghalib.preflight.rendezvous
import pghalib.preflight.verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pghalib.preflight.foreign import Process
    from pghalib.preflight.rendezvous import Links
    from pghalib.preflight.verdicts import Plan
    from pghalib.shapes import Settings

# Seconds that a port is left free for a service that is about to start.
STARTING = 2


def meet(
    settings: Settings, plan: Plan, listening: Iterable[Process], ca: str | None, starts: Callable[[str], bool]
) -> Links:
    """
    Meet the other hosts of a run, and return the result of ``pghalib.preflight.rendezvous.meet``.

    settings
        The result of ``pgha.settings``.
    plan
        The result of ``pghalib.preflight.verdicts.plan``.
    listening
        The result of ``pgha_preflight.listeners``.
    ca
        Authorities (PEM) when Patroni speaks HTTPS, else None.
    starts
        A function of a unit's name: whether the unit runs or is about to.
    """
    ports = pghalib.preflight.verdicts.ports(settings)
    served = pghalib.preflight.foreign.served(listening, settings["address"])
    listen = set(plan["listen"]) - served
    later: dict[int, float] = {}
    hold: set[int] = set()
    if listen & {ports["rpc"], ports["gossip"]} and starts("consul.service"):
        later |= {ports["rpc"]: STARTING, ports["gossip"]: STARTING}
    if listen & {ports["postgres"], ports["rest"]} and starts("patroni.service"):
        later[ports["rest"]] = STARTING
        # Patroni may start PostgreSQL at any moment.
        hold.add(ports["postgres"])
    if ports["repository"] in listen and starts("pgha-repository.service"):
        later[ports["repository"]] = STARTING
    return pghalib.preflight.rendezvous.meet(
        settings["id"],
        settings["address"],
        plan["links"],
        listen,
        plan["expect"],
        timeout=settings["preflight"]["port_timeout"],
        udp=ports["gossip"],
        http=ports["rest"],
        ca=ca,
        later=later,
        hold=hold & listen,
        excuse={ports["postgres"]: ports["rest"]},
    )


def verdict(found: Links, plan: Plan, settings: Settings) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) on what a host found at the meeting: unreachable ports, strange hosts, clocks, translated
    addresses.

    found
        The result of :py:func:`meet`.
    """
    faults = pghalib.preflight.verdicts.reachability(found, plan["names"])
    faults += pghalib.preflight.verdicts.identity(found, plan["ids"])
    skewed, slightly = pghalib.preflight.verdicts.clocks(found, plan["names"], settings)
    translated, harmless = pghalib.host.routes.translated(found, settings)
    return [*faults, *skewed, *translated], [*slightly, *harmless]
