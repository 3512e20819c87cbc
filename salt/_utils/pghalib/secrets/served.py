"""
The secrets that the master serves to a host, and the host's note of the secrets that it works with.

The note holds fingerprints, no secret. It shows, before anything is touched, that the master's store is not the one
that this host works with (a lost store, an older copy).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.parse
import pghalib.secrets.anew

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pghalib.shapes import Json, Secrets, Settings

NOTE = "/etc/pgha/secrets.json"
KEY = "pgha_secrets"
_OF_DATACENTER = ("gossip_key", "management")


class Unserved(CommandExecutionError):
    """The master serves no secrets to this host."""


def own(pillar: Mapping[str, Json], opts: Mapping[str, Json]) -> Secrets:
    """
    Return the secrets of this host out of its pillar. No execution function returns them, as job results are stored.

    pillar
        The pillar of the loader (``__pillar__``): only it holds the real values.
    opts
        The options of the loader, for the host's name in the message.

    Raises Unserved when the master serves no secrets.
    """
    found: Secrets | None = pillar.get(KEY)
    if not found:
        raise Unserved(
            f"The master serves no secrets to {opts['id']}: add 'pgha: true' to ext_pillar in its configuration, run"
            " salt-run saltutil.sync_all, then salt-run pgha.secrets, which also has to know this host (the pillar of"
            " the master's own id); the master's log says when the store cannot be read"
        )
    return found


def strings(secrets: object) -> list[str]:
    """Return every string in a tree of secrets, for masking: a list."""
    if isinstance(secrets, dict):
        return [text for item in secrets.values() for text in strings(item)]
    return [secrets] if isinstance(secrets, str) else []


def encrypted(pillar: Mapping[str, Json]) -> bool:
    """
    Return whether the traffic of this host's datacenter is encrypted when the pillar leaves that to the formula. The
    master decides, and serves a certificate when it is. True before the master has made any secret.
    """
    found = pillar.get(KEY)
    return bool(found.get("tls")) if found else True


def fingerprints(settings: Settings, secrets: Secrets) -> dict[str, str | int]:
    """
    Return ``{name: fingerprint}`` of a host's secrets, by their names in the master's store; of the authorities of its
    datacenter the number of their changes.

    settings
        The result of ``pgha.settings``.
    secrets
        The result of :py:func:`own`. Certificates are left out: they are renewed.
    """
    datacenter = settings["datacenter"]["name"]
    cluster = settings["cluster"]["name"] if settings["cluster"] else None
    found: dict[str, str | int] = {}
    for key, value in secrets.items():
        if key in ("tokens", "copied", "readers"):
            continue
        if key == "tls":
            found[f"{datacenter}/tls/authority"] = secrets["tls"].get("revision", 0)
            continue
        if key == "backup":
            # Keys of a server are renewed; a passphrase never is.
            own = secrets.get("backup", {})
            phrases = {name: one["passphrase"] for name, one in own.items() if "passphrase" in one}
            found.update({f"{cluster}/backup/{name}/passphrase": _digest(one) for name, one in phrases.items()})
            continue
        owner = datacenter if key in _OF_DATACENTER else cluster or datacenter
        name = f"{owner}/agents/{settings['name']}" if key == "agent" else f"{owner}/{key}"
        found[name] = _digest(value)
    return found


def _another(noted: object, served: str | int) -> bool:
    """Whether the store is another one than the host has noted. A host that was away knows older authorities."""
    if isinstance(served, int):
        return type(noted) is int and noted > served
    return noted != served


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def note(settings: Settings, secrets: Secrets) -> str:
    """Return the text of the note for these secrets."""
    return json.dumps(fingerprints(settings, secrets), indent=2, sort_keys=True) + "\n"


def faults(text: str | None, settings: Settings, secrets: Secrets, allowed: Iterable[object]) -> list[str]:
    """
    Return the fault when the master's store is not the one that this host works with: a list of one line, or [].

    text
        The note of this host, None when it has none.
    settings, secrets
        As for :py:func:`fingerprints`.
    allowed
        Names, or beginnings of names, of secrets that may be new by the pillar (``new_secrets``).
    """
    try:
        noted = pghalib.parse.from_json(text or "{}")
    except ValueError:
        noted = None
    if not isinstance(noted, dict):
        return [f"{NOTE} is damaged: remove it when the master's store is the right one"]
    served = fingerprints(settings, secrets)
    other = [
        name
        for name in sorted(served)
        if name in noted
        and _another(noted[name], served[name])
        and not any(pghalib.secrets.anew.covers(str(one), [name]) for one in allowed)
    ]
    if not other:
        return []
    away = ""
    # Of authorities only an older store is a fault, and such a store is not to be taken.
    if not any(isinstance(served[name], int) for name in other):
        away = (
            "if no other host says so, and this one was off or is back from a snapshot since they were made anew, name"
            " them in pgha:new_secrets for this run; else "
        )
    return [
        f"this host works with other secrets than the master's store has ({', '.join(other)}): {away}restore the store"
        " from its backup; only if no copy exists anywhere, name what is to be new in pgha:new_secrets"
        " (docs/runbooks.md)"
    ]
