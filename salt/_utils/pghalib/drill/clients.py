"""
Where the client of a drill runs: on the master, or on a minion. The password of its login is made where the client
runs, and stays there; only the verifier goes further.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Protocol

from salt.exceptions import CommandExecutionError

import pghalib.drill.pieces
import pghalib.drill.settings
import pghalib.postgres.scram
import pghalib.services
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pghalib.drill.observers import Ask
    from pghalib.shapes import Json

# Python programs of a master that may have psycopg.
PYTHONS = (sys.executable, "/usr/bin/python3")
REMEDY = "apt install python3-psycopg"
#: A program for Python that fails without psycopg 3.
NEEDED = "import psycopg.sql; raise SystemExit(psycopg.__version__ < '3')"
#: Seconds for one of them to say so.
ANSWER = 30
#: Seconds for a client to note its last lists and end.
ENDS = 150
#: The execution module of a minion where a client runs.
MODULE = "pgha_drill_client"
#: Bytes a second that are taken of a client for each that writes: ten times what it can note. It pauses for 10 ms after
#: each write, and a write is less than 170 bytes with its share of the reads and the last lists.
NOTED = 10 * 17_000
# Where the errors of a client on the master are, beside the history.
ERRORS = "client.err"
# Nanoseconds by which the clock of a minion may differ from that of the master.
DIFFERENCE = 10**9


class Client(Protocol):
    """The client of one drill; ``where`` says where it runs."""

    where: str

    def against(self) -> list[str]:
        """Return why no client can run there, as sentences. Nothing is changed."""

    def trust(self, authorities: str | None) -> str | None:
        """
        Return the path where the client will find the authorities; None when there are none.

        authorities
            As PEM, or None where the traffic is not encrypted.
        """

    def verifier(self) -> str:
        """Make the password of the client's login, and return its verifier for SCRAM-SHA-256."""

    def start(self, settings: Mapping[str, Json]) -> None:
        """
        Start the client.

        settings
            ``connection`` (libpq's keywords without the password), ``table``, ``workers``, ``pause`` (seconds between
            two operations) and ``seconds`` (after which the client ends by itself).
        """

    def fetch(self) -> None:
        """Bring what was noted until now to ``client.jsonl`` on the master."""

    def stop(self) -> list[str]:
        """End the client, and bring the rest with its last lists. Returns sentences about what is missing."""

    def clear(self) -> list[str]:
        """Take away what was made where the client ran. Returns sentences about what is left."""


class Local:
    """
    A client on the master, a process of its own.

    place
        The directory of the history, which belongs to the master's user.
    program
        The text of the client's program (``salt://pgha/drill/files/client.py``).
    """

    where = "the master"

    def __init__(self, place: Path, program: str) -> None:
        self._place, self._program = place, program
        self._password = ""
        self._process: subprocess.Popen[str] | None = None
        self._most = bound(0)

    def against(self) -> list[str]:
        """Return why no client can run here, as sentences."""
        try:
            local_python()
        except CommandExecutionError as error:
            return [str(error)]
        return []

    def trust(self, authorities: str | None) -> str | None:
        """Write the authorities beside the history, and return the path."""
        if authorities is None:
            return None
        path = self._place / "ca.pem"
        path.write_text(authorities, encoding="utf-8")
        return str(path)

    def verifier(self) -> str:
        """Make the password; it is known to this process and its client alone."""
        self._password, verifier = password()
        return verifier

    def start(self, settings: Mapping[str, Json]) -> None:
        """Start the client. Raises CommandExecutionError when no Python has psycopg."""
        python, program = local_python(), self._place / "client.py"
        self._most = bound(settings["workers"])
        program.write_text(self._program, encoding="utf-8")
        with (self._place / "client.jsonl").open("wb") as output, (self._place / ERRORS).open("wb") as errors:
            # Its errors are words of a server: they have no terminal.
            # In a session of its own: Ctrl-C in the terminal is for the drill, which then asks for the last lists.
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program
                [python, program],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        if self._process.stdin:
            self._process.stdin.write(json.dumps(pghalib.drill.settings.with_password(settings, self._password)))
            self._process.stdin.close()

    def fetch(self) -> None:
        """Look at the size: the client writes into the history itself. Raises CommandExecutionError for too much."""
        most = self._most()
        if (self._place / "client.jsonl").stat().st_size > most:
            raise CommandExecutionError(pghalib.drill.pieces.TOO_LARGE.format(self.where, most))

    def stop(self) -> list[str]:
        """End the client. Returns a sentence when it has not noted its last lists."""
        process, self._process = self._process, None
        if not process:
            return []
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS)
        process.kill()
        code = process.wait()
        why = f"(exit code {code}): {pghalib.drill.pieces.last_line(self._place / ERRORS)}".rstrip(": ")
        return [f"the client on the master ended without its last lists {why}"] if code else []

    def clear(self) -> list[str]:
        """Forget the password. Nothing is left."""
        self._password = ""
        return []


