"""
The public key infrastructure on the master: a small CA for each datacenter, and a certificate for each host of it.

Like the other secrets: made on the master, stored before anything uses it, one file a datacenter (``tls-NAME.json``),
0600 in the directory of the store. A host is served its own key and certificate, and the authorities; the key of an
authority never leaves the master. A datacenter has a CA of its own, because whoever has a certificate of it may talk to
its servers.

What is there is kept while it serves: a certificate is made anew when less than a third of its time is left, when its
names are not those of the inventory any more, and when another authority signs.
"""

import ipaddress
from pathlib import Path

import pgha_inventory
import pgha_store
import pgha_x509
from salt.exceptions import CommandExecutionError


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

    Returns the names of what was made, sorted. Raises CommandExecutionError that names everything that is wrong with
    certificates that the user brings; then nothing is stored.
    """
    filled = _filled(path, pgha, defaults, encrypted, force)
    for file, content, names in filled:
        if names:
            pgha_store.write(file, content)
    return sorted(name for _, _, names in filled for name in names)


def present(path, pgha):
    """Return the names of the authorities that are stored for an inventory: what may never be made twice."""
    names = pgha.get("datacenters") or {}
    return {f"{name}/tls/authority" for name in names if _read(path, name).get("authorities")}


def rotate(path, pgha, defaults, datacenter, step):
    """
    Take one step of the change of a datacenter's authority, and store the certificates that belong to it.

    step
        ``add`` makes the next authority, which everyone trusts and which signs nothing yet; ``use`` has it sign;
        ``drop`` forgets the last one. After each the main job has to bring it to the hosts, so that no host meets a
        certificate whose authority it does not know.

    All certificates are made anew each time: a service that reads a new certificate reads the authorities with it.
    Raises CommandExecutionError when it is not the time for that step.
    """
    if datacenter not in (pgha.get("datacenters") or {}):
        raise CommandExecutionError(f"There is no datacenter {datacenter} in the pillar")
    tls = pgha_inventory.section("tls", pgha, defaults, datacenter, None)
    with pgha_store.locked(path):
        stored = _read(path, datacenter)
        known = stored.get("authorities")
        if not known or not pgha_store.index(path)["tls"].get(datacenter) or tls["ca"]:
            raise CommandExecutionError(f"The formula has no authority of its own for {datacenter}")
        due = "use" if "next" in known else "drop" if "last" in known else "add"
        if step != due:
            raise CommandExecutionError(f"The next step for the authority of {datacenter} is {due}, not {step}")
        if step == "add":
            known["next"] = pgha_x509.authority(datacenter, tls["authority_days"])
        elif step == "use":
            known["last"], known["current"] = known["current"], known.pop("next")
        else:
            del known["last"]
        _issued(stored, datacenter, tls, wanted_names(pgha, defaults, datacenter), force=True)
        pgha_store.write(_file(path, datacenter), stored)


def of_host(path, datacenter, name):
    """
    Return ``{"ca", "host"}`` for one host: the authorities, and its own key and certificate, as PEM. None when nothing
    is stored for it.
    """
    stored = _read(path, datacenter)
    own = stored.get("hosts", {}).get(name)
    return {"ca": bundle(stored), "host": own["key"].rstrip() + "\n" + own["certificate"]} if own else None


def authorities(path, datacenter):
    """Return the authorities of a datacenter as PEM, for clients; None when there are none."""
    return bundle(_read(path, datacenter)) or None


def bundle(stored):
    """Return the authorities in a file of the store as PEM: the user's, else ours, the one that signs first."""
    known = stored.get("authorities") or {}
    return stored.get("ca") or "".join(known[use]["certificate"] for use in ("current", "next", "last") if use in known)


