"""The secrets that an inventory needs, and the functions that make them. Nothing is read or stored here."""

from __future__ import annotations

import base64
import os
import secrets
import uuid
from typing import TYPE_CHECKING

import pghalib.backup.repositories
import pghalib.inventory
import pghalib.vip_manager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    from pghalib.secrets.contents import Use
    from pghalib.shapes import Json, Token

    #: The functions that make the secrets of a file, by the paths of the secrets in it.
    Makers = dict[str, Callable[[], Token | str]]
    Password = Literal["superuser", "replication", "rewind", "restapi"]

PASSWORDS: tuple[Password, ...] = ("superuser", "replication", "rewind", "restapi")


def of(pgha: dict[str, Json], defaults: dict[str, Json]) -> Iterator[tuple[str, str, Makers]]:
    """Yield (kind of file, its name, {path of a secret in it: function that makes it})."""
    names_of = pghalib.inventory.hosts
    for name, entry in (pgha.get("datacenters") or {}).items():
        agents = {f"agents/{host['name']}": _token for host in names_of(entry.get("servers"))}
        yield "datacenter", name, {"gossip_key": _key, "management": _token, **agents}
    for name, entry in (pgha.get("clusters") or {}).items():
        agents = {f"agents/{host['name']}": _token for host in names_of(entry.get("hosts"))}
        uses = tokens(pgha, defaults, pghalib.inventory.datacenter_of(pgha, name), name)
        passwords = [*PASSWORDS, *passphrases(pgha, defaults, name)]
        yield "cluster", name, {**dict.fromkeys(uses, _token), **dict.fromkeys(passwords, _password), **agents}


def tokens(pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str | None, cluster: str) -> list[Use]:
    """Return the names of the tokens of a cluster: vip-manager needs a token only when it asks Consul."""
    vip = pghalib.inventory.section("vip", pgha, defaults, datacenter, cluster)
    return ["patroni", "vip"] if pghalib.vip_manager.asks_consul(vip) else ["patroni"]


def repositories(pgha: dict[str, Json], defaults: dict[str, Json], cluster: str) -> dict[str, dict[str, Json]]:
    """Return the repositories of a cluster's backups, by name."""
    datacenter = pghalib.inventory.datacenter_of(pgha, cluster)
    return pghalib.inventory.section("backup", pgha, defaults, datacenter, cluster)["repositories"] or {}


def passphrases(pgha: dict[str, Json], defaults: dict[str, Json], cluster: str) -> list[str]:
    """Return the paths of the passphrases of a cluster's repositories, one for each that is encrypted."""
    own = repositories(pgha, defaults, cluster)
    return [f"backup/{name}/passphrase" for name in own if pghalib.backup.repositories.encrypted(own[name])]


def _key() -> str:
    """Gossip key: 32 random bytes in base64 (Consul 1.5 and newer take AES-256)."""
    return base64.b64encode(os.urandom(32)).decode()


def _token() -> Token:
    """Accessor and secret of a Consul token, both chosen here: so registering it twice is the same as once."""
    return {"accessor": str(uuid.uuid4()), "secret": str(uuid.uuid4())}


def _password() -> str:
    """192 random bits in letters, digits, - and _: no quoting is needed in a file, a URL or SQL."""
    return secrets.token_urlsafe(24)
