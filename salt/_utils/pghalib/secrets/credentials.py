"""
The keys of a user's S3 server, by which a repository of backups is written. The master does not make them: a person
brings them into the store.
"""

from __future__ import annotations

import getpass
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.backup.repositories
import pghalib.errors
import pghalib.host.files
import pghalib.inventory
import pghalib.secrets.contents
import pghalib.secrets.needed
import pghalib.secrets.store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pghalib.secrets.contents import Cluster
    from pghalib.shapes import Json, RepositorySecrets


def bring(path: Path, cluster: str, name: str, repository: Mapping[str, Json], file: str | None) -> None:
    """
    Store the key that a person brings, from a file or from the terminal.

    path
        Directory of the store.
    cluster, name, repository
        The cluster; the name and the settings of its repository.
    file
        Path of the file with the key, None to ask for it.

    Raises CommandExecutionError when the pillar has the key, and as :py:func:`read`, :py:func:`asked` and
    :py:func:`store` do.
    """
    if pghalib.backup.repositories.brought(repository):
        raise CommandExecutionError(
            f"The pillar has the key of {name}, and the next run would take that one: change it there"
        )
    key, secret = read(file) if file else asked(name)
    store(path, cluster, name, key, secret)


def store(path: Path, cluster: str, repository: str, key: str, secret: str) -> None:
    """
    Store who may write to a repository, in place of what was known.

    path
        Directory of the store.
    cluster, repository
        Names.
    key, secret
        The id of the access key, and its secret.

    Raises CommandExecutionError when one of them is empty or is no text in one line, and when the store cannot be
    written.
    """
    for what, value in (("the access key", key), ("its secret", secret)):
        if not pghalib.backup.repositories.sound(value):
            raise CommandExecutionError(f"{what} must be {pghalib.backup.repositories.KEY_FORM}")
    pghalib.secrets.store.prepare(path)
    file = pghalib.secrets.store.file(path, "cluster", cluster)
    with pghalib.secrets.store.locked(path):
        stored: Cluster = pghalib.secrets.store.read(file, pghalib.secrets.contents.CLUSTER_SHAPE)
        own = stored.setdefault("backup", {}).setdefault(repository, {})
        own["key"], own["key_secret"] = key, secret
        pghalib.secrets.store.write(file, stored)


def taken(path: Path, pgha: dict[str, Json], defaults: dict[str, Json], test: bool = False) -> list[str]:
    """
    Take the keys that the pillar has into the store, and return the names of those that are new there.

    path, pgha, defaults
        Directory of the store, the pillar of that name as the master's own id has it, the content of defaults.yaml.
    test
        True: nothing is written.

    Raises CommandExecutionError when the store cannot be read or written.
    """
    found = []
    for cluster in pgha.get("clusters") or {}:
        for name, repository in pghalib.secrets.needed.repositories(pgha, defaults, cluster).items():
            if not pghalib.backup.repositories.brought(repository):
                continue
            key, secret = (repository[one] for one in pghalib.inventory.ACCESS)
            known = _known(path, cluster, name)
            if (known.get("key"), known.get("key_secret")) != (key, secret):
                found.append(f"{cluster}/backup/{name}/key")
                if not test:
                    store(path, cluster, name, key, secret)
    return found


def _known(path: Path, cluster: str, repository: str) -> RepositorySecrets:
    file = pghalib.secrets.store.file(path, "cluster", cluster)
    stored: Cluster = pghalib.secrets.store.read(file, pghalib.secrets.contents.CLUSTER_SHAPE)
    return stored.get("backup", {}).get(repository, {})


def lacking(path: Path, pgha: dict[str, Json], defaults: dict[str, Json], clusters: Iterable[str]) -> list[str]:
    """
    Return a sentence for each repository to which nobody may write yet, with the command that ends that.

    path, pgha, defaults
        Directory of the store, the pillar of that name, the content of defaults.yaml.
    clusters
        The names of those that are worked on.

    Raises CommandExecutionError when the store cannot be read.
    """
    found = []
    for cluster in clusters:
        for name, repository in pghalib.secrets.needed.repositories(pgha, defaults, cluster).items():
            if not pghalib.backup.repositories.needs_credential(repository):
                continue
            brought = pghalib.backup.repositories.brought(repository)
            if not brought and not _known(path, cluster, name).get("key_secret"):
                found.append(
                    f"the store has no key for the repository {name} of {cluster}: bring it by salt-run"
                    f" pgha.credential {cluster} {name}, or in the pillar (key and key_secret beside its type)"
                )
    return found


def asked(repository: str) -> tuple[str, str]:
    """
    Return the access key and its secret, for which a person is asked on the terminal; the secret is not shown.

    Raises CommandExecutionError without a terminal, and when the person ends the input.
    """
    if not sys.stdin.isatty():
        raise CommandExecutionError("There is no terminal to ask on: give file=PATH, a file with the two lines")
    try:
        key = input(f"Id of the access key for {repository}: ").strip()
        return key, getpass.getpass("Its secret (not shown): ").strip()
    except EOFError:
        raise CommandExecutionError("The input has ended before key and secret were given: nothing is stored") from None


def read(path: str) -> tuple[str, str]:
    """
    Return the access key and its secret from a file with these two lines.

    path
        The file, which nobody but its owner may read.

    Raises CommandExecutionError when it is missing, open to others, or has other lines.
    """
    with pghalib.errors.about(path):
        if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
            raise CommandExecutionError(f"{path} may be read by others: chmod 600 {path}, and change the key if it was")
    lines = (pghalib.host.files.read_foreign(path, 4096) or "").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) != 2:
        raise CommandExecutionError(f"{path} must have two lines: the id of the access key, and its secret")
    return lines[0].strip(), lines[1].strip()
