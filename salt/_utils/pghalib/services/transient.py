"""
Work of the user of PostgreSQL that goes on whatever becomes of the minion's job: a unit that systemd makes for it and
keeps until its result was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.services.shown
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from pghalib.host.users import Ran

#: The lines of what the work has written that are shown.
LINES = 20


def begin(run_all: Callable[..., Ran], unit: str, words: Sequence[str], properties: Mapping[str, str]) -> None:
    """
    Begin the work.

    run_all
        ``__salt__["cmd.run_all"]``.
    unit
        The name of the unit, without a suffix. What is left of an earlier one is forgotten.
    words
        The program and its arguments.
    properties
        Of the unit, such as ``{"User": "postgres"}``.

    Raises CommandExecutionError when systemd does not start it.
    """
    forget(run_all, unit)
    own = {"Type": "oneshot", "RemainAfterExit": "yes", **properties}
    command = ["systemd-run", "--no-block", "--quiet", f"--unit={unit}"]
    command += [f"--property={key}={value}" for key, value in own.items()]
    result = run_all([*command, *words], python_shell=False, ignore_retcode=True)
    if result["retcode"]:
        raise CommandExecutionError(f"systemd does not start {unit}: {pghalib.text.line(result['stderr'])}")


def state(shown: Mapping[str, str]) -> Literal["running", "done", "failed"]:
    """Return how the work is; ``shown`` is what ``service.show`` tells of the unit."""
    # A moment after it was begun, its start may still be queued.
    if pghalib.services.shown.works(shown) or shown.get("Job", "0") not in ("", "0"):
        return "running"
    return "done" if pghalib.services.shown.runs(shown) and shown.get("Result", "success") == "success" else "failed"


def forget(run_all: Callable[..., Ran], unit: str) -> None:
    """End what is left of the work, and of its unit."""
    for verb in ("stop", "reset-failed"):
        run_all(["systemctl", verb, f"{unit}.service"], python_shell=False, ignore_retcode=True)


def lines(run_all: Callable[..., Ran], unit: str) -> list[str]:
    """Return the last ``LINES`` lines that the work has written."""
    words = ["journalctl", f"--unit={unit}", f"--lines={LINES}", "--output=cat", "--no-pager", "--quiet"]
    return run_all(words, python_shell=False, ignore_retcode=True)["stdout"].splitlines()
