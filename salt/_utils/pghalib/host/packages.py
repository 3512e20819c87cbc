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
    words = ["apt-config", "dump", "Unattended-Upgrade", "APT::Periodic"]
    try:
        said = run_all(words, python_shell=False, ignore_retcode=True)["stdout"]
    except CommandExecutionError:
        return []
    values = dict(re.findall(r'^(?:Unattended-Upgrade|APT::Periodic)::([\w-]+) "(.*)";$', said, re.MULTILINE))
    # How often updates are installed: never, where it is 0 or not said. Then a truth as apt reads it (apt.conf(5)).
    often, reboot = values.get("Unattended-Upgrade", "0"), values.get("Automatic-Reboot", "").lower()
    if often == "0" or reboot not in ("1", "yes", "true", "with", "on", "enable"):
        return []
    return [
        "this host reboots by itself after updates (Unattended-Upgrade::Automatic-Reboot,"
        f" {values.get('Automatic-Reboot-Time', 'now')}), and the others may do so in the same minute, so that the"
        " whole cluster stands still: set that to false in /etc/apt/apt.conf.d/, and reboot one host after another"
    ]
