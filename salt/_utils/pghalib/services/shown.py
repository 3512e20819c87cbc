"""
What systemd shows of a unit (``service.show``), and what its ``ActiveState`` and ``SubState`` mean. Pure functions.

Each takes what was shown, as a mapping. Where systemd did not answer, no state was shown: then each says no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def runs(shown: Mapping[str, str]) -> bool:
    """
    Return whether the unit runs, as ``systemctl is-active`` means it: also while it is told to read its files anew,
    and a mount while it is mounted with other options.
    """
    return shown.get("ActiveState") in ("active", "reloading")


def starts(shown: Mapping[str, str]) -> bool:
    """Return whether the unit runs or will in a moment: it is being started, or started again after it has failed."""
    return runs(shown) or shown.get("ActiveState") == "activating"


def waits(shown: Mapping[str, str]) -> bool:
    """
    Return whether the unit has ended by itself and waits for its next start (``Restart=``). Of one that ends at once,
    for ever, nearly every look finds this; by ``ActiveState`` it is "activating" then.
    """
    return shown.get("SubState", "").startswith("auto-restart")


def ended(shown: Mapping[str, str]) -> bool:
    """Return whether nothing of the unit runs any more, nor will by itself; one that is being stopped still runs."""
    return shown.get("ActiveState") in ("inactive", "failed")


def works(shown: Mapping[str, str]) -> bool:
    """
    Return whether the work of a unit is under way that ends by itself (``Type=oneshot``). Such a unit is "activating"
    until its program has ended; with ``RemainAfterExit`` "active" means that the work is done.
    """
    return shown.get("ActiveState") in ("activating", "deactivating", "reloading")


def main_pid(shown: Mapping[str, str]) -> int | None:
    """
    Return the process id of a service that runs, else None. Of one that is being started or stopped there may be a
    process, too: it does not run the program yet, or will not for long.
    """
    number = int(shown.get("MainPID") or 0)
    return number if number and runs(shown) else None
