"""
Backups of this host's cluster by pgBackRest: what the timer is told, what the repositories have, a backup now.
"""

import re

import pghalib.backup.config
import pghalib.backup.files
import pghalib.backup.places
import pghalib.backup.told
import pghalib.host.users
import pghalib.parse
import pghalib.postgres.archive
import pghalib.postgres.asked
import pghalib.postgres.settings
import pghalib.services.shown
import pghalib.services.transient
import pghalib.text
from salt.exceptions import CommandExecutionError

PROGRAM, BINARY = pghalib.postgres.archive.PROGRAM, pghalib.postgres.archive.PGBACKREST
TIMER = "pgha-backup.timer"
# The unit of a backup that a person asks for.
MANUAL = "pgha-backup-now"
# Seconds for a repository to answer, as the program has them, and for the program itself.
PATIENCE, MARGIN = 4, 2


def config():
    """
    Return what the program of the timer is told, as a mapping: where Patroni is asked, the stanza, the times.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.config
    """
    return dict(pghalib.backup.told.config(_settings()))


def run(*words, timeout=60, stanza=None):
    """
    Run pgBackRest as the user of PostgreSQL for this host's cluster, and return its output.

    words
        The command and its options, such as ``check``.
    timeout
        Seconds.
    stanza
        The name of another cluster, whose backups are copied to this host.

    Raises CommandExecutionError with pgBackRest's own words when it fails.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.run info
    """
    where = [f"--config={pghalib.backup.config.SOURCE}"] if stanza else []
    command = [BINARY, *where, f"--stanza={stanza or _settings()['cluster']['name']}", *map(str, words)]
    result = _as_user(command, timeout)
    if result["retcode"]:
        raise CommandExecutionError(pghalib.backup.told.error(result["stdout"] + "\n" + result["stderr"]))
    return result["stdout"]


def version():
    """
    Return the version of the pgBackRest in use, None when there is none.

    Raises CommandExecutionError when it does not start, for example because it lacks a library.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.version
    """
    if not __salt__["file.file_exists"](BINARY):
        return None
    result = _as_user([BINARY, "version"], 10)
    found = re.search(r"pgBackRest (\S+)", result["stdout"])
    if result["retcode"] or not found:
        said = pghalib.text.line(result["stderr"] or result["stdout"])
        raise CommandExecutionError(f"{BINARY} does not start (backup:packages has its libraries): {said}")
    return found.group(1)


def told():
    """
    Return what the repositories have: ``repositories`` (each with ``number``, ``fault``, ``late``: the time whose
    backup is missing, ``ahead``: the label of one of a time to come, and ``unknown``: the cluster has no place there),
    ``backups`` (each with ``label``, ``type``, ``start``, ``stop``, ``size``, ``stored``, ``repository``), ``archive``,
    ``running`` (a backup on this host) and ``systems`` (of each repository the system identifier of the data there).
    Times are seconds since 1970.

    Raises CommandExecutionError when pgBackRest cannot tell.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.told
    """
    patience = MARGIN + PATIENCE * len(_settings()["backup"]["repositories"])
    result = _as_user(["/usr/bin/python3", "-I", PROGRAM, "told"], patience)
    if result["retcode"]:
        raise CommandExecutionError(pghalib.backup.told.error(result["stderr"] or result["stdout"]))
    return pghalib.parse.from_json(result["stdout"])


def limits():
    """
    Return what a backup may take of this host, as properties of a unit of systemd.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.limits
    """
    return dict(pghalib.backup.told.LIMITS)


def begin(kind):
    """
    Begin a backup on this host, which must lead the cluster. It goes on whatever becomes of the caller.

    kind
        ``full``, ``diff`` or ``incr``.

    Raises CommandExecutionError when one runs already.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.begin full
    """
    if kind not in ("full", "diff", "incr"):
        raise CommandExecutionError(f"There is no type {kind!r} of a backup: full, diff or incr")
    unit = busy()
    if unit:
        raise CommandExecutionError(f"A backup runs already on {__opts__['id']}: journalctl -fu {unit}")
    postgres = _settings()["postgres"]
    properties = {"User": postgres["user"], "Group": postgres["group"], **limits()}
    words = ["/usr/bin/python3", "-I", PROGRAM, "run", kind]
    pghalib.services.transient.begin(__salt__["cmd.run_all"], MANUAL, words, properties)


