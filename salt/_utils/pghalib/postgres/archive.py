"""
What PostgreSQL archives. WAL is archived to nowhere from the first run on, as ``archive_mode`` takes a restart of every
server and ``archive_command`` only a reload: so a backup can be turned on later without an outage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pghalib.shapes import Json

#: A command that says of each file that it is safe, so that the server lets it go.
DEFAULTS = {"archive_mode": "on", "archive_command": "/bin/true"}
#: Seconds after which a file of WAL goes into the archive of backups although it is not full: as much a disaster may
#: cost. A server on which nothing happens sends none (PostgreSQL, archive_timeout).
TIMEOUT = 300
#: Seconds for which a file of WAL may wait for the archive.
LATE = 600
#: One row, which is JSON: what the server says of its archive, times as seconds ago.
QUESTION = """
SELECT json_build_object(
    'mode', current_setting('archive_mode'),
    'how', nullif(concat(current_setting('archive_command'), current_setting('archive_library', true)), ''),
    'recovery', pg_is_in_recovery(),
    'archived', extract(epoch FROM now() - last_archived_time),
    'failed', extract(epoch FROM now() - last_failed_time),
    'wal', last_failed_wal,
    'waiting', waiting,
    'oldest', extract(epoch FROM now() - oldest)
) FROM pg_stat_archiver, (
    SELECT count(*) AS waiting, min(modification) AS oldest FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
) AS files
"""
#: A server takes this or a command; with both it archives nothing, and says so in its log alone.
_LIBRARY = "archive_library"
#: pgBackRest. Its units and the programs of the backups on a host have this path as it is (salt/pgha).
PGBACKREST = "/usr/bin/pgbackrest"
#: Seconds for a file of WAL to come from the repository.
FETCH = 10
#: The program of the backups on a database host (salt/pgha/backup/files), and what Patroni calls for a new replica.
PROGRAM = "/usr/local/lib/pgha-backup"
REPLICA = f"/usr/bin/python3 -I {PROGRAM} replica"


def by_pgbackrest(cluster: str) -> str:
    """Return the ``archive_command`` of a cluster with backups. It is the same on all members."""
    return f"{PGBACKREST} --stanza={cluster} archive-push %p"


def from_pgbackrest(cluster: str) -> str:
    """
    Return the ``restore_command`` by which a replica fetches what its leader has no more.

    A server asks its archive also while it is promoted, a few times: so a repository that does not answer must not hold
    that up for long. An exit code above 125 would end the server (PostgreSQL, ``restore_command``).
    """
    return f'timeout {FETCH} {PGBACKREST} --stanza={cluster} archive-get %f "%p" || exit 1'


def beside_others(
    parameters: Mapping[str, Json],
    declared: Collection[str],
    live: Mapping[str, Json],
    noted: Collection[str],
    backup: str,
    wanted: bool,
) -> dict[str, Json]:
    """
    Return parameters without those defaults that would take the place of another one's archive: where somebody archives
    already, the formula does not end that.

    parameters
        The parameters of all members, with :py:data:`DEFAULTS`.
    declared
        Names of parameters that the user has set in the pillar: they stay.
    live
        The parameters in the DCS, as ``{name: value}``.
    noted
        Names of those that the formula has put there. When another value is there now, somebody has changed it by hand:
        it is kept as if it were declared, as what is noted and not declared is removed.
    backup
        The ``archive_command`` of the formula's backups, which is in the DCS from the moment on when a repository takes
        files (the state ``pgha_backup.archiving``).
    wanted
        Whether the cluster is to have backups. If not, that command is taken out again. If so, a file of WAL does not
        wait until it is full (:py:data:`TIMEOUT`).
    """
    result = dict(parameters)
    if wanted and "archive_timeout" not in declared:
        result["archive_timeout"] = TIMEOUT
    if live.get("archive_command") == backup and "archive_command" not in declared:
        return {**result, "archive_command": backup if wanted else DEFAULTS["archive_command"]}
    for name in DEFAULTS.keys() - set(declared):
        changed = live.get(name) is not None and live[name] != DEFAULTS[name]
        if changed and name in noted:
            result[name] = live[name]
        elif changed or (name == "archive_command" and _LIBRARY in {*declared, *live}):
            result.pop(name, None)
    return result


def unproven(told: Mapping[str, Json]) -> bool:
    """
    Return whether a server has archived no file yet, or has failed to since the last one.

    told
        The answer to :py:data:`QUESTION`.
    """
    archived, failed = told["archived"], told["failed"]
    return archived is None or (failed is not None and bool(failed < archived))


def faults(told: Mapping[str, Json]) -> list[str]:
    """
    Return what is wrong with the archive of a server, as sentences: WAL that is not archived is kept, until the disk is
    full.

    told
        The answer to :py:data:`QUESTION`.
    """
    if told["mode"] == "off" or (told["recovery"] and told["mode"] != "always"):
        return []
    if not told["how"]:
        return [
            "archive_mode is on, and there is no archive_command: PostgreSQL keeps all WAL until the disk is full; set"
            f" one, or {DEFAULTS['archive_command']} for none"
        ]
    waiting = f"{told['waiting']} files of WAL wait in pg_wal, and the disk fills up"
    failed = told["failed"]
    if told["waiting"] and failed is not None and unproven(told):
        wal = pghalib.text.printable(str(told["wal"]))
        return [f"the archive fails, the last time {_ago(failed)}, with {wal}: {waiting}; see PostgreSQL's log"]
    if (told["oldest"] or 0) > LATE:
        return [f"the archive is behind: the oldest file of WAL has waited since {_ago(told['oldest'])}; {waiting}"]
    return []


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"
