"""
What the clients of a drill have noted, while they go on: whether they write, and what they have written since a moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.drill
import pghalib.drill.follow
import pghalib.text
import pghalib.wait

if TYPE_CHECKING:
    from pathlib import Path

    from pghalib.drill.clients import Client
    from pghalib.drill.clock import Clock
    from pghalib.drill.history import Visit, Write

# Seconds of calm writing before the first fault and after each; for a client to write for the first time.
CALM, BEGIN = 3, 60
#: Seconds for writes to be acknowledged again after a fault.
AGAIN = 300


class Watch:
    """
    A watch of the clients.

    client
        The drill's client.
    place
        The directory of the history.
    clock
        The drill's.
    """

    def __init__(self, client: Client, place: Path, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._follower = pghalib.drill.follow.Follower(place)
        self._trouble = ""
        #: What ended after the moment of the last :py:meth:`forget`.
        self.writes: list[Write] = []
        self.visits: list[Visit] = []

    def forget(self, since: int) -> None:
        """Forget what ended until a moment, in nanoseconds."""
        self.writes = [write for write in self.writes if write["end"] > since]
        self.visits = [visit for visit in self.visits if visit["end"] > since]

    def begin(self) -> None:
        """
        Wait until the clients write. Before the first fault, only their way to the server can be in their way.

        Raises CommandExecutionError with the reason and the setting when they cannot.
        """
        try:
            self.calm(BEGIN)
        except CommandExecutionError as error:
            why = pghalib.text.line(self._trouble) or f"they say nothing ({pghalib.text.line(error)})"
            raise CommandExecutionError(
                f"No fault was made, since the clients on {self._client.where} cannot write: {why}. They connect as"
                f" {pghalib.drill.NAME}: postgres:client_networks has to allow their address, and so has each firewall"
            ) from None

    def calm(self, seconds: int = AGAIN, lasting: float | None = None) -> None:
        """
        Wait until writes that began after this moment have been acknowledged for some seconds.

        seconds
            For how long to wait at the most.
        lasting
            For how long they are acknowledged; None: CALM seconds, 0: one is enough.

        Raises CommandExecutionError when they are not.
        """
        since = self._clock.now()
        ended: list[int] = []
        enough = CALM if lasting is None else lasting

        def calm() -> bool:
            new = [one["end"] for one in self.look() if one["outcome"] == "ok" and one["start"] > since]
            # The first and the last moment are enough, however long this takes.
            ended[:] = [min([*ended, *new]), max([*ended, *new])] if new else ended
            return bool(ended) and ended[1] - ended[0] >= enough * 10**9

        pghalib.wait.until(calm, seconds, "writes are acknowledged", interval=0.5)

    def look(self) -> list[Write]:
        """
        Return the writes that were noted since the last look. Raises CommandExecutionError when nothing can be fetched.
        """
        self._client.fetch()
        found = self._follower.new()
        self._trouble = found["troubles"][-1]["what"] if found["troubles"] else self._trouble
        self.writes += found["writes"]
        self.visits += found["visits"]
        return found["writes"]
