"""
The directories above a service's files: they exist, and the service's user can pass them, whatever the minion's umask.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pghalib.host.descriptors

if TYPE_CHECKING:
    from pghalib.host.diff import Change

MODE = "0755"
# Closed on purpose: no service reads a file here.
PRIVATE = ("/root",)


def made(path: str, *, test: bool, top: str = "/") -> dict[str, Change]:
    """
    Make a directory and the missing ones above it (root's, 0755), and open the directories of root's that nobody else
    can pass: a run under the umask 077 has left them so. All others keep owner and mode.

    path
        Absolute path of the directory.
    test
        True: nothing is touched.
    top
        Directories above this one are not opened.

    Nothing is made or opened below a directory that another user can change: that is the user's own matter.

    Returns the changes, ``{path: {"old": mode or None, "new": mode}}``. Raises CommandExecutionError when a directory
    cannot be made.
    """
    changes: dict[str, Change] = {}
    for step in [*reversed(Path(path).parents), Path(path)]:
        try:
            with pghalib.host.descriptors.opened(step) as (handle, stranger):
                info = os.fstat(handle)
                if stranger:
                    return changes
                if _closed(step, handle, info) and step.is_relative_to(top):
                    mode = stat.S_IMODE(info.st_mode) | int(MODE, 8)
                    changes[str(step)] = {"old": pghalib.host.descriptors.described(info)["mode"], "new": f"{mode:04o}"}
                    if not test:
                        os.fchmod(handle, mode)
        except FileNotFoundError:
            changes[str(step)] = {"old": None, "new": MODE}
            if not test:
                pghalib.host.descriptors.directory(str(step), user="root", group="root", mode=MODE, test=False)
        except OSError:
            # No directory, or behind another user's link: the code that needs the directory will fail and say so.
            return changes
    return changes


def _closed(step: Path, handle: int, info: os.stat_result) -> bool:
    """Whether only root can pass a directory. Not counted: a directory with an access list or with its own group."""
    if (info.st_uid, info.st_gid) != (0, 0) or info.st_mode & stat.S_IXOTH or str(step) in PRIVATE:
        return False
    return "system.posix_acl_access" not in os.listxattr(handle)
