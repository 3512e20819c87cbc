"""
Encryption on the wire as a host sees it: the places of its certificates, and the settings of Patroni and PostgreSQL.

Pure functions. Certificates are made and checked in ``pghalib.secrets.pki``, Consul's keys are in
``pghalib.consul.config``.

All files are in one directory: the authorities in ``ca.pem``, which everybody may read (clients need it too), and for
each service a file that only its user may read. Key and certificate are in one file, so that a renewal replaces both at
once: a crash or restart during a renewal cannot leave a key that does not match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.host.descriptors
import pghalib.services
import pghalib.versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Literal

    from pghalib.shapes import Certificates, Json, Settings

DIRECTORY = "/etc/pgha/tls"
CA = f"{DIRECTORY}/ca.pem"
#: The user of pgBackRest on a repository host, and his group.
KEEPER = "pgbackrest"
# From this version on libpq compares an address with those in the certificate.
LIBPQ_KNOWS_ADDRESSES = "15"


class File(pghalib.host.descriptors.Owner):
    """A file: its whole text, and to whom it belongs."""

    content: str


def enabled(settings: Settings) -> bool:
    """Return whether the settings of a host ask for encryption."""
    return bool((settings.get("tls") or {}).get("enabled"))


def clients(settings: Settings) -> str:
    """Return the kind of the lines in pg_hba.conf for clients: ``host`` lets clients choose whether to encrypt."""
    kinds = {"offered": "host", "required": "hostssl", "off": "hostnossl"}
    return kinds[settings["tls"]["clients"]] if enabled(settings) else "host"


def pem(service: str) -> str:
    """
    Return the file with key and certificate for ``consul``, ``postgres`` (PostgreSQL and Patroni) or ``repository``
    (pgBackRest of a repository host).
    """
    return f"{DIRECTORY}/{service}.pem"


def unread(service: str) -> str:
    """Return the file that exists while a service may not have read the authorities on the disk yet."""
    return f"{pghalib.services.DIRECTORY}/{service}.authorities-unread"


def files(
    settings: Settings, own: Certificates, service: Literal["consul", "postgres", "repository"]
) -> dict[str, File]:
    """
    Return the files with certificates that a service reads: ``{path: {"content", "user", "group", "mode"}}``.

    own
        The secret ``tls`` of the host: ``ca``, and for each service its key and certificate.
    service
        ``consul``, ``postgres`` for PostgreSQL and Patroni, or ``repository``.
    """
    # PostgreSQL's key must belong to its own user, and nobody else may read it. Consul's belongs to root, like its
    # configuration.
    owner: pghalib.host.descriptors.Owner = {"user": "root", "group": settings["consul"]["group"], "mode": "0640"}
    if service == "postgres":
        owner = {"user": settings["postgres"]["user"], "group": settings["postgres"]["group"], "mode": "0600"}
    elif service == "repository":
        owner = {"user": KEEPER, "group": KEEPER, "mode": "0600"}
    return {
        CA: {"content": own["ca"], "user": "root", "group": "root", "mode": "0644"},
        pem(service): {"content": own[service], **owner},
    }


def authorities(settings: Settings) -> str | None:
    """Return the file with the authorities, None without TLS."""
    return CA if enabled(settings) else None


def verify(settings: Settings) -> str | bool:
    """Return the value of ``verify`` for ``requests``: our authorities, or True (its own) without the formula's TLS."""
    return authorities(settings) or True


def sslmode(settings: Settings) -> str:
    """
    Return the ``sslmode`` of connections between the members: verify-full, or verify-ca when libpq is too old to find
    an address in a certificate (the members connect by address).
    """
    known = pghalib.versions.at_least(settings["postgres"]["version"], LIBPQ_KNOWS_ADDRESSES)
    return "verify-full" if known else "verify-ca"


def libpq(settings: Settings) -> dict[str, str]:
    """Return the environment of a ``psql`` that connects as the members do; {} without TLS."""
    return {"PGSSLMODE": sslmode(settings), "PGSSLROOTCERT": CA} if enabled(settings) else {}


def patroni(settings: Settings, roles: Iterable[str], revision: int) -> dict[str, Json]:
    """
    Return the additions to patroni.yml with TLS: the REST API asks for a client certificate for requests that change
    something (not for reading: vip-manager and load balancers have no certificate), ``patronictl`` and the members show
    one, and connections to other members verify theirs.

    roles
        Names of the roles in ``postgresql.authentication``.
    revision
        How often the authorities have changed. The REST API reads its authorities anew when its certificate is another
        one, or their path (Patroni 4.1, ``RestApiServer.reload_config``). With certificates of the user's own nothing
        but the authorities changes, so their path is written in another way each time.
    """
    own = pem("postgres")
    trusted = CA if revision % 2 == 0 else f"{DIRECTORY}/./{CA.rpartition('/')[2]}"
    verified = {"sslmode": sslmode(settings), "sslrootcert": CA}
    return {
        "restapi": {"certfile": own, "cafile": trusted, "verify_client": "optional"},
        "ctl": {"certfile": own, "cacert": CA},
        "consul": {"scheme": "https", "cacert": CA, "verify": True},
        "postgresql": {
            "authentication": {role: dict(verified) for role in roles},
            "parameters": {"ssl": "on", "ssl_ca_file": CA, "ssl_cert_file": own, "ssl_key_file": own},
        },
    }


def switch_fault(speaks: bool | None, settings: Settings) -> list[str]:
    """
    Return the fault when TLS is to be switched on or off in a living cluster: a list of one line, or [].

    speaks
        Whether this host's Consul is configured for TLS; None when there is no Consul yet.

    A reload cannot switch TLS: Patroni and Consul change the port only at a restart, and a mixed cluster cannot talk.
    """
    if speaks is None or speaks == enabled(settings):
        return []
    now, wanted = ("encrypted", "false") if speaks else ("plain", "true")
    return [
        f"pgha:tls is {wanted}, but this host is in a living cluster whose traffic is {now}: set it to"
        f" {'true' if speaks else 'false'} (docs/tls.md)"
    ]


def faults(place: Callable[..., str], tls: Mapping[str, Json]) -> list[str]:
    """
    Return the faults of the section ``tls`` as lines: the user's own certificate needs its key and its authority.

    place
        A function that returns the path in the pillar of the first key that is set, of those given.
    tls
        The merged section; the type of each value is checked already.
    """
    found = []
    given = [key for key in ("ca", "certificate", "key") if tls[key]]
    if given and len(given) < 3:
        missing = ", ".join(sorted({"ca", "certificate", "key"} - set(given)))
        found.append(
            f"{place(given[0])}: {', '.join(given)} without {missing}; give all three, or none for the formula's own CA"
        )
    found += [
        f"{place(key)}: {tls[key]!r} must be an absolute path on the master (a file root would show a key to everyone)"
        for key in given
        if not tls[key].startswith("/")
    ]
    for key in ("certificate", "key"):
        if tls[key] and not any(word in tls[key] for word in ("{id}", "{name}")):
            found.append(f"{place(key)}: must have {{id}} or {{name}} in it, as each host has its own")
    if tls["days"] > tls["authority_days"]:
        found.append(
            f"{place('days', 'authority_days')}: {tls['days']} must be 1 at least, and authority_days at the most"
        )
    return found
