"""
States of the units of services and timers: written when systemd accepts them, read by systemd (else a change on the
disk would take effect at some later moment, unnoticed), and stopped.
"""

import os

import pghalib.host.files
import pghalib.services
import pghalib.services.shown
import pghalib.services.started
import pghalib.states
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def written(ret, unit, source, context):
    """
    The file of a unit has its content, and systemd accepts it. If systemd does not, the old file stays.

    name
        State ID; not used.
    unit
        Name of a service or a timer, such as ``consul.service``. The program that a service starts must be installed.
    source
        ``salt://`` URL of its Jinja template.
    context
        Variables of the template; may be empty.
    """
    done = pghalib.host.files.manage(
        f"{pghalib.services.UNITS}/{unit}",
        __salt__["pgha_unit.rendered"](source, context),
        user="root",
        group="root",
        mode="0644",
        test=ret.test,
        check=lambda draft: __salt__["pgha_unit.verify"](draft, unit),
    )
    return ret.add(done)


@pghalib.states.state
def stopped(ret, unit):
    """
    A service does not run and does not start at a boot. There is nothing to do where systemd does not know the service.

    name
        State ID; not used.
    unit
        Name of a service or a timer, such as ``consul.service``.
    """
    shown = __salt__["service.show"](unit)
    # A unit whose file was removed is still active in systemd while its process runs.
    if shown.get("LoadState") == "not-found" and pghalib.services.shown.ended(shown):
        return f"There is no {unit}."
    done = __states__["service.dead"](unit, enable=False)
    said = ret.add(done)
    if done["result"] is None:
        # In a dry run service.dead tells no changes.
        raise pghalib.states.Later(said)
    return said


@pghalib.states.state
def current(ret, unit, files=()):
    """
    A running service was started with its unit and its files as they are on the disk; else it is restarted. This is for
    services whose restart does no harm. The unit notes what it starts the service with, so that a run which ends
    between a change and the restart leaves the restart to the next run.

    name
        State ID; not used.
    unit
        Name of a service of the formula, such as ``pgha-guard.service``.
    files
        Paths of the files that the service reads at its start alone, as its unit notes them.
    """
    service = unit.removesuffix(".service")
    if ret.test and not __salt__["service.status"](service):
        return f"{unit} would be started with its files as they are."
    changed = pghalib.services.started.changed(service, files)
    if not changed:
        return f"{unit} was started with its files as they are."
    ret.plan({path: {"old": "another at the start", "new": "read by a restart"} for path in changed})
    if ret.test:
        return f"{unit} would be restarted."
    if not __salt__["service.restart"](service) or pghalib.services.started.changed(service, files):
        raise CommandExecutionError(f"systemctl restart {unit} failed: systemctl status {unit} says why")
    return f"{unit} was restarted."


@pghalib.states.state
def read(ret, unit):
    """
    systemd has read a unit as it is on the disk, or has forgotten a unit whose file was removed. Nothing is started or
    restarted.

    systemd itself is asked, so a change by an interrupted run or by somebody else is also read.

    name
        State ID; not used.
    unit
        Name of a service or a timer of the formula, such as ``consul.service``.
    """
    if not _unread(unit):
        return f"systemd knows {unit} as it is on the disk."
    ret.plan({unit: {"old": "on the disk alone", "new": "read by systemd"}})
    if ret.test:
        return f"systemd would be told to read {unit}."
    # The running process was started by the unit that systemd had read before: the note of its start must say so.
    pghalib.services.started.by_an_older_unit(unit.removesuffix(".service"))
    __salt__["service.systemctl_reload"]()
    if shown := _unread(unit):
        raise CommandExecutionError(f"systemd does not take {unit} ({shown}): systemctl status {unit} says why")
    return f"systemd has read {unit}; what runs is left as it is."


def _unread(unit):
    """The state of a unit that systemd does not know as it is on the disk; None when systemd knows it."""
    shown = __salt__["service.show"](unit)
    state = shown.get("LoadState")
    if shown.get("NeedDaemonReload") == "yes":
        return f"{state}, changed on the disk"
    if state == "loaded" or not os.path.lexists(f"{pghalib.services.UNITS}/{unit}"):
        return None
    return str(state)
