"""
What a run is told to make anew (``pgha:new_secrets``): secrets that the store has lost. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.run
import pghalib.secrets.needed
from pghalib.text import guess, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pghalib.shapes import Json


def covers(entry: str, names: Iterable[str]) -> bool:
    """Return whether an entry names one of these secrets: by its whole name, or by the beginning before a ``/``."""
    return any(name == entry or name.startswith(f"{entry}/") for name in names)


def unknown(pgha: dict[str, Json], defaults: dict[str, Json], made: Iterable[str]) -> list[str]:
    """
    Return a sentence for each entry that names no secret: with a misspelt name nothing would be made, or said.

    pgha, defaults
        The pillar of that name, which is correct, and the content of defaults.yaml.
    made
        Names of the secrets that the store had once; their hosts may not be in the pillar any more.
    """
    wanted = [f"{name}/{key}" for _, name, keys in pghalib.secrets.needed.of(pgha, defaults) for key in keys]
    known = {*wanted, *made, *(f"{name}/tls/authority" for name in pgha.get("datacenters") or {})}
    found = []
    for entry in map(str, pghalib.run.as_list(pgha.get("new_secrets"))):
        if not covers(entry, known):
            own = [name for name in known if covers(entry.split("/")[0], [name])]
            found.append(f"pgha:new_secrets: there is no secret {shown(entry)}{guess(entry, own)}")
    return found


def idle(pgha: dict[str, Json], made: Iterable[str]) -> list[str]:
    """
    Return a sentence for each entry of which this run makes nothing. That is no fault: when a run was interrupted after
    it had made a secret, the next one makes nothing, and its hosts need the entry still to take that secret.

    made
        Names of all that the run makes, as ``pghalib.secrets.minted.mint`` returns them.
    """
    made = list(made)
    return [
        f"pgha:new_secrets: the store has {entry}, so nothing of it is made anew: this formula does not rotate secrets"
        " (docs/security.md)."
        for entry in map(str, pghalib.run.as_list(pgha.get("new_secrets")))
        if not covers(entry, made)
    ]
