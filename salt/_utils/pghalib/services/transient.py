"""
Programs that go on whatever becomes of the minion's job: each in a unit that systemd makes for it and forgets at its
end (:py:func:`start`), or keeps until its result was asked (:py:func:`begin`).

``run_all`` is ``__salt__["cmd.run_all"]``, and ``unit`` the name of a service without its suffix.
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


def command(unit: str, words: Sequence[str], properties: Mapping[str, str], *options: str) -> list[str]:
    """
    Return the command that has systemd make a unit, as a list of words.

    unit
        Its name.
    words
        The program and its arguments.
    properties
        Of the unit, such as ``{"User": "postgres"}``.
    options
        More for systemd-run, such as ``--no-block``.
    """
    own = [f"--property={key}={value}" for key, value in properties.items()]
    return ["systemd-run", "--quiet", f"--unit={unit}", *options, *own, *words]


def start(
    run_all: Callable[..., Ran], unit: str, words: Sequence[str], properties: Mapping[str, str], *options: str
) -> None:
    """
    Start a program in a unit that systemd forgets when the program has ended, also when it has failed.

    Arguments as those of :py:func:`command`. Raises CommandExecutionError when systemd does not start it.
    """
    _run(run_all, unit, command(unit, words, properties, "--collect", *options))


def begin(run_all: Callable[..., Ran], unit: str, words: Sequence[str], properties: Mapping[str, str]) -> None:
    """
    Begin work that ends by itself, and do not wait for it. What is left of an earlier unit of this name is forgotten.

    Arguments as those of :py:func:`command`. Raises CommandExecutionError when systemd does not start it.
    """
    forget(run_all, unit)
    own = {"Type": "oneshot", "RemainAfterExit": "yes", **properties}
    _run(run_all, unit, command(unit, words, own, "--no-block"))


def stop(run_all: Callable[..., Ran], unit: str) -> None:
    """End the program of a unit, if one runs, and wait for its end. Whether it has ended is not looked at."""
    _systemctl(run_all, "stop", unit)


def state(shown: Mapping[str, str]) -> Literal["running", "done", "failed"]:
    """Return how the work is that was begun; ``shown`` is what ``service.show`` tells of the unit."""
    # A moment after it was begun, its start may still be queued.
    if pghalib.services.shown.works(shown) or shown.get("Job", "0") not in ("", "0"):
        return "running"
    return "done" if pghalib.services.shown.runs(shown) and shown.get("Result", "success") == "success" else "failed"


def forget(run_all: Callable[..., Ran], unit: str) -> None:
    """End what is left of the work, and of its unit."""
    stop(run_all, unit)
    _systemctl(run_all, "reset-failed", unit)


def lines(run_all: Callable[..., Ran], unit: str) -> list[str]:
    """Return the last ``LINES`` lines that the work has written."""
    words = ["journalctl", f"--unit={unit}", f"--lines={LINES}", "--output=cat", "--no-pager", "--quiet"]
    return run_all(words, python_shell=False, ignore_retcode=True)["stdout"].splitlines()


def _run(run_all: Callable[..., Ran], unit: str, words: Sequence[str]) -> None:
    result = run_all(words, python_shell=False, ignore_retcode=True)
    if result["retcode"]:
        said = pghalib.text.line(result["stderr"] or result["stdout"])
        raise CommandExecutionError(f"systemd does not start {unit}: {said}")


def _systemctl(run_all: Callable[..., Ran], verb: str, unit: str) -> None:
    run_all(["systemctl", verb, f"{unit}.service"], python_shell=False, ignore_retcode=True)
