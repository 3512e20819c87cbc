"""
The faults of a drill: what each does to which host, whether it is harmless, and how long clients may wait for a write.

A fault ends by itself: the service that it kills is started again by systemd or Patroni. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from pghalib.shapes import Json


class Fault(TypedDict):
    """
    One fault: what it does, to whose host, and how (``switchover`` and ``restart`` by Patroni, ``service`` restarts a
    service, ``kill`` kills the main process of a service, ``postmaster`` that of PostgreSQL).

    ``bound`` is in seconds: the longest time without an acknowledged write at the default timing.
    """

    what: str
    host: Literal["leader", "replica"]
    how: Literal["switchover", "restart", "service", "kill", "postmaster"]
    unit: str | None
    harmful: bool
    bound: float


def _fault(what: str, host: str, how: str, bound: float, unit: str | None = None, harmful: bool = False) -> Json:
    return {"what": what, "host": host, "how": how, "unit": unit, "harmful": harmful, "bound": bound}


FAULTS: dict[str, Fault] = {
    "switchover": _fault("another member becomes the leader, as planned", "leader", "switchover", 5),
    "restart-replica": _fault("PostgreSQL of a replica is restarted", "replica", "restart", 5),
    "restart-agent": _fault("the Consul agent of the leader's host is restarted", "leader", "service", 5, "consul"),
    "restart-vip-manager": _fault(
        "vip-manager of the leader's host is restarted", "leader", "service", 5, "vip-manager"
    ),
    "kill-postgres": _fault(
        "PostgreSQL of the leader is killed (kill -9) and starts again in place", "leader", "postmaster", 15, None, True
    ),
    "kill-patroni": _fault("Patroni of the leader is killed (kill -9)", "leader", "kill", 15, "patroni", True),
    "kill-agent": _fault(
        "the Consul agent of the leader's host is killed (kill -9)", "leader", "kill", 15, "consul", True
    ),
    "kill-vip-manager": _fault(
        "vip-manager of the leader's host is killed (kill -9)", "leader", "kill", 15, "vip-manager", True
    ),
}


def listed(names: object) -> list[str] | None:
    """Return names of faults as a list: given as a list, or as a text with commas; None for none."""
    if names is None:
        return None
    return [str(name).strip() for name in (names if isinstance(names, list) else str(names).split(","))]


def possible(vip: Mapping[str, Json]) -> list[str]:
    """Return the names of the faults that a cluster can have; ``vip`` is that section of its settings."""
    return [name for name, one in FAULTS.items() if one["unit"] != "vip-manager" or vip["manager"] == "vip-manager"]


def chosen(wanted: list[str] | None, vip: Mapping[str, Json], harmful: bool) -> tuple[list[str], list[str]]:
    """
    Return (the faults to make, the reasons against them).

    wanted
        Names, in this order; None: all harmless ones.
    vip
        The section ``vip`` of the cluster's settings.
    harmful
        Whether the person has said that harmful faults may be made.
    """
    known = possible(vip)
    if wanted is None:
        return [name for name in known if not FAULTS[name]["harmful"]], []
    reasons = []
    for name in wanted:
        if name not in FAULTS:
            reasons.append(f"there is no fault {name!r}; there is {', '.join(FAULTS)}")
        elif name not in known:
            reasons.append(f"{name}: this cluster has no vip-manager (vip:manager is {vip['manager']})")
        elif FAULTS[name]["harmful"] and not harmful:
            reasons.append(f"{name} does harm ({FAULTS[name]['what']}): add harmful=True")
    return wanted, reasons


def table() -> str:
    """Return all faults as text for a person, a line each."""
    width = max(map(len, FAULTS))
    rows = [
        f"{name:{width}}  {'harmful ' if one['harmful'] else 'harmless'}  {one['bound']:4.0f} s  {one['what']}"
        for name, one in FAULTS.items()
    ]
    return "\n".join([f"{'fault':{width}}  {'':8}  {'bound':>6}  what it does", *rows])
