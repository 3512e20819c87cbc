"""Whether the data of then have room on the hosts of a restore. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.backup.target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pghalib.backup.target import Target
    from pghalib.master.conditions import Conditions

#: What a person can do where the data of now cannot be kept.
LOSE = 'or add "keep": false to pgha_restore, and lose them'


def faults(
    target: Target, told: Mapping[str, Conditions], seen: Mapping[str, Conditions], keep: bool = True
) -> list[str]:
    """
    Return a sentence for each host whose disk has no room for the data of then.

    told
        What the members tell that get these data from elsewhere, by minion id.
    seen
        What those members tell that see the backups.
    keep
        False: the data of now are removed before.
    """
    need = _need(target, seen)
    return [f"{host}: {why}" for host, one in told.items() for why in _narrow(one, need, keep)]


def _need(target: Target, seen: Mapping[str, Conditions]) -> float | None:
    """The size of the data of then, by the backup they come from, else by the greatest one; None: no backup tells."""
    backups = sorted((stop, size) for one in seen.values() for stop, size in one["backups"])
    if target["type"] == "default":
        return backups[-1][1] if backups else None
    then = target["moment"]
    before = [size for stop, size in backups if then is not None and pghalib.backup.target.earliest(stop) <= then]
    return before[-1] if before else max((size for _stop, size in backups), default=None)


def _narrow(one: Conditions, need: float | None, keep: bool) -> Iterator[str]:
    """The reason why the data of then have no room on a member, with the remedy; ``need`` is their size."""
    # Tablespaces are elsewhere, and in the backup; what cannot be kept is named already.
    if one["tablespaces"] or (keep and (one["mount"] or one["link"])) or (need is None and not keep):
        return
    # What grows by the WAL after the backup, and that WAL, is more.
    wanted = 1.1 * (one["size"] if need is None else need)
    emptied = one["free"] + one["size"]
    room = one["free"] if keep else emptied
    if room >= wanted:
        return
    # With a digit more than elsewhere: the two numbers may be close.
    then, free = (f"{number / 2**30:.1f} GB" for number in (wanted, room))
    beside = "beside the data of now, which are kept" if keep else "when the data of now are removed"
    lose = f", {LOSE}" if keep and emptied >= wanted else ""
    yield f"the data of then need {then}, and {free} are free {beside}: make room on that disk{lose}"
