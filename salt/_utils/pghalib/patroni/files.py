"""
The files of Patroni on a database host: to whom they belong, who may read them, and how they are written.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pghalib.host.files
import pghalib.patroni.config
import pghalib.services.owed

if TYPE_CHECKING:
    from pghalib.host.files import Check, Done
    from pghalib.postgres.settings import Parameters
    from pghalib.shapes import MemberSettings, Secrets

#: Note: patroni.yml was replaced, or was about to be, and Patroni has not been told to read it yet.
RELOAD = "patroni.reload-owed"


def manage(
    path: str,
    settings: MemberSettings,
    secrets: Secrets,
    parameters: Parameters,
    *,
    validate: Check,
    sticky: bool,
    test: bool,
) -> tuple[Done, Done]:
    """
    Write patroni.yml, and the password file of the formula's test write. When patroni.yml changes, a reload is noted
    before the file is replaced.

    path
        Path of patroni.yml. It belongs to root, and Patroni may read it.
    settings, secrets
        The results of ``pgha.settings`` and ``pghalib.secrets.served.own``.
    parameters
        The result of ``pgha_postgres.parameters``.
    validate
        A function that takes the path of a draft of patroni.yml and returns None, or its fault.
    sticky
        Whether a running Patroni still makes files of its own in the directory, as ``pghalib.host.files.manage`` has
        it.
    test
        True: nothing is written.

    Returns the results of ``pghalib.host.files.manage`` for patroni.yml and for the password file. Raises
    CommandExecutionError when a file cannot be written.
    """
    config = pghalib.patroni.config.document(settings, secrets, parameters["shared"], parameters["host"])
    write = functools.partial(
        pghalib.host.files.manage,
        group=settings["postgres"]["group"],
        test=test,
        secrets=pghalib.patroni.config.secret_values(secrets),
        sticky=sticky,
    )
    passwords = write(
        f"{settings['patroni']['config_dir']}/pgpass.check",
        pghalib.patroni.config.pgpass(settings, secrets),
        # libpq ignores a password file that others may read.
        user=settings["postgres"]["user"],
        mode="0600",
    )
    written = write(
        path,
        pghalib.patroni.config.render(config),
        check=pghalib.services.owed.owing(RELOAD, validate),
        user="root",
        mode="0640",
    )
    if written["result"] and written["changes"]:
        # Also when only the owner changed: Patroni may have been unable to read the file.
        pghalib.services.owed.owe(RELOAD)
    return written, passwords
