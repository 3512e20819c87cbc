"""
The public key infrastructure on the master: a small CA for each datacenter, and a certificate for each service of its
hosts: ``consul``, and on a database host ``postgres`` (PostgreSQL and Patroni), so that neither can pose as the other.

Like the other secrets, they are made on the master and stored before anything uses them: one file for each datacenter
(``tls-NAME.json``), 0600 in the directory of the store. A host gets its own keys and certificates, and the authorities;
the key of an authority never leaves the master. Each datacenter has its own CA, because every holder of a certificate
may talk to the servers of that CA's datacenter.

A certificate is kept while it is good. A new one is made when less than a third of its time is left, when its names
differ from the inventory, or when another authority signs.
"""

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.secrets.brought
import pghalib.secrets.names
import pghalib.secrets.store
import pghalib.secrets.trust
import pghalib.secrets.x509

# The services that have a certificate of their own, by the role of a host.
SERVICES = {"dcs": ("consul",), "db": ("consul", "postgres")}


def missing(path, pgha, defaults, encrypted, force=False):
    """Return the sorted names of everything that :py:func:`fill` would make or take over; nothing is written."""
    return sorted(name for _, _, names in _filled(path, pgha, defaults, encrypted, force) for name in names)


def fill(path, pgha, defaults, encrypted, force=False):
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
            pghalib.secrets.store.write(file, content)
    return sorted(name for _, _, names in filled for name in names)


def present(path, pgha):
    """Return the names of the authorities that are stored for an inventory. An authority may never be made twice."""
    names = pgha.get("datacenters") or {}
    return {f"{name}/tls/authority" for name in names if _read(path, name).get("authorities")}


def rotate(path, pgha, defaults, datacenter, step):
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
        refusal = _refusal(datacenter, step, pghalib.secrets.trust.due(stored, _target(stored, brought)))
        if refusal:
            raise CommandExecutionError(refusal)
        if not pghalib.secrets.trust.same(pghalib.secrets.trust.signing(stored), _target(stored, brought)):
            if step == "use":
                pghalib.secrets.trust.hand_over(stored, brought and brought["ca"])
            faults = []
            _kept(stored, datacenter, tls, wanted, brought, True, faults)
            _fail(faults)
        else:
            if step == "add":
                stored["authorities"]["next"] = pghalib.secrets.x509.authority(datacenter, tls["authority_days"])
            elif step == "drop":
                stored.pop("former", None)
                stored.get("authorities", {}).pop("last", None)
            pghalib.secrets.trust.turn(stored.get("authorities") or {}, step)
            if not brought:
                _issued(stored, datacenter, tls, wanted, force=True)
        pghalib.secrets.store.write(_file(path, datacenter), stored)


def standing(path, pgha, defaults, datacenter, step=None):
    """
    Return how far a datacenter is in the change of its authority: ``steps`` (the steps that may be taken now, the one
    forward first), ``signs``, ``next`` and ``former`` (authorities as :py:func:`pghalib.secrets.x509.describe` returns
    them), ``brought`` (whether the pillar names an authority of the user's).

    step
        The step that is to be taken. Raises CommandExecutionError when it is not due, or when the datacenter has no
        authority.
    """
    stored, _, _, brought = _changing(path, pgha, defaults, datacenter)
    target = _target(stored, brought)
    steps = pghalib.secrets.trust.due(stored, target)
    refusal = step and _refusal(datacenter, step, steps)
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
    groups = {"signs": signing, "next": coming, "former": former}
    told = {use: [pghalib.secrets.x509.describe(one) for one in group] for use, group in groups.items()}
    return {**told, "steps": steps, "brought": bool(brought)}


def of_host(path, datacenter, name, role):
    """
    Return the PEM texts for one host: ``ca`` with the authorities, and key and certificate of each of its services.
    None when nothing is stored for the host.

    path, datacenter, name
        Directory of the store, the host's datacenter, and its name.
    role
        ``dcs`` or ``db``.
    """
    stored = _read(path, datacenter)
    own = stored.get("hosts", {}).get(name)
    if not own:
        return None
    pairs = {service: _pair(own, service) for service in SERVICES[role]}
    # An older store has one certificate for each host. All services use it until the store is filled.
    pems = {
        service: (pair or own)["key"].rstrip() + "\n" + (pair or own)["certificate"] for service, pair in pairs.items()
    }
    return {"ca": pghalib.secrets.trust.bundle(stored), **pems}


def authorities(path, datacenter):
    """Return the authorities of a datacenter as PEM, for clients; None when there are none."""
    return pghalib.secrets.trust.bundle(_read(path, datacenter)) or None


def _read(path, datacenter):
    return pghalib.secrets.store.read(_file(path, datacenter), pghalib.secrets.store.TLS_SHAPE)


