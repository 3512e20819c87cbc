"""``salt-run pgha.backup``, ``pgha.backups`` and ``pgha.proof`` on the master. What hosts answer is data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.backup.proof
import pghalib.master.asking
import pghalib.master.refusal
import pghalib.parse
import pghalib.patroni.member
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.backup.proof import Proof
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
    lines = [pghalib.text.line(one) for one in _list(seen.get("lines"))[-LINES:]]
    return "\n".join([f"The backup has failed on {leader}:", *(f"  {one}" for one in lines)]), False


def prove(opts: Mapping[str, Json], members: list[str], host: str | None = None) -> tuple[str, bool]:
    """
    Prove that the newest backup can be restored; return what was shown and whether it is good.

    opts, members
        As for :py:func:`make`.
    host
        Minion id of the member that does it. Default: a replica, or the leader where there is none.

    Raises CommandExecutionError when no member answers, and when a proof runs already.
    """
    if host is not None:
        host = pghalib.master.refusal.one_of("host of the cluster", host, members)
    else:
        roles = _roles(opts, members)
        running = [one for one, member in roles.items() if member.get("state") in ("running", "streaming")]
        replicas = [one for one in running if not pghalib.patroni.member.writes(roles[one])]
        host = next(iter(replicas + running), None)
    if host is None:
        raise CommandExecutionError("No member runs, so nothing can be proven now")
    before = _proof(opts, host)
    pghalib.master.asking.call(opts, PATIENCE, host, "pgha_proof.begin")
    print(f"{host} restores the newest backup, and reads all of it.", flush=True)
    while _mapping(pghalib.master.asking.call(opts, PATIENCE, host, "pgha_proof.progress")).get("state") == "running":
        time.sleep(PAUSE)
    proof = _proof(opts, host)
    # One that was killed leaves the result of the proof before it.
    if proof is None or (before and proof["at"] <= before["at"]):
        raise CommandExecutionError(f"{host} does not tell what came of it: journalctl -u pgha-proof-now there")
    return pghalib.backup.proof.sentence(proof), proof["fault"] is None


def _proof(opts: Mapping[str, Json], host: str) -> Proof | None:
    try:
        found = _mapping(pghalib.master.asking.call(opts, PATIENCE, host, "pgha_proof.result"))
    except CommandExecutionError:
        return None
    return pghalib.backup.proof.checked(found)


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
    rows = [one for one in _list(told.get("rows")) if isinstance(one, list) and len(one) == len(HEAD)]
    lines = [pghalib.text.line(one) for one in _list(told.get("lines")) if isinstance(one, str)]
    since: Json = told.get("since")
    if pghalib.parse.is_amount(since):
        lines.insert(0, f"any moment since {pghalib.text.moment(since)} can be restored")
    shown = pghalib.text.table(HEAD, [[_cell(cell) for cell in row] for row in rows[-MOST:]])
    proofs = [proof for proof in (_proof(opts, host) for host in members) if proof]
    newest = max(proofs, key=lambda proof: proof["at"], default=None)
    lines.append(pghalib.backup.proof.sentence(newest) if newest else "that they can be restored was never proven here")
    return "\n".join([f"backups of {cluster}", *([shown] if rows else []), *(f"  {one}" for one in lines)])


def _cell(value: Json) -> str:
    """A cell as a person reads it: the numbers among them are moments."""
    return pghalib.text.moment(value) if pghalib.parse.is_amount(value) else pghalib.text.line(value, 60)


#: The columns of the table; the hosts make its rows, with ``from`` and ``to`` in seconds since 1970.
HEAD = ("backup", "type", "from", "to", "size", "stored", "repository")


def _leader(opts: Mapping[str, Json], members: list[str]) -> str:
    why: list[str] = []
    for host, member in _roles(opts, members, why).items():
        if pghalib.patroni.member.writes(member) and member.get("state") == "running":
            return host
    raise CommandExecutionError("; ".join(["No member leads the cluster, so no backup can be made now", *why]))


def _roles(opts: Mapping[str, Json], members: list[str], why: list[str] | None = None) -> dict[str, dict[Json, Json]]:
    """What Patroni of each member tells of it; the reasons of those that do not answer are added to ``why``."""
    found = {}
    for host in members:
        try:
            found[host] = _mapping(pghalib.master.asking.call(opts, PATIENCE, host, "pgha_patroni.member"))
        except CommandExecutionError as error:
            if why is not None:
                why.append(str(error))
    return found


def _mapping(value: Json) -> dict[Json, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
