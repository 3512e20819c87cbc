"""The commands ``salt-run pgha.backup`` and ``pgha.backups`` on the master. What hosts answer is data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.master.asking
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

#: Seconds until Salt asks whether a host still works on an answer.
PATIENCE = 15
#: Seconds between two looks at a backup.
PAUSE = 2
#: The most backups that are shown, and the most lines of a failed one.
MOST, LINES = 200, 20


def make(opts: Mapping[str, Json], members: list[str], kind: str) -> tuple[str, bool]:
    """
    Make a backup on the leader's host, print its progress, and return what came of it and whether it is good.

    opts
        The master's options.
    members
        Minion ids of the cluster's hosts.
    kind
        ``full``, ``diff`` or ``incr``.

    Raises CommandExecutionError when no member leads, and when a backup runs already.
    """
    leader = _leader(opts, members)
    pghalib.master.asking.call(opts, PATIENCE, leader, "pgha_backup.begin", kind)
    print(f"{leader} makes the backup.", flush=True)
    began, shown = time.monotonic(), None
    while True:
        seen = _mapping(pghalib.master.asking.call(opts, PATIENCE, leader, "pgha_backup.progress"))
        if seen.get("state") != "running":
            break
        percent = seen.get("percent")
        if isinstance(percent, int) and percent != shown:
            shown = percent
            print(f"{time.monotonic() - began:7.1f} s  {percent} %", flush=True)
        time.sleep(PAUSE)
    if seen.get("state") == "done":
        return f"The backup is made, in {time.monotonic() - began:.0f} s: salt-run pgha.backups shows it.", True
    said = seen.get("lines")
    lines = [pghalib.text.line(one) for one in (said if isinstance(said, list) else [])[-LINES:]]
    return "\n".join([f"The backup has failed on {leader}:", *(f"  {one}" for one in lines)]), False


def table(opts: Mapping[str, Json], cluster: str, members: list[str]) -> str:
    """
    Return the backups of a cluster as a table, and from when to when a restore is possible.

    opts
        The master's options.
    cluster, members
        Its name, and the minion ids of its hosts.

    Raises CommandExecutionError when no host can tell.
    """
    told, why = None, []
    for host in members:
        try:
            told = _mapping(pghalib.master.asking.call(opts, PATIENCE, host, "pgha_backup.overview"))
            break
        except CommandExecutionError as error:
            why.append(str(error))
    if told is None:
        raise CommandExecutionError("No host can tell:\n" + "\n".join(f"  - {one}" for one in why))
    rows = [one for one in told.get("rows") or [] if isinstance(one, list) and len(one) == len(HEAD)]
    lines = [pghalib.text.line(one) for one in told.get("lines") or [] if isinstance(one, str)]
    shown = pghalib.text.table(HEAD, [[pghalib.text.line(cell, 60) for cell in row] for row in rows[-MOST:]])
    return "\n".join([f"backups of {cluster}", *([shown] if rows else []), *(f"  {one}" for one in lines)])


#: The columns of the table; the hosts make its rows.
HEAD = ("backup", "type", "from", "to", "size", "stored", "repository")


def _leader(opts: Mapping[str, Json], members: list[str]) -> str:
    why = []
    for host in members:
        try:
            member = _mapping(pghalib.master.asking.call(opts, PATIENCE, host, "pgha_patroni.member"))
        except CommandExecutionError as error:
            why.append(str(error))
            continue
        if member.get("role") in ("primary", "master") and member.get("state") == "running":
            return host
    raise CommandExecutionError("; ".join(["No member leads the cluster, so no backup can be made now", *why]))


def _mapping(value: Json) -> dict[Json, Json]:
    return value if isinstance(value, dict) else {}
