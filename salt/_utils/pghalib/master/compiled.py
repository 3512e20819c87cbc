"""
The pillar of the master's own id, compiled anew, and the inventory in it. It may hold keys of S3, so no execution
function returns it: results of jobs are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import salt.pillar
from salt.exceptions import CommandExecutionError

import pghalib.pillar.validate
import pghalib.run
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json


def pillar(opts: dict[str, Json], fresh: bool = False) -> dict[str, Json]:
    """
    Return the whole pillar of the master's own id, as the orchestration gets it at its start.

    opts
        The options of a loader on the master.
    fresh
        True ignores the pillar in the master's cache (``pillar_cache``), and stores the new one there.

    Raises CommandExecutionError when it does not render.
    """
    minion_id, grains = opts["id"], {**(opts.get("grains") or {}), "id": opts["id"]}
    # Without the pillar of the command line, which the options of a run may hold.
    given = {key: value for key, value in opts.items() if key != "pillar"}
    how = {"clean_cache": True} if fresh and opts.get("pillar_cache") else {}
    source = salt.pillar.get_pillar(given, grains, minion_id, opts.get("saltenv") or "base", **how)
    compiled: dict[str, Json] = source.compile_pillar()
    if compiled.get("_errors"):
        why = "; ".join(pghalib.text.line(error) for error in compiled["_errors"])
        raise CommandExecutionError(f"The pillar of the master's own id ({minion_id}) does not render: {why}")
    return compiled


def inventory(
    opts: dict[str, Json], given: Mapping[str, Json], defaults: dict[str, Json]
) -> tuple[dict[str, Json], list[str]]:
    """
    Return the current inventory, with the options of a run, and its faults, as lines.

    opts, given
        The options and the pillar of a loader on the master: of the run, with what the command line has added.
    defaults
        The content of defaults.yaml.

    Raises CommandExecutionError when the pillar of the master's own id does not render.
    """
    own = given.get("pgha")
    # The pillar that this run began with, without the command line: the difference shows what the command line added.
    # With pillar_cache it may be older than the stored pillar.
    kept = pillar(opts).get("pgha")
    stored = pillar(opts, fresh=True).get("pgha")
    run = {key: own[key] for key in pghalib.run.KEYS if key in own} if isinstance(own, dict) else {}
    pgha: Json = {**stored, **run} if isinstance(stored, dict) else stored
    words = ", ".join(pghalib.run.KEYS)
    faults = [
        f"{path}: is given on the command line alone, where no host sees it: write it into the pillar (for one run"
        f" there are {words})"
        for path in pghalib.run.strangers(own, kept)
    ]
    return pgha, faults + pghalib.pillar.validate.faults(pgha, defaults)
