"""
The store of secrets on the master: files that are checked when they are read and replaced by a rename, and the index,
which knows the secrets that the store once had and the role of each host.

One JSON file for each datacenter and for each cluster, 0600, in a directory with 0700 outside git and the file roots.
``index.json`` beside them holds no secret:

    {"hosts": {MINION_ID: {"role", "name", "datacenter", "cluster"}},
     "clusters": {NAME: {"datacenter", "tokens"}},
     "tls": {DATACENTER: whether its traffic is to be encrypted},
     "settled": {DATACENTER: the same, once no host refused it},
     "made": {NAME OF A SECRET: when it was made, or first seen}}

It is an error when a file cannot be read, has another shape, or lacks a secret that the index names. It is never a
reason to make new secrets: the living clusters use the old ones.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.host.files
import pghalib.host.lock
import pghalib.parse
import pghalib.secrets.contents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from pghalib.secrets.contents import Index, Shape
    from pghalib.shapes import Json

DEFAULT_PATH = "/var/lib/pgha"
INDEX = "index"
#: Seconds: a change of the store makes some keys and is short.
LOCKED = 60
RESTORE = "restore the store from its backup (docs/runbooks.md, The store of secrets)"


def directory(opts: Mapping[str, Json]) -> Path:
    """Return the path of the store: ``pgha_store`` of the master's configuration, or /var/lib/pgha."""
    return Path(opts.get("pgha_store") or DEFAULT_PATH)


def prepare(path: Path) -> None:
    """
    Make the directory of the store, and give it the mode 0700.

    path
        The directory.

    Raises CommandExecutionError with the remedy (a command) when the master's user may not do that.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) != 0o700:
            path.chmod(0o700)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CommandExecutionError(unwritable(path, error)) from None


def locked(path: Path) -> AbstractContextManager[int]:
    """Return a context in which no other process changes the store ``path``; waits up to LOCKED seconds for it."""
    return pghalib.host.lock.held(path / ".lock", LOCKED)


def file(path: Path, kind: str, name: str) -> Path:
    """Return the file of the store for a kind (``datacenter``, ``cluster``, ``tls``, ``restore``) and its name."""
    return path / f"{kind}-{name}.json"


def read(where: Path, shape: Shape) -> Json:
    """
    Return the content of a file of the store, ``{}`` when the file does not exist.

    where
        Path of the file.
    shape
        The shape that the content must have, see :py:func:`pghalib.secrets.contents.misshapen`.

    Raises CommandExecutionError that names the file, the fault, and the remedy.
    """
    try:
        content = pghalib.host.files.read_foreign(str(where))
        if content is None:
            return {}
        found = pghalib.parse.from_json(content)
    except (CommandExecutionError, ValueError) as error:
        reason = error if isinstance(error, CommandExecutionError) else "it is no JSON"
        allowed = os.access(where.parent, os.X_OK) and (not where.exists() or os.access(where, os.R_OK))
        remedy = RESTORE if allowed else f"give it to the user whom the master runs as: {_install(where.parent)}"
        raise CommandExecutionError(
            f"The store of secrets {where} cannot be read ({reason}): {remedy}. Nothing is made anew in its place,"
            " because the clusters use what it held"
        ) from None
    wrong = pghalib.secrets.contents.misshapen(found, shape)
    if wrong:
        raise CommandExecutionError(
            f"The store of secrets {where} is damaged ({wrong}): {RESTORE}. Nothing is made anew in its place,"
            " because the clusters use what it held"
        )
    return found


def write(where: Path, content: Mapping[str, object]) -> None:
    """
    Replace a file of the store by a rename, and sync it to the disk.

    where, content
        Path of the file, and its new content, a mapping.

    Raises CommandExecutionError when that fails; then the old file stays.
    """
    try:
        pghalib.host.files.write_private(str(where), json.dumps(content, indent=2, sort_keys=True) + "\n")
    except CommandExecutionError as error:
        raise CommandExecutionError(f"The store of secrets cannot be written: {error}. Nothing was touched") from None


def index(path: Path) -> Index:
    """Return the index of the store ``path`` with all its keys; their values are empty when there is no index yet."""
    found: Index = {"hosts": {}, "clusters": {}, "tls": {}, "settled": {}, "made": {}}
    found.update(read(path / f"{INDEX}.json", pghalib.secrets.contents.INDEX_SHAPE))
    return found


def encrypted(content: Index) -> dict[str, bool]:
    """
    Return {DATACENTER: whether it was built encrypted} of an index: ``settled`` (no host refused it) wins over ``tls``
    (wanted).
    """
    return {**content["tls"], **content["settled"]}


def write_index(path: Path, content: Index) -> None:
    """Store the index."""
    write(path / f"{INDEX}.json", content)


def unwritable(path: Path, error: OSError) -> str:
    """Return the message, with the remedy, for a store that cannot be written because of an error of the system."""
    return (
        f"The store of secrets {path} cannot be written ({error.strerror or error}). Nothing was touched."
        f" Remedy, when the rights are missing: {_install(path)}"
    )


def _install(path: Path) -> str:
    """The command that gives the store to the user whom the master runs as."""
    user = _user()
    return f"install -d -m 0700 -o {user} -g {user} {path} && chown -R {user}:{user} {path}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
