"""
The public key infrastructure on the master: a small CA for each datacenter, and a certificate for each service of its
hosts: ``consul``, and on a database host ``postgres`` (PostgreSQL and Patroni), so that neither can pose as the other.

Like the other secrets: made on the master, stored before anything uses it, one file a datacenter (``tls-NAME.json``),
0600 in the directory of the store. A host is served its own key and certificate, and the authorities; the key of an
authority never leaves the master. A datacenter has a CA of its own, because whoever has a certificate of it may talk to
its servers.

What is there is kept while it serves: a certificate is made anew when less than a third of its time is left, when its
names are not those of the inventory any more, and when another authority signs.
"""

import ipaddress

from salt.exceptions import CommandExecutionError

import pghalib.inventory
import pghalib.secrets.brought
import pghalib.secrets.store
import pghalib.secrets.trust
import pghalib.secrets.x509

# Who has a certificate of his own, by the role of a host.
SERVICES = {"dcs": ("consul",), "db": ("consul", "postgres")}


def missing(path, pgha, defaults, encrypted, force=False):
    """Return the names of what :py:func:`fill` would make or take over, sorted; nothing is written."""
    return sorted(name for _, _, names in _filled(path, pgha, defaults, encrypted, force) for name in names)


def fill(path, pgha, defaults, encrypted, force=False):
    """
    Make and store the authorities and certificates that an inventory needs and the store has not, and renew those whose
    time is running out; check and take over those that the user brings. The caller holds the lock of the store.

    path
        Directory of the store, which is there.
    pgha, defaults
        The pillar of that name, and the content of defaults.yaml.
    encrypted
        Whether the traffic of a datacenter is encrypted, by its name.
    force
        True makes every certificate anew (never an authority).

    Another authority than the one that signs, the user's or after it the formula's, is added to those that everyone
    trusts, and no more: it signs from the step ``use`` on (:py:func:`rotate`), when all hosts know it.

    Returns the names of what was made, sorted. Raises CommandExecutionError that names everything that is wrong with
    certificates that the user brings; then nothing is stored.
    """
    filled = _filled(path, pgha, defaults, encrypted, force)
    for file, content, names in filled:
        if names:
            pghalib.secrets.store.write(file, content)
    return sorted(name for _, _, names in filled for name in names)


def present(path, pgha):
    """Return the names of the authorities that are stored for an inventory: what may never be made twice."""
    names = pgha.get("datacenters") or {}
    return {f"{name}/tls/authority" for name in names if _read(path, name).get("authorities")}


def rotate(path, pgha, defaults, datacenter, step):
    """
    Take one step of the change of a datacenter's authority, and store the certificates that belong to it.

    step
        ``add`` has everyone trust the next authority, which signs nothing yet: a new one of the formula's, or what the
        pillar asks for (``tls:ca``, or the formula's after it). ``use`` has it sign; ``drop`` forgets those before.
        ``back`` takes ``add`` or ``use`` back, between two of the formula's. After each the main job has to bring it to
        the hosts, so that no host meets a certificate whose authority it does not know.

    The formula's certificates are made anew each time: a service that reads a new certificate reads the authorities
    with it. Raises CommandExecutionError when it is not the time for that step; then nothing is stored.
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
    Return where a datacenter is in the change of its authority: ``steps`` (that may be taken now, first the one that
    goes on), ``signs``, ``next`` and ``former`` (authorities as :py:func:`pghalib.secrets.x509.describe` tells them),
    ``brought`` (whether the pillar names the user's).

    step
        One that is to be taken. Raises CommandExecutionError when it is not its time, and for a datacenter that has no
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
    Return what one host gets, as PEM: ``ca`` with the authorities, and for each of its services key and certificate.
    None when nothing is stored for it.

    path, datacenter, name
        Directory of the store, and where the host is in it.
    role
        ``dcs`` or ``db``.
    """
    stored = _read(path, datacenter)
    own = stored.get("hosts", {}).get(name)
    if not own:
        return None
    pairs = {service: _pair(own, service) for service in SERVICES[role]}
    # A store that knew one certificate a host has no other until it is filled.
    pems = {
        service: (pair or own)["key"].rstrip() + "\n" + (pair or own)["certificate"] for service, pair in pairs.items()
    }
    return {"ca": pghalib.secrets.trust.bundle(stored), **pems}


