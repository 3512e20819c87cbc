"""Statements for the server of this host, through its socket, as its superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.host.users

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.host.users import Ran
    from pghalib.sections import Postgres

#: Seconds for a statement.
TIMEOUT = 30


def sql(run_all: Callable[..., Ran], postgres: Postgres, statements: str) -> str:
    """
    Run statements in one transaction, and return what they say: rows by lines, columns by ``|``. They come by the
    standard input, as some hold what authenticates a login. Names without a schema are PostgreSQL's own: a function
    that somebody has put into ``public``, with arguments that fit better, would run as the superuser (CVE-2018-1058).

    run_all
        ``__salt__["cmd.run_all"]``.
    postgres
        The section `postgres` of the resolved settings.

    Raises CommandExecutionError when the server refuses them or does not answer.
    """
    words = [f"{postgres['bin_dir']}/psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-1", "-f", "-"]
    environment = {
        "PGHOST": postgres["socket_dir"],
        "PGPORT": str(postgres["port"]),
        "PGDATABASE": "postgres",
        "PGOPTIONS": f"-c search_path=pg_catalog -c statement_timeout={TIMEOUT}s",
        "LC_ALL": "C",
    }
    result = pghalib.host.users.run(run_all, postgres["user"], words, environment, statements, timeout=2 * TIMEOUT)
    if result["retcode"]:
        raise CommandExecutionError(f"PostgreSQL refuses: {(result['stderr'] or result['stdout']).strip()}")
    return result["stdout"]


def rows(said: str) -> list[str]:
    """
    Return the rows of what :py:func:`sql` has returned. A name in a row may hold another character that Python takes
    for the end of a line, and only PostgreSQL's own ends a row.
    """
    return said.strip("\n").split("\n") if said else []
