"""
The check whether a host's pillar has the inventory at all, and the clusters of this run. The message names the fault of
the pillar. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.inventory
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json


def unknown(pillar: Mapping[str, Json], options: Mapping[str, Json], cleaning: bool = False) -> str:
    """
    Return the sentence for a host that the inventory in its pillar does not name: the reason and the remedy.

    pillar, options
        ``__pillar__`` and ``__opts__`` of the loader.
    cleaning
        True where the formula is to be taken away from the host, which was removed from the pillar too early.
    """
    minion_id, errors = options["id"], pillar.get("_errors")
    pgha = pillar.get("pgha")
    known = isinstance(pgha, dict) and (pgha.get("datacenters") or pgha.get("clusters"))
    fresh = f"; then salt '{minion_id}' saltutil.refresh_pillar"
    if known and cleaning:
        return (
            f"{minion_id} is not in the pillar pgha, which says what the formula put there: put the host back into the"
            " pillar for pgha.clean, then remove it"
        )
    if known:
        return (
            f"{minion_id} is neither among the servers of a datacenter nor among the hosts of a cluster in the pillar"
            " pgha; correct the inventory, or the minion id"
        )
    if errors:
        said = "; ".join(map(str, errors)) if isinstance(errors, (list, tuple)) else errors
        return f"{minion_id} is given no inventory, as its pillar does not render: {pghalib.text.line(said)}"
    if pgha and options.get("pillar_source_merging_strategy") in ("overwrite", "none"):
        return (
            f"{minion_id} is given no inventory, as what the run adds to the pillar pgha replaces it: take"
            " pillar_source_merging_strategy out of the configuration of this minion, and restart salt-minion"
        )
    return (
        f"{minion_id} is given no inventory: its pillar pgha has neither datacenters nor clusters; name the inventory"
        f" for it in the pillar's top.sls{fresh}"
    )


def lacking(pgha: dict[str, Json], minion_id: str, worked_on: Mapping[str, str]) -> str | None:
    """
    Return the sentence for a host whose pillar lacks a cluster that it needs; None when it lacks none. A database host
    needs its own cluster alone.

    pgha
        The pillar of that name, as a minion has it.
    worked_on
        The clusters of this run, as the master knows them: the name of each one's datacenter by its own.
    """
    place = pghalib.inventory.place(pgha, minion_id)
    if place is None or place["role"] == "db":
        return None
    known = list(pgha["clusters"]) if isinstance(pgha.get("clusters"), dict) else []
    missing = [
        name for name, datacenter in worked_on.items() if datacenter == place["datacenter"] and name not in known
    ]
    if not missing:
        return None
    why = "registers the tokens of" if place["role"] == "dcs" else "keeps the backups of"
    return (
        f"the pillar of {minion_id} lacks the cluster {', '.join(missing)}, which this run is about (it has"
        f" {', '.join(known) or 'none'}): this host {why} all clusters of its datacenter, so give it all of them in the"
        f" pillar's top.sls; then salt '{minion_id}' saltutil.refresh_pillar"
    )