def authorities(path, datacenter):
    """Return the authorities of a datacenter as PEM, for clients; None when there are none."""
    return pghalib.secrets.trust.bundle(_read(path, datacenter)) or None


def wanted_names(pgha, defaults, datacenter):
    """
    Return the names that certificates must have: ``{host: {service: names}}``.

    A server of Consul: its name, its address, and ``server.DATACENTER.DOMAIN``, by which the others tell a server from
    an agent. The agent of a database host has no name but ``client.DATACENTER.DOMAIN``: nobody asks it but on loopback,
    and with a name of the host it could pose as its databases. These have name and address of the host, the virtual IP
    and its name, and ``tls:names``, as their clients ask for them. All have loopback, where the formula asks them.
    """
    section = pghalib.inventory.section
    domain = section("hosts", pgha, defaults, datacenter, None)["domain"]
    consul = section("consul", pgha, defaults, datacenter, None)["domain"]
    extra = [str(name) for name in section("tls", pgha, defaults, datacenter, None)["names"]]

    def names(host, *more):
        full = [f"{name}.{domain}" for name in (host["name"], *more) if domain and not _is_address(name)]
        return {host["name"], host["address"], *loopback, *more, *full}

    loopback = ("localhost", "127.0.0.1")
    server, client = (f"{kind}.{datacenter}.{consul}" for kind in ("server", "client"))
    servers = pghalib.inventory.hosts(pgha["datacenters"][datacenter]["servers"])
    found = {host["name"]: {"consul": names(host) | {server}} for host in servers}
    for cluster in pghalib.inventory.clusters_of(pgha, defaults, datacenter):
        vip = [cluster["vip"]["address"], cluster["vip"]["name"]] if cluster["vip"] else []
        for host in cluster["hosts"]:
            found[host["name"]] = {"consul": {client, *loopback}, "postgres": names(host, *vip) | set(extra)}
    return found


def _read(path, datacenter):
    return pghalib.secrets.store.read(_file(path, datacenter), pghalib.secrets.store.TLS_SHAPE)


def _filled(path, pgha, defaults, encrypted, force):
    """Return (file, what it is to hold, names of what is new in it) for each datacenter with TLS."""
    result, faults = [], []
    for name in pgha.get("datacenters") or {}:
        tls = pghalib.inventory.section("tls", pgha, defaults, name, None)
        if not encrypted.get(name):
            continue
        stored, wanted = _read(path, name), wanted_names(pgha, defaults, name)
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
    """Return what the change of an authority is about: what is stored, settings, names, what the user brings."""
    tls = pghalib.inventory.section("tls", pgha, defaults, datacenter, None)
    stored = _read(path, datacenter)
    if not pghalib.secrets.store.encrypted(pghalib.secrets.store.index(path)).get(datacenter):
        raise CommandExecutionError(f"{datacenter} has no authority: its traffic is not encrypted, or never deployed")
    if not pghalib.secrets.trust.signing(stored):
        raise CommandExecutionError(f"No authority is stored for {datacenter}: run salt-run state.orchestrate pgha")
    wanted, faults = wanted_names(pgha, defaults, datacenter), []
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
    """The authorities that are to sign; one of the formula's that is yet to be made is no text."""
    return brought["ca"] if brought else ((stored.get("authorities") or {}).get("current") or {}).get("certificate", "")


def _kept(stored, datacenter, tls, wanted, brought, force, faults):
    """Renew what serves under whoever signs, and add whoever is to; he signs from the step ``use`` on."""
    made = []
    if not brought and not stored.get("authorities"):
        stored["authorities"] = {"current": pghalib.secrets.x509.authority(datacenter, tls["authority_days"])}
        made.append("authority")
    if brought and not stored.get("hosts"):
        # Nobody is there who could be cut off.
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
    """Take over what the user brings of the authorities that sign, so that nothing depends on his files later."""
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
    """Key and certificate of a service of a host, None without; Consul's lie beside ``services``."""
    found = own if service == "consul" else own.get("services", {}).get(service)
    return {kind: found[kind] for kind in ("certificate", "key")} if found and "key" in found else None


def _put(own, service, pair):
    (own if service == "consul" else own.setdefault("services", {}).setdefault(service, {})).update(pair)


def _title(name, service):
    return name if service == "consul" else f"{name}/{service}"


def _file(path, datacenter):
    return pghalib.secrets.store.file(path, "tls", datacenter)


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
