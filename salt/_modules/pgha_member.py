"""
The data of this member: whether they are still where it had them.
"""

import os
import pwd

import pghalib.host.descriptors
import pghalib.host.files
import pghalib.postgres.member_note
import pghalib.run
import pghalib.words
import psutil


def data():
    """
    Return how the data directory is: ``empty`` (nothing is in it, or there is none), ``mount`` (where its file system
    is mounted) and ``refilled`` (Patroni runs and can make a new copy there by itself).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.data
    """
    postgres = __salt__["pgha.settings"]()["postgres"]
    path = pghalib.host.descriptors.real(postgres["data_dir"])
    try:
        with pghalib.host.descriptors.opened(path) as (handle, _):
            empty, owner = not set(os.listdir(handle)) - {"lost+found"}, os.fstat(handle).st_uid
    except FileNotFoundError:
        empty, owner = True, _owner(os.path.dirname(path))
    except OSError:
        # No directory, or a link of another's: other checks name it.
        empty, owner = False, None
    mounts = [one.mountpoint for one in psutil.disk_partitions(all=True)]
    return {
        "empty": empty,
        "mount": pghalib.postgres.member_note.mount_of(path, mounts),
        "refilled": empty and owner == _uid(postgres["user"]) and bool(__salt__["service.status"]("patroni")),
    }


def verdict():
    """
    Return ``{"lost", "faults", "warnings", "allowed"}``: whether the data that this host had are gone, what is to be
    said of that, and whether the pillar allows it (``pgha:new_data`` names this host; then nothing is a fault).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.verdict
    """
    settings = __salt__["pgha.settings"]()
    text = pghalib.host.files.read_foreign(pghalib.postgres.member_note.NOTE, 65536)
    found = pghalib.postgres.member_note.verdict(text, settings, data())
    allowed = found["lost"] and settings["id"] in pghalib.run.listed(__pillar__, "new_data")
    return {**found, "faults": [] if allowed else found["faults"], "allowed": allowed}


def lost():
    """
    Return what is wrong with the data of this member, as sentences, for the status; none on a server of Consul.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.lost
    """
    return verdict()["faults"] if __salt__["pgha.settings"]()["role"] == "db" else []


def note():
    """
    Return the text of the note that this member deserves, None while Patroni does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.note
    """
    identifier = (__salt__["pgha_patroni.member"]() or {}).get("database_system_identifier")
    if not identifier:
        return None
    return pghalib.postgres.member_note.note(__salt__["pgha.settings"](), data()["mount"], identifier)


def mounts(path):
    """
    Return the paths that have to be mounted before a service can use one: itself, and where it leads. What systemd
    could misunderstand is left out.

    path
        Absolute path of a directory.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.mounts /pgdata/test
    """
    _, pattern = pghalib.words.PATH
    return [one for one in dict.fromkeys([path, pghalib.host.descriptors.real(path)]) if pattern.fullmatch(one)]


def _owner(path):
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def _uid(user):
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return -1
