"""
The hosts of an orchestration, and the reasons why it must not begin. Runs on the master, for the orchestrations.
"""

import sys

import pghalib.inventory
import pghalib.master.answers
import pghalib.master.compiled
import pghalib.master.restore
import pghalib.master.turns
import pghalib.secrets.anew
import pghalib.secrets.credentials
import pghalib.secrets.encryption
import pghalib.secrets.store
import pghalib.text
import pghalib.versions
import salt.version
from salt.exceptions import CommandExecutionError

# Seconds until Salt asks whether a silent host is still working.
ANSWER = 15
SERVED = (
    "ext_pillar: has no entry 'pgha: true' in the master's configuration, so no host would be served its secrets: add"
    " it and restart the master"
)
OLDER = (
    "this master works with other modules of the formula than it serves ({}{}): run salt-run saltutil.sync_all, and"
    " restart the master"
)


def plan(restoring=False):
    """
    Return the hosts of the main job, as ``pgha.plan`` does, and ``refused``: the faults because of which the job must
    not begin, as lines. With any fault, ``refused`` is the only key.

    restoring
        True for a restore: one that is not finished does not speak against it.

    CLI Example:

    .. code-block:: bash

        salt-run salt.cmd pgha_master.plan
    """
    if older := __salt__["pgha_library.older"](__opts__.get("saltenv") or "base"):
        # By the former modules nothing that is said of the new pillar would be true.
        return {"refused": [OLDER.format(older[0], f" and {len(older) - 1} more" if older[1:] else "")]}
    try:
        pgha, faults = pghalib.master.compiled.inventory(__opts__, __pillar__, __salt__["pgha.defaults"]())
    except CommandExecutionError as error:
        pgha, faults = {}, [str(error)]
    if not any(isinstance(one, dict) and one.get("pgha") for one in __opts__.get("ext_pillar") or []):
        faults.append(SERVED)
    old = pghalib.versions.too_old(salt.version.__version__, sys.version, "master")
    faults += [old] if old else []
    # A restore brings nothing into the repositories that is not there.
    faults += [] if faults else _unstored(pgha, () if restoring else pghalib.inventory.plan(pgha)["clusters"])
    if not faults and not restoring:
        store = pghalib.secrets.store.directory(__opts__)
        faults += pghalib.master.restore.unfinished(store, pghalib.inventory.plan(pgha)["clusters"])
    if faults:
        return {"refused": [pghalib.text.line(fault) for fault in faults]}
    return {**pghalib.inventory.plan(pgha), "refused": []}


def _unstored(pgha, clusters):
    """
    Faults that the store tells: secrets that only a person can bring, names that no certificate can have, and secrets
    to be made anew that there never were.
    """
    store, defaults = pghalib.secrets.store.directory(__opts__), __salt__["pgha.defaults"]()
    try:
        index = pghalib.secrets.store.index(store)
        found = pghalib.secrets.encryption.faults(store, pgha, defaults, index)
        found += pghalib.secrets.anew.unknown(pgha, defaults, index["made"])
        return found + pghalib.secrets.credentials.lacking(store, pgha, defaults, clusters)
    except CommandExecutionError as error:
        return [str(error)]


def turns():
    """
    Return the turns of a rolling restart, and ``refused`` and ``run`` as in :py:func:`plan`. ``turns`` is a list of
    ``{"host", "sls", "what"}``; it is empty when nothing is pending or something is refused.

    CLI Example:

    .. code-block:: bash

        salt-run salt.cmd pgha_master.turns
    """
    known = plan()
    if known["refused"]:
        return {**known, "turns": [], "run": {}}
    try:
        return {"refused": [], "turns": _turns(known), "run": known["run"]}
    except CommandExecutionError as error:
        return {"refused": [pghalib.text.line(line) for line in str(error).splitlines()], "turns": [], "run": {}}


def _turns(plan):
    """Ask all hosts of a plan for pending restarts. Raises CommandExecutionError that names every host that fails."""
    answers = __salt__["saltutil.cmd"](plan["hosts"], "pgha_restart.facts", tgt_type="list", timeout=ANSWER)
    answers = {host: answer.get("ret") for host, answer in answers.items()}
    told, refused = pghalib.master.answers.sort(plan["hosts"], answers, pghalib.master.answers.restart_facts)
    if refused:
        lines = ["Nothing was restarted; these hosts do not tell what waits on them (does the main job pass?)"]
        raise CommandExecutionError("\n".join([*lines, *(f"  - {host}: {why}" for host, why in refused.items())]))
    return pghalib.master.turns.order(plan, told)
