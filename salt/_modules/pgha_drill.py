"""
A drill on this host: the login and the table of its client, the observer, and the faults. ``salt-run pgha.drill`` calls
all of these, in the order in which they belong.
"""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pghalib.drill
import pghalib.drill.faults
import pghalib.drill.lasting
import pghalib.drill.pieces
import pghalib.host.descriptors
import pghalib.host.files
import pghalib.host.shipped
import pghalib.postgres.asked
import pghalib.postgres.scram
import pghalib.services
import pghalib.services.programs
import pghalib.services.shown
import pghalib.services.transient
import pghalib.text
from salt.exceptions import CommandExecutionError

NAME, TABLE = pghalib.drill.NAME, pghalib.drill.TABLE
OBSERVER = "pgha-drill-observer"
# Seconds between two looks of the observer.
INTERVAL = 0.1
# Bytes that a full file system has left: the file that fills it takes some itself.
SPARE = 65536
_GONE = f"DROP SCHEMA IF EXISTS {NAME} CASCADE; DROP ROLE IF EXISTS {NAME};"


def prepare(verifier, minutes):
    """
    Make the login and the table of the drill's client. Call this on the leader. What an earlier drill left is removed.

    verifier
        Verifier of the password for SCRAM-SHA-256: no password is part of a job.
    minutes
        How long the login is valid, so that it ends also when the drill cannot remove it.

    Returns nothing. Raises CommandExecutionError when PostgreSQL refuses.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_drill.prepare 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy' 30
    """
    if not pghalib.postgres.scram.PATTERN.fullmatch(str(verifier)):
        raise CommandExecutionError("The verifier is none of SCRAM-SHA-256")
    until = f"now() + interval '{int(minutes)} min'"
    _sql(
        f"{_GONE} CREATE ROLE {NAME} LOGIN CONNECTION LIMIT {pghalib.drill.CONNECTIONS} PASSWORD '{verifier}';"
        f" DO $$ BEGIN EXECUTE format('ALTER ROLE {NAME} VALID UNTIL %L', {until}); END $$;"
        f" CREATE SCHEMA {NAME}; CREATE TABLE {TABLE} (key int NOT NULL, value bigint NOT NULL);"
        # Not unique: a row that is there twice is to be seen.
        f" CREATE INDEX ON {TABLE} (key, value);"
        f" GRANT USAGE ON SCHEMA {NAME} TO {NAME}; GRANT SELECT, INSERT ON {TABLE} TO {NAME};"
    )


def remove():
    """
    Remove the login and the table of the drill's client. Call this on the leader. Returns nothing.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_drill.remove
    """
    _sql(_GONE)


def observe(seconds):
    """
    Start the observer on this host.

    seconds
        After this time systemd stops the observer, also when nobody asks for what it has seen.

    Returns nothing. Raises CommandExecutionError when it cannot be started.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_drill.observe 600
    """
    settings = __salt__["pgha.settings"]()
    postgres = settings["postgres"]
    vip = settings["cluster"]["vip"]
    given = {
        "host": settings["name"],
        "address": vip["address"] if vip else None,
        "interval": INTERVAL,
        "connection": {
            "host": postgres["socket_dir"],
            "port": postgres["port"],
            "user": postgres["user"],
            "dbname": "postgres",
        },
    }
    text = pghalib.host.shipped.text(__salt__["cp.cache_file"], "salt://pgha/drill/files/observe.py")
    program, output = _place("observe.py"), _place("looks.jsonl")
    _stop()
    pghalib.host.descriptors.directory(str(program.parent), user="root", group="root", mode="0755", test=False)
    pghalib.host.files.manage(str(program), text, user="root", group="root", mode="0644", test=False)
    properties = {
        "User": postgres["user"],
        "RuntimeMaxSec": str(int(seconds)),
        "StandardOutput": f"truncate:{output}",
        # By default errors go where the output goes: among the looks.
        "StandardError": "journal",
    }
    words = [f"{settings['patroni']['venv']}/bin/python", str(program), json.dumps(given)]
    pghalib.services.transient.start(__salt__["cmd.run_all"], OBSERVER, words, properties)


def observed(offset):
    """
    Stop the observer of this host, and return a piece of what it has seen: ``text``, lines of JSON of which the last
    one may be cut, ``next``, where the next piece begins, and ``ran``, whether the observer ran until now. The last
    piece is shorter than the others, perhaps empty; the observer's files are removed with it.

    offset
        Where the piece begins, in bytes.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_drill.observed 0
    """
    # Before it is stopped: one that ended by itself has not seen what came then. systemd forgets it (--collect).
    ran = pghalib.services.shown.runs(__salt__["service.show"](f"{OBSERVER}.service"))
    _stop()
    piece = pghalib.drill.pieces.read(_place("looks.jsonl"), offset)
    if len(piece["text"]) < pghalib.drill.pieces.PIECE:
        for one in ("looks.jsonl", "observe.py"):
            pghalib.host.files.remove(str(_place(one)), test=False)
    return {**piece, "ran": ran}


