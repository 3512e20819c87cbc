"""The state of everything in an inventory, as the status shows it: what the store lacks, and what the hosts tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.master.asking
import pghalib.master.refusal
import pghalib.master.report
import pghalib.master.restore
import pghalib.secrets.minted
import pghalib.secrets.pki
import pghalib.secrets.store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pghalib.master.report import State
    from pghalib.shapes import Json


def now(opts: Mapping[str, Json], pgha: dict[str, Json], defaults: dict[str, Json], timeout: object) -> State:
    """
    Ask all hosts, and return the state as ``pghalib.master.report.summary`` does. Faults of the store come first: hosts
    without secrets cannot tell much.

    opts
        The master's options.
    pgha, defaults
        The pillar of that name, checked, and the content of defaults.yaml.
    timeout
        Seconds after which hosts that have not answered are asked whether they still work on it, as a person gave it.

    Raises CommandExecutionError when ``timeout`` is no number, and when the master takes no job.
    """
    seconds = pghalib.master.refusal.whole("timeout", timeout)
    plan, store = pghalib.inventory.plan(pgha), pghalib.secrets.store.directory(opts)
    if opts.get("pillar_cache"):
        # Each host fetches its pillar to tell its status, and would get the cached one.
        pghalib.master.asking.refresh(opts, plan["hosts"])
    state = pghalib.master.report.summary(plan, pghalib.master.asking.status(opts, plan["hosts"], seconds))
    restoring = pghalib.master.restore.unfinished(store, plan["clusters"])
    first = [*_lacking(store, pgha, defaults), *pghalib.secrets.pki.unfinished(store, pgha, defaults), *restoring]
    state["faults"] = [*first, *state["faults"]]
    return state


def _lacking(store: Path, pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    try:
        lacking = pghalib.secrets.minted.missing(store, pgha, defaults)
    except CommandExecutionError as error:
        return [str(error)]
    return (
        [f"the store has not been filled for this pillar ({', '.join(lacking)}); run the main job"] if lacking else []
    )
