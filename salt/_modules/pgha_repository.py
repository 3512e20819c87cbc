"""
A repository host: whether it can keep the backups of the clusters, and whether its server does.
"""

import os

import pghalib.backup.files
import pghalib.backup.keeper
import pghalib.host.descriptors
import pghalib.services.shown
import pghalib.tls


def directories():
    """
    Return the directories of the repositories on this host: a list of paths, without those of another cluster's that
    are the same.

    CLI Example:

    .. code-block:: bash

        salt 'test-backup1' pgha_repository.directories
    """
    return list(dict.fromkeys(path for path, _cluster in pghalib.backup.keeper.directories(_settings())))


def early_faults():
    """
    Return the faults that can be seen before anything is installed: directories that lie within each other or have
    something else in them, and somebody else's configuration of pgBackRest.

    CLI Example:

    .. code-block:: bash

        salt 'test-backup1' pgha_repository.early_faults
    """
    found = pghalib.backup.keeper.overlapping(_settings())
    found += [fault for fault in map(foreign, directories()) if fault]
    return found + pghalib.backup.files.foreign("keep its repositories on another host")


def foreign(path):
    """
    Return a sentence when a directory has something in it and is not pgBackRest's; None when it may be taken.

    path
        The directory, which need not exist.

    CLI Example:

    .. code-block:: bash

        salt 'test-backup1' pgha_repository.foreign /backup/test
    """
    try:
        # A new file system contains this directory from the start.
        inside = set(os.listdir(path)) - {"lost+found"}
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return f"{path} is no directory: give another path for the repository"
    owner = pghalib.host.descriptors.owner(path)["user"]
    if inside and owner != pghalib.tls.KEEPER:
        return (
            f"{path} has something in it and is {owner}'s: give an empty directory for the repository, or another path"
            f" (a repository of before: chown -R {pghalib.tls.KEEPER} {path})"
        )
    return None


def faults():
    """
    Return what is wrong with this host as one that keeps backups, as sentences; [] on every other host.

    CLI Example:

    .. code-block:: bash

        salt 'test-backup1' pgha_repository.faults
    """
    if _settings()["role"] != "repository":
        return []
    unit = f"{pghalib.backup.keeper.UNIT}.service"
    if not pghalib.services.shown.runs(__salt__["service.show"](unit)):
        return [f"{unit} does not run, so no cluster reaches its backups here: systemctl status {unit} says why"]
    return [f"{path}, a repository, is not there" for path in directories() if not os.path.isdir(path)]


def _settings():
    return __salt__["pgha.settings"]()