def busy():
    """
    Return the unit of a backup that runs on this host, None when none does.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.busy
    """
    return next((unit for unit in (MANUAL, "pgha-backup.service") if _state(unit) == "running"), None)


def progress():
    """
    Return how far the backup is that was begun here by :py:func:`begin`: ``state`` (``running``, ``done``, ``failed``),
    ``percent`` (None when it is not known) and ``lines`` (the last ones of its journal).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.progress
    """
    run_all, state = __salt__["cmd.run_all"], _state(MANUAL)
    lines = pghalib.services.transient.lines(run_all, MANUAL)
    if state == "running":
        return {"state": state, "percent": pghalib.backup.told.percent(_running()), "lines": lines}
    pghalib.services.transient.forget(run_all, MANUAL)
    return {"state": state, "percent": None, "lines": lines}


def push_history():
    """
    Put the histories of timelines into the repositories, on the leader. PostgreSQL archives each one once: those of the
    time before the repository was there, a restore to such a timeline would miss.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.push_history
    """
    postgres = _settings()["postgres"]
    statement = "SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{8}[.]history$' ORDER BY name"
    for name in pghalib.postgres.asked.sql(__salt__["cmd.run_all"], postgres, statement).split():
        run("--no-archive-async", "archive-push", f"{postgres['data_dir']}/pg_wal/{name}")


def overview():
    """
    Return the backups of this host's cluster for a person: ``rows`` of a table, ``since`` when any moment can be
    restored (None without a backup), and ``lines`` about what is wrong. Moments are seconds since 1970.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.overview
    """
    return pghalib.backup.told.overview(told(), _settings())


def _running():
    """What pgBackRest tells of the backup that runs; {} when it cannot tell."""
    try:
        return told()["running"]
    except CommandExecutionError:
        return {}


def _state(unit):
    return pghalib.services.transient.state(__salt__["service.show"](unit))


def control_version():
    """
    Return the version number of pg_control in this host's data directory (pg_controldata); without data that of the
    installed server, None while none is installed. Editions of Postgres Pro have one of their own, which pgBackRest
    does not know, neither when it makes a backup nor when it brings one back.

    Raises CommandExecutionError when the server's program cannot read it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.control_version
    """
    postgres = _settings()["postgres"]
    path = postgres["data_dir"]
    result = _as_user([f"{postgres['bin_dir']}/pg_controldata", "-D", path], 30)
    number = pghalib.postgres.settings.control_data(result["stdout"]).get("pg_control version number", "")
    if number.isdecimal():
        return int(number)
    if not __salt__["file.file_exists"](f"{path}/global/pg_control"):
        return __salt__["pgha_parameters.control_version"]()
    raise CommandExecutionError(f"pg_controldata does not tell: {pghalib.text.line(result['stderr'])}")


def early_faults():
    """
    Return the faults of the backups that can be seen before anything is installed: the places of repositories that are
    directories, and somebody else's configuration of pgBackRest.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.early_faults
    """
    settings = _settings()
    if not _wanted(settings):
        return []
    found = pghalib.backup.places.faults(settings)
    return found + pghalib.backup.files.foreign("say in backup:repositories what is in it")


def faults():
    """
    Return what is wrong with the backups of this host's cluster, as sentences.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_backup.faults
    """
    settings = _settings()
    if not _wanted(settings):
        return []
    if not pghalib.services.shown.runs(__salt__["service.show"](TIMER)):
        return [f"{TIMER} does not run, so this host makes no backup when it leads: systemctl start {TIMER}, or run the"
                " main job"]  # fmt: skip
    return pghalib.backup.told.faults(told(), settings, elsewhere=__salt__["pgha_vip.leads_by_patroni"]() is False)


def _wanted(settings):
    """Whether this host is a member of a cluster with backups."""
    return settings["role"] == "db" and bool(settings["backup"]["repositories"])


def _as_user(command, timeout):
    return pghalib.host.users.run(__salt__["cmd.run_all"], _settings()["postgres"]["user"], command, timeout=timeout)


def _settings():
    return __salt__["pgha.settings"]()
