"""
States of a restore. On the master: its note, from the beginning to the end. On the members: the data of now are kept
aside, the data of then take their place, and Patroni forgets the time between.
"""

import pghalib.backup.config
import pghalib.backup.files
import pghalib.backup.recovering
import pghalib.backup.target
import pghalib.host.files
import pghalib.patroni.member
import pghalib.secrets.restores
import pghalib.secrets.served
import pghalib.secrets.store
import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError

# Seconds for the last file of WAL to get into the repository.
ARCHIVED = 120
# Seconds for the server to recover: as long as it goes on.
RECOVERY = 7 * 86400


@pghalib.states.state
def noted(ret, note):
    """
    The master has noted that a restore has begun, so that an interrupted one is gone on with.

    name
        State ID; not used.
    note
        ``pghalib.secrets.restores.Note``.
    """
    store = pghalib.secrets.store.directory(__opts__)
    if pghalib.secrets.restores.noted(store, note["cluster"]) == note:
        return "The restore that was begun goes on."
    ret.plan({note["cluster"]: {"old": None, "new": f"a restore to {note['target']['text']}"}})
    if not ret.test:
        pghalib.secrets.store.write(pghalib.secrets.restores.file(store, note["cluster"]), note)
    return None


@pghalib.states.state
def ended(ret, cluster):
    """
    The restore of a cluster is at its end: the master's note of it is gone.

    name
        State ID; not used.
    cluster
        Its name.
    """
    store = pghalib.secrets.store.directory(__opts__)
    if not pghalib.secrets.restores.exists(store, cluster):
        return "No restore is noted."
    ret.plan({cluster: {"old": "a restore", "new": None}})
    if not ret.test:
        pghalib.host.files.remove(str(pghalib.secrets.restores.file(store, cluster)), test=False)
    return (
        "The restore has ended. Data of before that were kept are on every host, beside the new ones, as"
        " DIRECTORY.before-ID."
    )


@pghalib.states.state
def alone(ret):
    """
    No member runs that this run leaves out: with the data of now it would lead while the others are stopped.

    name
        State ID; not used.
    """
    settings = __salt__["pgha.settings"]()

    def silent():
        names = __salt__["pgha_restore.left_out"]()
        if names:
            raise CommandExecutionError(
                f"{', '.join(names)} runs, though this run leaves it out (pgha:without): Patroni there renews its key"
                " in Consul. Switch the host off, or take it into the run"
            )
        return True

    # The key of a host that has just died stays for as long as its lease.
    timeout = 0 if ret.test else 2 * settings["patroni"]["ttl"]
    pghalib.wait.until(silent, timeout, "no member runs that is left out", 1)
    return "No member runs that is left out."


@pghalib.states.state
def flushed(ret):
    """
    All that was committed until now is in the archive, where this host leads. When the archive does not take it, that
    is said, and no reason to stop: the data are kept aside.

    name
        State ID; not used.
    """
    if not pghalib.patroni.member.leads(__salt__["pgha_patroni.member"]() or {}):
        return "This host does not lead, so there is nothing to archive."
    if ret.test:
        return "The last WAL would be archived."
    try:
        wal = __salt__["pgha_restore.wal_switched"]()
        pghalib.wait.until(lambda: __salt__["pgha_restore.archived"](wal), ARCHIVED, f"{wal} is in the archive")
    except CommandExecutionError as error:
        return f"The last WAL is not in the archive: {error}"
    return f"{wal} is in the archive."


@pghalib.states.state
def aside(ret, restore, keep=True):
    """
    The data of this host are beside their place, as DIRECTORY.before-ID, and this host has none.

    name
        State ID; not used.
    restore
        The id of the restore.
    keep
        False: the data are removed, and those of the tablespaces as well. WAL that is in no archive gets there before.
    """
    path = __salt__["pgha.settings"]()["postgres"]["data_dir"]
    if pghalib.backup.recovering.put_aside_for(__salt__["pgha_restore.note"]()) == restore:
        return "The data of before are kept aside." if keep else "The data of before are removed."
    if ret.test:
        ret.plan({path: {"old": "the data of now", "new": f"{path}.before-{restore}" if keep else None}})
        return None
    kept = __salt__["pgha_kept.put_aside"](restore, keep)
    ret.changes = {path: {"old": "the data of now", "new": kept}}
    if not keep:
        return "The data of before are removed."
    return f"The data are kept in {kept}." if kept else "There were no data."


@pghalib.states.state
def source_known(ret):
    """
    pgBackRest of this host can read the backups of the cluster that is copied here. The changes hold no secret.

    name
        State ID; not used.
    """
    settings, source = __salt__["pgha.settings"](), __salt__["pgha_copy.source"]()
    secrets = pghalib.secrets.served.own(__pillar__, __opts__).get("copied", {})
    version = __salt__["pgha_copy.control_version"]()
    document = pghalib.backup.config.of_source(settings, source, secrets, version)
    path, group = pghalib.backup.config.SOURCE, settings["postgres"]["group"]
    return ret.add(pghalib.backup.files.write(path, document, group, ret.test, secrets))


