"""
The user of PostgreSQL where a host has one already: whether systemd-logind spares what that user has in shared memory,
and whether the host knows the user by itself.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import TypedDict

USERS = "/etc/passwd"
LOGIN_DEFS = "/etc/login.defs"
# A user with a file of that name here stays known to logind after the last logout.
LINGER = "/var/lib/systemd/linger"
# logind.conf(5) and what is beside it, in the order in which systemd reads them: the last value counts.
LOGIND = ("systemd-analyze", "cat-config", "systemd/logind.conf")
# What login.defs(5) says where the file does not.
SYS_UID_MAX = 999
# The words of systemd for True and False; a value with any other word is ignored.
_WORDS = {
    **dict.fromkeys(("1", "yes", "y", "true", "t", "on"), True),
    **dict.fromkeys(("0", "no", "n", "false", "f", "off"), False),
}
# The line that `systemd-analyze cat-config` writes before each file.
_FILE = re.compile(r"# /\S+/systemd/logind\.conf(\.d/[^/]+\.conf)?")


class Account(TypedDict):
    """
    ``uid``; ``highest``: the highest UID of users of the system; ``local``: /etc/passwd has the user; ``lingers``:
    logind keeps the user after the last logout.
    """

    name: str
    uid: int
    highest: int
    local: bool
    lingers: bool


def account(name: str) -> Account | None:
    """Return what this host knows of a user; None where there is none yet, for a package makes a user of the system."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
    return {
        "name": name,
        "uid": uid,
        "highest": _highest(),
        "local": any(line.startswith(f"{name}:") for line in _lines(USERS)),
        "lingers": os.path.exists(f"{LINGER}/{name}"),
    }


def removes(conf: str) -> bool:
    """
    Return whether systemd-logind removes what a user has in shared memory at the last logout (``RemoveIPC``).

    conf
        The output of the command ``LOGIND``; empty when it tells nothing.
    """
    wanted, section = True, ""
    for line in map(str.strip, conf.splitlines()):
        if _FILE.fullmatch(line):
            # A file that names no section sets nothing.
            section = ""
        elif line.startswith("["):
            section = line
        key, equals, value = line.partition("=")
        if section == "[Login]" and equals and key.rstrip() == "RemoveIPC":
            wanted = _WORDS.get(value.strip().lower(), wanted)
    return wanted


def exposed(found: Account | None) -> bool:
    """Return whether ``RemoveIPC`` of systemd-logind concerns a user: none of the system's, and none that stays."""
    return bool(found and found["uid"] > found["highest"] and not found["lingers"])


def robbed(found: Account, conf: str) -> list[str]:
    """
    Return a sentence, as a list, when systemd-logind removes the shared memory of the running server.

    found
        The result of :py:func:`account`.
    conf
        As for :py:func:`removes`.
    """
    if not exposed(found) or not removes(conf):
        return []
    return [
        f"the user {found['name']} has the UID {found['uid']}, and those of the system end at {found['highest']}"
        f" (SYS_UID_MAX in {LOGIN_DEFS}): when its last login ends (su - {found['name']}), systemd-logind removes the"
        ' shared memory of the running server, and queries in parallel fail ("could not open shared memory segment");'
        " put the lines [Login] and RemoveIPC=no into /etc/systemd/logind.conf.d/postgres.conf, then run systemctl"
        " restart systemd-logind"
    ]


def distant(found: Account | None) -> list[str]:
    """Return a sentence, as a list, when a user is known by a directory service alone."""
    if not found or found["local"]:
        return []
    return [
        f"the user {found['name']} is not in {USERS} but comes from a directory service (LDAP, SSSD): while that is"
        " down, Patroni does not start here; add the user and its group, with the same numbers, to /etc/passwd and"
        " /etc/group"
    ]


def _highest() -> int:
    found = SYS_UID_MAX
    for line in _lines(LOGIN_DEFS):
        if match := re.fullmatch(r"\s*SYS_UID_MAX\s+(\d+)\s*", line):
            found = int(match[1])
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
