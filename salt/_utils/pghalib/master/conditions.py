"""What members tell before a restore (``pgha_restore.conditions``): data, which is checked. Pure functions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.parse
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

#: The most data of before that a host may name.
MOST = 100
# More bytes has no disk.
_BYTES = 2**63


class Conditions(TypedDict):
    """
    What a member tells before a restore; sizes in bytes, times in seconds since 1970. ``first`` and ``newest`` are the
    ends of the oldest and of the newest backup that it sees, ``kept`` how far the data were that earlier restores have
    kept there: timeline and LSN by the id of the restore; ``timeline`` that of the data of now, and when it began
    (0: not known), None where no data tell one; ``backups`` the end and the size of each backup that it sees;
    ``restores`` the id of the restore for which its data were put aside, None without one; ``member``: it has noted
    that it serves, a note that goes when data are put aside. ``mount``: the data directory is the root of a file
    system; ``link``: it is a link; ``fault`` is of the repositories.
    """

    leads: bool
    paused: bool
    size: int
    free: int
    mount: bool
    link: bool
    tablespaces: int
    first: float | None
    newest: float | None
    fault: str | None
    kept: dict[str, list[int]]
    timeline: list[int] | None
    backups: list[list[float]]
    restores: str | None
    member: bool


def checked(answer: Json) -> Conditions:
    """Return a checked answer of ``pgha_restore.conditions``. Raises CommandExecutionError naming the wrong part."""
    own, is_amount = answer if isinstance(answer, dict) else {}, pghalib.parse.is_amount
    wrong = [key for key in ("leads", "paused", "mount") if not isinstance(own.get(key), bool)]
    # Hosts get the modules of now later, and tell these no sooner.
    wrong += [key for key in ("link", "member") if not isinstance(own.get(key, False), bool)]
    wrong += [key for key in ("size", "free", "tablespaces")
              if not (isinstance(own.get(key), int) and is_amount(own[key], _BYTES))]  # fmt: skip
    wrong += [key for key in ("first", "newest") if own.get(key) is not None and not is_amount(own[key])]
    kept = own.get("kept", {})
    sound = isinstance(kept, dict) and len(kept) <= MOST and all(map(_is_position, kept.values()))
    wrong += [] if sound else ["kept"]
    timeline = own.get("timeline")
    wrong += [] if timeline is None or (_is_position(timeline) and all(map(is_amount, timeline))) else ["timeline"]
    backups = own.get("backups", [])
    wrong += [] if isinstance(backups, list) and all(map(_is_backup, backups)) else ["backups"]
    restores = own.get("restores")
    wrong += [] if restores is None or isinstance(restores, str) else ["restores"]
    if wrong:
        raise CommandExecutionError(f"answered nonsense ({', '.join(wrong)})")
    fault = own.get("fault")
    return {
        "leads": own["leads"],
        "paused": own["paused"],
        "size": own["size"],
        "free": own["free"],
        "mount": own["mount"],
        "link": own.get("link", False),
        "tablespaces": own["tablespaces"],
        "first": own.get("first"),
        "newest": own.get("newest"),
        "fault": None if fault is None else pghalib.text.line(fault),
        "kept": {pghalib.text.line(name, 40): list(one) for name, one in kept.items()},
        "timeline": timeline,
        "backups": backups,
        "restores": restores,
        "member": own.get("member", False),
    }


def served(told: Mapping[str, Conditions], restore: str) -> bool:
    """
    Return whether a cluster serves with the data of a restore, or has served: what clients have written there would be
    lost if the members were stopped and restored once more. That a leader does not answer now is no reason to.

    told
        What the members tell, by minion id.
    restore
        The id of the restore.
    """
    return any(one["restores"] == restore and (one["leads"] or one["member"]) for one in told.values())


def leader(told: Mapping[str, Conditions], restore: str) -> str | None:
    """
    Return the host that leads a cluster that serves with the data of a restore, None when none does; arguments as for
    :py:func:`served`. It may have got these data later than the others, without a note of the restore.
    """
    leads = [host for host, one in told.items() if one["leads"]]
    return next((host for host in leads if told[host]["restores"] == restore), next(iter(leads), None))


def _is_position(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(one) is int for one in value)


def _is_backup(value: Json) -> bool:
    is_amount = pghalib.parse.is_amount
    return isinstance(value, list) and len(value) == 2 and is_amount(value[0]) and is_amount(value[1], _BYTES)


def timeline(told: Mapping[str, Conditions]) -> str:
    """
    Return the timeline on which a cluster is now, and when that began, as ``confirm`` has it: that of the leader, else
    the last one of any member; ``unknown`` where no member has data.

    told
        What the members tell, by minion id.
    """
    known = [(one["leads"], *one["timeline"]) for one in told.values() if one["timeline"]]
    if not known:
        return "unknown"
    _leads, number, began = max(known)
    if not began:
        return str(number)
    # Not by a clock of the master: words that are compared are the same whatever zone a person's terminal has.
    return f"{number} of {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(began))}"
