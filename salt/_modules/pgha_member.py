"""
The data of this member: whether they are still in their place.
"""

import os
import pwd

import pghalib.host.descriptors
import pghalib.host.files
import pghalib.host.users
import pghalib.postgres.data_directory
import pghalib.postgres.member_note
import pghalib.preflight.identity
import pghalib.run
import pghalib.services.shown
import pghalib.text
import pghalib.wait
import pghalib.words
import psutil
from salt.exceptions import CommandExecutionError

# Seconds to remove data: as long as it takes.
FOREVER = 86400
# systemd makes it in a container.
CONTAINER = "/run/systemd/container"


def data():
    """
    Return the state of the data directory: ``empty`` (also when there is no directory), ``mount`` (the mount point of
    its file system) and ``refilled`` (Patroni runs and can make a new copy there by itself).

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
        # Not a directory, or behind a link of another user: other checks report that.
        empty, owner = False, None
    mounts = [one.mountpoint for one in psutil.disk_partitions(all=True)]
    return {
        "empty": empty,
        "mount": pghalib.postgres.member_note.mount_of(path, mounts),
        "refilled": empty and owner == _uid(postgres["user"]) and bool(__salt__["service.status"]("patroni")),
    }


def verdict():
    """
    Return ``{"lost", "faults", "warnings", "allowed"}``: whether this host has lost its data, the sentences about that,
    and whether the pillar allows the loss (``pgha:new_data`` names this host; then there are no faults).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.verdict
    """
    settings = __salt__["pgha.settings"]()
    text = pghalib.host.files.read_foreign(pghalib.postgres.member_note.NOTE, 65536)
    found = pghalib.postgres.member_note.verdict(text, settings, data())
    allowed = found["lost"] and settings["id"] in pghalib.run.listed(__pillar__, "new_data")
    return {**found, "faults": [] if allowed else found["faults"], "allowed": allowed}


def strangers():
    """
    Return a sentence for each member that this host's Patroni knows and the pillar does not; none on a host where
    Patroni does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.strangers
    """
    cluster = __salt__["pgha.settings"]()["cluster"]
    members = pghalib.wait.now(__salt__["pgha_patroni.cluster"]) or []
    names = [str(one["name"]) for one in members]
    return pghalib.preflight.identity.strangers(names, cluster["name"], {one["name"] for one in cluster["hosts"]})


def lost():
    """
    Return the faults of this member's data as sentences, for the status; none on a server of Consul.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.lost
    """
    return verdict()["faults"] if __salt__["pgha.settings"]()["role"] == "db" else []


def mount_faults():
    """
    Return a sentence for the status when the disk of this member's data was mounted by hand: nothing mounts it at a
    boot. In a container the host mounts the disks, and what is seen inside tells nothing.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.mount_faults
    """
    settings = __salt__["pgha.settings"]()
    if settings["role"] != "db" or os.path.exists(CONTAINER):
        return []
    mount = data()["mount"]
    command = ["systemd-escape", "--path", "--suffix=mount", mount]
    unit = __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True)["stdout"].strip()
    shown = __salt__["service.show"](unit) if unit else {}
    # Others than disks are mounted by services of their own, as those of ZFS are. A line of fstab becomes a unit file.
    disk = pghalib.services.shown.runs(shown) and str(shown.get("What", "")).startswith("/dev/")
    if mount == "/" or not disk or shown.get("FragmentPath"):
        return []
    return [
        f"the disk at {mount}, with the data of {settings['cluster']['name']}, was mounted by hand, and nothing mounts"
        " it at a boot: add it to /etc/fstab, then systemctl daemon-reload"
    ]


def note():
    """
    Return the text for this member's note, None while Patroni does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.note
    """
    identifier = (__salt__["pgha_patroni.member"]() or {}).get("database_system_identifier")
    if not identifier:
        return None
    return pghalib.postgres.member_note.note(__salt__["pgha.settings"](), data()["mount"], identifier)


def astray():
    """
    Return whether PostgreSQL of this host was started without its configuration, so that Patroni waits for ever until
    it answers: see ``pghalib.postgres.data_directory.astray``. A restart by Patroni ends that.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.astray
    """
    postgres = __salt__["pgha.settings"]()["postgres"]
    if (__salt__["pgha_patroni.member"]() or {}).get("state") != "starting":
        return False
    return pghalib.postgres.data_directory.astray(postgres["data_dir"], postgres["socket_dir"])


def emptied():
    """
    Remove the data of this host: all that is in the data directory, and the data in the places of its tablespaces. The
    server's user does that, and no server may run. Returns None.

    Raises CommandExecutionError with what could not be removed.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_member.emptied
    """
    postgres = __salt__["pgha.settings"]()["postgres"]
    script = (
        # Of a place of a tablespace, what PostgreSQL has made there, which has its version in the name.
        'for place in "$1"/pg_tblspc/*/; do [ ! -d "$place" ] ||'
        ' find "$place" -mindepth 1 -maxdepth 1 -name "PG_*" -exec rm -rf {} + || exit; done;'
        ' [ ! -d "$1" ] || find "$1/" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +'
    )
    words = ["sh", "-c", script, "sh", postgres["data_dir"]]
    result = pghalib.host.users.run(__salt__["cmd.run_all"], postgres["user"], words, timeout=FOREVER)
    if result["retcode"]:
        raise CommandExecutionError(f"the data of now cannot be removed: {pghalib.text.line(result['stderr'])}")


def mounts(path):
    """
    Return the paths that must be mounted before a service can use a directory: the path itself and its real path (links
    resolved). A path that systemd could misread is left out.

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
