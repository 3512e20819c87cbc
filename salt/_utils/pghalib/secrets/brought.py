"""
Certificates that the user brings: read from his files on the master, and checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pghalib.inventory
import pghalib.secrets.x509

if TYPE_CHECKING:
    from pghalib.secrets.names import Wanted
    from pghalib.secrets.x509 import Pair
    from pghalib.shapes import Json


class Brought(TypedDict):
    """What the user brings: the authorities as PEM, and key and certificate by host and service."""

    ca: str
    pairs: dict[tuple[str, str], Pair]


def read(
    pgha: dict[str, Json], datacenter: str, tls: dict[str, Json], wanted: Wanted, faults: list[str]
) -> Brought | None:
    """
    Return the user's certificates for a datacenter: ``ca`` (PEM), and ``pairs`` (key and certificate by host and
    service). None when the user brings nothing.

    pgha, datacenter, tls
        The pillar of that name, the datacenter, its section ``tls``.
    wanted
        ``{host: {service: names}}``: the names that the certificates must have.
    faults
        A list; one line for each fault is added to it.
    """
    if not tls["ca"]:
        return None
    ids = {host["name"]: host["id"] for host in pghalib.inventory.everyone(pgha) if host["datacenter"] == datacenter}
    try:
        ca = Path(tls["ca"]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        faults.append(f"{datacenter}: {error}")
        return None
    pairs: dict[tuple[str, str], Pair] = {}
    for name, services in wanted.items():
        for service, names in services.items():
            words = {"{id}": ids[name], "{name}": name, "{service}": service}
            try:
                pair: Pair = {"certificate": _text(tls["certificate"], words), "key": _text(tls["key"], words)}
            except (OSError, ValueError) as error:
                faults.append(f"{name}: {error}")
                continue
            wrong = pghalib.secrets.x509.faults_of(name, ca, pair["certificate"], pair["key"], names)
            faults += [fault for fault in wrong if fault not in faults]
            pairs[name, service] = pair
    return {"ca": ca, "pairs": pairs}


def _text(path: str, words: dict[str, str]) -> str:
    for word, text in words.items():
        path = str(path).replace(word, text)
    return Path(path).read_text(encoding="utf-8")
