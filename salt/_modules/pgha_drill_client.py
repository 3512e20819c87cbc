"""
The client of a drill on this host, which may be any minion, such as the host of an application: nothing here needs the
pillar. ``salt-run pgha.drill CLUSTER client=MINION`` calls all of these, in the order in which they belong.

The password of the client's login is made here. No function returns it, and it is in a file of root's only until the
client has read it.
"""

import json
import os
import sys
import time
from pathlib import Path

import pghalib.drill.clients
import pghalib.drill.pieces
import pghalib.drill.settings
import pghalib.host.descriptors
import pghalib.host.files
import pghalib.host.shipped
import pghalib.host.users
import pghalib.services
import pghalib.services.transient
from salt.exceptions import CommandExecutionError

UNIT = "pgha-drill-client"
# Python programs that may have psycopg, the environment of Patroni first.
PYTHONS = ("/opt/patroni/bin/python", sys.executable, "/usr/bin/python3")
# Who the client is while it is only asked whether a Python has psycopg; systemd makes a user for the client itself.
NOBODY = "nobody"
FILES = ("client.secret", "client.json", "client.jsonl", "client.py", "ca.pem")


def ready():
    """
    Return whether a client can run here: ``now`` (nanoseconds by the clock of this host) and ``python`` (whether one
    here has psycopg 3).

    CLI Example:

    .. code-block:: bash

        salt 'test-app1' pgha_drill_client.ready
    """
    python = bool(_python())
    return {"now": time.time_ns(), "python": python}


def prepare():
    """
    Make the password of the client's login. What an earlier drill left is removed.

    Returns the verifier of the password for SCRAM-SHA-256, by which a server checks the password and nobody can log in.

    CLI Example:

    .. code-block:: bash

        salt 'test-app1' pgha_drill_client.prepare
    """
    remove()
    for path in (pghalib.services.DIRECTORY, _place("")):
        pghalib.host.descriptors.directory(str(path), user="root", group="root", mode="0755", test=False)
    password, verifier = pghalib.drill.clients.password()
    pghalib.host.files.write_private(str(_place("client.secret")), password)
    return verifier


def start(settings):
    """
    Start the client, as a user that systemd makes for it. Call :py:func:`prepare` first.

    settings
        ``connection`` (libpq's keywords without the password), ``table``, ``workers``, ``pause`` and ``seconds`` (after
        which the client ends, also when nobody stops it), ``authorities`` (PEM, or null).

    Returns nothing. Raises CommandExecutionError when the settings are wrong or the client cannot be started.

    CLI Example:

    .. code-block:: bash

        salt 'test-app1' pgha_drill_client.start '{connection: {host: 198.51.100.40, port: 5432, dbname: postgres,
          user: pgha_drill}, table: pgha_drill.ledger, workers: 4, pause: 0.01, seconds: 600, authorities: null}'
    """
    wrong = pghalib.drill.settings.wrong(settings)
    if wrong:
        raise CommandExecutionError(f"The client's settings are missing, unknown or wrong: {', '.join(wrong)}")
    python = _python()
    if not python:
        raise CommandExecutionError(f"The drill's client needs psycopg 3 here: {pghalib.drill.clients.REMEDY}")
    password = pghalib.host.files.read_foreign(str(_place("client.secret")), 100)
    if not password:
        raise CommandExecutionError("There is no password: call pgha_drill_client.prepare first")
    _write("client.py", pghalib.host.shipped.text(__salt__["cp.cache_file"], "salt://pgha/drill/files/client.py"))
    given = pghalib.drill.settings.with_password(settings, password)
    authorities = given.pop("authorities", None)
    if authorities:
        _write("ca.pem", authorities)
    pghalib.host.files.write_private(str(_place("client.json")), json.dumps(given))
    properties = {
        "Type": "exec",
        "DynamicUser": "yes",
        "RuntimeMaxSec": str(settings["seconds"]),
        "TimeoutStopSec": str(pghalib.drill.clients.ENDS),
        "StandardInput": f"file:{_place('client.json')}",
        "StandardOutput": f"truncate:{_place('client.jsonl')}",
        # By default errors go where the output goes: into the history.
        "StandardError": "journal",
    }
    words = [python, str(_place("client.py"))]
    try:
        pghalib.services.transient.start(__salt__["cmd.run_all"], UNIT, words, properties)
    finally:
        # The started program has the file open, and nobody else needs the password.
        for name in ("client.json", "client.secret"):
            pghalib.host.files.remove(str(_place(name)), test=False)


def noted(offset):
    """
    Return a piece of what the client has noted: ``text``, lines of JSON of which the last one may be cut, and ``next``,
    where the next piece begins. The text is empty when there is no more yet.

    offset
        Where the piece begins, in bytes.

    CLI Example:

    .. code-block:: bash

        salt 'test-app1' pgha_drill_client.noted 0
    """
    return pghalib.drill.pieces.read(_place("client.jsonl"), offset)


def stop():
    """
    End the client, and wait until it has noted its last lists (at most 150 s). Returns nothing; :py:func:`noted` has
    the rest.

    CLI Example:

    .. code-block:: bash

        salt 'test-app1' pgha_drill_client.stop
    """
    pghalib.services.transient.stop(__salt__["cmd.run_all"], UNIT)


def remove():
    """
    End the client, and remove all of its files. Returns nothing.

    CLI Example:

    .. code-block:: bash

        salt 'test-app1' pgha_drill_client.remove
    """
    stop()
    for name in FILES:
        pghalib.host.files.remove(str(_place(name)), test=False)


def _python():
    """A Python here that has psycopg 3, or None. An unprivileged user asks, as such a one is to run the client."""
    run_all, end = __salt__["cmd.run_all"], pghalib.drill.clients.ANSWER
    for python in PYTHONS:
        words = [python, "-c", pghalib.drill.clients.NEEDED]
        if os.access(python, os.X_OK) and not pghalib.host.users.run(run_all, NOBODY, words, timeout=end)["retcode"]:
            return python
    return None


def _write(name, text):
    pghalib.host.files.manage(str(_place(name)), text, user="root", group="root", mode="0644", test=False)


def _place(name):
    return Path(pghalib.services.DIRECTORY, "drill", name)
