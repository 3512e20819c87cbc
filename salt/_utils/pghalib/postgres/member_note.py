"""
The note of a member's data: which cluster's this host has had, and where. A member whose data are gone, because the
disk is not mounted after a power cut, say, is known by it before a new copy of the whole database is made in their
place.

Pure functions.
"""

import json

NOTE = "/etc/pgha/member.json"
_KEYS = ("cluster", "data_dir", "mount", "system_identifier")


def note(settings, mount, identifier):
    """
    Return the text of the note.

    settings
        What ``pgha.settings`` returns.
    mount
        Where the file system with the data is mounted.
    identifier
        PostgreSQL's system identifier.
    """
    values = (settings["cluster"]["name"], settings["postgres"]["data_dir"], mount, str(identifier))
    return json.dumps(dict(zip(_KEYS, values, strict=True)), indent=2) + "\n"


def mount_of(path, mounts):
    """
    Return on which of the mount points a path lies.

    path
        Absolute path without links.
    mounts
        List of mount points.
    """
    above = [mount for mount in mounts if mount == "/" or path == mount or path.startswith(mount + "/")]
    return max(above, key=len, default="/")


def verdict(text, settings, found):
    """
    Return ``{"lost", "faults", "warnings"}``: whether this member's data are gone, and what is to be said.

    text
        The note of this host, None without one (a new host, or one that is told to start anew).
    settings
        What ``pgha.settings`` returns.
    found
        ``{"empty", "mount", "refilled"}``: whether there is nothing in the data directory, or none; where its file
        system is mounted; whether Patroni, which runs, makes a new copy there by itself (``patronictl reinit``).
    """
    good = {"lost": False, "faults": [], "warnings": []}
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


def _read(text):
    try:
        noted = json.loads(text)
    except (ValueError, RecursionError):
        return None
    good = isinstance(noted, dict) and all(isinstance(noted.get(key), str) for key in _KEYS)
    return noted if good else None
