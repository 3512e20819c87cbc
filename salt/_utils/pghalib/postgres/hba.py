"""
The lines of ``pg_hba.conf``: how a server is asked whether it can read them, and what it says. Pure functions.

A server that runs passes over a file with a line that it cannot read, and goes on with the one of before; its next
start ends because of that line (``load_hba`` in PostgreSQL's postmaster.c).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pghalib.parse

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What is wrong with the file that is there, for the server that runs.
QUESTION = (
    "SELECT coalesce(json_agg(json_build_object('line', line_number, 'error', error)), '[]')"
    " FROM pg_catalog.pg_hba_file_rules WHERE error IS NOT NULL;"
)
#: The server says this of a line that it can read, and that no connection can ever match.
_HARMLESS = "record cannot match"
_COMPLAINT = re.compile(r'LOG:  (.*)\n(?:(?:DETAIL|HINT):  .*\n)*CONTEXT:  line (\d+) of configuration file "(.*)"')


def trial(lines: Sequence[str]) -> str:
    """
    Return the content of a file with these lines for a server that is to be asked. What other files have is left out,
    since their names may be relative to another directory; an empty file would be a fault.
    """
    own = ["#" if line.lstrip().startswith("include") else line for line in lines]
    return "".join(f"{line}\n" for line in [*own, "local all all reject"])


def options(file: str) -> dict[str, str]:
    """
    Return the parameters for a start that reads ``file``, the path of a :py:func:`trial` in the data directory, and
    opens no port.
    """
    quiet = {"log_min_messages": "log", "log_destination": "stderr", "log_line_prefix": "", "logging_collector": "off"}
    own = {"hba_file": file, "unix_socket_directories": file.rpartition("/")[0], "listen_addresses": ""}
    return {**own, **quiet, "log_error_verbosity": "default"}


def refused(said: str, file: str) -> list[str]:
    """
    Return what a server has said against the lines of a file, as sentences; [] when it has read the file.

    said
        Its standard error.
    file
        The path of the file, as :py:func:`options` has it.
    """
    if f"FATAL:  could not load {file}" not in said:
        return []
    found = [(int(line), why) for why, line, path in _COMPLAINT.findall(said) if path == file]
    return _sentences(found) or ["the server cannot read them"]


def unread(said: str) -> list[str]:
    """Return the answer to ``QUESTION`` as sentences for the status."""
    found = [(one["line"], one["error"]) for one in pghalib.parse.from_json(said)]
    return [
        f"pg_hba.conf, {one}: the server works with the lines of before, and would not start with these: correct them"
        " where they were set (postgres:pg_hba in the pillar, or patronictl edit-config)"
        for one in _sentences(found)
    ]


def _sentences(found: Sequence[tuple[int, str]]) -> list[str]:
    return [f"line {line}: {why}" for line, why in found if _HARMLESS not in why]