def fault(name, seconds=None):
    """
    Make one fault of a drill on this host. It ends by itself.

    name
        One of ``salt-run pgha.drill list=True``. On which host it belongs is said there.
    seconds
        A fault that lasts ends after so many seconds, if that is sooner than it would.

    Returns a sentence. Raises CommandExecutionError when it cannot be made.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_drill.fault restart-replica
    """
    one = pghalib.drill.faults.FAULTS.get(name)
    if one is None:
        raise CommandExecutionError(f"There is no fault {name!r}; there is {', '.join(pghalib.drill.faults.FAULTS)}")
    settings = __salt__["pgha.settings"]()
    timeout = settings["patroni"]["startup_timeout"]
    if one["how"] == "switchover":
        return __salt__["pgha_patroni.post"]("switchover", timeout, leader=settings["name"])
    if one["how"] == "restart":
        return __salt__["pgha_patroni.post"]("restart", timeout)
    if one["how"] == "service":
        if not __salt__["service.restart"](one["unit"]):
            raise CommandExecutionError(f"{one['unit']} did not restart: see journalctl -u {one['unit']}")
        return f"{one['unit']} was restarted"
    if one["lasting"]:
        return _last({**one, "lasting": min(one["lasting"], int(seconds or one["lasting"]))}, settings)
    pid = _pid(one, settings)
    os.kill(pid, signal.SIGKILL)
    return f"process {pid} was killed"


def undone():
    """
    Return whether no fault of a drill lasts on this host any more; a sentence with the remedy when one could not be
    undone.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_drill.undone
    """
    name, show = pghalib.drill.lasting.UNDO, __salt__["service.show"]
    timer, service = show(f"{name}.timer"), show(f"{name}.service")
    if service.get("ActiveState") == "failed":
        return (
            f"A fault of a drill could not be undone here: journalctl -u {name} says why, and systemctl start {name}"
            f" tries it again ({pghalib.text.line(' '.join(_lines()))})"
        )
    return not any(map(pghalib.services.shown.starts, (timer, service)))


def _lines():
    return pghalib.services.transient.lines(__salt__["cmd.run_all"], pghalib.drill.lasting.UNDO)


def _last(one, settings):
    """Make a fault that lasts. Everything that can speak against it is looked at before anything is done."""
    ended = undone()
    if isinstance(ended, str):
        raise CommandExecutionError(ended)
    if not ended:
        timer = f"{pghalib.drill.lasting.UNDO}.timer"
        raise CommandExecutionError(f"A fault of a drill lasts here until {timer} has undone it: wait for that")
    free = _free(settings) if one["how"] == "full" else 0
    undo, make = pghalib.drill.lasting.plan(one, settings, _pid(one, settings), free)
    undo, make = _found(undo), [(_found(words), text) for words, text in make]
    # The end is arranged before the beginning: no fault lasts for longer when this process or the drill is killed.
    name, timer = pghalib.drill.lasting.UNDO, pghalib.drill.lasting.timer(one["lasting"])
    # Without --collect: one that fails stays to be seen.
    _run(pghalib.services.transient.command(name, undo, {}, *timer))
    for words, text in make:
        _run(words, stdin=text)
    if not pghalib.services.shown.starts(__salt__["service.show"](f"{name}.timer")):
        # This process stood still for so long that the end came before the beginning.
        _run(undo)
        raise CommandExecutionError(f"{name}.timer ran before the fault was made, which was undone at once")
    return f"it lasts for {one['lasting']} s"


def _free(settings):
    """What PostgreSQL can still write to the file system of its data, which must not be that of the system."""
    place = pghalib.drill.lasting.beside(settings)
    if os.stat(place).st_dev == os.stat("/").st_dev:
        raise CommandExecutionError(
            f"{place} is on the file system of the system, which would be full as well: full-disk is for a host whose"
            " data have a file system of their own"
        )
    with pghalib.host.descriptors.trusted(place):
        # Without the blocks that root alone may use.
        return max(0, shutil.disk_usage(place).free - SPARE)


def _found(words):
    program = __salt__["cmd.which"](words[0])
    if not program:
        package = pghalib.drill.lasting.PACKAGES.get(words[0], words[0])
        raise CommandExecutionError(f"There is no {words[0]} here: install the package {package}")
    return [program, *words[1:]]


def _run(command, **options):
    result = __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True, **options)
    if result["retcode"]:
        raise CommandExecutionError(f"{command[0]} failed: {(result['stderr'] or result['stdout']).strip()}")


def _pid(one, settings):
    """The process that a fault is done to; None for a cut."""
    if one["how"] in ("postmaster", "hang-postmaster"):
        return _postmaster(settings)
    return _main_pid(one["unit"]) if one["unit"] else None


def _main_pid(unit):
    pid = pghalib.services.shown.main_pid(__salt__["service.show"](f"{unit}.service"))
    if not pid:
        raise CommandExecutionError(f"{unit} does not run here")
    return pid


def _postmaster(settings):
    """The postmaster's process id. The file belongs to PostgreSQL's user, so the process is looked at as well."""
    postgres = settings["postgres"]
    text = pghalib.host.files.read_foreign(f"{postgres['data_dir']}/postmaster.pid", 4096) or ""
    first = text.split("\n", 1)[0]
    program = f"{postgres['bin_dir']}/postgres"
    if re.fullmatch(r"[1-9]\d{0,9}", first) and pghalib.services.programs.runs(int(first), program):
        return int(first)
    raise CommandExecutionError(f"PostgreSQL does not run on {postgres['data_dir']}")


def _stop():
    pghalib.services.transient.stop(__salt__["cmd.run_all"], OBSERVER)


def _place(name):
    return Path(pghalib.services.DIRECTORY, "drill", name)


def _sql(statements):
    pghalib.postgres.asked.sql(__salt__["cmd.run_all"], __salt__["pgha.settings"]()["postgres"], statements)
