"""The faults of a drill that last, from the master: which hosts may have one, and when none has one any more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.text
import pghalib.wait

if TYPE_CHECKING:
    from pghalib.drill.observers import Ask

#: Seconds for a fault to be over.
LASTING = 420


class Underway:
    """
    The faults that may last now.

    ask
        A function (minion id, function, arguments…) that calls a function on a host and returns its answer.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        # The moment in which the host was asked for the fault.
        self._hosts: dict[str, float] = {}

    def begins(self, host: str) -> None:
        """Note a host before it is asked for a fault: it may be made although nobody hears the answer."""
        self._hosts[host] = time.monotonic()

    def hosts(self) -> list[str]:
        """Return the hosts on which a fault may last."""
        return [*self._hosts]

    def lasts(self, name: str) -> None:
        """
        Look whether all of them last, so that something can be done meanwhile.

        name
            The name of the fault, for the message.

        Raises CommandExecutionError when one is over.
        """
        if any(self._ask(host, "pgha_drill.undone") is not False for host in self._hosts):
            raise CommandExecutionError(f"{name} was over before it")

    def wait(self) -> None:
        """Wait until none lasts any more. Raises CommandExecutionError when one does not end, or cannot be undone."""

        def undone() -> bool | str:
            for host in self.hosts():
                ended = self._ask(host, "pgha_drill.undone")
                if ended is not True:
                    # What could not be undone by itself will not be.
                    return f"{host}: {pghalib.text.line(ended)}" if isinstance(ended, str) else False
                del self._hosts[host]
            return True

        if self._hosts:
            seconds = max(0, round(max(self._hosts.values()) + LASTING - time.monotonic()))
            found = pghalib.wait.until(undone, seconds, "no fault lasts any more", interval=1)
            if isinstance(found, str):
                raise CommandExecutionError(found)
