"""
Encryption on the wire as a host sees it: where its certificate lies, and what Patroni and PostgreSQL are told of it.

Pure functions. Certificates are made and checked in ``pghalib.secrets.pki``, Consul's keys are in
``pghalib.consul.config``.

One directory has them all: the authorities in ``ca.pem``, which everybody may read (clients need it too), and for each
service a file that only its user may read. Key and certificate are in one file, so that a renewal replaces both at
once: no crash and no restart in between can meet a key that does not match.
"""

DIRECTORY = "/etc/pgha/tls"
CA = f"{DIRECTORY}/ca.pem"
# From this version on libpq compares an address with those in the certificate.
LIBPQ_KNOWS_ADDRESSES = 15


def enabled(settings):
    """Return whether the settings of a host ask for encryption."""
    return bool((settings.get("tls") or {}).get("enabled"))


def clients(settings):
    """Return the kind of the lines in pg_hba.conf for clients: ``host`` lets them choose."""
    kinds = {"offered": "host", "required": "hostssl", "off": "hostnossl"}
    return kinds[settings["tls"]["clients"]] if enabled(settings) else "host"


def pem(service):
    """Return the file with key and certificate for ``consul`` or ``postgres`` (PostgreSQL and Patroni)."""
    return f"{DIRECTORY}/{service}.pem"


def unread(service):
    """Return the file that is there while a service may not have read the authorities that are on the disk."""
    return f"/run/pgha/{service}.authorities-unread"


def files(settings, own, service):
    """
    Return the files with certificates that a service reads: ``{path: {"content", "user", "group", "mode"}}``.

    own
        The secret ``tls`` of the host: ``ca``, and key and certificate of each service.
    service
        ``consul``, or ``postgres`` for PostgreSQL and Patroni.
    """
    # PostgreSQL takes a key of its own user's that nobody else may read. Consul's is root's, as its configuration is.
    owner = {"user": "root", "group": settings["consul"]["group"], "mode": "0640"}
    if service == "postgres":
        owner = {"user": settings["postgres"]["user"], "group": settings["postgres"]["group"], "mode": "0600"}
    return {
        CA: {"content": own["ca"], "user": "root", "group": "root", "mode": "0644"},
        pem(service): {"content": own[service], **owner},
    }


def authorities(settings):
    """Return the file with the authorities, None without TLS."""
    return CA if enabled(settings) else None


def verify(settings):
    """Return what ``requests`` is to verify servers with: our authorities, or the system's where TLS is not ours."""
    return authorities(settings) or True


def sslmode(settings):
    """
    Return the ``sslmode`` of connections between the members: verify-full, or verify-ca where libpq is too old to find
    an address in a certificate (the members know each other by address).
    """
    major = int(str(settings["postgres"]["version"]).split(".")[0])
    return "verify-full" if major >= LIBPQ_KNOWS_ADDRESSES else "verify-ca"


def libpq(settings):
    """Return the environment of a ``psql`` that connects as the members do; nothing without TLS."""
    return {"PGSSLMODE": sslmode(settings), "PGSSLROOTCERT": CA} if enabled(settings) else {}


def patroni(settings, roles):
    """
    Return what patroni.yml has in addition with TLS: the REST API asks for a client certificate where something is to
    be changed (looking needs none: vip-manager and load balancers have none), ``patronictl`` and the members show one,
    and connections to other members verify them.

    roles
        Names of the roles in ``postgresql.authentication``.
    """
    own = pem("postgres")
    verified = {"sslmode": sslmode(settings), "sslrootcert": CA}
    return {
        "restapi": {"certfile": own, "cafile": CA, "verify_client": "optional"},
        "ctl": {"certfile": own, "cacert": CA},
        "consul": {"scheme": "https", "cacert": CA, "verify": True},
        "postgresql": {
            "authentication": {role: dict(verified) for role in roles},
            "parameters": {"ssl": "on", "ssl_ca_file": CA, "ssl_cert_file": own, "ssl_key_file": own},
        },
    }


def switched(speaks, settings):
    """
    Return the fault of a living cluster that is to begin, or to end, to speak TLS: one line, none when all is well.

    speaks
        Whether this host's Consul is configured to speak it; None where there is none yet.

    A reload cannot switch TLS: Patroni and Consul change the port only at a restart, and a mixed cluster cannot talk.
    """
    if speaks is None or speaks == enabled(settings):
        return []
    now, wanted = ("encrypted", "false") if speaks else ("plain", "true")
    return [
        f"pgha:tls is {wanted}, but this host is in a living cluster whose traffic is {now}: set it to"
        f" {'true' if speaks else 'false'} (docs/tls.md)"
    ]


def faults(place, tls):
    """
    Return the faults of the section ``tls`` as lines: a certificate of one's own comes with its key and its authority.

    place
        A function that returns the path in the pillar of the first of some keys that is set.
    tls
        The merged section; each value for itself is of its kind.
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
