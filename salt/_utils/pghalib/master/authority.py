"""The change of a datacenter's authority: how far it is, and its next step (``salt-run pgha.authority``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.master.asking
import pghalib.secrets.pki
import pghalib.secrets.trust

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pghalib.shapes import Json


def pem(store: Path, datacenter: str) -> str:
    """Return the trusted authorities of a datacenter as PEM. Raises CommandExecutionError when none is stored."""
    found = pghalib.secrets.pki.authorities(store, datacenter)
    if not found:
        raise CommandExecutionError(f"No authority is stored for {datacenter}: run salt-run state.orchestrate pgha")
    return found


def take(
    opts: Mapping[str, Json],
    store: Path,
    pgha: dict[str, Json],
    defaults: dict[str, Json],
    datacenter: str,
    step: str,
) -> list[str]:
    """
    Take a step in the store; the main job brings it to the hosts. Returns the clusters that it has to be about: a host
    that is off in another datacenter must not hold up what is stored already.

    opts, store
        The master's options, and the directory of its store.
    pgha, defaults
        The pillar of that name, checked, and the content of defaults.yaml.
    datacenter, step
        Its name, and one of ``pghalib.secrets.trust.STEPS``.

    Raises CommandExecutionError, and nothing is touched, while a host is not ready for the step, or when the main job
    would leave out hosts.
    """
    plan, of = pghalib.inventory.plan, pghalib.inventory.hosts_of
    left = [host for host in of(plan(pgha, narrowed=False), datacenter) if host not in plan(pgha)["hosts"]]
    if left:
        raise CommandExecutionError(
            f"pgha:only keeps the main job from {', '.join(left)}: take it out of the pillar first, as the authority of"
            f" {datacenter} changes for all of its hosts"
        )
    pghalib.secrets.pki.authority_change(store, pgha, defaults, datacenter, step)
    late = _late(opts, store, pgha, datacenter)
    if late:
        raise CommandExecutionError(
            f"The step {step} was not taken, as not all hosts of {datacenter} are ready: " + "; ".join(late)
        )
    pghalib.secrets.pki.rotate(store, pgha, defaults, datacenter, step)
    return [name for name, its in plan(pgha, narrowed=False)["datacenter_of"].items() if its == datacenter]


def text(
    opts: Mapping[str, Json], store: Path, pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str
) -> str:
    """Return how far the change is, and what comes next, as text; the arguments are those of :py:func:`take`."""
    change = pghalib.secrets.pki.authority_change(store, pgha, defaults, datacenter)
    return pghalib.secrets.trust.text(datacenter, change, _late(opts, store, pgha, datacenter))


def _late(opts: Mapping[str, Json], store: Path, pgha: dict[str, Json], datacenter: str) -> list[str]:
    """Sentences about hosts of a datacenter where the host or a service has other authorities than the master."""
    hosts = pghalib.inventory.hosts_of(pghalib.inventory.plan(pgha, narrowed=False), datacenter)
    return pghalib.master.asking.late(opts, hosts, pghalib.secrets.pki.authorities(store, datacenter))
