"""Directories of repositories (type posix) on this host: whether backups are safe there. Nothing is changed."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

import pghalib.host.space

if TYPE_CHECKING:
    from pghalib.shapes import MemberSettings


def faults(settings: MemberSettings) -> list[str]:
    """
    Return the faults of the directories of a host's repositories, as sentences.

    settings
        Those of the host.

    A directory must be there (a mounted share), be elsewhere than the data, and belong to the user of PostgreSQL.
    """
    found = []
    postgres, cluster = settings["postgres"], settings["cluster"]["name"]
    for name, repository in settings["backup"]["repositories"].items():
        if repository["type"] != "posix":
            continue
        path = repository["path"]
        try:
            info = os.stat(path)
        except OSError as error:
            found.append(
                f"{path}, the repository {name}, cannot be seen ({error.strerror}): mount the share on every host of"
                f" {cluster} (backup:repositories:{name}:path)"
            )
            continue
        if not stat.S_ISDIR(info.st_mode):
            found.append(f"{path}, the repository {name}, is no directory")
        elif info.st_dev == os.stat(pghalib.host.space.nearest(postgres["data_dir"])).st_dev:
            found.append(
                f"{path}, the repository {name}, is on the same file system as {postgres['data_dir']}: with that disk"
                " the backups would be lost, too; mount a share there"
            )
        elif not _owns(info, postgres["user"]):
            found.append(
                f"{path}, the repository {name}, is not {postgres['user']}'s: chown {postgres['user']} {path}, or the"
                " like where the share is"
            )
    return found


def _owns(info: os.stat_result, user: str) -> bool:
    """Whether a user may write there by its owner. Before PostgreSQL is installed there is no such user."""
    try:
        return pwd.getpwnam(user).pw_uid == info.st_uid or bool(info.st_mode & stat.S_IWOTH)
    except KeyError:
        return True
