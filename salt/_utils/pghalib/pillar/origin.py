"""Where in the pillar a setting stands. Pure functions; the pillar may hold anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.inventory
from pghalib.text import at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pghalib.shapes import Json


def origin(pgha: dict[str, Json], keys: Sequence[str], datacenter: str | None, cluster: str | None) -> str | None:
    """
    Return the path in the pillar that a setting comes from: the most specific place that sets it, or None when it has
    its default.

    keys
        Section, key, and the keys below it, if any.
    datacenter, cluster
        The datacenter and the cluster in question; None for none.
    """
    section = keys[0]
    places = [
        (at("pgha:clusters", cluster), _entry(pgha, "clusters", cluster)),
        (at("pgha:datacenters", datacenter), _entry(pgha, "datacenters", datacenter)),
        ("pgha", pgha),
    ]
    # In a cluster `hosts` and `tls` mean something else, or nothing.
    for path, holder in places[section in ("hosts", "tls") :]:
        value = {section: pghalib.inventory.layer_of(holder.get(section))}
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                break
            value = value[key]
        else:
            return at(path, *keys)
    return None


def _entry(pgha: Mapping[str, Json], kind: str, name: str | None) -> dict[str, Json]:
    """A datacenter or a cluster, or {} for none."""
    entries = pgha.get(kind)
    entry = entries.get(name) if isinstance(entries, dict) else None
    return entry if isinstance(entry, dict) else {}
