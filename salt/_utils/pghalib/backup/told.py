"""
What the program of the backups (``salt/pgha/backup/files/pgha-backup.py``) is told, what it tells, and what is wrong by
that; what it may take of a host. Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

import pghalib.backup.target
import pghalib.patroni.config
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json, MemberSettings


#: What a backup may take of a host whose databases come first, as properties of its unit.
LIMITS = {"Nice": "10", "IOSchedulingClass": "best-effort", "IOSchedulingPriority": "7", "NoNewPrivileges": "yes"}
# An error, and what it is of each repository.
_ERROR = re.compile(r"(?:.*?ERROR: | +(?=repo\d+: ))(.*)")
_WHY = "journalctl -u pgha-backup on the leader says why"


class Instructions(TypedDict):
    """
    What the programs are told: where Patroni is asked, the member and the stanza, the names of the repositories in the
    order of their numbers, the times; where a proof has its directory, and how many seconds it goes back; the server's
    programs, and how it is reached.
    """

    url: str
    name: str
    stanza: str
    repositories: list[str]
    times: list[str]
    full: list[str]
    between: str
    proof: str
    back: int
    bin_dir: str
    socket_dir: str
    port: int
    user: str


class Overview(TypedDict):
    """
    The backups for a person: rows of a table, the first moment that can be restored (None without a backup), and lines
    below it. Moments are seconds since 1970: who shows them does it by one clock, whichever host has told.
    """

    rows: list[list[str | float]]
    since: float | None
    lines: list[str]


def config(settings: MemberSettings) -> Instructions:
    """Return what the program on a host is told; ``settings`` are those of the host."""
    backup, postgres = settings["backup"], settings["postgres"]
    return {
        "url": pghalib.patroni.config.api(settings)["url"],
        "name": settings["name"],
        "stanza": settings["cluster"]["name"],
        "repositories": list(backup["repositories"]),
        "times": backup["times"],
        "full": backup["full"],
        "between": backup["between"],
        "proof": f"{postgres['data_dir']}.proof",
        "back": backup["proof_back"],
        "bin_dir": postgres["bin_dir"],
        "socket_dir": postgres["socket_dir"],
        "port": postgres["port"],
        "user": pghalib.patroni.config.ROLES["superuser"],
    }


def error(said: str) -> str:
    """Return what pgBackRest says of a failure, without times and processes, as one line."""
    found = [_ERROR.match(one) for one in said.splitlines()]
    lines = [one[1] for one in found if one]
    # What else follows an error in lines of their own: hints.
    return pghalib.text.line(" ".join(lines) or said.strip() or "pgBackRest says nothing")


def faults(told: Mapping[str, Json], settings: MemberSettings, *, elsewhere: bool = False) -> list[str]:
    """
    Return what is wrong with the backups of a cluster, as sentences.

    told
        What the program tells (``pgha_backup.told``).
    settings
        Those of the host.
    elsewhere
        True where another host leads and makes the backups: this one does not see whether a first one runs there.
    """
    names = list(settings["backup"]["repositories"])
    found = []
    for one in told["repositories"]:
        name = names[one["number"] - 1] if 0 < one["number"] <= len(names) else str(one["number"])
        if one["fault"]:
            found.append(f"the repository {name} does not answer as it should: {pghalib.text.line(one['fault'])}")
        elif not [backup for backup in told["backups"] if backup["repository"] == one["number"]]:
            if not told["running"].get("held") and not elsewhere:
                found.append(f"the repository {name} has no backup yet: {_WHY}")
        elif one.get("ahead"):
            found.append(
                f"the repository {name} has a backup of a time to come ({pghalib.text.line(one['ahead'])}), by a clock"
                " that was ahead; pgBackRest makes no other there before then: docs/backup.md says what to do"
            )
        elif one["late"]:
            newest = max(backup["stop"] for backup in told["backups"] if backup["repository"] == one["number"])
            found.append(
                f"the newest backup in the repository {name} is of {pghalib.text.moment(newest)}, and one was due"
                f" on {pghalib.text.moment(one['late'])}: {_WHY}"
            )
    return found


def percent(running: Mapping[str, Json]) -> int | None:
    """Return how much of a backup is done, None when pgBackRest does not tell; ``running`` is its lock in ``info``."""
    size, done = running.get("size"), running.get("size-cplt")
    return int(100 * done / size) if size and done is not None else None


def overview(told: Mapping[str, Json], settings: MemberSettings) -> Overview:
    """
    Return the backups for a person: ``rows`` (see ``pghalib.master.backups.HEAD``), ``since`` and ``lines``.

    told, settings
        As for :py:func:`faults`.
    """
    names = list(settings["backup"]["repositories"])
    rows: list[list[str | float]] = [
        [
            one["label"],
            one["type"],
            one["start"],
            one["stop"],
            pghalib.text.size(one["size"]),
            pghalib.text.size(one["stored"]),
            names[one["repository"] - 1] if 0 < one["repository"] <= len(names) else str(one["repository"]),
        ]
        for one in sorted(told["backups"], key=lambda one: one["stop"])
    ]
    lines = []
    if told["running"].get("held"):
        done = percent(told["running"])
        lines.append("a backup runs on this host" + ("" if done is None else f": {done} %"))
    return {
        "rows": rows,
        "since": min((pghalib.backup.target.earliest(one["stop"]) for one in told["backups"]), default=None),
        "lines": [*lines, *faults(told, settings)],
    }
