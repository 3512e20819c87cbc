"""
The proof on this host that a backup can be restored: begun, followed, and what the last one has shown.
"""

import os
import time

import pghalib.backup.proof
import pghalib.host.files
import pghalib.parse
import pghalib.services.shown
import pghalib.services.transient
from salt.exceptions import CommandExecutionError

PROGRAM, RESULT = pghalib.backup.proof.PROGRAM, pghalib.backup.proof.RESULT
TIMER = "pgha-proof.timer"
UNIT = f"/etc/systemd/system/{TIMER}"
# The unit of a proof that a person asks for, and that of the timer.
MANUAL, TIMED = "pgha-proof-now", "pgha-proof.service"
# Seconds: a proof of a later time than that was made when the clock was ahead, and how old it is nobody knows.
AHEAD = 3600


def limits():
    """
    Return what a proof may take of this host, and where it may write, as properties of a unit of systemd.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_proof.limits
    """
    return pghalib.backup.proof.limits(__salt__["pgha.settings"]()["postgres"])


def begin():
    """
    Begin a proof on this host. It goes on whatever becomes of the caller.

    Raises CommandExecutionError when one runs already.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_proof.begin
    """
    busy = next((unit for unit in (MANUAL, TIMED) if _state(unit) == "running"), None)
    if busy:
        raise CommandExecutionError(f"A proof runs already on {__opts__['id']}: journalctl -fu {busy}")
    postgres = __salt__["pgha.settings"]()["postgres"]
    properties = {"User": postgres["user"], "Group": postgres["group"], **limits()}
    words = ["/usr/bin/python3", "-I", PROGRAM, "run", "now"]
    pghalib.services.transient.begin(__salt__["cmd.run_all"], MANUAL, words, properties)


def progress():
    """
    Return how the proof is that was begun here by :py:func:`begin`: ``state`` (``running``, ``done``, ``failed``) and
    ``lines`` (the last ones of its journal).

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_proof.progress
    """
    state, run_all = _state(MANUAL), __salt__["cmd.run_all"]
    if state != "running":
        pghalib.services.transient.forget(run_all, MANUAL)
    return {"state": state, "lines": pghalib.services.transient.lines(run_all, MANUAL)}


def result():
    """
    Return what the last proof on this host has shown, None when there was none: ``at`` (seconds since 1970),
    ``backup``, ``size`` (bytes), ``fetched``, ``recovered``, ``checked`` (seconds since it began), ``newest`` (the last
    transaction, seconds since 1970), ``checks`` and ``fault`` (None when all is well), and the others of
    ``pghalib.backup.proof.Proof``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_proof.result
    """
    text = pghalib.host.files.read_foreign(RESULT, 65536)
    try:
        return pghalib.backup.proof.checked(pghalib.parse.from_json(text)) if text else None
    except ValueError:
        return None


def due():
    """
    Return how many seconds ago a proof on this host was good (``proven``, None when none was), and for how long a timer
    has been there (``since``). None where no timer starts proofs. Any member may have the newest one.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_proof.due
    """
    if not _timed():
        return None
    last, now = result(), time.time()
    since = os.stat(UNIT).st_mtime if os.path.exists(UNIT) else now
    good = last and not last["fault"] and last["at"] <= now + AHEAD
    proven = now - last["at"] if good else None
    return {"proven": proven, "since": now - since}


def faults():
    """
    Return what is wrong with the proofs on this host, as sentences: the last one failed, or nothing starts the next.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_proof.faults
    """
    settings = __salt__["pgha.settings"]()
    if settings["role"] != "db" or not settings["backup"]["repositories"]:
        return []
    found = []
    if _timed() and not pghalib.services.shown.runs(__salt__["service.show"](TIMER)):
        found.append(f"{TIMER} does not run, so nothing proves that backups can be restored: run the main job")
    last = result()
    return [*found, pghalib.backup.proof.sentence(last)] if last and last["fault"] else found


def _timed():
    """Whether a timer starts the proofs of this host's cluster."""
    settings = __salt__["pgha.settings"]()
    backup = settings["backup"]
    return settings["role"] == "db" and bool(backup["repositories"] and backup["proof_day"])


def _state(unit):
    return pghalib.services.transient.state(__salt__["service.show"](unit))
