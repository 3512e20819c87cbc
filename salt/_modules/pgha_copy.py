"""
A copy of another cluster on this host: the configuration of pgBackRest for its backups, the data, the passwords. What
this host knows of the other cluster it has from the master, for this run alone.
"""

import secrets

import pghalib.backup.config
import pghalib.backup.recovering
import pghalib.backup.target
import pghalib.backup.told
import pghalib.host.users
import pghalib.patroni.config
import pghalib.postgres.asked
import pghalib.postgres.scram
import pghalib.secrets.served
from salt.exceptions import CommandExecutionError

BINARY = "/usr/bin/pgbackrest"


def source():
    """
    Return what the master says of the cluster that is copied: ``name`` and ``backup``; None when none is.

    CLI Example:

    .. code-block:: bash

        salt 'test2-db1' pgha_copy.source
    """
    return (__pillar__.get("pgha_run") or {}).get("copied")


def control_version():
    """
    Return the version number of pg_control of the data that this host had before, 0 when it had none. The copy has the
    same: another edition of PostgreSQL could not read it.

    CLI Example:

    .. code-block:: bash

        salt 'test2-db1' pgha_copy.control_version
    """
    return __salt__["pgha_restore.note"]().get("control", 0)


def fetched(target):
    """
    Fetch the data of the other cluster's backup into the data directory, which must be there, and note where their
    recovery ends. The copy archives nothing.

    target
        As ``pghalib.backup.target.parsed`` returns it.

    Raises CommandExecutionError with pgBackRest's own words when it fails.

    CLI Example:

    .. code-block:: bash

        salt 'test2-db1' pgha_copy.fetched '{"type": "default", "value": null}'
    """
    path = _settings()["postgres"]["data_dir"]
    if __salt__["pgha_postgres.data_directory"](path)["running"]:
        raise CommandExecutionError(f"a server has {path} open: what is it?")
    _as_user(["rm", "-f", f"{path}/postmaster.pid"])
    words = [BINARY, f"--config={pghalib.backup.config.SOURCE}", f"--stanza={source()['name']}", "--delta",
             "--archive-mode=off", *pghalib.backup.target.options(target), "restore"]  # fmt: skip
    result = _as_user(words, timeout=pghalib.backup.recovering.FETCHED)
    if result["retcode"]:
        raise CommandExecutionError(pghalib.backup.told.error(result["stdout"] + "\n" + result["stderr"]))


def own_passwords():
    """
    Give the formula's logins in the copied data the passwords of this host's cluster: they have those of the other one.
    The server that has recovered is asked by its socket, and gets verifiers, no passwords.

    CLI Example:

    .. code-block:: bash

        salt 'test2-db1' pgha_copy.own_passwords
    """
    own = pghalib.secrets.served.own(__pillar__, __opts__)
    statements = []
    for secret, role in pghalib.patroni.config.ROLES.items():
        verifier = pghalib.postgres.scram.verifier(own[secret], secrets.token_bytes(16))
        statements.append(f"ALTER ROLE \"{role}\" LOGIN PASSWORD '{verifier}'")
    place = {**_settings()["postgres"], "socket_dir": pghalib.backup.recovering.SOCKET}
    # Nobody waits for a synchronous replica of the other cluster's.
    pghalib.postgres.asked.sql(
        __salt__["cmd.run_all"], place, "SET synchronous_commit = local; " + "; ".join(statements)
    )


def _as_user(words, **how):
    return pghalib.host.users.run(__salt__["cmd.run_all"], _settings()["postgres"]["user"], words, **how)


def _settings():
    return __salt__["pgha.settings"]()
