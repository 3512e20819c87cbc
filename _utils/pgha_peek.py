"""
Reading as root what another user may have put there.
"""

import os
import stat

MOST = 2**20


def text(path, most=MOST):
    """
    Return the content of a regular file as text, None when there is no such file.

    path
        An absolute path. Its last part is no link that is followed, and a pipe or a device is not read: such a file
        could be another one than it seems, or keep its reader waiting.
    most
        Bytes; a file that has more is as good as none.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        try:
            content = stream.read(most + 1) or b""
        except OSError:
            return None
    return content.decode(errors="replace") if len(content) <= most else None
