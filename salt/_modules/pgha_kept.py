"""
The data that restores have kept aside on this host, as DIRECTORY.before-ID, the way there and the way back.
"""

import os
import re

import pghalib.backup.recovering
import pghalib.host.files
import pghalib.host.users
import pghalib.postgres.archive
import pghalib.postgres.member_note
import pghalib.postgres.settings
from salt.exceptions import CommandExecutionError


def directories():
    """
    Return the directories with data of before: ``{id of the restore: path}``, the oldest first.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_kept.directories
    """
    path = _settings()["postgres"]["data_dir"]
    parent, name = os.path.split(path)
    there = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
    found = {one: re.fullmatch(rf"{re.escape(name)}\.before-([0-9-]+)", one) for one in there}
    return {match[1]: f"{parent}/{one}" for one, match in found.items() if match}


def positions():
    """
    Return how far the data of before were: ``{id of the restore: [timeline, LSN as a number]}`` of their last
    checkpoint. What is no data directory is left out.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_kept.positions
    """
    found = {}
    for name, path in directories().items():
        told = _as_user([f"{_settings()['postgres']['bin_dir']}/pg_controldata", "-D", path])
        facts = pghalib.postgres.settings.control_data(told["stdout"])
        timeline = facts.get("Latest checkpoint's TimeLineID", "")
        high, _, low = facts.get("Latest checkpoint location", "").partition("/")
        if timeline.isdecimal() and re.fullmatch("[0-9A-F]+ [0-9A-F]+", f"{high} {low}"):
            found[name] = [int(timeline), (int(high, 16) << 32) + int(low, 16)]
    return found


def put_aside(restore, keep=True):
    """
    Put the data of this host aside for a restore, and note that; no server may run. Returns the directory where they
    are kept, None when they are removed or there were none. An interrupted call is gone on with.

    restore
        The id of the restore.
    keep
        False: the data are removed, and those of the tablespaces as well. WAL that is in no archive gets there before.

    Raises CommandExecutionError when a server runs, and when something does not get to its place.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_kept.put_aside 20261129-120000
    """
    path = _settings()["postgres"]["data_dir"]
    # One of a restore that was given up.
    __salt__["pgha_restore.halt"]()
    if __salt__["pgha_postgres.data_directory"]()["running"]:
        raise CommandExecutionError(f"a server has {path} open: stop it, and run this again")
    note = __salt__["pgha_restore.note"]()
    control = note.get("control")
    # Of data that are there in part neither could be done again.
    if (note.get("id"), note.get("step")) != (restore, pghalib.backup.recovering.BEGUN):
        if not keep:
            # A server whose archive failed has kept it: it is part of what the backups bring back.
            __salt__["pgha_archive.push"]()
        control = __salt__["pgha_backup.control_version"]()
        pghalib.backup.recovering.write(restore, pghalib.backup.recovering.BEGUN, control)
    kept = pghalib.backup.recovering.aside(path, restore) if keep else __salt__["pgha_member.emptied"]()
    # Without data on purpose: the note that they were there would take that for a lost disk.
    pghalib.host.files.remove(pghalib.postgres.member_note.NOTE, test=False)
    pghalib.backup.recovering.write(restore, pghalib.backup.recovering.ASIDE, control)
    return kept


def put_back(name):
    """
    Put data of before back into the data directory, which must be empty or not be there, and have them recovered to
    their end, on a timeline of their own: what the archive got since belongs to others. Nothing is done when they are
    there already.

    name
        The id of the restore that has kept them.

    Raises CommandExecutionError when there are no such data.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_kept.put_back 20261129-120000
    """
    settings = _settings()
    path = settings["postgres"]["data_dir"]
    if __salt__["pgha_postgres.data_directory"]()["running"]:
        raise CommandExecutionError(f"a server has {path} open: what is it?")
    kept = directories().get(name)
    if kept:
        pghalib.backup.recovering.put_back(path, kept)
    elif not os.path.exists(f"{path}/PG_VERSION"):
        raise CommandExecutionError(f"there is no {path}.before-{name}")
    command = "/bin/false"
    if settings["backup"]["repositories"]:
        command = pghalib.postgres.archive.from_pgbackrest(settings["cluster"]["name"])
    # The last lines count.
    lines = f"restore_command = '{command}'\nrecovery_target_timeline = 'current'\n"
    script = (
        'cd "$1" && rm -f postmaster.pid standby.signal'
        f" && sed -i -E '/^({pghalib.backup.recovering.PARAMETERS}) *=/d' postgresql.auto.conf"
        ' && printf "%s" "$2" >> postgresql.auto.conf && touch recovery.signal'
    )
    result = _as_user(["sh", "-c", script, "sh", path, lines])
    if result["retcode"]:
        raise CommandExecutionError(f"{path} could not be prepared: {result['stderr'].strip()}")


def _as_user(words):
    return pghalib.host.users.run(__salt__["cmd.run_all"], _settings()["postgres"]["user"], words)


def _settings():
    return __salt__["pgha.settings"]()
