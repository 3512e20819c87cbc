"""The progress of an orchestration, as the events of the master's bus show it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import salt.utils.event
from salt.exceptions import CommandExecutionError

import pghalib.master.alone
import pghalib.master.events
import pghalib.secrets.store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json


def follow(opts: Mapping[str, Json], timeout: float) -> str:
    """
    Print a line when a stage starts and when a host has finished, until the orchestration ends; return how it ended.

    A minion can send an event with any content (:py:func:`pghalib.master.events.read`). So the orchestration has ended
    only when its lock is free as well.

    opts
        The master's options.
    timeout
        Seconds.

    Raises CommandExecutionError when the orchestration fails, and when none ends in that time.
    """
    started = time.monotonic()
    jobs: dict[str, str] = {}
    well: bool | None = None
    with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=True) as bus:
        while time.monotonic() - started < timeout:
            event = bus.get_event(wait=5 if well is None else 0.2, full=True, auto_reconnect=True)
            line, ended = progress(event, jobs) if event else (None, None)
            if line:
                print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True)
            well = well if ended is None else ended
            if well is None or pghalib.master.alone.taken(pghalib.secrets.store.directory(opts)):
                continue
            if well:
                return "The orchestration has ended well."
            raise CommandExecutionError("The orchestration failed; its own output says where and why")
    raise CommandExecutionError(f"No orchestration ended within {timeout} s")


def progress(event: Mapping[str, Json], jobs: dict[str, str]) -> tuple[str | None, bool | None]:
    """
    Return (line, end) for one event of the master's bus: the line to show about a running orchestration of the formula,
    or None, and how the orchestration ended.

    event
        Mapping with ``tag`` and ``data``, not yet checked.
    jobs
        The jobs seen so far, by jid; this function adds to them.

    The second value is None while the orchestration goes on, True (success) or False at its end.
    """
    said = pghalib.master.events.read(event.get("tag"), event.get("data"))
    if said and said["what"] == "new":
        jobs[said["jid"]] = " ".join(said["sls"])
        return f"{jobs[said['jid']]}: started on {', '.join(said['hosts'])}", None
    if said and said["what"] == "ret" and said["jid"] in jobs:
        return f"{jobs[said['jid']]}: {said['host']} {'done' if said['done'] else 'FAILED'}", None
    if said and said["what"] == "end":
        return None, said["done"]
    return None, None