class Remote:
    """
    A client on a minion, a service of systemd there.

    ask
        A function (minion id, function, arguments…) that calls a function on a host and returns its answer.
    host
        Minion id.
    place
        The directory of the history, on the master.
    """

    def __init__(self, ask: Ask, host: str, place: Path) -> None:
        self.where = host
        self._ask = ask
        self._authorities: str | None = None
        self._taken = pghalib.drill.pieces.Taken(host, place / "client.jsonl")
        self._most = bound(0)

    def against(self) -> list[str]:
        """Return why no client can run there: no answer, no module, no psycopg, another time."""
        before, name = time.time_ns(), pghalib.text.printable(self.where)
        remedy = f"see salt '{name}' test.ping, then salt '{name}' saltutil.sync_all"
        try:
            answer = self._call("ready")
        except CommandExecutionError as error:
            return [f"no client can run on {name}: {error}; {remedy}"]
        after = time.time_ns()
        told: Mapping[str, Json] = answer if isinstance(answer, dict) else {}
        now, python = told.get("now"), told.get("python")
        if type(now) is not int or not 0 < now < 2**63 or type(python) is not bool:
            return [f"no client can run on {name}: its answer has no time and no Python; {remedy}"]
        found = [] if python else [f"the drill's client needs psycopg 3 on {name}: {REMEDY}"]
        # The answer was made at some moment of the question.
        difference = max(before - now, now - after)
        if difference > DIFFERENCE:
            found.append(
                f"the clock of {name} differs by {difference / 1e9:.1f} s from the master's: let both follow the same"
                " servers (chronyc tracking)"
            )
        return found

    def trust(self, authorities: str | None) -> str | None:
        """Return the path on the minion; the authorities go there with the start."""
        self._authorities = authorities
        return None if authorities is None else f"{pghalib.services.DIRECTORY}/drill/ca.pem"

    def verifier(self) -> str:
        """Let the minion make the password, and return its verifier. Raises CommandExecutionError for anything else."""
        answer = self._call("prepare")
        if not isinstance(answer, str) or len(answer) > 500 or not pghalib.postgres.scram.PATTERN.fullmatch(answer):
            raise CommandExecutionError(f"{self.where} answers with no verifier of SCRAM-SHA-256")
        return answer

    def start(self, settings: Mapping[str, Json]) -> None:
        """Let the minion start the client. Raises CommandExecutionError when it cannot."""
        self._most = bound(settings["workers"])
        self._call("start", {**settings, "authorities": self._authorities})

    def fetch(self) -> None:
        """
        Ask for what was noted, piece by piece, and append it to the history.

        Raises CommandExecutionError when an answer is no piece, has lines of others, or has more than the client can
        have written; the next call asks for the same piece again.
        """
        # The client goes on writing: a piece that is not full is the last one for now.
        limit = self._most()
        while self._piece(limit) == pghalib.drill.pieces.PIECE:
            pass

    def stop(self) -> list[str]:
        """End the client on the minion, and fetch the rest. Returns a sentence when something is missing."""
        try:
            self._call("stop")
            # Nobody writes any more: there is an end.
            limit = self._most()
            while self._piece(limit):
                pass
        except CommandExecutionError as error:
            return [f"what the client on {self.where} noted is missing: {error}"]
        return []

    def clear(self) -> list[str]:
        """Remove the files on the minion. Returns a sentence when they are left."""
        try:
            self._call("remove")
        except CommandExecutionError as error:
            return [f"files of the drill are left on {self.where} (salt '{self.where}' {MODULE}.remove): {error}"]
        return []

    def _call(self, function: str, *given: Json) -> Json:
        return self._ask(self.where, f"{MODULE}.{function}", *given)

    def _piece(self, limit: int) -> int:
        """Fetch one piece and return its size."""
        return self._taken.add(self._call("noted", self._taken.offset), limit)


def bound(workers: int) -> Callable[[], int]:
    """Return a function that returns how many bytes are taken of a client that begins now."""
    began = time.monotonic()
    # One more for the reads and the new connections.
    return lambda: pghalib.drill.pieces.most(time.monotonic() - began, (workers + 1) * NOTED)


def password() -> tuple[str, str]:
    """Return a new password and its verifier for SCRAM-SHA-256."""
    made = base64.b32encode(secrets.token_bytes(20)).decode()
    return made, pghalib.postgres.scram.verifier(made, secrets.token_bytes(16))


def local_python() -> str:
    """Return a Python of the master that has psycopg. Raises CommandExecutionError with the remedy."""
    for python in PYTHONS:
        # One that does not start, or does not end, is as one without psycopg.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run([python, "-c", NEEDED], check=False, capture_output=True, timeout=ANSWER)  # noqa: S603
            if not done.returncode:
                return python
    raise CommandExecutionError(
        f"The drill's client needs psycopg 3 on the master: {REMEDY}, or salt-pip install 'psycopg[binary]'"
    )
