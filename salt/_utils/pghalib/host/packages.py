"""The packages of this host's system."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.host.users import Ran

#: dpkg has files of numbers here while it works, and after it was cut off. apt looks here as well.
UPDATES = "/var/lib/dpkg/updates"


def cut_off() -> bool:
    """
    Return whether dpkg works, or was cut off, as by a loss of power: then apt does nothing until
    ``dpkg --configure -a`` has finished that.

    Raises OSError when the place of dpkg's notes cannot be read.
    """
    return any(name.isdigit() for name in os.listdir(UPDATES))


def reboots(run_all: Callable[..., Ran]) -> list[str]:
    """
    Return a warning, as a list, when this host reboots by itself after updates (unattended-upgrades): all hosts with
    the same setting do so in the same minute, and Consul loses its quorum.

    run_all
        ``__salt__["cmd.run_all"]``.
    """
    try:
        said = run_all(["apt-config", "dump", "Unattended-Upgrade"], python_shell=False, ignore_retcode=True)["stdout"]
    except CommandExecutionError:
        return []
    values = dict(re.findall(r'^Unattended-Upgrade::([\w-]+) "(.*)";$', said, re.MULTILINE))
    # As apt reads a truth (apt.conf(5)).
    if values.get("Automatic-Reboot", "").lower() not in ("1", "yes", "true", "with", "on", "enable"):
        return []
    when = values.get("Automatic-Reboot-Time", "now")
    return [
        f"this host reboots by itself after updates (Unattended-Upgrade::Automatic-Reboot, at {when}), maybe in"
        " the same minute as the others, and then the cluster stands still: set that to false in /etc/apt/apt.conf.d/,"
        " or give each host an Automatic-Reboot-Time of its own, an hour from the others'"
    ]
