"""
The observers of a drill, from the master: they run on all members, and what they saw is fetched between faults. Without
a look of an observer no rule about hosts could be broken, so a host without one is named.
"""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.drill.history
import pghalib.drill.pieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pghalib.drill.history import History
    from pghalib.shapes import Json

    # (minion id, function, arguments) -> its checked answer; raises CommandExecutionError.
    Ask = Callable[..., Json]

# Seconds after which what was seen is fetched before the next fault: a host that is lost has all since then with it.
OFTEN = 90
#: Bytes a second that are taken of one observer: ten times what it can note, two looks of some 300 bytes each 0.1 s.
SEEN = 10 * 6_500


class Observers:
    """
    The observers of one drill.

    ask
        A function (minion id, function, arguments…) that calls a function on a host and returns its answer.
    members
        Minion ids.
    seconds
        When this time is over, systemd stops the observers.
    place
        The directory of the history.
    """

    def __init__(self, ask: Ask, members: list[str], seconds: int, place: Path) -> None:
        self._ask, self._members, self._seconds, self._place = ask, members, seconds, place
        self._began = self._started = time.monotonic()
        self._running: list[str] = []
        #: Hosts of which something is missing that was seen.
        self.unseen: list[str] = []

    def start(self) -> None:
        """Start all. Raises CommandExecutionError when one cannot be started; :py:meth:`stop` ends the others."""
        self._started = time.monotonic()
        for host in self._members:
            self._ask(host, "pgha_drill.observe", self._seconds - int(self._started - self._began))
            self._running.append(host)

    def renew(self) -> None:
        """
        Fetch what was seen and start all again, when the last time is ``OFTEN`` seconds ago. Call this while no fault
        goes on.

        Raises CommandExecutionError when a piece of the history is missing, or an observer cannot be started.
        """
        if time.monotonic() - self._started > OFTEN:
            missing = self.stop()
            if missing:
                raise CommandExecutionError("; ".join(missing))
            self.start()

    def stop(self) -> list[str]:
        """Stop all that run, and keep what they saw. Returns a sentence for each host of which something is missing."""
        hosts, self._running = self._running, []
        missing = []
        for host in hosts:
            try:
                seen, ran = self._seen(host)
                if not seen["looks"]:
                    raise CommandExecutionError("its answer has no look")
            except CommandExecutionError as error:
                missing.append(f"what {host} observed is missing: {error}")
                self.unseen.append(host)
                continue
            if not ran:
                # What it has seen until then may break a rule all the same.
                why = "it had ended by itself (journalctl -u pgha-drill-observer)"
                missing.append(f"what {host} observed is missing: {why}")
                self.unseen.append(host)
            # Who saw it is whom the master has asked, whatever the host calls itself.
            lines = [json.dumps({**look, "host": host}) + "\n" for look in seen["looks"]]
            with (self._place / f"observer-{host}.jsonl").open("a", encoding="utf-8") as file:
                file.write("".join(lines))
        return missing

    def _seen(self, host: str) -> tuple[History, bool]:
        """
        All that an observer has written, and whether it ran until it was asked; it has ended with the first question.
        """
        whole, offset, ran = list[str](), 0, False
        limit = pghalib.drill.pieces.most(time.monotonic() - self._started, SEEN)
        while True:
            answer = self._ask(host, "pgha_drill.observed", offset)
            text, after = pghalib.drill.pieces.checked(answer, offset, host, limit)
            if offset == 0:
                ran = answer.get("ran") is True
            whole.append(text)
            offset = after
            if len(text) < pghalib.drill.pieces.PIECE:
                lines = io.StringIO("".join(whole))
                return pghalib.drill.history.read(lines, pghalib.drill.history.OBSERVER), ran
