"""
What a person asks of a restore (the pillar ``pgha_restore`` of one run): the cluster, the moment to go back to, and,
for a copy, from whose backups. Pure functions.

    pgha_restore: {cluster: one, target: "2026-11-29 12:00:00+03", confirm: "one to … from timeline …"}
    pgha_restore: {cluster: trial, from: one, target: newest, confirm: "trial from one to newest from timeline …"}
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

from pghalib.text import guess, shown

if TYPE_CHECKING:
    from collections.abc import Collection

    # Python 3.10 has it in no module of its own.
    from typing_extensions import NotRequired

    from pghalib.shapes import Json

#: All that the repository has.
NEWEST = "newest"
_KEYS = ("cluster", "from", "target", "timeline", "keep", "confirm")
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?", re.ASCII | re.IGNORECASE
)
_LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)
_ID = re.compile(r"\d{8}-\d{6}", re.ASCII)
_TIMELINE = re.compile(r" from timeline [^,]*")
#: The type of a target that is no backup: the data that an earlier restore has kept aside.
KEPT = "kept"


class Target(TypedDict):
    """
    Where a restore ends. ``type`` and ``value`` are those of pgBackRest (``default``: the end of the archive, without a
    value), or ``kept`` and the id of a restore: the data that it has kept aside. ``text`` is what the person wrote,
    ``moment`` seconds since 1970 where it is a time.
    """

    type: str
    value: str | None
    text: str
    moment: float | None
    timeline: NotRequired[int]


def faults(given: Json, clusters: Collection[str], all_clusters: Collection[str] = ()) -> list[str]:
    """
    Return the faults of what a person asks, as lines with the remedy; [] when the restore can be planned.

    given
        The value of ``pgha_restore``.
    clusters, all_clusters
        Names of the clusters that have backups, and of all clusters.
    """
    how = (
        'pillar=\'{"pgha_restore": {"cluster": "NAME", "target": "2026-11-29 12:00:00+03"}}\', where the target is a'
        f" time with its zone, an LSN, the name of a restore point as name:NAME, {NEWEST}, or kept:ID, the data that"
        " the restore ID has kept aside"
    )
    if not isinstance(given, dict):
        return [f"pgha_restore: say what is to be restored: {how}"]
    found = [f"pgha_restore:{key}: unknown{guess(key, _KEYS)}" for key in given if key not in _KEYS]
    cluster, source = given.get("cluster"), given.get("from")
    nameless = {key: given[key] for key in ("cluster", "from") if not isinstance(given.get(key), (str, type(None)))}
    if nameless:
        return [*found, *(f"pgha_restore:{key}: {shown(one)} should be the name of one cluster, as a text"
                          for key, one in nameless.items())]  # fmt: skip
    kept = str(given.get("target")).strip().startswith(f"{KEPT}:")
    if kept:
        # No backup is needed for that.
        clusters = all_clusters
        found += [f"pgha_restore:{key}: means nothing with {KEPT}:ID" for key in ("from", "timeline") if key in given]
    if source is not None and not kept:
        found += _copied(cluster, source, clusters, all_clusters)
    elif cluster not in clusters:
        found.append(
            f"pgha_restore:cluster: there is no cluster {shown(cluster)}{'' if kept else ' with backups'}"
            f"{guess(cluster, clusters)}"
            if clusters
            else "pgha_restore:cluster: no cluster has backups (backup:repositories)"
        )
    if not isinstance(given.get("keep", True), bool):
        found.append(f"pgha_restore:keep: {shown(given['keep'])} should be true or false")
    timeline = given.get("timeline")
    if timeline is not None and (type(timeline) is not int or not 0 < timeline < 2**32):
        found.append(f"pgha_restore:timeline: {shown(timeline)} should be a whole number from 1")
    try:
        parsed(given)
    except CommandExecutionError as error:
        found.append(f"pgha_restore:target: {error}; {how}")
    return found


def _copied(cluster: Json, source: Json, clusters: Collection[str], all_clusters: Collection[str]) -> list[str]:
    """The faults of the two clusters of a copy."""
    found = []
    if source not in clusters:
        found.append(f"pgha_restore:from: there is no cluster {shown(source)} with backups{guess(source, clusters)}")
    if cluster not in all_clusters:
        found.append(f"pgha_restore:cluster: there is no cluster {shown(cluster)}{guess(cluster, all_clusters)}")
    elif cluster == source:
        found.append(f"pgha_restore:from: {cluster} is the cluster itself: leave from out to restore it")
    elif cluster in clusters:
        # Its repositories have the data of another system.
        found.append(
            f"pgha_restore:cluster: {cluster} has repositories of its own, which would take the copy for another"
            " cluster: take them out of the pillar, and run the main job first"
        )
    return found


def parsed(given: dict[str, Json]) -> Target:
    """Return the target that a person asks for. Raises CommandExecutionError when it is none."""
    text = given.get("target")
    if not isinstance(text, str):
        raise CommandExecutionError(f"{shown(text)} is no target")
    target = _target(text.strip())
    if given.get("timeline"):
        target["timeline"] = given["timeline"]
    return target


def _target(text: str) -> Target:
    if text == NEWEST:
        return {"type": "default", "value": None, "text": text, "moment": None}
    if text.startswith("name:") and _NAME.fullmatch(text[5:]):
        return {"type": "name", "value": text[5:], "text": text, "moment": None}
    if text.startswith(f"{KEPT}:") and _ID.fullmatch(text[5:]):
        return {"type": KEPT, "value": text[5:], "text": text, "moment": None}
    if _LSN.fullmatch(text):
        return {"type": "lsn", "value": text.upper(), "text": text, "moment": None}
    match = _MOMENT.fullmatch(text)
    if not match:
        raise CommandExecutionError(f"{shown(text)} is no target")
    day, minutes, seconds, zone = match.groups()
    if zone is None:
        raise CommandExecutionError(f"{shown(text)} has no zone, and hosts may have another one than you: add +03 or Z")
    zone = "+00:00" if zone.upper() in ("Z", "UTC") else zone
    zone = zone[:3] + ":" + (zone[3:].lstrip(":") or "00")
    whole, _, fraction = (seconds or ":00").partition(".")
    try:
        moment = datetime.datetime.fromisoformat(f"{day} {minutes}{whole}{zone}")
        # At the edges of the calendar another zone has no such day.
        utc = moment.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError) as error:
        raise CommandExecutionError(f"{shown(text)} is no time ({error})") from None
    value = utc.strftime("%Y-%m-%d %H:%M:%S") + (f".{fraction}" if fraction else "") + "+00"
    return {"type": "time", "value": value, "text": text, "moment": utc.timestamp() + float(f"0.{fraction or 0}")}


def earliest(stop: float) -> int:
    """
    Return the first moment to which a backup can be brought back, in seconds since 1970.

    stop
        When the backup has ended. pgBackRest counts whole seconds, and takes a backup that has ended in an earlier one.
    """
    return int(stop) + 1


def confirmation(
    cluster: str, target: Target, source: str | None = None, keep: bool = True, timeline: str | None = None
) -> str:
    """
    Return what a person has to give as ``confirm``: with the timeline that the restore leaves, so that the same words
    do not begin a second restore when the first one has ended. Without it, the words for a message.

    source
        The cluster whose backups are copied, None for the cluster's own.
    keep
        False: the data of now are not kept.
    timeline
        That of the cluster now (``pghalib.master.conditions.timeline``).
    """
    lost = "" if keep else ", and lose the data of now"
    left = f" from timeline {timeline}" if timeline else ""
    return f"{cluster}{f' from {source}' if source else ''} to {target['text']}{left}{lost}"


def without_timeline(confirm: Json) -> str:
    """Return a ``confirm`` that a person gave, without the timeline in it; "" for what is no text."""
    return _TIMELINE.sub("", confirm, count=1) if isinstance(confirm, str) else ""


def options(target: Target) -> list[str]:
    """Return the options of ``pgbackrest restore`` for a target."""
    found = [f"--type={target['type']}"]
    if target["value"] is not None:
        found += [f"--target={target['value']}", "--target-action=promote"]
    if "timeline" in target:
        found.append(f"--target-timeline={target['timeline']}")
    return found
