"""
What a proof (``salt/pgha/backup/files/pgha-proof.py``) has shown: its shape, and a sentence about it. It is written by
the user of PostgreSQL, so it is data. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pghalib.backup.config
import pghalib.parse
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

#: What makes a proof, and what the last one has shown; both paths stand in files of hosts as they are.
PROGRAM = "/usr/local/lib/pgha-proof"
RESULT = f"{pghalib.backup.config.SPOOL}/proof.json"
_LIMITS = {"Nice": "15", "CPUWeight": "20", "IOWeight": "20", "NoNewPrivileges": "yes", "PrivateTmp": "yes",
           "ProtectSystem": "strict"}  # fmt: skip
_NUMBERS = ("at", "size", "fetched", "recovered", "checked", "newest", "canary", "back", "noted")


def limits(postgres: Mapping[str, Json]) -> dict[str, str]:
    """
    Return what a proof may take of a host whose databases come first, as properties of its unit. The copy writes to its
    own directory alone: its WAL names the places of tablespaces, where the files of the server beside it are.

    postgres
        The section of the settings.
    """
    # Sockets and locks are in the unit's own /tmp. pgBackRest logs to files only where backup:config says so.
    paths = (f"-{postgres['data_dir']}.proof", pghalib.backup.config.SPOOL, "-/var/log/pgbackrest")
    return {**_LIMITS, "ReadWritePaths": " ".join(paths)}


class Proof(TypedDict):
    """
    What a proof has shown. Seconds since 1970: ``at``; in the restored copy ``newest``, the last transaction, and
    ``canary``, the last time that the leader has noted; ``back``, the moment before to which it went, and ``noted``,
    the time noted in the copy of then. Seconds since the proof began: ``fetched``, ``recovered``, ``checked``.
    """

    at: float
    host: str
    backup: str | None
    size: float | None
    fetched: float | None
    recovered: float | None
    checked: float | None
    newest: float | None
    canary: float | None
    back: float | None
    noted: float | None
    checks: list[str]
    fault: str | None


def checked(given: Json) -> Proof | None:
    """
    Return what a proof has shown, None when it is no proof. Left out is everything of a wrong type, and every number
    that no clock and no disk tells: Python makes no day of it, and the master would refuse all that the host answers.

    given
        What the file of a proof has, or a host has answered.
    """
    if not isinstance(given, dict):
        return None
    ends = dict.fromkeys(_NUMBERS, 2**33) | {"size": 2**63}
    numbers = {key: given[key] if pghalib.parse.is_amount(given.get(key), end) else None for key, end in ends.items()}
    if numbers["at"] is None:
        return None
    texts = {key: None if given.get(key) is None else pghalib.text.line(given[key]) for key in ("backup", "fault")}
    checks = given.get("checks")
    found: Json = {
        **numbers,
        **texts,
        "host": pghalib.text.line(given.get("host"), 80),
        "checks": [pghalib.text.line(one, 40) for one in (checks if isinstance(checks, list) else [])[:10]],
    }
    proof: Proof = found
    return proof


def sentence(proof: Proof) -> str:
    """Return what a proof has shown, as a sentence."""
    day = pghalib.text.moment(proof["at"])
    if proof["fault"]:
        return f"the proof of {day} on {proof['host']} that a backup can be restored has failed: {proof['fault']}"
    ready = f"{proof['recovered']:.0f} s" if proof["recovered"] is not None else "some time"
    lost = ""
    if proof["newest"] is not None:
        lost = f", and its last transaction was {max(0, proof['at'] - proof['newest']):.0f} s old"
    how = " and ".join(proof["checks"]) or "nothing"
    back = ""
    if proof["back"] is not None and proof["noted"] is not None:
        then, noted = (pghalib.text.moment(one) for one in (proof["back"], proof["noted"]))
        back = f"; gone back to {then}, it had the time that was noted at {noted}"
    return (
        f"proven on {day} on {proof['host']}: {proof['backup']} was restored in {ready}{lost}; {how} found no"
        f" fault{back}"
    )
