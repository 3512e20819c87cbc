"""
Whose data are in a data directory: those of this cluster, of another cluster, or of a server that Patroni has never
run. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from pghalib.postgres.data_directory import State


class Verdict(TypedDict):
    """Whether Patroni may start on the data, in the form of a state's return."""

    result: bool
    comment: str


def verdict(found: State, initialized: str | None) -> Verdict:
    """
    Return the verdict on a data directory that is not empty, as ``{"result", "comment"}``: True when Patroni may start
    on it, else False with the remedy. With other data than this cluster's a person must decide.

    found
        What is in it, as ``pgha_postgres.data_directory`` returns it.
    initialized
        The system identifier of this cluster in Consul, None for a cluster that is not initialised.
    """
    path, identifier = found["path"], found["identifier"]
    aside = f"move it aside (mv {path} {path}.old) if nobody needs it there, and apply this again"
    if identifier is None:
        # Patroni never starts a server on incomplete data. It reports them, and `streaming` names the remedy.
        if initialized:
            return _ours(f"{path} holds an incomplete copy; Patroni decides what to do with it.")
        return _refused(f"{path} is not empty, and no complete PostgreSQL data: {aside}.")
    if initialized and initialized != identifier:
        return _refused(
            f"{path} holds the data of another cluster (system identifier {identifier}, this cluster has"
            f" {initialized}): {aside}; Patroni will then copy the leader's."
        )
    if not initialized and not found["patroni"]:
        return _refused(
            f"{path} holds a PostgreSQL {found['version']} that Patroni has never run (system identifier"
            f" {identifier}). To make it the first member of this cluster, start Patroni by hand on it"
            f" (systemctl start patroni), else {aside}."
        )
    return _ours(f"{path} holds this cluster's data (system identifier {identifier}).")


def _ours(comment: str) -> Verdict:
    return {"result": True, "comment": comment}


def _refused(comment: str) -> Verdict:
    return {"result": False, "comment": comment}
