"""
The note of a member's data: the cluster whose data this host has had, and their place. It shows that the data are gone
(for example, the disk is not mounted after a power cut) before a new copy of the whole database is made in their place.

Pure functions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypedDict

import pghalib.parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pghalib.shapes import MemberSettings

NOTE = "/etc/pgha/member.json"
_KEYS = ("cluster", "data_dir", "mount", "system_identifier")


class Data(TypedDict):
    """What is found in the place of the data, see :py:func:`verdict`."""

    empty: bool
    mount: str
    refilled: bool


class Verdict(TypedDict):
    """Whether the data are gone, and the messages."""

    lost: bool
    faults: list[str]
    warnings: list[str]


def note(settings: MemberSettings, mount: str, identifier: str | int) -> str:
    """
    Return the text of the note.

    settings
        The result of ``pgha.settings``.
    mount
        The mount point of the file system with the data.
    identifier
        PostgreSQL's system identifier.
    """
    values = (settings["cluster"]["name"], settings["postgres"]["data_dir"], mount, str(identifier))
    return json.dumps(dict(zip(_KEYS, values, strict=True)), indent=2) + "\n"


def mount_of(path: str, mounts: Iterable[str]) -> str:
    """
    Return the mount point on which a path lies.

    path
        Absolute path without links.
    mounts
        List of mount points.
    """
    above = [mount for mount in mounts if mount == "/" or path == mount or path.startswith(mount + "/")]
    return max(above, key=len, default="/")


def verdict(text: str | None, settings: MemberSettings, found: Data) -> Verdict:
    """
    Return ``{"lost", "faults", "warnings"}``: whether this member's data are gone, and the messages.

    text
        The note of this host, None without one (a new host, or a host that is told to start anew).
    settings
        The result of ``pgha.settings``.
    found
        ``{"empty", "mount", "refilled"}``: whether the data directory is empty or missing; the mount point of its file
        system; whether a running Patroni is making a new copy there (``patronictl reinit``).
    """
    good: Verdict = {"lost": False, "faults": [], "warnings": []}
    if text is None:
        return good
    noted = _read(text)
    if noted is None:
        fault = f"{NOTE} is damaged: remove it when the data of {settings['cluster']['name']} are where they belong"
        return {**good, "faults": [fault]}
    path, cluster = settings["postgres"]["data_dir"], settings["cluster"]["name"]
    if noted["cluster"] != cluster:
        return good
    moved = noted["mount"] != found["mount"]
    if not found["empty"]:
        told = f"the data of {cluster} are on the file system of {found['mount']}, and were on that of {noted['mount']}"
        return {**good, "warnings": [told] if moved and noted["data_dir"] == path else []}
    if found["refilled"] and not moved and noted["data_dir"] == path:
        return good
    here = "there" if noted["data_dir"] == path else f"in {path}"
    disk = f"mount the disk of {noted['mount']}" if moved else "bring them back (is a disk not mounted?)"
    told = (
        f"this host had the data of {cluster} in {noted['data_dir']}, and nothing is {here}: {disk}; only if they are"
        f" lost for good, name {settings['id']} in pgha:new_data, and it gets a new copy (docs/runbooks.md)"
    )
    return {"lost": True, "faults": [told], "warnings": []}


def _read(text: str) -> dict[str, str] | None:
    try:
        noted = pghalib.parse.from_json(text)
    except ValueError:
        return None
    good = isinstance(noted, dict) and all(isinstance(noted.get(key), str) for key in _KEYS)
    return noted if good else None
