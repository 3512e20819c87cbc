"""What the guard of a database host is told (``salt/pgha/guard/files/pgha-guard``). Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pghalib.patroni.config

if TYPE_CHECKING:
    from pghalib.shapes import MemberSettings

#: Seconds between two questions to Patroni.
INTERVAL = 0.25
#: Seconds for a question that waits, for the next one, and for the end of the server.
MARGIN = 2
#: Seconds for a leader that has no answer of the DCS to ask all members whether it may lead on (``failsafe_mode``).
FAILSAFE = 5
#: The least seconds without a yes after which the guard may act: a Patroni that was killed must have started again, and
#: have renewed its lease, before that.
LEAST = 8


class Guard(TypedDict):
    """The guard's settings; ``limit``, ``unseen``, ``fresh`` and ``interval`` in seconds."""

    url: str
    limit: int
    unseen: int
    fresh: int
    interval: float
    address: str | None
    port: int
    user: str
    data_dir: str
    program: str
    mover: str | None


def limit(ttl: int, loop_wait: int) -> int:
    """
    Return after how many seconds without a yes of Patroni the guard acts.

    ttl, loop_wait
        Those of Patroni, in seconds.

    The lease ends ``ttl`` seconds after Patroni renewed it, which it does every ``loop_wait`` seconds. So the last time
    when Patroni said that the host leads may be ``loop_wait`` after that. There is no least here: a guard that acts
    later than that is none. ``pghalib.pillar.validate`` refuses a pillar with less than LEAST.
    """
    return ttl - loop_wait - MARGIN


def unseen(ttl: int, loop_wait: int, retry_timeout: int) -> int:
    """
    Return after how many seconds in which Patroni has not seen the DCS its yes is worth nothing.

    ttl, loop_wait, retry_timeout
        Those of Patroni, in seconds.

    Patroni looks at the DCS and then renews the lease, every ``loop_wait`` seconds. It says yes until ``ttl`` seconds
    after the last renewal (``Ha.is_leader`` of Patroni 4.1), also when it hangs in between: then the lease ends
    ``ttl`` - ``loop_wait`` seconds after the last look. But a leader without a DCS must not be stopped before it could
    find out that ``failsafe_mode`` lets it lead on: that takes a loop, ``retry_timeout`` seconds without an answer, and
    a question to all members. Where this is later than the end of the lease, another member may lead for the seconds in
    between.
    """
    return min(max(limit(ttl, loop_wait), loop_wait + retry_timeout + FAILSAFE), ttl - MARGIN)


def config(settings: MemberSettings, helper: str) -> Guard:
    """
    Return what the guard of a host is told.

    settings
        Those of the host.
    helper
        The path of the program that Patroni's callback calls to move the virtual IP.
    """
    patroni, postgres = settings["patroni"], settings["postgres"]
    vip = settings["cluster"]["vip"] if settings["vip"]["manager"] != "none" else None
    return {
        "url": pghalib.patroni.config.api(settings)["url"],
        "limit": limit(patroni["ttl"], patroni["loop_wait"]),
        "unseen": unseen(patroni["ttl"], patroni["loop_wait"], patroni["retry_timeout"]),
        "fresh": patroni["loop_wait"] + MARGIN,
        "interval": INTERVAL,
        "address": vip["address"] if vip else None,
        "port": postgres["port"],
        "user": postgres["user"],
        "data_dir": postgres["data_dir"],
        "program": f"{postgres['bin_dir']}/postgres",
        # vip-manager looks by itself where the address is.
        "mover": helper if vip and settings["vip"]["manager"] == "callback" else None,
    }
