"""
The directories on the way to what a service reads: there, and open to the service's user, whatever the minion's umask.
"""

import os
import stat
from pathlib import Path

import pghalib.host.descriptors

MODE = "0755"
# Closed on purpose: nothing that a service reads lies here.
PRIVATE = ("/root",)


def made(path, *, test, top="/"):
    """
    Make a directory and those above it that are missing (root's, 0755), and open those of root's through which nobody
    else could pass: a run under the umask 077 has left them so. All others keep owner and mode.

    path
        Absolute path of the directory.
    test
        True: nothing is touched.
    top
        Directory above which none is opened.

    Below a directory that another user can change, nothing is made or opened: it is that user's to do.

    Returns the changes, ``{path: {"old": mode or None, "new": mode}}``. Raises CommandExecutionError when a directory
    cannot be made.
    """
    changes = {}
    for step in [*reversed(Path(path).parents), Path(path)]:
        try:
            with pghalib.host.descriptors.opened(step) as (handle, stranger):
                info = os.fstat(handle)
                if stranger:
                    return changes
                if _closed(step, handle, info) and step.is_relative_to(top):
                    mode = stat.S_IMODE(info.st_mode) | int(MODE, 8)
                    changes[str(step)] = {"old": f"{stat.S_IMODE(info.st_mode):04o}", "new": f"{mode:04o}"}
                    if not test:
                        os.fchmod(handle, mode)
        except FileNotFoundError:
            changes[str(step)] = {"old": None, "new": MODE}
            if not test:
                pghalib.host.descriptors.directory(str(step), user="root", group="root", mode=MODE, test=False)
        except OSError:
            # No directory, or behind a link of another's: whoever needs it will say so.
            return changes
    return changes


def _closed(step, handle, info):
    """Whether a directory lets root alone pass. One with an access list, or with a group of its own, has its reason."""
    if (info.st_uid, info.st_gid) != (0, 0) or info.st_mode & stat.S_IXOTH or str(step) in PRIVATE:
        return False
    return "system.posix_acl_access" not in os.listxattr(handle)