def wanted_names(pgha, defaults, datacenter):
    """
    Return the names that each host's certificate must have, by the name of the host.

    All: its name, its address, and loopback, where the formula asks it. A server of Consul:
    ``server.DATACENTER.DOMAIN``, by which the others tell a server from an agent (an agent's has ``client``). A
    database host: the virtual IP and its name, and ``tls:names``, as its clients ask for them.
    """
    section = pgha_inventory.section
    domain = section("hosts", pgha, defaults, datacenter, None)["domain"]
    consul = section("consul", pgha, defaults, datacenter, None)["domain"]
    extra = [str(name) for name in section("tls", pgha, defaults, datacenter, None)["names"]]

    def names(host, kind, *more):
        full = [f"{name}.{domain}" for name in (host["name"], *more) if domain and not _is_address(name)]
        return {host["name"], host["address"], f"{kind}.{datacenter}.{consul}", "localhost", "127.0.0.1", *more, *full}

    servers = pgha_inventory.hosts(pgha["datacenters"][datacenter]["servers"])
    found = {host["name"]: names(host, "server") for host in servers}
    for cluster in pgha_inventory.clusters_of(pgha, defaults, datacenter):
        vip = [cluster["vip"]["address"], cluster["vip"]["name"]] if cluster["vip"] else []
        found.update({host["name"]: names(host, "client", *vip) | set(extra) for host in cluster["hosts"]})
    return found


def _read(path, datacenter):
    return pgha_store.read(_file(path, datacenter), pgha_store.TLS_SHAPE)


def _filled(path, pgha, defaults, encrypted, force):
    """Return (file, what it is to hold, names of what is new in it) for each datacenter with TLS."""
    result, faults = [], []
    for name in pgha.get("datacenters") or {}:
        tls = pgha_inventory.section("tls", pgha, defaults, name, None)
        if not encrypted.get(name):
            continue
        file = _file(path, name)
        stored, wanted = _read(path, name), wanted_names(pgha, defaults, name)
        if tls["ca"]:
            made = _brought(stored, pgha, name, tls, wanted, faults)
        else:
            made = _issued(stored, name, tls, wanted, force)
        result.append((file, stored, [f"{name}/tls/{one}" for one in made]))
    if faults:
        raise CommandExecutionError("The certificates cannot be used:\n" + "\n".join(f"  - {one}" for one in faults))
    return result


def _issued(stored, datacenter, tls, wanted, force):
    made = []
    if stored.pop("ca", None):
        made.append("ca")
    if not stored.get("authorities"):
        stored["authorities"] = {"current": pgha_x509.authority(datacenter, tls["authority_days"])}
        made.append("authority")
    signer = stored["authorities"]["current"]
    hosts = stored.setdefault("hosts", {})
    for name, names in wanted.items():
        if force or not pgha_x509.serves(hosts.get(name), names, signer):
            hosts[name] = pgha_x509.issue(name, names, signer, tls["days"])
            made.append(name)
    return made


def _brought(stored, pgha, datacenter, tls, wanted, faults):
    """Take the user's files over into the store, so that nothing depends on them later."""
    ids = {host["name"]: host["id"] for host in pgha_inventory.hosts(pgha["datacenters"][datacenter]["servers"])}
    for name in pgha.get("clusters") or {}:
        if pgha_inventory.datacenter_of(pgha, name) == datacenter:
            ids.update({host["name"]: host["id"] for host in pgha_inventory.hosts(pgha["clusters"][name]["hosts"])})
    made = []
    hosts = stored.setdefault("hosts", {})
    for name, names in wanted.items():
        try:
            ca, certificate, key = (
                Path(str(tls[kind]).replace("{id}", ids[name]).replace("{name}", name)).read_text(encoding="utf-8")
                for kind in ("ca", "certificate", "key")
            )
        except (OSError, ValueError) as error:
            faults.append(f"{name}: {error}")
            continue
        wrong = pgha_x509.faults_of(name, ca, certificate, key, names)
        faults += wrong
        if not wrong and (stored.get("ca"), hosts.get(name)) != (ca, {"certificate": certificate, "key": key}):
            stored["ca"], hosts[name] = ca, {"certificate": certificate, "key": key}
            made.append(name)
    return made


def _file(path, datacenter):
    return pgha_store.file(path, "tls", datacenter)


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
