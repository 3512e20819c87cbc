"""
The public key infrastructure on the master: a small CA for each datacenter, and a certificate for each service of its
hosts: ``consul``, and on a database host ``postgres`` (PostgreSQL and Patroni), so that neither can pose as the other.
On a repository host it is ``repository`` (pgBackRest).

Like the other secrets, they are made on the master and stored before anything uses them: one file for each datacenter
(``tls-NAME.json``), 0600 in the directory of the store. A host gets its own keys and certificates, and the authorities;
the key of an authority never leaves the master. Each datacenter has its own CA, because every holder of a certificate
may talk to the servers of that CA's datacenter.

A certificate is kept while it is good. A new one is made when less than a third of its time is left, when its names
differ from the inventory, or when another authority signs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.secrets.brought
import pghalib.secrets.certificates
import pghalib.secrets.contents
import pghalib.secrets.names
import pghalib.secrets.store
import pghalib.secrets.trust
import pghalib.secrets.x509

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Literal

    from pghalib.secrets.brought import Brought
    from pghalib.secrets.contents import Tls
    from pghalib.secrets.names import Wanted
    from pghalib.secrets.trust import AuthorityChange
    from pghalib.shapes import Certificates, Json

# The services that have a certificate of their own, by the role of a host.
SERVICES: dict[str, tuple[Literal["consul", "postgres", "repository"], ...]] = {
    "dcs": ("consul",),
    "db": ("consul", "postgres"),
    "repository": ("repository",),
}


def missing(
    path: Path, pgha: dict[str, Json], defaults: dict[str, Json], encrypted: Mapping[str, bool], force: bool = False
) -> list[str]:
    """Return the sorted names of everything that :py:func:`fill` would make or take over; nothing is written."""
    return sorted(name for _, _, names in _filled(path, pgha, defaults, encrypted, force) for name in names)


def fill(
    path: Path, pgha: dict[str, Json], defaults: dict[str, Json], encrypted: Mapping[str, bool], force: bool = False
) -> list[str]:
    """
    Make and store the missing authorities and certificates of an inventory, and renew those whose time is running out.
    Check and take over the certificates that the user brings. The caller holds the lock of the store.

    path
        Directory of the store, which exists.
    pgha, defaults
        The pillar of that name, and the content of defaults.yaml.
    encrypted
        Mapping of a datacenter's name to whether its traffic is encrypted.
    force
        True makes every certificate anew (never an authority).

    An authority that does not sign yet (the user's, or after it the formula's) is only added to the trusted ones. It
    signs from the step ``use`` on (:py:func:`rotate`), when all hosts know it.

    Returns the sorted names of all that was made. Raises CommandExecutionError with every fault of the certificates
    that the user brings; then nothing is stored.
    """
    filled = _filled(path, pgha, defaults, encrypted, force)
    for file, content, names in filled:
        if names:
            _write(file, content)
    return sorted(name for _, _, names in filled for name in names)


def present(path: Path, pgha: dict[str, Json]) -> set[str]:
    """Return the names of the authorities that are stored for an inventory. An authority may never be made twice."""
    names = pgha.get("datacenters") or {}
    return {f"{name}/tls/authority" for name in names if _read(path, name).get("authorities")}


def rotate(path: Path, pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str, step: str) -> None:
    """
    Take one step in the change of a datacenter's authority, and store the certificates that belong to the step.

    step
        ``add``: all hosts trust the next authority, which signs nothing yet. It is a new one of the formula's, or the
        one that the pillar asks for (``tls:ca``, or the formula's after it). ``use``: the next authority signs.
        ``drop``: the former authorities are forgotten. ``back``: undoes ``add`` or ``use``, only between two
        authorities of the formula's. After each step the main job must bring the change to all hosts, so that no host
        meets a certificate of an authority that it does not know.

    The formula's certificates are made anew at each step: a service that reads a new certificate reads the authorities
    too. Raises CommandExecutionError when this step is not due; then nothing is stored.
    """
    with pghalib.secrets.store.locked(path):
        stored, tls, wanted, brought = _changing(path, pgha, defaults, datacenter)
        target = pghalib.secrets.certificates.target(stored, brought)
        refusal = _refusal(datacenter, step, pghalib.secrets.trust.due(stored, target))
        if refusal:
            raise CommandExecutionError(refusal)
        if not pghalib.secrets.trust.same(pghalib.secrets.trust.signing(stored), target):
            if step == "use":
                pghalib.secrets.trust.hand_over(stored, brought["ca"] if brought else None)
            faults: list[str] = []
            pghalib.secrets.certificates.kept(stored, datacenter, tls, wanted, brought, True, faults)
            _fail(faults)
        else:
            if step == "add":
                stored["authorities"]["next"] = pghalib.secrets.x509.authority(datacenter, tls["authority_days"])
            elif step == "drop":
                stored.pop("former", None)
                stored.get("authorities", {}).pop("last", None)
            pghalib.secrets.trust.turn(stored.get("authorities") or {}, step)
            if not brought:
                pghalib.secrets.certificates.issued(stored, tls, wanted, force=True)
        _write(_file(path, datacenter), stored)


def authority_change(
    path: Path, pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str, step: str | None = None
) -> AuthorityChange:
    """
    Return how far a datacenter is in the change of its authority: ``steps`` (the steps that may be taken now, the one
    forward first), ``signs``, ``next`` and ``former`` (authorities as :py:func:`pghalib.secrets.x509.describe` returns
    them), ``brought`` (whether the pillar names an authority of the user's).

    step
        The step that is to be taken. Raises CommandExecutionError when it is not due, or when the datacenter has no
        authority.
    """
    stored, _, _, brought = _changing(path, pgha, defaults, datacenter)
    target = pghalib.secrets.certificates.target(stored, brought)
    steps = pghalib.secrets.trust.due(stored, target)
    refusal = _refusal(datacenter, step, steps) if step else None
    if refusal:
        raise CommandExecutionError(refusal)
    signing = pghalib.secrets.x509.split(pghalib.secrets.trust.signing(stored))
    coming = (
        []
        if pghalib.secrets.trust.same(pghalib.secrets.trust.signing(stored), target)
        else pghalib.secrets.x509.split(target)
    )
    if not stored.get("ca") and "next" in stored["authorities"]:
        coming += pghalib.secrets.x509.split(stored["authorities"]["next"]["certificate"])
    coming = [one for one in coming if one not in signing]
    former = [
        one
        for one in pghalib.secrets.x509.split(pghalib.secrets.trust.bundle(stored))
        if one not in (*signing, *coming)
    ]
    return {
        "signs": [pghalib.secrets.x509.describe(one) for one in signing],
        "next": [pghalib.secrets.x509.describe(one) for one in coming],
        "former": [pghalib.secrets.x509.describe(one) for one in former],
        "steps": steps,
        "brought": bool(brought),
    }


def unfinished(path: Path, pgha: dict[str, Json], defaults: dict[str, Json]) -> list[str]:
    """
    Return a sentence for each datacenter in which a change of the authority is not finished. Arguments as those of
    ``pghalib.secrets.minted.mint``.
    """
    found = []
    for datacenter in pgha.get("datacenters") or {}:
        # An error here: there is no authority, or the certificates have a fault, which is a fault of the store.
        with contextlib.suppress(CommandExecutionError):
            steps = authority_change(path, pgha, defaults, datacenter)["steps"]
            found.append(pghalib.secrets.trust.unfinished(datacenter, steps))
    return [sentence for sentence in found if sentence]


def of_host(path: Path, datacenter: str, name: str, role: str) -> Certificates | None:
    """
    Return the PEM texts for one host: ``ca`` with the authorities, and key and certificate of each of its services;
    and the ``revision`` of the authorities. None when nothing is stored for the host.

    path, datacenter, name
        Directory of the store, the host's datacenter, and its name.
    role
        ``dcs``, ``db`` or ``repository``.
    """
    stored = _read(path, datacenter)
    own = stored.get("hosts", {}).get(name)
    if not own:
        return None
    found: Certificates = {"ca": pghalib.secrets.trust.bundle(stored), "revision": stored.get("revision", 0)}
    for service in SERVICES[role]:
        # An older store has one certificate for each host. All services use it until the store is filled.
        pair = pghalib.secrets.certificates.pair(own, service) or own
        found[service] = pair["key"].rstrip() + "\n" + pair["certificate"]
    return found


def authorities(path: Path, datacenter: str) -> str | None:
    """Return the authorities of a datacenter as PEM, for clients; None when there are none."""
    return pghalib.secrets.trust.bundle(_read(path, datacenter)) or None


def _read(path: Path, datacenter: str) -> Tls:
    found: Tls = pghalib.secrets.store.read(_file(path, datacenter), pghalib.secrets.contents.TLS_SHAPE)
    return found


def _write(file: Path, content: Tls) -> None:
    before: Tls = pghalib.secrets.store.read(file, pghalib.secrets.contents.TLS_SHAPE)
    pghalib.secrets.trust.revised(content, before)
    pghalib.secrets.store.write(file, content)


def _filled(
    path: Path, pgha: dict[str, Json], defaults: dict[str, Json], encrypted: Mapping[str, bool], force: bool
) -> list[tuple[Path, Tls, list[str]]]:
    """Return (file, its new content, names of what is new in it) for each datacenter with TLS."""
    result: list[tuple[Path, Tls, list[str]]] = []
    faults: list[str] = []
    for name in pgha.get("datacenters") or {}:
        tls = pghalib.inventory.section("tls", pgha, defaults, name, None)
        if not encrypted.get(name):
            continue
        stored, wanted = _read(path, name), pghalib.secrets.names.wanted(pgha, defaults, name)
        brought = pghalib.secrets.brought.read(pgha, name, tls, wanted, faults)
        if not faults:
            made = pghalib.secrets.certificates.kept(stored, name, tls, wanted, brought, force, faults)
            result.append((_file(path, name), stored, [f"{name}/tls/{one}" for one in made]))
    _fail(faults)
    return result


def _fail(faults: list[str]) -> None:
    if faults:
        raise CommandExecutionError("The certificates cannot be used:\n" + "\n".join(f"  - {one}" for one in faults))


def _changing(
    path: Path, pgha: dict[str, Json], defaults: dict[str, Json], datacenter: str
) -> tuple[Tls, dict[str, Json], Wanted, Brought | None]:
    """Return the data for the change of an authority: the stored content, settings, names, what the user brings."""
    tls = pghalib.inventory.section("tls", pgha, defaults, datacenter, None)
    stored = _read(path, datacenter)
    if not pghalib.secrets.store.encrypted(pghalib.secrets.store.index(path)).get(datacenter):
        raise CommandExecutionError(f"{datacenter} has no authority: its traffic is not encrypted, or never deployed")
    if not pghalib.secrets.trust.signing(stored):
        raise CommandExecutionError(f"No authority is stored for {datacenter}: run salt-run state.orchestrate pgha")
    wanted = pghalib.secrets.names.wanted(pgha, defaults, datacenter)
    faults: list[str] = []
    brought = pghalib.secrets.brought.read(pgha, datacenter, tls, wanted, faults)
    _fail(faults)
    return stored, tls, wanted, brought


def _refusal(datacenter: str, step: str, steps: list[str]) -> str | None:
    if step in steps:
        return None
    if not steps:
        return f"The authority of {datacenter} is the user's: set tls:ca to the next one first (docs/tls.md)"
    back = "; back takes the last one back" if "back" in steps else ""
    return f"The next step for the authority of {datacenter} is {steps[0]}, not {step}{back}"


def _file(path: Path, datacenter: str) -> Path:
    return pghalib.secrets.store.file(path, "tls", datacenter)
