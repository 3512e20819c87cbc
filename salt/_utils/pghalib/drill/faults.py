"""
The faults of a drill: what each does to which host, whether it is harmless, and how long clients may wait for a write.

A fault ends by itself: what it kills is started again by systemd or Patroni; a lasting fault is undone by a timer of
the host's own systemd (``pghalib.drill.lasting``). Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

import pghalib.inventory
import pghalib.postgres.settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from pghalib.shapes import Json

    Host = Literal["leader", "replica"]
    Waits = Literal["loop", "lease"]
    AtOnce = Literal["switchover", "restart", "service", "kill", "postmaster"]
    Lasting = Literal[
        "hang", "hang-postmaster", "stop", "dead", "freeze", "full", "cut-servers", "cut-everyone", "cut-replication"
    ]


# Seconds of what comes in addition to a time that has to be waited for.
MARGIN = 5
_DEFAULTS = pghalib.postgres.settings.DEFAULTS
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}


class Fault(TypedDict):
    """
    One fault: what it does, to whose host, and how. ``switchover`` and ``restart`` are Patroni's; ``service`` restarts
    a service, ``kill`` kills its main process; ``postmaster`` kills PostgreSQL's.

    These last, for ``lasting`` seconds (0 for a fault that is over at once): ``hang`` stops the main process of a
    service by a signal, ``hang-postmaster`` that of PostgreSQL; ``stop`` stops a service in order, ``dead`` kills its
    main process and leaves it dead; ``freeze`` stops all processes of all services by a signal; ``full`` fills the file
    system of the data; a cut drops the packets from and to other hosts.

    ``bound`` is in seconds, too: the longest time without an acknowledged write. What has to be waited for comes in
    addition (``bound()``): with ``loop`` the next loop of Patroni, which finds what is broken; with ``lease`` the end
    of the leader's lease as well, before which nobody else can lead.
    """

    what: str
    host: Host
    how: AtOnce | Lasting
    unit: str | None
    lasting: int
    harmful: bool
    bound: float
    waits: Waits | None


def _fault(
    what: str,
    host: Host,
    how: AtOnce | Lasting,
    bound: float,
    unit: str | None = None,
    lasting: int = 0,
) -> Fault:
    harmful = how not in ("switchover", "restart", "service")
    waits: Waits | None = None
    if unit == "patroni" and lasting or how in ("freeze", "cut-everyone"):
        waits = "lease"
    elif how == "postmaster" or (how, unit) == ("kill", "patroni"):
        waits = "loop"
    return {
        "what": what,
        "host": host,
        "how": how,
        "unit": unit,
        "lasting": lasting,
        "harmful": harmful,
        "bound": bound,
        "waits": waits,
    }


_OWN = "of the leader's host"
_LOST = (
    "the guard stops PostgreSQL before the lease ends, and another member becomes the leader; without a guard"
    " PostgreSQL goes on beside the new leader"
)
FAULTS: dict[str, Fault] = {
    "switchover": _fault("another member becomes the leader, as planned", "leader", "switchover", 3),
    "restart-replica": _fault("PostgreSQL of a replica is restarted", "replica", "restart", 5),
    "restart-agent": _fault(f"the Consul agent {_OWN} is restarted", "leader", "service", 5, "consul"),
    "restart-vip-manager": _fault(f"vip-manager {_OWN} is restarted", "leader", "service", 5, "vip-manager"),
    "kill-postgres": _fault(
        "PostgreSQL of the leader is killed (kill -9) and starts again in place", "leader", "postmaster", 5
    ),
    "kill-patroni": _fault("Patroni of the leader is killed (kill -9)", "leader", "kill", 5, "patroni"),
    "kill-agent": _fault(f"the Consul agent {_OWN} is killed (kill -9)", "leader", "kill", 5, "consul"),
    "kill-vip-manager": _fault(f"vip-manager {_OWN} is killed (kill -9)", "leader", "kill", 3, "vip-manager"),
    "hang-postgres": _fault(
        "the postmaster of the leader hangs for 30 s (SIGSTOP): open connections work on, new ones wait that long",
        "leader",
        "hang-postmaster",
        35,
        lasting=30,
    ),
    "hang-patroni": _fault(
        f"Patroni of the leader hangs for 60 s (SIGSTOP): {_LOST}", "leader", "hang", 5, "patroni", lasting=60
    ),
    "stop-patroni": _fault(
        f"Patroni of the leader is killed (kill -9) and stays dead for 60 s: {_LOST}",
        "leader",
        "dead",
        5,
        "patroni",
        lasting=60,
    ),
    "hang-vip-manager": _fault(
        f"vip-manager {_OWN} hangs for 20 s (SIGSTOP): the virtual IP stays where it is",
        "leader",
        "hang",
        5,
        "vip-manager",
        lasting=20,
    ),
    "stop-agent": _fault(
        f"the Consul agent {_OWN} is stopped for 45 s; with failsafe_mode it stays the leader, but vip-manager up to"
        " version 4 takes the virtual IP away meanwhile",
        "leader",
        "stop",
        20,
        "consul",
        lasting=45,
    ),
    "freeze": _fault(
        f"all services {_OWN} stand still for 45 s (SIGSTOP), as when a virtual machine is saved, but its system goes"
        " on answering: the virtual IP is on two hosts until they go on",
        "leader",
        "freeze",
        5,
        lasting=45,
    ),
    "full-disk": _fault(
        "the file system of the leader's data is full for 30 s: writes fail, or PostgreSQL stops and starts again",
        "leader",
        "full",
        35,
        lasting=30,
    ),
    "cut-replication": _fault(
        "a replica's host is cut off from PostgreSQL of all other members for 30 s; with synchronous_mode writes wait"
        " for a replica that is synchronous",
        "replica",
        "cut-replication",
        35,
        lasting=30,
    ),
    "cut-consul": _fault(
        "the leader's host is cut off from Consul's servers for 45 s; with failsafe_mode it stays the leader",
        "leader",
        "cut-servers",
        5,
        lasting=45,
    ),
    "isolate": _fault(
        "the leader's host is cut off from all other hosts of the cluster for 60 s, and not from its clients; with"
        " synchronous_mode off acknowledged writes are lost",
        "leader",
        "cut-everyone",
        5,
        lasting=60,
    ),
}


def listed(names: object) -> list[str] | None:
    """Return names of faults as a list: given as a list, or as a text with commas; None for none."""
    if names is None:
        return None
    return [str(name).strip() for name in (names if isinstance(names, list) else str(names).split(","))]


def parts(step: str) -> list[str]:
    """Return the faults of a step: ``a+b`` is b while a lasts."""
    return [name.strip() for name in step.split("+")]


def possible(vip: Mapping[str, Json]) -> list[str]:
    """Return the names of the faults that a cluster can have; ``vip`` is that section of its settings."""
    return [name for name, one in FAULTS.items() if one["unit"] != "vip-manager" or vip["manager"] == "vip-manager"]


def chosen(wanted: list[str] | None, vip: Mapping[str, Json], harmful: bool) -> tuple[list[str], list[str]]:
    """
    Return (the faults to make, the reasons against them).

    wanted
        Names, in this order, ``a+b`` for two together; None: all harmless ones.
    vip
        The section ``vip`` of the cluster's settings.
    harmful
        Whether the person has said that harmful faults may be made.
    """
    known = possible(vip)
    if wanted is None:
        return [name for name in known if not FAULTS[name]["harmful"]], []
    reasons = []
    for name in dict.fromkeys(one for step in wanted for one in parts(step)):
        if name not in FAULTS:
            reasons.append(f"there is no fault {name!r}; there is {', '.join(FAULTS)}")
        elif name not in known:
            reasons.append(f"{name}: this cluster has no vip-manager (vip:manager is {vip['manager']})")
        elif FAULTS[name]["harmful"] and not harmful:
            reasons.append(f"{name} does harm ({FAULTS[name]['what']}): add harmful=True")
    return wanted, reasons


def without_consul(step: str) -> bool:
    """Return whether the leader of a step is cut off from Consul for a while, and works on by ``failsafe_mode``."""
    faults = [FAULTS[name] for name in parts(step)]
    return any(one["how"] == "cut-servers" or (one["how"], one["unit"]) == ("stop", "consul") for one in faults)


def bound(
    step: str, patroni: Mapping[str, Json], parameters: Mapping[str, Json] | None = None, vip: bool = True
) -> float:
    """
    Return for how many seconds clients may have no acknowledged write after a fault.

    step
        The fault; of two together the bounds add up.
    patroni
        The section ``patroni`` of a cluster's settings.
    parameters
        Parameters of PostgreSQL that were chosen; None: those that nobody has chosen.
    vip
        Whether the cluster has a virtual IP.

    A leader that is cut off from Consul works on by ``failsafe_mode``. When its Patroni or its server ends meanwhile,
    it cannot begin to lead again without Consul: another member does, after the lease. Commits wait for a synchronous
    replica that is cut off until PostgreSQL gives it up, and until the next loop. The system of a host that is frozen
    goes on answering, so a client leaves it only when the virtual IP does; without one, when the host goes on.
    """
    loop, faults = patroni["loop_wait"], [FAULTS[name] for name in parts(step)]
    lease = patroni["ttl"] + loop
    without = without_consul(step)
    waits: dict[str | None, float] = {None: 0, "loop": lease if without else loop, "lease": lease}
    most = [one["bound"] + waits[one["waits"]] for one in faults]
    for index, one in enumerate(faults):
        if one["how"] == "cut-replication":
            most[index] = max(most[index], _sender(parameters or {}) + loop + MARGIN)
        elif one["how"] == "freeze" and not vip:
            most[index] = max(lease, one["lasting"]) + MARGIN
    return sum(most)


def _sender(parameters: Mapping[str, Json]) -> float:
    """The seconds after which PostgreSQL gives up a replica; a number without a unit is milliseconds."""
    name = "wal_sender_timeout"
    # Null removes it from the settings, and leaves PostgreSQL its own.
    given = parameters.get(name, _DEFAULTS[name]) or _DEFAULTS[name]
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*", str(given))
    # What PostgreSQL does not read is named before it is anybody's setting.
    return float(found[1]) * _UNITS[found[2] or "ms"] if found else 0.0


def table(patroni: Mapping[str, Json], parameters: Mapping[str, Json] | None = None, vip: bool = True) -> str:
    """Return all faults as text for a person, a line each; the arguments are those of :py:func:`bound`."""
    width = max(map(len, FAULTS))
    rows = [
        f"{name:{width}}  {'harmful ' if one['harmful'] else 'harmless'}"
        f"  {bound(name, patroni, parameters, vip):4.0f} s  {one['what']}"
        for name, one in FAULTS.items()
    ]
    return "\n".join([f"{'fault':{width}}  {'':8}  {'bound':>6}  what it does", *rows])


def table_of(pgha: dict[str, Json], defaults: dict[str, Json], cluster: str) -> str:
    """Return all faults as text for a person, with the bounds that a drill of this cluster of the pillar has."""
    datacenter = pghalib.inventory.datacenter_of(pgha, cluster)
    patroni, postgres = (
        pghalib.inventory.section(name, pgha, defaults, datacenter, cluster) for name in ("patroni", "postgres")
    )
    vip = pghalib.inventory.vip(cluster, pgha["clusters"][cluster].get("vip"))
    return table(patroni, postgres["parameters"], vip is not None)
