"""The progress of an orchestration, as the events of the master's bus show it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import salt.utils.event
from salt.exceptions import CommandExecutionError

import pghalib.master.report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json


def follow(opts: Mapping[str, Json], timeout: float) -> str:
    """
    Print a line when a stage starts and when a host has finished, until the orchestration ends; return how it ended.

    opts
        The master's options.
    timeout
        Seconds.

    Raises CommandExecutionError when the orchestration fails, and when none ends in that time.
    """
    started = time.monotonic()
    jobs: dict[str, str] = {}
    with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=True) as bus:
        while time.monotonic() - started < timeout:
            event = bus.get_event(wait=5, full=True, auto_reconnect=True)
            line, ended = pghalib.master.report.progress(event, jobs) if event else (None, None)
            if line:
                print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True)
            if ended is False:
                raise CommandExecutionError("The orchestration failed; its own output says where and why")
            if ended:
                return "The orchestration has ended well."
    raise CommandExecutionError(f"No orchestration ended within {timeout} s")
