"""
Histories that are written on a host, in pieces: Salt puts a short word in the place of an answer that is larger than
1 MiB (``max_event_size``).
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.drill.history
import pghalib.host.descriptors
import pghalib.text

if TYPE_CHECKING:
    from pathlib import Path

    from pghalib.shapes import Json

#: The most bytes of a history in one answer.
PIECE = 512 * 2**10
#: The most bytes that are taken of one history, however long it is: more than eight hours of it have.
LIMIT = 16 * 2**30
#: Seconds for which a writer may be ahead of the master.
AHEAD = 60
#: A sentence about a host and a number of bytes.
TOO_LARGE = "the history of {} is larger than {} bytes, which is more than its writer can have written until now"


def read(path: Path, offset: object) -> dict[str, Json]:
    """
    Return a piece of a history on this host: ``text``, lines of JSON of which the last one may be cut, and ``next``,
    where the next piece begins. The text is empty when there is no more, and when there is no such file.

    path
        In a directory of root's.
    offset
        Where the piece begins, in bytes, as somebody gave it.

    Raises CommandExecutionError for an offset that is none, and for a file that is not read.
    """
    if type(offset) is not int or not 0 <= offset < 2**63 - PIECE:
        raise CommandExecutionError("The offset is no whole number from 0 on")
    content = b""
    try:
        with pghalib.host.descriptors.opened(path.parent) as (directory, _):
            handle = pghalib.host.descriptors.regular(directory, path.name)
            try:
                content = os.pread(handle, PIECE, offset)
            finally:
                os.close(handle)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise CommandExecutionError(f"{path} is not read: {error}") from None
    # One letter for each byte: a piece may begin and end anywhere. The writers write ASCII alone.
    return {"text": content.decode("ascii", errors="replace"), "next": offset + len(content)}


def last_line(path: Path) -> str:
    """Return the last line of a file that is not empty, made safe to show; only the end of the file is read."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - PIECE))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line for line in map(pghalib.text.line, reversed(lines)) if line), "")


def most(seconds: float, rate: int) -> int:
    """
    Return how many bytes are taken of a history: a host that was taken over shall not fill the master.

    seconds
        For so long its writer has been running.
    rate
        Bytes a second that no right writer comes near to.
    """
    return min(LIMIT, int(rate * (seconds + AHEAD)))


class Taken:
    """
    The history of a client on another host, as it is taken piece by piece.

    host
        Minion id.
    path
        The file for it, to which the pieces are appended.
    """

    def __init__(self, host: str, path: Path) -> None:
        self._host, self._path = host, path
        #: Where the next piece begins.
        self.offset = 0
        # The last line as far as it has come.
        self._rest: list[str] = []

    def add(self, answer: object, limit: int) -> int:
        """
        Append a piece, and return its size.

        answer
            What the host answered when it was asked for the piece that begins at ``offset``.
        limit
            The result of :py:func:`most`.

        Raises CommandExecutionError when the answer is no piece, or has a line that no client notes, or when the
        history is too large; then nothing is appended.
        """
        text, after = checked(answer, self.offset, self._host, limit)
        content = text.encode("ascii", errors="replace")
        whole, ended, rest = content.decode().rpartition("\n")
        if ended:
            lines = io.StringIO("".join([*self._rest, whole, ended]))
            try:
                pghalib.drill.history.read(lines, pghalib.drill.history.CLIENT)
            except CommandExecutionError as error:
                name = pghalib.text.printable(self._host)
                # The lines are counted in this piece.
                raise CommandExecutionError(f"{name}, piece at byte {self.offset}: {error}") from None
            self._rest.clear()
        self._rest.append(rest)
        with self._path.open("ab") as history:
            history.write(content)
        self.offset = after
        return len(text)


def checked(answer: object, offset: int, host: str, limit: int) -> tuple[str, int]:
    """
    Return (text, where the next piece begins) of a host's answer.

    answer
        What the host answered when it was asked for the piece that begins at ``offset``.
    host
        Minion id.
    limit
        The result of :py:func:`most`.

    Raises CommandExecutionError when the answer is no piece, or when the history is too large.
    """
    told: Json = answer if isinstance(answer, dict) else {}
    text, after = told.get("text"), told.get("next")
    if type(text) is not str or type(after) is not int or after != offset + len(text) or len(text) > PIECE:
        raise CommandExecutionError(f"the answer of {pghalib.text.printable(host)} is no piece of a history")
    if after > limit:
        raise CommandExecutionError(TOO_LARGE.format(pghalib.text.printable(host), limit))
    return text, after
