"""Settings of a drill's client, as its program (``salt://pgha/drill/files/client.py``) reads them. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.drill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

_SETTINGS = {"connection": dict, "table": str, "workers": int, "pause": float, "seconds": int}
# Keywords of libpq; the first four are always given.
_CONNECTION = {
    "host": str,
    "port": int,
    "dbname": str,
    "user": str,
    "target_session_attrs": str,
    "sslmode": str,
    "sslrootcert": str,
}


def with_password(settings: Mapping[str, Json], given: str) -> dict[str, Json]:
    """
    Return the settings of a client with the password of its login.

    settings
        See ``pghalib.drill.clients.Client.start``.
    given
        The password.
    """
    return {**settings, "connection": {**settings["connection"], "password": given}}


def wrong(settings: object) -> list[str]:
    """Return what in the settings of a client is unknown, missing, or of another type or size; [] for good ones."""
    if not isinstance(settings, dict):
        return ["settings"]
    found = [name for name, kind in _SETTINGS.items() if type(settings.get(name)) is not kind]
    found += [str(name) for name in settings if name not in {*_SETTINGS, "authorities"}]
    if not isinstance(settings.get("authorities"), str | None):
        found.append("authorities")
    if found:
        return found
    # The others may be missing.
    given = settings["connection"]
    kinds = {name: _CONNECTION.get(name) for name in {"host", "port", "dbname", "user", *given}}
    found += [f"connection:{name}" for name, kind in kinds.items() if type(given.get(name)) is not kind]
    bounds = {"workers": pghalib.drill.CONNECTIONS, "pause": 60, "seconds": 10**6}
    return sorted(found) + [name for name, most in bounds.items() if not 0 < settings[name] <= most]
