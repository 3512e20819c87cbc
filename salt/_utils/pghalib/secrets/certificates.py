"""
The certificates in the stored content of a datacenter (``tls-NAME.json``): they are kept while they are good, else made
anew, or taken over from the user. Nothing is read or written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.secrets.trust
import pghalib.secrets.x509

if TYPE_CHECKING:
    from pghalib.secrets.brought import Brought
    from pghalib.secrets.contents import Own, Tls
    from pghalib.secrets.names import Wanted
    from pghalib.secrets.x509 import Pair
    from pghalib.shapes import Json


def target(stored: Tls, brought: Brought | None) -> str:
    """Return the authorities that are to sign, as PEM; an empty text when the formula's is yet to be made."""
    if brought:
        return brought["ca"]
    own = (stored.get("authorities") or {}).get("current")
    return own["certificate"] if own else ""


def kept(
    stored: Tls,
    datacenter: str,
    tls: dict[str, Json],
    wanted: Wanted,
    brought: Brought | None,
    force: bool,
    faults: list[str],
) -> list[str]:
    """
    Renew the certificates of the authority that signs now, and add the next one; that signs from ``use`` on. Changes
    ``stored``, and returns the names of what is new in it.

    datacenter, tls
        The datacenter, and its section ``tls``.
    wanted
        The names that the certificates must have.
    brought
        What the user brings, None when he brings nothing.
    force
        True makes every certificate anew.
    faults
        A list; one line is added to it for each host without a certificate of the authority that signs.
    """
    made = []
    if not brought and not stored.get("authorities"):
        stored["authorities"] = {"current": pghalib.secrets.x509.authority(datacenter, tls["authority_days"])}
        made.append("authority")
    if brought and not stored.get("hosts"):
        # No host has a certificate yet, so none can be cut off.
        stored["ca"] = brought["ca"]
    added = pghalib.secrets.trust.expect(stored, target(stored, brought))
    made += ["ca"] if added else []
    if stored.get("ca"):
        return made + _taken(stored, datacenter, wanted, brought, faults)
    return made + issued(stored, tls, wanted, force or added)


def issued(stored: Tls, tls: dict[str, Json], wanted: Wanted, force: bool) -> list[str]:
    """
    Make the certificates of hosts that are not good any more, with ``force`` all. Changes ``stored``, and returns the
    names of the new ones.
    """
    made = []
    signer = stored["authorities"]["current"]
    hosts = stored.setdefault("hosts", {})
    for name, services in wanted.items():
        own = hosts.setdefault(name, {})
        for service, names in services.items():
            if force or not pghalib.secrets.x509.serves(pair(own, service), names, signer):
                _put(own, service, pghalib.secrets.x509.issue(name, names, signer, tls["days"]))
                made.append(_title(name, service))
    return made


def _taken(stored: Tls, datacenter: str, wanted: Wanted, brought: Brought | None, faults: list[str]) -> list[str]:
    """Take over the user's certificates of the authorities that sign, so that his files are not needed later."""
    made = []
    hosts = stored.setdefault("hosts", {})
    if brought and pghalib.secrets.trust.same(stored["ca"], brought["ca"]) and stored["ca"] != brought["ca"]:
        stored["ca"] = brought["ca"]
        made.append("ca")
    for name, services in wanted.items():
        for service, names in services.items():
            given = brought["pairs"][name, service] if brought else None
            fits = given and not pghalib.secrets.x509.faults_of(
                name, stored["ca"], given["certificate"], given["key"], names
            )
            own = hosts.get(name, {})
            if given and fits and pair(own, service) != given:
                _put(hosts.setdefault(name, {}), service, given)
                made.append(_title(name, service))
            elif not fits and not pair(own, service):
                faults.append(
                    f"{name}: has no certificate of the authority that signs now; bring one, or change the authority"
                    f" before this host comes: salt-run pgha.authority {datacenter}"
                )
    return made


def pair(own: Own, service: str) -> Pair | None:
    """Return key and certificate of a service of a host, or None. Consul's lie beside ``services``, not in it."""
    found = own if service == "consul" else own.get("services", {}).get(service)
    return {"certificate": found["certificate"], "key": found["key"]} if found and "key" in found else None


def _put(own: Own, service: str, new: Pair) -> None:
    if service == "consul":
        own["certificate"], own["key"] = new["certificate"], new["key"]
    else:
        own.setdefault("services", {})[service] = new


def _title(name: str, service: str) -> str:
    return name if service == "consul" else f"{name}/{service}"
