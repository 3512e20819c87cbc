"""Which datacenters are encrypted where the pillar does not say so, and which names prevent that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.pillar.names
import pghalib.secrets.store
from pghalib.text import at

if TYPE_CHECKING:
    from pathlib import Path

    from pghalib.secrets.contents import Index
    from pghalib.shapes import Json


def of(path: Path, pgha: dict[str, Json], defaults: dict[str, Json], index: Index) -> dict[str, bool]:
    """
    Return {DATACENTER: whether it is encrypted}: the pillar's setting; without one, a datacenter stays as it was built,
    and a new one is encrypted.

    path, pgha, defaults
        Directory of the store, the pillar of that name as the master's own id has it, the content of defaults.yaml.
    index
        The index of the store.

    Raises CommandExecutionError when the name of a new datacenter prevents that.
    """
    wrong = faults(path, pgha, defaults, index)
    if wrong:
        raise CommandExecutionError("\n".join(wrong))
    built = pghalib.secrets.store.encrypted(index)
    found = {}
    for name in pgha.get("datacenters") or {}:
        said = _said(name, pgha, defaults)
        found[name] = built.get(name, _is_new(path, name, index)) if said is None else said
    return found


def faults(path: Path, pgha: dict[str, Json], defaults: dict[str, Json], index: Index) -> list[str]:
    """
    Return the faults of new datacenters that would be encrypted, and whose names cannot be in a certificate. A living
    one goes on. The check of the pillar alone does not know which of them live.

    path, pgha, defaults, index
        As for :py:func:`of`.
    """
    return [
        f"{at('pgha:datacenters', name)}: a new datacenter is encrypted, and the name is part of the name in a"
        " certificate: letters, digits and - within, 63 at most; give another, or set tls: false for it"
        for name in pgha.get("datacenters") or {}
        if not pghalib.pillar.names.is_label(name)
        and _said(name, pgha, defaults) is None
        and _is_new(path, name, index)
    ]


def _said(datacenter: str, pgha: dict[str, Json], defaults: dict[str, Json]) -> bool | None:
    said: bool | None = pghalib.inventory.section("tls", pgha, defaults, datacenter, None)["enabled"]
    return said


def _is_new(path: Path, datacenter: str, index: Index) -> bool:
    """Neither the index nor, as with a version that kept none, a file has it."""
    known = datacenter in pghalib.secrets.store.encrypted(index)
    return not known and not pghalib.secrets.store.file(path, "datacenter", datacenter).exists()
