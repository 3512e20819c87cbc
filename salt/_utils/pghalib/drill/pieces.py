"""
Histories that are written on a host, in pieces: Salt puts a short word in the place of an answer that is larger than
1 MiB (``max_event_size``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.host.descriptors
import pghalib.text

if TYPE_CHECKING:
    from pathlib import Path

    from pghalib.shapes import Json

#: The most bytes of a history in one answer.
PIECE = 512 * 2**10
#: The most bytes that are taken of one history: more than eight hours of it have.
LIMIT = 16 * 2**30


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


def checked(answer: object, offset: int, host: str) -> tuple[str, int]:
    """
    Return (text, where the next piece begins) of a host's answer.

    answer
        What the host answered when it was asked for the piece that begins at ``offset``.
    host
        Minion id.

    Raises CommandExecutionError when the answer is no piece, or when the history is too large.
    """
    told: Json = answer if isinstance(answer, dict) else {}
    text, after = told.get("text"), told.get("next")
    if type(text) is not str or type(after) is not int or after != offset + len(text) or len(text) > PIECE:
        raise CommandExecutionError(f"the answer of {pghalib.text.printable(host)} is no piece of a history")
    if after > LIMIT:
        raise CommandExecutionError(f"the history of {pghalib.text.printable(host)} is larger than {LIMIT} bytes")
    return text, after
