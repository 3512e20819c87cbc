"""
The archive of this host's WAL.
"""

import re

import pghalib.host.users
import pghalib.parse
import pghalib.postgres.archive
import pghalib.postgres.asked
import pghalib.text
from salt.exceptions import CommandExecutionError

# Names of what PostgreSQL archives.
_WAL = re.compile(r"[0-9A-F]{24}(\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history")
# Errors of pgBackRest: who led then has archived another file of that name, so the cluster has dropped it; and the
# WAL is of another system than the backups of a repository.
_DUPLICATE, _MISMATCH = "[045]", "ArchiveMismatchError"


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
    return pghalib.parse.from_json(pghalib.postgres.asked.sql(__salt__["cmd.run_all"], postgres, question))


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


def waiting():
    """
    Return the names of the files of WAL in this host's data that PostgreSQL has not archived yet, the oldest first. No
    link in there is followed.

    Raises CommandExecutionError when the data cannot be looked through.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_archive.waiting
    """
    postgres = __salt__["pgha.settings"]()["postgres"]
    # The directory itself may be a link to another disk.
    script = '[ ! -d "$1" ] || exec find "$1/" -maxdepth 2 -type f -printf "%P\\n"'
    words = ["sh", "-c", script, "sh", f"{postgres['data_dir']}/pg_wal"]
    result = pghalib.host.users.run(__salt__["cmd.run_all"], postgres["user"], words, timeout=600)
    if result["retcode"]:
        raise CommandExecutionError(f"pg_wal cannot be looked through: {pghalib.text.line(result['stderr'])}")
    found = set(result["stdout"].splitlines())
    return sorted(name for name in found if _WAL.fullmatch(name) and f"archive_status/{name}.ready" in found)


def push():
    """
    Put the WAL that waits in this host's data into the repositories. No server may run. Nothing is done for a cluster
    without repositories.

    Raises CommandExecutionError at the first file that does not get there.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_archive.push
    """
    settings = __salt__["pgha.settings"]()
    names = waiting() if settings["backup"]["repositories"] else []
    for place, name in enumerate(names):
        try:
            path = f"{settings['postgres']['data_dir']}/pg_wal/{name}"
            __salt__["pgha_backup.run"]("--no-archive-async", "archive-push", path)
        except CommandExecutionError as error:
            if not _dropped(str(error)):
                raise CommandExecutionError(
                    f"{len(names) - place} files of WAL on this host are in no archive (first {name}) and would be"
                    f" lost with the data: {error}; repair the repository and run the same command again"
                ) from None


def _dropped(said):
    """Whether pgBackRest refuses a file because no backup could ever use it; each repository has to say so."""
    return said.startswith(_DUPLICATE) or set(re.findall(r"\brepo\d+: \[(\w+)\]", said)) == {_MISMATCH}