def _filled(path, pgha, defaults, encrypted, force):
    """Return (file, its new content, names of what is new in it) for each datacenter with TLS."""
    result, faults = [], []
    for name in pgha.get("datacenters") or {}:
        tls = pghalib.inventory.section("tls", pgha, defaults, name, None)
        if not encrypted.get(name):
            continue
        stored, wanted = _read(path, name), pghalib.secrets.names.wanted(pgha, defaults, name)
        brought = pghalib.secrets.brought.read(pgha, name, tls, wanted, faults)
        if not faults:
            made = _kept(stored, name, tls, wanted, brought, force, faults)
            result.append((_file(path, name), stored, [f"{name}/tls/{one}" for one in made]))
    _fail(faults)
    return result


def _fail(faults):
    if faults:
        raise CommandExecutionError("The certificates cannot be used:\n" + "\n".join(f"  - {one}" for one in faults))


def _changing(path, pgha, defaults, datacenter):
    """Return the data for the change of an authority: the stored content, settings, names, what the user brings."""
    tls = pghalib.inventory.section("tls", pgha, defaults, datacenter, None)
    stored = _read(path, datacenter)
    if not pghalib.secrets.store.encrypted(pghalib.secrets.store.index(path)).get(datacenter):
        raise CommandExecutionError(f"{datacenter} has no authority: its traffic is not encrypted, or never deployed")
    if not pghalib.secrets.trust.signing(stored):
        raise CommandExecutionError(f"No authority is stored for {datacenter}: run salt-run state.orchestrate pgha")
    wanted, faults = pghalib.secrets.names.wanted(pgha, defaults, datacenter), []
    brought = pghalib.secrets.brought.read(pgha, datacenter, tls, wanted, faults)
    _fail(faults)
    return stored, tls, wanted, brought


def _refusal(datacenter, step, steps):
    if step in steps:
        return None
    if not steps:
        return f"The authority of {datacenter} is the user's: set tls:ca to the next one first (docs/tls.md)"
    back = "; back takes the last one back" if "back" in steps else ""
    return f"The next step for the authority of {datacenter} is {steps[0]}, not {step}{back}"


def _target(stored, brought):
    """The authorities that are to sign, as PEM; an empty text when the formula's is yet to be made."""
    return brought["ca"] if brought else ((stored.get("authorities") or {}).get("current") or {}).get("certificate", "")


def _kept(stored, datacenter, tls, wanted, brought, force, faults):
    """Renew the certificates of the authority that signs now, and add the next one; that signs from ``use`` on."""
    made = []
    if not brought and not stored.get("authorities"):
        stored["authorities"] = {"current": pghalib.secrets.x509.authority(datacenter, tls["authority_days"])}
        made.append("authority")
    if brought and not stored.get("hosts"):
        # No host has a certificate yet, so none can be cut off.
        stored["ca"] = brought["ca"]
    added = pghalib.secrets.trust.expect(stored, _target(stored, brought))
    made += ["ca"] if added else []
    if stored.get("ca"):
        return made + _taken(stored, datacenter, wanted, brought, faults)
    return made + _issued(stored, datacenter, tls, wanted, force or added)


def _issued(stored, datacenter, tls, wanted, force):
    made = []
    signer = stored["authorities"]["current"]
    hosts = stored.setdefault("hosts", {})
    for name, services in wanted.items():
        own = hosts.setdefault(name, {})
        for service, names in services.items():
            if force or not pghalib.secrets.x509.serves(_pair(own, service), names, signer):
                _put(own, service, pghalib.secrets.x509.issue(name, names, signer, tls["days"]))
                made.append(_title(name, service))
    return made


def _taken(stored, datacenter, wanted, brought, faults):
    """Take over the user's certificates of the authorities that sign, so that his files are not needed later."""
    made = []
    hosts = stored.setdefault("hosts", {})
    if brought and pghalib.secrets.trust.same(stored["ca"], brought["ca"]) and stored["ca"] != brought["ca"]:
        stored["ca"] = brought["ca"]
        made.append("ca")
    for name, services in wanted.items():
        for service, names in services.items():
            pair = brought and brought["pairs"][name, service]
            fits = pair and not pghalib.secrets.x509.faults_of(
                name, stored["ca"], pair["certificate"], pair["key"], names
            )
            own = hosts.get(name, {})
            if fits and _pair(own, service) != pair:
                _put(hosts.setdefault(name, {}), service, pair)
                made.append(_title(name, service))
            elif not fits and not _pair(own, service):
                faults.append(
                    f"{name}: has no certificate of the authority that signs now; bring one, or change the authority"
                    f" before this host comes: salt-run pgha.authority {datacenter}"
                )
    return made


def _pair(own, service):
    """Key and certificate of a service of a host, or None. Consul's lie beside ``services``, not in it."""
    found = own if service == "consul" else own.get("services", {}).get(service)
    return {kind: found[kind] for kind in ("certificate", "key")} if found and "key" in found else None


def _put(own, service, pair):
    (own if service == "consul" else own.setdefault("services", {}).setdefault(service, {})).update(pair)


def _title(name, service):
    return name if service == "consul" else f"{name}/{service}"


def _file(path, datacenter):
    return pghalib.secrets.store.file(path, "tls", datacenter)
