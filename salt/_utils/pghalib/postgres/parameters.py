"""
The check whether a server starts with its parameters: the options to try on a host, and the meaning of the server's
messages. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.postgres.settings
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json, Settings

#: Libraries that a server loads only after its start: without them a session, the archiver or a login fails.
LATER = ("session_preload_libraries", "local_preload_libraries", "archive_library", "oauth_validator_libraries")

#: Not checked: Patroni sets these paths. (Parameters for certificates are left out too, see `effective`.)
_PLACES = frozenset(
    {
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "unix_socket_directories",
    }
)

_LIBRARY = ("could not access file", "could not load library", "incompatible library")


def effective(settings: Settings, shared: Mapping[str, Json], host: Mapping[str, Json]) -> dict[str, Json]:
    """
    Return the parameters that the server of a host gets from Patroni, as ``{name: value}``: those of the DCS,
    overridden by the host's own where Patroni allows that.

    settings
        The resolved settings; parameters in ``patroni.config`` count too.
    shared, host
        As ``pgha_postgres.parameters`` returns them.
    """
    config = settings["patroni"].get("config") or {}
    everywhere = {**shared, **_parameters((config.get("bootstrap") or {}).get("dcs"))}
    own = _parameters(config)
    of_host = {
        name: value for name, value in {**host, **own}.items() if name not in pghalib.postgres.settings.CLUSTER_WIDE
    }
    return {
        name: pghalib.postgres.settings.canonical(value)
        for name, value in sorted({**everywhere, **of_host}.items())
        if value is not None
        and name not in pghalib.postgres.settings.PATRONI_OWN | _PLACES
        and not name.startswith("ssl")
    }


def _parameters(section: Json) -> dict[str, Json]:
    return ((section or {}).get("postgresql") or {}).get("parameters") or {}


def options(parameters: Mapping[str, Json], **over: Json) -> list[str]:
    """
    Return parameters as options of the server. ``lc_messages`` comes last, so that the server's messages about the
    others are in the language of its environment.

    over
        Parameters that override these; they come after all others.
    """
    first = sorted(parameters.items(), key=lambda item: item[0] == "lc_messages")
    return [word for name, value in (*first, *over.items()) for word in ("-c", f"{name}={value}")]


def libraries(name: str, value: Json) -> list[str]:
    """
    Return the libraries that a parameter names, as paths for the server. For ``local_preload_libraries`` the server
    looks only in ``$libdir/plugins``.
    """
    names = [word.strip().strip('"') for word in str(value).split(",")]
    local = name == "local_preload_libraries"
    return [f"$libdir/plugins/{one}" if local and "/" not in one else one for one in names if one]


def complaint(said: str) -> str:
    """
    Return the reason why the server would not start, from its standard error: the first error with its detail, as one
    text.
    """
    lines = [line for line in said.splitlines() if line.strip() and ":  skipping missing" not in line]
    for index, line in enumerate(lines):
        for mark in ("FATAL:  ", "PANIC:  ", "ERROR:  "):
            if mark in line:
                more = [other.split("DETAIL:  ", 1)[1] for other in lines[index + 1 :] if "DETAIL:  " in other][:1]
                return " ".join([line.split(mark, 1)[1], *more])
    return " ".join(lines)


def last_words(text: str, most: int = 3) -> list[str]:
    """
    Return the last errors in a server's log, each with its detail, as a list of printable lines.

    text
        The end of the log; it is not trusted.
    """
    found: list[str] = []
    for line in text.splitlines():
        if any(mark in line for mark in ("FATAL: ", "PANIC: ", "ERROR: ")):
            found.append(line)
        elif found and ("DETAIL: " in line or "HINT: " in line):
            found[-1] += " " + line[line.index("DETAIL: " if "DETAIL: " in line else "HINT: ") :]
    return [pghalib.text.line(line) for line in dict.fromkeys(found)][-most:]


def about_library(said: str) -> bool:
    """Return whether a complaint is about a library that cannot be loaded."""
    return said.startswith(_LIBRARY)
