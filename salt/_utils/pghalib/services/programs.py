"""
The program that a process runs, as the kernel tells it. An update puts another file in the program's place, and the
process goes on with the former one.
"""

from __future__ import annotations

import os

#: What the kernel adds to the path of a file that is not there any more.
DELETED = " (deleted)"


def runs(pid: int, program: str) -> bool:
    """
    Return whether a process runs a program, also when the file has been replaced since the process was started.

    pid
        Process id. False when there is no such process.
    program
        Path of the program.
    """
    return _link(pid).removesuffix(DELETED) == os.path.realpath(program)


def outdated(pid: int, program: str) -> str | None:
    """
    Return a sentence when a process runs another program than the one that is installed; None when it runs that one,
    or when there is no such process.

    pid, program
        As in :py:func:`runs`.
    """
    link, installed = _link(pid), os.path.realpath(program)
    if link in ("", installed):
        return None
    if link == installed + DELETED:
        return f"{installed} has been replaced since it was started"
    return f"{link} runs, {installed} is installed"


def _link(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
