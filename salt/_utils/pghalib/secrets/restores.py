"""
The notes of restores that are not finished. They lie in the store of the master (``restore-CLUSTER.json``): so an
interrupted restore is gone on with by whoever runs it next, the main job knows of it, and a host gets the secrets of
another cluster's repositories for as long as it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pghalib.secrets.store
from pghalib.secrets.contents import is_bool, is_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    # Python 3.10 has it in no module of its own.
    from typing_extensions import NotRequired

    from pghalib.backup.target import Target


class Note(TypedDict):
    """
    A restore that has begun: ``host`` is the minion id of the member whose data are restored, ``source`` the cluster
    whose backups they are where it is another one, ``keep`` whether the data of before are kept (a note without it was
    written by a version that always did), ``timeline`` the one on which the cluster was when that was confirmed, in the
    words of ``pghalib.master.conditions.timeline``.
    """

    id: str
    cluster: str
    host: str
    target: Target
    source: NotRequired[str]
    keep: NotRequired[bool]
    timeline: NotRequired[str]


SHAPE = (
    {"id": is_text, "cluster": is_text, "host": is_text, "source": is_text, "keep": is_bool, "timeline": is_text},
    "id", "cluster", "host", "target",
)  # fmt: skip


def noted(store: Path, cluster: str) -> Note | None:
    """Return the note of a restore of a cluster that is not finished, or None. Raises the errors of the store."""
    found: Note | None = pghalib.secrets.store.read(file(store, cluster), SHAPE) or None
    return found


def exists(store: Path, cluster: str) -> bool:
    """Return whether a restore of a cluster has begun and is not finished."""
    return file(store, cluster).exists()


def file(store: Path, cluster: str) -> Path:
    """Return the path of the note."""
    return pghalib.secrets.store.file(store, "restore", cluster)


def copied_to(store: Path, minion_id: str, clusters: Iterable[str]) -> str | None:
    """
    Return the cluster whose backups a host may read now, since a restore of another cluster's that has begun copies
    them to it; None otherwise. Raises the errors of the store.

    clusters
        Names of the clusters of the store.
    """
    for name in clusters:
        note = noted(store, name)
        if note and note["host"] == minion_id:
            return note.get("source")
    return None


def readers(store: Path, clusters: Iterable[str]) -> dict[str, list[str]]:
    """
    Return the minion ids of the hosts to which backups of another cluster are copied now, by the name of that cluster.
    Raises the errors of the store.

    clusters
        Names of the clusters of the store.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(clusters):
        note = noted(store, name)
        if note and "source" in note:
            found.setdefault(note["source"], []).append(note["host"])
    return found
