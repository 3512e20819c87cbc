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
import pghalib.secrets.contents
import pghalib.secrets.needed
import pghalib.secrets.store

if TYPE_CHECKING:
    from pghalib.secrets.contents import Cluster
    from pghalib.shapes import Json


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
        if not value or not value.isprintable() or value != value.strip():
            raise CommandExecutionError(f"{what} must be one line of printable characters without blanks around it")
    pghalib.secrets.store.prepare(path)
    file = pghalib.secrets.store.file(path, "cluster", cluster)
    with pghalib.secrets.store.locked(path):
        stored: Cluster = pghalib.secrets.store.read(file, pghalib.secrets.contents.CLUSTER_SHAPE)
        own = stored.setdefault("backup", {}).setdefault(repository, {})
        own["key"], own["key_secret"] = key, secret
        pghalib.secrets.store.write(file, stored)


def lacking(path: Path, pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    """
    Return a sentence for each repository to which nobody may write yet, with the command that ends that.

    path, pgha, defaults
        Directory of the store, the pillar of that name, the content of defaults.yaml.

    Raises CommandExecutionError when the store cannot be read.
    """
    found = []
    for cluster in pgha.get("clusters") or {}:
        file = pghalib.secrets.store.file(path, "cluster", cluster)
        stored: Cluster = pghalib.secrets.store.read(file, pghalib.secrets.contents.CLUSTER_SHAPE)
        for name, repository in pghalib.secrets.needed.repositories(pgha, defaults, cluster).items():
            known = stored.get("backup", {}).get(name, {})
            if pghalib.backup.repositories.needs_credential(repository) and not known.get("key_secret"):
                found.append(
                    f"the store has no key for the repository {name} of {cluster}: bring it by salt-run"
                    f" pgha.credential {cluster} {name}"
                )
    return found


def asked(repository: str) -> tuple[str, str]:
    """
    Return the access key and its secret, for which a person is asked on the terminal; the secret is not shown.

    Raises CommandExecutionError without a terminal.
    """
    if not sys.stdin.isatty():
        raise CommandExecutionError("There is no terminal to ask on: give file=PATH, a file with the two lines")
    key = input(f"Id of the access key for {repository}: ").strip()
    return key, getpass.getpass("Its secret (not shown): ").strip()


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
