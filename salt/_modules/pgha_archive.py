"""
The archive of this host's WAL.
"""

import json

import pghalib.postgres.archive
import pghalib.postgres.asked


def told():
    """
    Return what the server says of its archive: its ``mode``, ``how`` it archives (None when nothing is set), whether it
    is in ``recovery``, how many seconds ago it last ``archived`` a file and last ``failed`` to (None when never), with
    which ``wal``; how many files are ``waiting``, and for how many seconds the ``oldest``.

    Raises CommandExecutionError when the server does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_archive.told
    """
    postgres = __salt__["pgha.settings"]()["postgres"]
    question = pghalib.postgres.archive.QUESTION
    return json.loads(pghalib.postgres.asked.sql(__salt__["cmd.run_all"], postgres, question))


def faults():
    """
    Return what is wrong with the archive of this host's server, as sentences. A server that does not run is no fault of
    its archive; other checks name it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_archive.faults
    """
    if __salt__["pgha.settings"]()["role"] != "db":
        return []
    if (__salt__["pgha_patroni.member"]() or {}).get("state") != "running":
        return []
    return pghalib.postgres.archive.faults(told())
