"""
A restore: whether it can be made, and what it costs. Pure functions, but for a look at the notes and the clock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pghalib.backup.target
import pghalib.master.conditions
import pghalib.master.room
import pghalib.secrets.restores
import pghalib.text
from pghalib.text import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pghalib.backup.target import Target
    from pghalib.master.conditions import Conditions
    from pghalib.secrets.restores import Note
    from pghalib.shapes import Json


def unfinished(store: Path, clusters: Iterable[str]) -> list[str]:
    """Return a sentence for each of these clusters whose restore has begun and is not finished."""
    return [
        f"a restore of {name} has begun and is not finished: run salt-run state.orchestrate pgha.restore again with the"
        " same words (docs/backup.md)"
        for name in clusters
        if pghalib.secrets.restores.exists(store, name)
    ]


def new(
    cluster: str, target: Target, told: Mapping[str, Conditions], source: str | None = None, keep: bool = True
) -> Note:
    """
    Return the note of a restore that begins now: on the leader's host, else on the first that tells; to data that were
    kept, where these were the furthest.

    told
        What the members tell, by minion id.
    source
        The cluster whose backups are copied, None for its own.
    keep
        Whether the data of now are kept.
    """
    host = next((host for host, one in told.items() if one["leads"]), next(iter(told)))
    if target["type"] == pghalib.backup.target.KEPT:
        host = _furthest(target, told)
    begun = time.strftime("%Y%m%d-%H%M%S")
    timeline = pghalib.master.conditions.timeline(told)
    note: Note = {"id": begun, "cluster": cluster, "host": host, "target": target, "keep": keep, "timeline": timeline}
    return {**note, "source": source} if source else note


def outlived(note: Note, told: Mapping[str, Conditions], file: Path) -> list[str]:
    """
    Return why a restore that was confirmed must not go on: a list of one sentence, or []. A copy of the store that was
    saved while a restore was under way has its note; where that copy is used later, the restore has ended long ago.

    note
        The note of the restore, as the store has it.
    told
        What the members tell, by minion id.
    file
        The path of the note.
    """
    begun = any(one["restores"] == note["id"] for one in told.values())
    now, then = pghalib.master.conditions.timeline(told), note.get("timeline")
    if begun or then is None or now in (then, "unknown"):
        return []
    # When it began each member tells by a file of its own. Where nobody leads any more, the others' are no measure.
    if not any(one["leads"] for one in told.values()) and now.split()[0] == then.split()[0]:
        return []
    return [
        f"a restore of {words(note)} was confirmed on timeline {then}, and {note['cluster']} is on timeline {now}: that"
        f" restore has ended, or the cluster has gone on without it. Remove the note on the master: rm {file}"
    ]


def _furthest(target: Target, told: Mapping[str, Conditions]) -> str:
    """The host whose data that were kept are the furthest: it gets them back."""
    kept = {host: one["kept"][str(target["value"])] for host, one in told.items() if target["value"] in one["kept"]}
    return max(kept, key=lambda one: kept[one], default="")


def faults(
    cluster: str,
    target: Target,
    told: Mapping[str, Conditions],
    now: float,
    seen: Mapping[str, Conditions] | None = None,
    keep: bool = True,
    source: str | None = None,
) -> list[str]:
    """
    Return the reasons why a restore cannot begin, as sentences.

    told
        What the members tell, by minion id: all of them.
    now
        Seconds since 1970.
    seen
        What those members tell that see the backups, by minion id: of another cluster, or (None) the same.
    keep
        False: the data of now are not kept.
    source
        The cluster whose backups are copied, None for its own.
    """
    if target["type"] == pghalib.backup.target.KEPT:
        seen = {}
    seen = told if seen is None else seen
    found = [f"{host}: the repository does not answer as it should: {one['fault']}"
             for host, one in seen.items() if one["fault"]]  # fmt: skip
    if any(one["paused"] for one in told.values()):
        found.append("Patroni is paused, and would not stop PostgreSQL: patronictl resume ends that")
    if keep:
        found += [f"{host}: {why}; {pghalib.master.room.LOSE}" for host, one in told.items() for why in _unkept(one)]
    # Nothing is copied to the host that gets back what it has kept.
    renamed = _furthest(target, told) if target["type"] == pghalib.backup.target.KEPT else ""
    found += pghalib.master.room.faults(target, {host: told[host] for host in told if host != renamed}, seen, keep)
    if target["type"] == pghalib.backup.target.KEPT:
        known = sorted({name for one in told.values() for name in one["kept"]})
        if target["value"] not in known:
            found.append(f"no host has kept data of {target['value']}; kept are {', '.join(known) or 'none'}")
        return found
    first = min((one["first"] for one in seen.values() if one["first"] is not None), default=None)
    if source and not seen:
        found.append(f"no member of {source} answers, so nobody tells what its repositories have")
    elif first is None:
        found += [] if found else [f"{source or cluster} has no backup to restore from"]
    elif target["moment"] is not None and target["moment"] < pghalib.backup.target.earliest(first):
        since = moment(pghalib.backup.target.earliest(first))
        found.append(f"the oldest backup reaches back to {since}, and nothing before that can be restored")
    if target["moment"] is not None and target["moment"] > now:
        found.append(f"{target['text']} is in the future")
    return found


def words(note: Note) -> str:
    """Return the words of a restore that has begun."""
    return pghalib.backup.target.confirmation(
        note["cluster"], note["target"], note.get("source"), note.get("keep", True)
    )


def in_place(begun: Note, told: Mapping[str, Conditions]) -> list[str]:
    """
    Return why nothing leads back to the data that a restore keeps aside, as a sentence for each host where they are in
    their place still: which host had the furthest data is not known before they are aside on all of them.

    begun
        The note of that restore, which is not finished.
    told
        What the members tell, by minion id.
    """
    # Where members serve, that is over: only one that was left out has others.
    if pghalib.master.conditions.served(told, begun["id"]):
        return []
    return [
        f"{host}: its data of before are in their place still, and may be the furthest: a restore has begun to keep the"
        f" data of every host aside; finish that first, by the same words as before ({words(begun)}), then go back"
        for host, one in told.items()
        if one["size"] and one["restores"] != begun["id"] and begun["id"] not in one["kept"]
    ]


def leaderless(cluster: str) -> str:
    """Return why a restore does not go on where the cluster has served with its data and nobody leads now."""
    return (
        f"{cluster} has served with the data of this restore, and nobody leads it now: to stop it again would lose what"
        " clients have written. salt-run pgha.status and journalctl -u patroni on its hosts tell what keeps it; wait"
        " until a member leads, then run this again (docs/backup.md)"
    )


def _unkept(one: Conditions) -> Iterator[str]:
    """The reasons why the data of a member cannot be kept."""
    if one["mount"]:
        yield "the data directory is the root of a file system, so what is there cannot be kept aside"
    if one["link"]:
        yield "the data directory is a link, and a rename would move what it leads to, so that cannot be kept aside"
    if one["tablespaces"]:
        yield f"there are {one['tablespaces']} tablespaces, which are restored where they are and cannot be kept aside"


def asked(
    cluster: str,
    target: Target,
    told: Mapping[str, Conditions],
    now: float,
    without: Iterable[str] = (),
    source: str | None = None,
    seen: Mapping[str, Conditions] | None = None,
    keep: bool = True,
    confirm: Json = None,
) -> list[str]:
    """
    Return what a person reads before a restore, as lines: what is lost, what is kept, and how to confirm it.

    told, now
        As for :py:func:`faults`.
    without
        Minion ids of members that are left out.
    source, seen
        The cluster whose backups are copied, and what its members tell; None for its own.
    keep
        False: the data of now are not kept.
    confirm
        What was given to confirm it, and is not what it should be.
    """
    if source:
        back = f"the data of {source} as they {_then(target)}: all that is in {cluster} now is replaced"
    elif target["moment"] is not None:
        lost = _span(now - target["moment"])
        back = f"as it was at {moment(target['moment'])}: what was written in the last {lost} is lost"
    elif target["type"] == pghalib.backup.target.KEPT:
        back = f"as it was when the restore {target['value']} began: what was written since is lost"
    elif target["type"] == "default":
        back = "as the repository has it: what has not been archived is lost"
    else:
        back = f"as it was at {target['text']}: what was written after that is lost"
    newest = max((one["newest"] for one in (seen or told).values() if one["newest"] is not None), default=0)
    sizes = ", ".join(f"{host} {pghalib.text.size(one['size'])}" for host, one in told.items())
    absent = [
        f"{host} is left out: leave it off until the end; when it comes back, patronictl reinit copies the data to it"
        for host in without
    ]
    copied = [
        f"{cluster} keeps its own passwords of the formula's logins; all other logins, jobs and subscriptions are those"
        f" of {source}, and begin to work where {cluster} is"
    ]
    now_on, confirmed = pghalib.master.conditions.timeline(told), pghalib.backup.target.without_timeline(confirm)
    again = confirmed == pghalib.backup.target.confirmation(cluster, target, source, keep)
    return [
        *(_gone_on(cluster, now_on, backed=not source) if again else []),
        f"this would {f'give {cluster}' if source else f'bring {cluster} back'} {back}"
        + (f". The newest backup is of {moment(newest)}" if newest else ""),
        *(copied if source else []),
        "its clients have no database from the beginning to the end of it: all hosts are stopped, one is restored, the"
        " others are copied from it",
        f"the data of now are kept beside the new ones on every host ({sizes}), until you remove them"
        if keep
        else f"the data of now are removed on every host ({sizes}): nothing brings them back",
        *absent,
        f'to do it, add "confirm": "{pghalib.backup.target.confirmation(cluster, target, source, keep, now_on)}"',
    ]


def _gone_on(cluster: str, timeline: str, backed: bool) -> list[str]:
    """What is said to the words of a restore that has ended, or of a time before a failover."""
    backup = f", and a first backup that failed is made by salt-run pgha.backup {cluster}" if backed else ""
    return [
        f"this confirm is of another time: {cluster} has gone on since, and is on timeline {timeline} now",
        "perhaps the restore has ended already: to begin it again would lose all that clients have written after it."
        f" salt-run pgha.status tells how {cluster} is{backup}",
    ]


def _then(target: Target) -> str:
    if target["moment"] is not None:
        return f"were at {moment(target['moment'])}"
    return "are in its repository" if target["type"] == "default" else f"were at {target['text']}"


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes < 2880
        else f"{minutes // 1440} days {minutes % 1440 // 60} h"
    )
