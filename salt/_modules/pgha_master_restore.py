"""
The plan of a restore. Runs on the master, for the orchestration.
"""

import time

import pghalib.backup.target
import pghalib.inventory
import pghalib.master.answers
import pghalib.master.compiled
import pghalib.master.conditions
import pghalib.master.copied
import pghalib.master.restore
import pghalib.secrets.needed
import pghalib.secrets.restores
import pghalib.secrets.store
import pghalib.text

# Seconds until Salt asks whether a silent host is still working.
ANSWER = 30
WITHOUT = 'a member whose host is off can be left out: add "pgha": {"without": ["ID"]} to the pillar of this command'


def plan():
    """
    Return the plan of a restore: ``note`` (what is restored, where), ``hosts`` (the members that ``pgha:without`` does
    not leave out), ``leader`` (which leads afterwards), ``others`` (those that are copied), ``served`` (the cluster
    works with the restored data already, so nothing is stopped again), ``run`` (what the hosts are told), ``backed``
    (whether a backup is made in the end), ``flushing`` (of another cluster that is copied the members that say they
    lead), ``keepers`` (the repository hosts that let the copy read for as long as it takes), and ``refused``: the
    reasons why it must not begin, as lines. With any reason, ``refused`` is the only key.

    CLI Example:

    .. code-block:: bash

        salt-run salt.cmd pgha_master_restore.plan
    """
    known = __salt__["pgha_master.plan"](restoring=True)
    if known["refused"]:
        return {"refused": known["refused"]}
    defaults, given = __salt__["pgha.defaults"](), __pillar__.get("pgha_restore")
    pgha, _faults = pghalib.master.compiled.inventory(__opts__, __pillar__, defaults)
    clusters = [name for name in pgha["clusters"] if pghalib.secrets.needed.repositories(pgha, defaults, name)]
    faults = pghalib.backup.target.faults(given, clusters, pgha["clusters"])
    source = None if faults else given.get("from")
    faults += pghalib.master.copied.faults(pgha, defaults, source, given["cluster"]) if source else []
    if faults:
        return _refused(faults)
    cluster, target = given["cluster"], pghalib.backup.target.parsed(given)
    own = pghalib.inventory.plan({**pgha, "only": [cluster]})
    hosts, without = own["clusters"][cluster], own["run"]["without"]
    store = pghalib.secrets.store.directory(__opts__)
    note = pghalib.secrets.restores.noted(store, cluster)
    keep, copied = given.get("keep", True), source or (note or {}).get("source")
    begun = None
    if note and target["type"] == pghalib.backup.target.KEPT and target["value"] == note["id"]:
        # The way back from the middle of a restore, which ends it.
        begun, note = note, None
    if note and (note["target"], note.get("source"), note.get("keep", True)) != (target, source, keep):
        return _refused(
            [
                f"a restore of {pghalib.master.restore.words(note)} has begun and is not finished: finish that one"
                " first (give the same words), or go back to the data of before (docs/backup.md)"
            ]
        )
    # Of a copy's source the members that answer are enough: one, to begin; to go on, none.
    seen = _conditions(list(pgha["clusters"][source]["hosts"]))[0] if source else None
    if not note:
        away = [host for host in pgha["clusters"][cluster]["hosts"] if host in without]
        note, faults = _new(cluster, target, hosts, away, given, source, seen, begun)
        if faults:
            return _refused(faults)
        served, leader = False, None
    else:
        told, refused = _conditions(hosts)
        faults = [f"{host}: {why}" for host, why in refused.items()]
        faults += pghalib.master.restore.outlived(note, told, pghalib.secrets.restores.file(store, cluster))
        served = pghalib.master.conditions.served(told, note["id"])
        leader = pghalib.master.conditions.leader(told, note["id"]) if served else None
        if served and not leader:
            faults.append(pghalib.master.restore.leaderless(cluster))
        if note["host"] not in hosts and not served:
            faults.append(f"{note['host']} has the data that are restored: a run without it cannot go on")
        if faults:
            return _refused(faults)
    others = [host for host in hosts if host != (leader or note["host"])]
    run = {"restore": note, "without": without}
    if source:
        run["copied"] = pghalib.master.copied.settings(pgha, defaults, source, cluster)
    # Also when the way back ends a copy.
    keepers = pghalib.master.copied.keepers(pgha, defaults, copied, cluster) if copied else []
    return {
        "refused": [],
        "note": note,
        "hosts": hosts,
        "leader": leader or note["host"],
        "others": others,
        "served": served,
        "run": run,
        "backed": cluster in clusters and not source,
        "flushing": [host for host, one in (seen or {}).items() if one["leads"]],
        "keepers": [host for host in keepers if host not in without],
    }


def _new(cluster, target, hosts, away, given, source, seen, begun):
    """The note of a new restore, and the reasons why it must not begin; ``begun``: the note of one that it ends."""
    keep = given.get("keep", True)
    told, refused = _conditions(hosts)
    faults = [f"{host}: {why}" for host, why in refused.items()]
    faults += [WITHOUT] if refused else []
    if not faults:
        faults = pghalib.master.restore.in_place(begun, told) if begun else []
        faults += pghalib.master.restore.faults(cluster, target, told, time.time(), seen, keep, source)
    confirm = given.get("confirm")
    if not faults and confirm != pghalib.backup.target.confirmation(
        cluster, target, source, keep, pghalib.master.conditions.timeline(told)
    ):
        faults = pghalib.master.restore.asked(cluster, target, told, time.time(), away, source, seen, keep, confirm)
    return (None, faults) if faults else (pghalib.master.restore.new(cluster, target, told, source, keep), [])


def _conditions(hosts):
    answers = __salt__["saltutil.cmd"](hosts, "pgha_restore.conditions", tgt_type="list", timeout=ANSWER)
    answers = {host: answer.get("ret") for host, answer in answers.items()}
    return pghalib.master.answers.sort(hosts, answers, pghalib.master.conditions.checked)


def _refused(faults):
    return {"refused": [pghalib.text.line(fault) for fault in faults]}
