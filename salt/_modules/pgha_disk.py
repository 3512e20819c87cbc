"""
The file systems of this host: whether what the formula keeps here has room.
"""

import os

import pghalib.host.space
from salt.exceptions import CommandExecutionError


def faults():
    """
    Return a sentence for each file system on which less than ``preflight:warn_disk_percent`` is free: that of the data
    (also of WAL and of tablespaces behind a link), of the logs, and of the system. Repositories on a share are
    not asked: a share that hangs holds up who asks.

    Raises CommandExecutionError when a file system does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_disk.faults
    """
    settings = __salt__["pgha.settings"]()
    percent = settings["preflight"]["warn_disk_percent"]
    try:
        short = pghalib.host.space.short(_paths(settings), percent)
    except OSError as error:
        raise CommandExecutionError(f"A file system does not answer: {error}") from None
    kept = __salt__["pgha_kept.directories"]().values() if short and settings["role"] == "db" else ()
    beside = f"; restores have kept {', '.join(kept)} (docs/backup.md)" if kept else ""
    return [
        f'{sentence}, less than {percent} % (preflight:warn_disk_percent): "A disk is full" in docs/runbooks.md{beside}'
        for sentence in short
    ]


def _paths(settings):
    if settings["role"] == "repository":
        return ["/", *__salt__["pgha_repository.directories"]()]
    paths = ["/", settings["consul"]["data_dir"], settings["consul"]["log_dir"]]
    if settings["role"] == "db":
        data = settings["postgres"]["data_dir"]
        paths += [data, *_elsewhere(data), settings["patroni"]["log_dir"]]
    return paths


def _elsewhere(data):
    """Links in a data directory to other file systems than its own: one for each of these."""
    try:
        own = os.stat(data).st_dev
        spaces = [f"{data}/pg_tblspc/{name}" for name in sorted(os.listdir(f"{data}/pg_tblspc")) if name.isdecimal()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = {}
    for path in (f"{data}/pg_wal", *spaces):
        # A tablespace that is gone is a matter of PostgreSQL.
        if os.path.exists(path):
            found.setdefault(os.stat(path).st_dev, path)
    return [path for system, path in found.items() if system != own]
