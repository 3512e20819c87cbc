"""
The lasting faults of a drill: the commands that make each of them on a host, and the command that undoes it.

A timer of the host's own systemd undoes a fault. It is set before the fault, so that the fault also ends when the
drill, the master or the minion is killed. A daemon-reload makes systemd count its time anew. Pure functions.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

import pghalib.drill
import pghalib.services.transient

if TYPE_CHECKING:
    from pghalib.drill.faults import Fault
    from pghalib.shapes import MemberSettings

#: Name of the timer that undoes a fault, and of the service that it starts.
UNDO = "pgha-drill-undo"
#: Name of the service, and of the file that it opens, that fill a file system.
FULL = "pgha-drill-full"
#: The packages of programs that a small system may lack.
PACKAGES = {"nft": "nftables", "kill": "procps"}
#: Directory of units and their drop-ins until the next boot.
UNITS = "/run/systemd/system"


class Command(NamedTuple):
    """A program with its arguments, and its standard input."""

    words: list[str]
    text: str | None = None


class Plan(NamedTuple):
    """What a lasting fault is: the command that undoes it, and the commands that make it, in their order."""

    undo: list[str]
    make: list[Command]


def plan(one: Fault, settings: MemberSettings, pid: int | None, free: int = 0) -> Plan:
    """
    Return how a lasting fault is made and undone. Its undoing does no harm where nothing was made, nor does it fail
    there: where it fails, the fault lasts.

    one
        The fault.
    settings
        Those of the host.
    pid
        The postmaster's process id; only a fault of the postmaster uses it.
    free
        The bytes that PostgreSQL could still write; only a full file system uses them.
    """
    how, unit = one["how"], f"{one['unit']}.service"
    if how == "hang":
        return Plan(_unless_gone(_signal("CONT", unit), unit), [Command(_signal("STOP", unit))])
    if how == "hang-postmaster":
        # The postmaster is no unit's main process. A later process of that number is not harmed by a CONT, and where
        # there is none, nothing hangs.
        return Plan(["sh", "-c", f"kill -s CONT {pid} || true"], [Command(["kill", "-s", "STOP", str(pid)])])
    if how == "stop":
        return Plan(["systemctl", "start", unit], [Command(["systemctl", "stop", unit])])
    if how == "dead":
        return _dead(unit)
    if how == "freeze":
        return Plan(_signals("CONT", settings), [Command(_signals("STOP", settings))])
    if how == "full":
        return _full(f"{beside(settings)}/{FULL}", free, one["lasting"])
    # Only a table that is there can be deleted; to add one that is there changes nothing.
    table = f"table inet {pghalib.drill.NAME}"
    return Plan(
        ["sh", "-c", f"nft add {table} && nft delete {table}"], [Command(["nft", "-f", "-"], cut(how, settings))]
    )


def beside(settings: MemberSettings) -> str:
    """Return the directory above a member's data directory. What fills a file system is a file in there."""
    return os.path.dirname(settings["postgres"]["data_dir"])


def timer(seconds: int) -> list[str]:
    """Return the options of systemd-run with which it sets a timer: in so many seconds that starts the program."""
    return [f"--on-active={seconds}", "--timer-property=AccuracySec=100ms"]


def _signal(name: str, unit: str) -> list[str]:
    # Without "main" systemd sends the signal to PostgreSQL as well, which runs in Patroni's control group.
    return ["systemctl", "kill", f"--signal={name}", "--kill-whom=main", unit]


def _unless_gone(words: list[str], unit: str) -> list[str]:
    """The command, which may fail where nothing of the unit runs."""
    return ["sh", "-c", f"{shlex.join(words)} || ! systemctl is-active --quiet {unit}"]


def _signals(name: str, settings: MemberSettings) -> list[str]:
    """All processes of all services of a member, PostgreSQL's among them."""
    units = ["consul", "patroni"]
    units += ["vip-manager"] if settings["vip"]["manager"] == "vip-manager" else []
    units += ["pgha-guard"] if settings["patroni"]["guard"] else []
    return ["systemctl", "kill", f"--signal={name}", "--kill-whom=all", *(f"{unit}.service" for unit in units)]


def _dead(unit: str) -> Plan:
    """
    A service is killed and not started again. To stop the unit would end in order what it runs, so systemd is told to
    leave it dead: by a file below /run, which a boot forgets, beside the unit, which stays as it is.
    """
    path = f"{UNITS}/{unit}.d/{UNDO}.conf"
    undo = [f"rm -f {path}", "systemctl daemon-reload", f"systemctl start {unit}"]
    make = [
        Command(["install", "-D", "-m", "0644", "/dev/stdin", path], "[Service]\nRestart=no\n"),
        Command(["systemctl", "daemon-reload"]),
        Command(_signal("KILL", unit)),
    ]
    # Whatever fails of it, the service is started in the end. Not with ";": at the daemon-reload systemd reads its own
    # note of the command anew, and takes a quoted ";" for an escaped one (seen with 252).
    return Plan(["sh", "-c", " || true && ".join(undo)], make)


def _full(path: str, free: int, seconds: int) -> Plan:
    """
    The file that takes all room has no name: it goes with the last process that has it open, and with a reboot. That
    process is a sleep, which ends a little later also when nobody stops its service. A service that forks has started
    when its first process has ended well; so where there is no room, systemd-run fails.
    """
    name = shlex.quote(path)
    fill = f"exec 9> {name} && rm {name} && fallocate -l {free} /proc/self/fd/9 && (sleep {seconds + 5} &)"
    words = pghalib.services.transient.command(FULL, ["/bin/sh", "-c", fill], {"Type": "forking"}, "--collect")
    unit = f"{FULL}.service"
    return Plan(_unless_gone(["systemctl", "stop", unit], unit), [Command(words)])


def cut(how: str, settings: MemberSettings) -> str:
    """
    Return the rules of nftables that cut a host off, as text for ``nft -f``.

    how
        ``cut-servers``: from Consul's servers; ``cut-everyone``: from all other hosts of the cluster as well;
        ``cut-replication``: from PostgreSQL of the other members, while they still reach PostgreSQL here.
    settings
        Those of the host.
    """
    cluster, servers = settings["cluster"]["hosts"], settings["datacenter"]["servers"]
    hosts = {"cut-servers": servers, "cut-everyone": [*servers, *cluster], "cut-replication": cluster}[how]
    others = dict.fromkeys(one["address"] for one in hosts if one["address"] != settings["address"])
    # The address is the other side's: packets come from it and go to it. So is the port.
    sides = {"input": ("saddr", "sport"), "output": ("daddr", "dport")}
    port = f" tcp {{}} {settings['postgres']['port']}" if how == "cut-replication" else ""
    chains = "".join(
        f"  chain {hook} {{\n    type filter hook {hook} priority -500;\n"
        + "".join(f"    ip {address} {one}{port.format(number)} drop\n" for one in others)
        + "  }\n"
        for hook, (address, number) in sides.items()
    )
    return f"table inet {pghalib.drill.NAME} {{\n{chains}}}\n"
