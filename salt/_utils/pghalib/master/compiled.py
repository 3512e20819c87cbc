"""
The pillar of the master's own id, compiled anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import salt.pillar
from salt.exceptions import CommandExecutionError

import pghalib.text

if TYPE_CHECKING:
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
