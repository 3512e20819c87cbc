"""
Which member of which cluster a running Patroni is, by its own configuration, and whether that is what the pillar says.
The rights of its token in Consul are by these words: with the rights of other words it could neither find its cluster
in the DCS nor renew its lease.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

import pghalib.host.files
import pghalib.parse
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pghalib.shapes import Settings


class RunsAs(TypedDict):
    """
    What a running Patroni's configuration says of it: its cluster, where that is in the DCS, and its own name. None for
    what is given elsewhere, as by the environment.
    """

    scope: str
    namespace: str | None
    name: str | None


def of(cmdline: list[str]) -> RunsAs | None:
    """Return what the configuration of a running Patroni says of it, None where the configuration cannot be read."""
    if not any(os.path.basename(word) == "patroni" for word in cmdline):
        return None
    path = next((word for word in cmdline if word.startswith("/") and word.endswith((".yml", ".yaml"))), None)
    try:
        content = pghalib.parse.from_yaml(pghalib.host.files.peek(path) or "") if path else None
    except ValueError:
        return None
    known = content if isinstance(content, dict) else {}
    # Without a namespace Patroni takes this one.
    words = (known.get("scope"), known.get("namespace", "service"), known.get("name"))
    scope, namespace, name = (pghalib.text.printable(word) if isinstance(word, str) else None for word in words)
    return {"scope": scope, "namespace": namespace, "name": name} if scope else None


def fault(own: RunsAs | None, pid: int | None, settings: Settings) -> str | None:
    """
    Return why a running Patroni is not the one of the pillar, as a sentence; None when it is, or when that is unknown.

    own, pid
        The result of :py:func:`of`, and the number of the process.
    settings
        The result of ``pgha.settings``.
    """
    cluster = settings["cluster"]
    if not own or not cluster:
        return None
    if own["scope"] != cluster["name"]:
        return (
            f"a Patroni of the cluster {own['scope']} runs, process {pid}, the pillar says {cluster['name']}: stop it,"
            " or correct the pillar"
        )
    place, wanted = own["namespace"], settings["patroni"]["namespace"]
    if place is not None and place.strip("/") != wanted.strip("/"):
        return (
            f"Patroni, process {pid}, has its cluster in the DCS below {place}, the pillar says {wanted}: put"
            " patroni:namespace back, it cannot be changed on a living cluster"
        )
    if own["name"] not in (None, settings["name"]):
        return (
            f"Patroni, process {pid}, runs as the member {own['name']}, the pillar says {settings['name']}: put the"
            " name back; a living member cannot be renamed, remove it and add it again (docs/runbooks.md)"
        )
    return None


def strangers(members: Iterable[str], cluster: str, inventory: Collection[str]) -> list[str]:
    """
    Return a sentence for each member of a living cluster that the inventory lacks. A run would take its rights in
    Consul away: it could not renew its lease, and a leader would be lost without a question.

    members
        The names that Patroni lists.
    cluster, inventory
        The cluster's name, and the names of its hosts in the pillar.
    """
    return [
        f"{pghalib.text.printable(name)} is a member of {cluster} that runs, and clusters:{cluster}:hosts lacks it: put"
        ' it back; to take it out, follow "Remove a host" in docs/runbooks.md'
        for name in sorted(set(members) - set(inventory))
    ]
