"""The data directory of a host during a restore: its size, what is kept aside, and the note of how far this host is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError, SaltException

import pghalib.errors
import pghalib.host.descriptors
import pghalib.host.files
import pghalib.host.space
import pghalib.parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pghalib.shapes import Json

#: {"id": ID of the restore, "step": one of the steps below, "control": see :py:func:`write`}
NOTE = "/etc/pgha/restore.json"
#: The step in the note of a host whose data were begun to be put aside, and may be there in part.
BEGUN = "begun"
#: The steps after it: the data of before are aside; those of the target have recovered; their server was stopped.
ASIDE, RECOVERED, RESTORED = "aside", "recovered", "restored"
#: The id in the note of a host that restores because its cluster is founded with a backup.
FOUNDING = "founding"
#: Seconds for pgBackRest to fetch all data: the next step waits for it, and nothing else does.
FETCHED = 7 * 86400
#: The unit of the server that recovers, and its socket, which only its user reaches.
UNIT = "pgha-restore"
SOCKET = f"/run/{UNIT}"
#: The parameters that pgBackRest writes for a recovery, as a regular expression.
PARAMETERS = "restore_command|recovery_target[a-z_]*"

# Once it has recovered, a server begins by itself what reaches others: subscriptions, and jobs of extensions.
# PostgreSQL takes the names of extensions that are not there.
_QUIET = {
    "max_logical_replication_workers": "0",
    "cron.launch_active_jobs": "off",
    "timescaledb.max_background_workers": "0",
}


def not_lost(path: str, cluster: str) -> str:
    """Return why a cluster must not be founded from its backups, as a sentence: ``path`` has data of it."""
    return (
        f"pgha:from_backup: {path} has data, so {cluster} is not lost: leave from_backup out, and the main job starts"
        " it. To go back to a backup: salt-run state.orchestrate pgha.restore. If nobody needs these data, move the"
        " directory away"
    )


class Ended(SaltException):
    """The server that recovers has ended. Not a CommandExecutionError, which would be waited out."""


#: What PostgreSQL says when the archive has nothing as late as the target.
_EARLY = "recovery ended before configured recovery target was reached"


def ended(said: str) -> Ended:
    """Return the error of a server that has ended before it had recovered; ``said``: its last words."""
    if _EARLY in said:
        said += (
            ". The archive ends before that moment. When the cluster whose backups these are lives, its last WAL gets"
            " there within five minutes (archive_timeout): run the same command again. If not, the data of before come"
            ' back with "target": "kept:ID" (docs/backup.md)'
        )
    return Ended(f"the server that recovers has ended: {said}")


class Space(TypedDict):
    """Sizes in bytes; ``mount``: the data directory is the root of a file system; ``link``: it is a link to another."""

    size: int
    free: int
    mount: bool
    link: bool
    tablespaces: int


def space(path: str) -> Space:
    """
    Return what a data directory takes, and what is free beside it, or in it where it is the root of a file system or a
    link, perhaps to one; ``path`` need not exist.
    """
    parent = path if os.path.ismount(path) or os.path.islink(path) else os.path.dirname(path)
    tablespaces = 0
    with contextlib.suppress(OSError):
        tablespaces = len(os.listdir(f"{path}/pg_tblspc"))
    return {
        "size": sum(_sizes(path)),
        "free": shutil.disk_usage(pghalib.host.space.nearest(parent)).free,
        "mount": os.path.ismount(path),
        "link": os.path.islink(path),
        "tablespaces": tablespaces,
    }


def _sizes(path: str) -> Iterator[int]:
    """The sizes of all files below a path. A running server removes some meanwhile."""
    for place, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(place, name)).st_blocks * 512


def parameters(path: str, copy: bool) -> dict[str, str]:
    """
    Return the parameters by which a server recovers apart from all networks; all others are in its data.

    path
        The data directory.
    copy
        True: the data are another cluster's, whose hosts have them in another place, and may have more memory.
    """
    found = {"listen_addresses": "", "unix_socket_directories": SOCKET, "synchronous_standby_names": "", **_QUIET}
    if copy:
        found |= {f"{one}_file": f"{path}/pg_{one}.conf" for one in ("hba", "ident")}
        found |= {"shared_buffers": "128MB", "huge_pages": "off", "ssl": "off"}
    return found


def aside(path: str, restore: str) -> str | None:
    """
    Move a data directory aside, to ``PATH.before-ID``, and return that path, also when it is there already; None when
    there are no data.

    path
        The data directory. Only root can change the directory above it.
    restore
        The id of the restore.

    Raises CommandExecutionError when the place is taken, and when the data directory is a link.
    """
    if os.path.islink(path):
        # What it leads to would be moved, and nothing could be made in its place.
        raise CommandExecutionError(
            f"{path} is a link, and what it leads to cannot be kept aside: put the directory itself there, and run this"
            " again"
        )
    parent, name = os.path.split(pghalib.host.descriptors.real(path))
    kept = f"{name}.before-{restore}"
    with pghalib.host.descriptors.trusted(parent) as directory:
        present = os.listdir(directory)
        if name not in present:
            return f"{parent}/{kept}" if kept in present else None
        if kept in present:
            raise CommandExecutionError(
                f"{parent}/{kept} is there already and has the data of before: move {path}, which came after them,"
                " away, and run this again"
            )
        os.rename(name, kept, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    return f"{parent}/{kept}"


def put_back(path: str, kept: str) -> None:
    """
    Move data that were kept aside back to their place.

    path
        The data directory, which is empty or not there.
    kept
        The directory with the data, beside it.

    Raises CommandExecutionError when something is in the way.
    """
    parent, name = os.path.split(pghalib.host.descriptors.real(path))
    with pghalib.errors.about(path), pghalib.host.descriptors.trusted(parent) as directory:
        # An empty directory gives way.
        os.rename(os.path.basename(kept), name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def read() -> dict[str, Json]:
    """
    Return the note of this host, {} without one. Raises CommandExecutionError with the remedy when it is damaged: then
    nobody knows how far the restore is here.
    """
    text = pghalib.host.files.read_foreign(NOTE)
    try:
        note = {} if text is None else pghalib.parse.from_json(text)
    except ValueError:
        note = None
    if not isinstance(note, dict):
        raise CommandExecutionError(
            f"{NOTE} is damaged: remove it. If a restore has begun, then give its command again, or go back to the data"
            " of before (docs/backup.md)"
        )
    return note


def put_aside_for(note: dict[str, Json]) -> str | None:
    """
    Return the id of the restore for which a host has put its data aside, None where they are not aside yet.

    note
        The note of the host, {} without one.
    """
    return None if note.get("step") == BEGUN else note.get("id")


def write(restore: str, step: str, control: int | None = None) -> None:
    """
    Note on this host how far a restore is.

    restore, step
        Its id, and what has been done.
    control
        The version number of pg_control of the data of before, where it is needed later.
    """
    note = {"id": restore, "step": step} | ({"control": control} if control else {})
    pghalib.host.files.write_private(NOTE, json.dumps(note) + "\n")