@pghalib.states.state
def restored(ret, note):
    """
    The data of this host are those of the target, recovered to their end: the server has left recovery and was stopped.

    name
        State ID; not used.
    note
        ``pghalib.secrets.restores.Note``.
    """
    path = __salt__["pgha.settings"]()["postgres"]["data_dir"]
    if __salt__["pgha_restore.note"]() == {"id": note["id"], "step": pghalib.backup.recovering.RESTORED}:
        return f"{path} is restored."
    ret.plan({path: {"old": None, "new": note["target"]["text"]}})
    if ret.test:
        return "The data would be restored."
    _recover(note)
    return f"{path} is restored to {note['target']['text']}."


def _recover(note):
    """Fetch the data of a note's target, and recover them; both go on where an interrupted run has ended."""
    copy, seen = "source" in note, __salt__["pgha_restore.note"]()
    # Recovered once more, the data would follow the timeline that the first recovery has begun, and miss the target.
    done = (seen.get("id"), seen.get("step")) == (note["id"], pghalib.backup.recovering.RECOVERED)
    if copy or not done:
        if not __salt__["pgha_restore.running"]():
            # It may still be about to end.
            __salt__["pgha_restore.halt"]()
            if not done and note["target"]["type"] == pghalib.backup.target.KEPT:
                __salt__["pgha_kept.put_back"](note["target"]["value"])
            elif not done:
                __salt__["pgha_restore.fetched"](note["target"], note.get("source"))
            __salt__["pgha_restore.start"](copy)
        pghalib.wait.until(_has_recovered, RECOVERY, "the server has recovered", 1)
        pghalib.backup.recovering.write(note["id"], pghalib.backup.recovering.RECOVERED)
    if copy:
        __salt__["pgha_copy.own_passwords"]()
    __salt__["pgha_restore.stop"](copy)
    pghalib.backup.recovering.write(note["id"], pghalib.backup.recovering.RESTORED)


def _has_recovered():
    return not __salt__["pgha_restore.recovering"]()


@pghalib.states.state
def founded(ret):
    """
    This host has the newest data of its cluster's repositories, recovered to their end, and Consul knows their system
    identifier: so Patroni founds the cluster with them. Where somebody leads the cluster, nothing is restored.

    name
        State ID; not used.
    """
    settings, found = __salt__["pgha.settings"](), __salt__["pgha_founding.founding_state"]()
    cluster, path = settings["cluster"]["name"], settings["postgres"]["data_dir"]
    if found["led"]:
        return f"{cluster} has a leader, so nothing is restored."
    if not found["begun"] and not found["empty"]:
        raise CommandExecutionError(pghalib.backup.recovering.not_lost(path, cluster))
    ret.plan({path: {"old": None, "new": "the newest data of the repositories"}})
    if ret.test:
        return "The data would be restored."
    note = {"id": pghalib.backup.recovering.FOUNDING, "target": pghalib.backup.target.parsed({"target": "newest"})}
    # Data that somebody has moved away since are fetched again, however far the note is.
    begun = found["begun"] and not found["empty"]
    step = __salt__["pgha_restore.note"]().get("step") if begun else None
    if step not in (pghalib.backup.recovering.RECOVERED, pghalib.backup.recovering.RESTORED):
        told = __salt__["pgha_backup.told"]()
        faults = [one["fault"] for one in told["repositories"] if one["fault"]]
        if not told["backups"]:
            why = f": {faults[0]}" if faults else ""
            raise CommandExecutionError(
                f"no repository has a backup of {cluster}{why}. To found it empty, leave pgha:from_backup out"
            )
        pghalib.backup.recovering.write(note["id"], pghalib.backup.recovering.BEGUN)
    if step != pghalib.backup.recovering.RESTORED:
        _recover(note)
    __salt__["pgha_restore.forget_dcs"]()
    return f"{path} has the newest data of the repositories."


@pghalib.states.state
def forgotten(ret):
    """
    Patroni has forgotten who led before the restore, and how far: else it would take the restored data for old ones.

    name
        State ID; not used.
    """
    gone = __salt__["pgha_restore.forget_dcs"](test=ret.test)
    ret.plan({key: {"old": "there", "new": None} for key in gone})
    return "Patroni's keys of before would be removed." if ret.test else "Patroni knows nothing of before."


@pghalib.states.state
def backed_up(ret):
    """
    A full backup of the restored cluster is made: one of the time after the restore is needed to restore that time.

    name
        State ID; not used.
    """
    busy = __salt__["pgha_backup.busy"]()
    if busy:
        return f"A backup runs already ({busy})."
    if ret.test:
        return "A backup would be made."
    __salt__["pgha_backup.begin"]("full")

    def ended():
        seen = __salt__["pgha_backup.progress"]()
        return seen if seen["state"] != "running" else None

    seen = pghalib.wait.until(ended, RECOVERY, "the backup has ended", 1)
    if seen["state"] != "done":
        raise CommandExecutionError("The first backup has failed: " + " ".join(seen["lines"][-5:]))
    ret.changes = {"backup": {"old": None, "new": "full"}}
    return "The first backup is made."


@pghalib.states.state
def done(ret):
    """
    This host is at the end of a restore: its note is gone.

    name
        State ID; not used.
    """
    gone = pghalib.host.files.remove(pghalib.backup.recovering.NOTE, test=ret.test)
    ret.plan({name: {"old": "there", "new": None} for name in gone})
    kept = __salt__["pgha_kept.directories"]().values()
    if not kept:
        return "No data of before are kept here."
    return f"The data of before: {', '.join(kept)}. Remove them when nobody needs them any more."
