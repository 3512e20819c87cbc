"""
A copy of another cluster on this host: the configuration of pgBackRest for its backups, the data, the passwords. What
this host knows of the other cluster it has from the master, for this run alone.
"""

import secrets

import pghalib.backup.recovering
import pghalib.patroni.config
import pghalib.postgres.asked
import pghalib.postgres.scram
import pghalib.secrets.served


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


def _settings():
    return __salt__["pgha.settings"]()
