"""The clock of a drill, on the master; the drill's client has the same."""

from __future__ import annotations

import time


class Clock:
    """
    A clock that shows the time of day and is set by nobody: as of the moment in which it is made, and from then on by
    the seconds that pass. Where the clock of a host is set back, a read would else come before writes that it followed.
    """

    def __init__(self) -> None:
        self._difference = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        """Return the moment in nanoseconds, as ``time.time_ns`` does."""
        return self._difference + time.monotonic_ns()
