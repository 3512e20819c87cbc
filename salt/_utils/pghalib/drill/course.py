"""
The course of a drill, from the master: a login for its client, observers on all members, the client, then fault after
fault, each followed by a look at what it cost. Everything that the drill brings is taken away in the end, also when it
is interrupted; what a killed drill leaves ends by itself (the login expires, systemd stops the observers).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.drill
import pghalib.drill.checker
import pghalib.drill.clock
import pghalib.drill.faults
import pghalib.drill.history
import pghalib.drill.hunt
import pghalib.drill.observers
import pghalib.drill.outcome
import pghalib.drill.underway
import pghalib.drill.watch
import pghalib.text
import pghalib.wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pghalib.drill.clients import Client
    from pghalib.drill.history import History
    from pghalib.drill.observers import Ask
    from pghalib.drill.outcome import Outcome, Result
    from pghalib.shapes import Json

# Seconds: until the cluster is whole again after a fault, and for a leader when nothing else is left.
RECOVERY, LEADER = 300, 60
# Seconds that a fault may take at the most, for the time that login, client and observers are given.
LONGEST = pghalib.drill.underway.LASTING + pghalib.drill.watch.AGAIN + RECOVERY + 180


class Course:
    """
    One drill.

    ask
        A function (minion id, function, arguments…) that calls a function on a host and returns its answer.
    standing
        A function that returns (leader, replicas, faults): minion ids, and what the status has to say.
    bound
        A function that returns for how many seconds clients may have no acknowledged write after a fault, by its name.
    say
        A function that shows a line of progress.
    place
        An existing directory of the master's user for the history.
    client
        The drill's client, on the master or on a minion.
    rest
        Seconds until a switchover is promised again after the leader was cut off from Consul.
    """

    def __init__(
        self,
        ask: Ask,
        standing: Callable[[], tuple[str | None, list[str], list[str]]],
        bound: Callable[[str], float],
        say: Callable[[str], None],
        place: Path,
        *,
        client: Client,
        rest: float = 0,
    ) -> None:
        self.ask, self.standing, self.bound, self.say, self.place = ask, standing, bound, say, place
        self._client = client
        self._rest, self._rested = rest, 0.0
        self._begins: list[int] = []
        self._clock = pghalib.drill.clock.Clock()
        self._watch = pghalib.drill.watch.Watch(client, place, self._clock)
        self._underway = pghalib.drill.underway.Underway(ask)
        self._unsettled: str | None = None

    def run(
        self,
        members: list[str],
        faults: list[str],
        connection: Mapping[str, Json],
        workers: int,
        overlap: int | None,
        minutes: int | None = None,
        seed: int | None = None,
    ) -> Outcome:
        """
        Make the faults, and return what came of it. It ends early when a fault cannot be made, when the cluster does
        not become whole again after one, when something that was seen is missing, or when a person interrupts it.

        members
            Minion ids of the cluster.
        faults
            Names of faults, ``a+b`` for two together.
        connection
            libpq's keywords for the client, without user and password.
        workers
            How many clients write.
        overlap
            Milliseconds that two hosts may both have the virtual IP, or None, see ``checker.check``.
        minutes
            A round of all faults begins as long as these have not passed since the first fault began; a round that has
            begun is finished. None: one round.
        seed
            The faults are picked at random from this seed, one or two at a time, in place of in order.
        """
        longest = (minutes or 0) * 60 + len(faults) * LONGEST + 60
        results: list[Result] = []
        missing: list[str] = []

        def told(sentences: list[str]) -> None:
            # At once: a drill that cannot begin has no report.
            missing.extend(sentences)
            for sentence in sentences:
                self.say(sentence)

        with contextlib.ExitStack() as stack:
            stack.callback(lambda: told(self._client.clear()))
            # A login for the client and its table; the password is known where the client runs alone.
            self.ask(self._leader(RECOVERY), "pgha_drill.prepare", self._client.verifier(), longest // 60 + 1)
            stack.callback(lambda: told(self._without_login()))
            observers = pghalib.drill.observers.Observers(self.ask, members, longest, self.place)
            stack.callback(lambda: told(observers.stop()))
            observers.start()
            stack.callback(lambda: told(self._client.stop()))
            given = {"connection": {**connection, "user": pghalib.drill.NAME}, "table": pghalib.drill.TABLE}
            self._client.start({**given, "workers": workers, "pause": 0.01, "seconds": longest})
            stack.callback(self._settle)
            self._watch.begin()
            rounds = itertools.repeat(faults) if seed is None else pghalib.drill.hunt.steps(faults, seed)
            early = self._rounds(rounds, minutes or 0, results, observers)
        # What is left or missing is told in any case; it may also be why the drill ended.
        early = "; ".join([*([early] if early else []), *missing]) or None
        history = self.history()
        results = pghalib.drill.outcome.weighed(results, history, self._begins)
        verdicts = pghalib.drill.checker.check(
            history, overlap=overlap, unseen=dict.fromkeys(observers.unseen), unsettled=self._unsettled
        )
        return pghalib.drill.outcome.Outcome(results=results, verdicts=verdicts, history=history, early=early)

    def history(self) -> History:
        """Return everything that was noted until now."""

        def lines() -> Iterator[str]:
            for path in sorted(self.place.glob("*.jsonl")):
                # A line ends where it does for those who looked at it when it came.
                with path.open(encoding="utf-8", newline="\n") as file:
                    yield from file

        return pghalib.drill.history.read(lines())

    def _rounds(
        self,
        rounds: Iterable[list[str]],
        minutes: int,
        results: list[Result],
        observers: pghalib.drill.observers.Observers,
    ) -> str | None:
        """Make the faults round by round, at least once, and add the results. Returns why it ended early, or None."""
        began = time.monotonic()
        for steps in rounds:
            for step in steps:
                try:
                    observers.renew()
                    results.append(self._step(step))
                except (CommandExecutionError, KeyboardInterrupt, SystemExit) as error:
                    # Salt makes an exit of Ctrl-C. What was seen until now is told all the same.
                    why = error if isinstance(error, CommandExecutionError) else "the drill was interrupted"
                    early = f"{step}: {why}"
                    self.say(early)
                    return early
            if time.monotonic() - began >= minutes * 60:
                break
        return None

    def _step(self, step: str) -> Result:
        """One fault, or several, each while those before it last."""
        first, *others = pghalib.drill.faults.parts(step)
        if "switchover" in (first, *others):
            pghalib.wait.until(self._has_rested, self._rest + 1, "Consul has been there for long enough", interval=1)
        roles = self._roles()
        # What began during the status, or before it, is no cost of this fault.
        self._watch.calm(lasting=0)
        since = self._clock.now()
        self._begins.append(since)
        self._watch.forget(since)
        hosts, made = [self._fault(first, roles)], [first]
        for name in others:
            # What is already broken may not let the second one be made; that is no reason to end.
            try:
                if self._underway.hosts():
                    # Whose hosts these are was asked before: many a fault would be over before a status is.
                    self._underway.lasts(made[-1])
                else:
                    roles = self._roles()
                hosts.append(self._fault(name, roles))
                made.append(name)
            except CommandExecutionError as error:
                self.say(f"{name} was not made: {error}")
        step = "+".join(made)
        self._underway.wait()
        if pghalib.drill.faults.without_consul(step):
            self._rested = time.monotonic() + self._rest
        # Writes first: to look at the history costs nothing, and the status is a job on every host.
        self._watch.calm()
        pghalib.wait.until(self._whole, RECOVERY, f"the cluster is whole again after {step}", interval=1)
        self._watch.look()
        longest = pghalib.drill.checker.outage(self._watch.writes, since)
        connect = pghalib.drill.checker.outage(self._watch.visits, since)
        outage, bound = (longest.end - longest.start) / 1e9, self.bound(step)
        self.say(f"{step}: {outage:.2f} s without an acknowledged write (at most {bound:.0f} s are promised)")
        return {
            "fault": step,
            "host": ", ".join(dict.fromkeys(hosts)),
            "outage": outage,
            "connect": (connect.end - connect.start) / 1e9,
            "bound": bound,
            "since": since,
            "began": longest.start,
            "ended": longest.end,
            # The observers are asked when the last fault is over.
            "phases": None,
        }

    def _roles(self) -> dict[str, str | None]:
        """The hosts of the leader and of a replica, as they are now."""
        leader, replicas, _ = self.standing()
        return {"leader": leader, "replica": next(iter(replicas), None)}

    def _fault(self, name: str, roles: Mapping[str, str | None]) -> str:
        """Make one fault, and return the host."""
        one = pghalib.drill.faults.FAULTS[name]
        host = roles[one["host"]]
        if host is None:
            raise CommandExecutionError(f"{name}: the cluster has no {one['host']} now")
        self.say(f"{name} on {host}: {one['what']}")
        self._mark(f"{name} on {host}")
        if one["lasting"]:
            self._underway.begins(host)
        self.say(f"{name}: {pghalib.text.line(self.ask(host, 'pgha_drill.fault', name))}")
        return host

    def _settle(self) -> None:
        """
        Wait for the end of a fault that lasts after an early end. Until then the client may read its last lists where
        they will be lost, and observers that are stopped do not see what the fault's end brings.
        """
        hosts = ", ".join(self._underway.hosts())
        if not hosts:
            return
        try:
            self.say(f"a fault may last on {hosts}: the drill waits for its end (Ctrl-C: it does not, and judges less)")
            self._underway.wait()
            self._watch.calm()
        except (CommandExecutionError, KeyboardInterrupt, SystemExit) as error:
            why = f": {error}" if isinstance(error, CommandExecutionError) else ""
            self._unsettled = f"the drill ended while a fault on {hosts} might last{why}"
            self.say(self._unsettled)

    def _has_rested(self) -> bool:
        """For so long after a leader worked by failsafe_mode, replicas follow it still: docs/failover.md."""
        return time.monotonic() >= self._rested

    def _whole(self) -> bool:
        leader, _, faults = self.standing()
        if faults:
            raise CommandExecutionError("; ".join(faults))
        return leader is not None

    def _mark(self, what: str) -> None:
        with (self.place / "drill.jsonl").open("a", encoding="utf-8") as marks:
            marks.write(json.dumps({"kind": "mark", "at": self._clock.now(), "what": what}) + "\n")

    def _without_login(self) -> list[str]:
        """Remove the client's login and table. Returns a sentence when they are left."""
        try:
            self.ask(self._leader(LEADER), "pgha_drill.remove")
        except CommandExecutionError as error:
            left = f"the login and the schema {pghalib.drill.NAME} are left"
            return [f"{left} (the login expires, and the next drill removes both): {error}"]
        return []

    def _leader(self, seconds: int) -> str:
        def known() -> str | None:
            return self.standing()[0]

        leader = pghalib.wait.until(known, seconds, "the cluster has a leader", interval=1)
        return str(leader)
