"""
Is the pillar one that can work? Every fault is found at once, each with its path and what would be right.

Pure functions over the pillar and the defaults: nothing is asked of a host, so this runs on the master before any is
touched.
"""

import difflib
import ipaddress
import re

import pgha_inventory
import pgha_names
import pgha_ports
import pgha_run
import pgha_tls
import pgha_words

# Consul does not take a session TTL below 10 s and Patroni asks for ttl/2 (Patroni, dcs/consul.py).
SMALLEST_TTL = 20
CHOICES = {
    ("patroni", "synchronous_mode"): ("off", "on", "quorum"),
    ("vip", "manager"): ("vip-manager", "callback", "none"),
    ("vip", "dcs_type"): (None, "consul", "patroni"),
    ("tls", "enabled"): (None, True, False),
    ("tls", "clients"): ("offered", "required", "off"),
}
# Beside the sections.


def faults(pgha, defaults):
    """
    Return the faults of a whole inventory as a list of lines, empty when there is none.

    pgha
        The pillar of that name, as the master's own id sees it: all datacenters and clusters.
    defaults
        The content of defaults.yaml; what it does not know is an unknown setting.
    """
    if not isinstance(pgha, dict) or not pgha:
        return [
            "pgha: there is no such pillar for the master's own id; name the inventory for it in the pillar's top.sls"
        ]
    sections = [name for name in defaults if name != "distributions"]
    found = _unknown("pgha", pgha, {*sections, "datacenters", "clusters", "distributions", *pgha_run.KEYS})
    found += _sections("pgha", pgha, sections, defaults)
    datacenters = _mapping("pgha:datacenters", pgha.get("datacenters"), found, "one Consul datacenter at least")
    clusters = _mapping("pgha:clusters", pgha.get("clusters"), found, "one database cluster at least")
    for name, entry in datacenters.items():
        found += _datacenter(name, entry, pgha, defaults, sections)
    for name, entry in clusters.items():
        found += _cluster(name, entry, pgha, defaults, sections)
    found += pgha_run.faults(pgha, _ids(datacenters, "servers"), _ids(clusters, "hosts"))
    found += pgha_names.twice(datacenters, clusters)
    checked = {**pgha, "datacenters": datacenters, "clusters": clusters}
    found += pgha_ports.meeting(checked, defaults)
    return found + pgha_names.meeting(checked, defaults) + pgha_names.posing(checked, defaults)


def _ids(groups, key):
    """Minion ids by the name of their datacenter or cluster."""
    return {
        name: [host["id"] for host in pgha_inventory.hosts(entry.get(key) if isinstance(entry, dict) else {})]
        for name, entry in groups.items()
    }


def refusal(faults):
    """Return the faults of a pillar as the text with which it is refused."""
    return "The pillar cannot work, so nothing was touched:\n" + "\n".join(f"  - {fault}" for fault in faults)


def _datacenter(name, entry, pgha, defaults, sections):
    path = f"pgha:datacenters:{name}"
    found = []
    if not pgha_names.is_datacenter(name):
        found.append(f"{path}: Consul takes lower case letters, digits, - and _ in the name of a datacenter")
    if not isinstance(entry, dict):
        return [*found, f"{path}: must be a mapping with servers"]
    found += _unknown(path, entry, {"servers", *sections})
    found += _sections(path, entry, sections, defaults)
    servers = _mapping(f"{path}:servers", entry.get("servers"), found, "MINION_ID: ADDRESS of each server")
    found += _hosts(f"{path}:servers", servers)
    consul = pgha_inventory.section("consul", pgha, defaults, name, None)
    if servers and (len(servers) < 3 or len(servers) % 2 == 0) and not consul["allow_weak_quorum"]:
        found.append(
            f"{path}:servers: {len(servers)} servers bear the loss of no more than {max(0, (len(servers) - 1) // 2)};"
            " give 3, 5 or 7, or set consul:allow_weak_quorum to true"
        )
    for section in ("hosts", "consul"):
        settings = pgha_inventory.section(section, pgha, defaults, name, None)
        found += pgha_words.faults(f"{path}:{section}", section, settings)
    found += pgha_tls.faults(f"{path}:tls", pgha_inventory.section("tls", pgha, defaults, name, None))
    return found + _pinned(f"{path}:consul", "consul", consul)


def _cluster(name, entry, pgha, defaults, sections):
    path = f"pgha:clusters:{name}"
    found = []
    if not pgha_names.is_cluster(name):
        found.append(f"{path}: the name of a cluster (Patroni's scope) is made of letters, digits, - and _")
    if not isinstance(entry, dict):
        return [*found, f"{path}: must be a mapping with vip and hosts"]
    if "tls" in entry:
        found.append(f"{path}:tls: is set for everything or for a datacenter, as a cluster speaks to its Consul")
    found += _unknown(path, entry, {"datacenter", *sections})
    found += _sections(path, entry, [known for known in sections if known not in ("hosts", "vip", "tls")], defaults)
    hosts = _mapping(f"{path}:hosts", entry.get("hosts"), found, "MINION_ID: ADDRESS of each database host")
    found += _hosts(f"{path}:hosts", hosts)
    datacenters = pgha.get("datacenters") if isinstance(pgha.get("datacenters"), dict) else {}
    datacenter = pgha_inventory.datacenter_of(pgha, name)
    if datacenter is None:
        found.append(f"{path}:datacenter: there are several datacenters, so name one of {', '.join(datacenters)}")
    elif datacenter not in datacenters:
        found.append(f"{path}:datacenter: there is no datacenter {datacenter!r}{_guess(datacenter, datacenters)}")
    section = pgha_inventory.section
    vip = section("vip", pgha, defaults, datacenter, name)
    found += _vip(f"{path}:vip", entry.get("vip"), vip, hosts, defaults)
    found += _patroni(f"{path}:patroni", section("patroni", pgha, defaults, datacenter, name), len(hosts))
    postgres = section("postgres", pgha, defaults, datacenter, name)
    found += _postgres(f"{path}:postgres", postgres, pgha, defaults)
    for key in ("postgres", "patroni", "vip"):
        found += pgha_words.faults(f"{path}:{key}", key, section(key, pgha, defaults, datacenter, name))
    return found


def _vip(path, entry, settings, hosts, defaults):
    if isinstance(entry, dict):
        found = _section(path, {k: v for k, v in entry.items() if k not in ("address", "name")}, "vip", defaults)
        address = entry.get("address")
        if entry.get("name") and not pgha_names.is_host(entry["name"]):
            found.append(f"{path}:name: {entry['name']!r} is no host name")
    else:
        found, address = [], entry
    if settings["manager"] == "none" and address is None:
        return found
    if settings["manager"] == "vip-manager":
        found += _pinned(path, "vip-manager", settings)
    try:
        interface = ipaddress.IPv4Interface(str(address))
        if "/" not in str(address):
            raise ValueError
    except ValueError:
        return [*found, f"{path}: {address!r} is no virtual IP; write ADDRESS/PREFIX, such as 192.0.2.40/24"]
    network = interface.network
    if network.prefixlen < 31 and interface.ip in (network.network_address, network.broadcast_address):
        found.append(f"{path}: {interface.ip} is the network's own or its broadcast address; give a free host address")
    for host, value in hosts.items():
        known = _address(value)
        if known and known not in network:
            found.append(f"{path}: {interface} is outside the subnet of {host} ({known}); both must be in one network")
    return found


def _patroni(path, settings, members):
    found = []
    ttl, loop_wait, retry = (settings[key] for key in ("ttl", "loop_wait", "retry_timeout"))
    if all(isinstance(value, int) for value in (ttl, loop_wait, retry)):
        if ttl < loop_wait + 2 * retry:
            least = loop_wait + 2 * retry
            found.append(
                f"{path}:ttl: {ttl} is less than loop_wait + 2 * retry_timeout ({loop_wait} + 2 * {retry});"
                f" give {least} or more, or lower the others"
            )
        if ttl < SMALLEST_TTL:
            found.append(
                f"{path}:ttl: Consul keeps no session shorter than that of ttl {SMALLEST_TTL}; {ttl} is too low"
            )
    mode = pgha_inventory.on_off(settings["synchronous_mode"])
    if mode != "off" and members and settings["synchronous_node_count"] > members - 1:
        found.append(
            f"{path}:synchronous_node_count: {settings['synchronous_node_count']} synchronous standbys cannot be had"
            f" from {members} hosts; give {members - 1} at the most"
        )
    if settings["synchronous_mode_strict"] and mode == "off":
        found.append(f"{path}:synchronous_mode_strict: means nothing while synchronous_mode is off; set both or none")
    return found


def _postgres(path, settings, pgha, defaults):
    found = []
    known = {*defaults["distributions"], *(pgha.get("distributions") or {})}
    if settings["distribution"] not in known:
        found.append(f"{path}:distribution: {settings['distribution']!r} is none of {', '.join(sorted(known))}")
    for key in ("client_networks", "superuser_networks"):
        for network in _as_list(settings[key]):
            if network in ("samenet", "samehost"):
                continue
            try:
                ipaddress.ip_network(str(network))
            except ValueError as error:
                found.append(f"{path}:{key}: {error}; write a network as 192.0.2.0/24, or samenet")
    return found


def _pinned(path, what, settings):
    version = str(settings["version"])
    listed = {str(key): value for key, value in (settings["hashes"] or {}).items()}
    if version not in listed:
        return [
            f"{path}:hashes: no SHA-256 of {what} {version} is listed, so its download could not be checked; add it"
        ]
    if not re.fullmatch(r"[0-9a-f]{64}", str(listed[version])):
        return [f"{path}:hashes:{version}: a SHA-256 is 64 lower case hexadecimal digits"]
    return []


def _hosts(path, entries):
    found = []
    for minion_id, entry in entries.items():
        if isinstance(entry, dict):
            found += _unknown(f"{path}:{minion_id}", entry, {"address", "name"})
        if _address(entry) is None:
            given = entry.get("address") if isinstance(entry, dict) else entry
            found.append(f"{path}:{minion_id}: {given!r} is no IPv4 address")
        name = pgha_inventory.hosts({minion_id: entry})[0]["name"]
        if not pgha_names.is_host(name):
            found.append(f"{path}:{minion_id}: {name!r} is no host name (letters, digits, -); set name")
    return found


def _sections(path, holder, sections, defaults):
    found = []
    for name in sections:
        if name in holder:
            found += _section(f"{path}:{name}", holder[name], name, defaults)
    return found


def _section(path, given, name, defaults):
    """Faults of one section of settings: names and types are those of the defaults."""
    if isinstance(given, bool) and "enabled" in defaults[name]:
        return []
    if not isinstance(given, dict):
        return [f"{path}: must be a mapping of settings"]
    known = dict(defaults[name])
    if name == "postgres":
        for preset in defaults["distributions"].values():
            known.update(preset)
    found = _unknown(path, given, known)
    for key, value in given.items():
        expected = known.get(key)
        choices = CHOICES.get((name, key))
        if choices:
            shown = pgha_inventory.on_off(value) if (name, key) in pgha_inventory.ON_OFF else value
            if shown not in choices:
                words = ", ".join("null" if choice is None else str(choice) for choice in choices)
                found.append(f"{path}:{key}: {value!r} is none of {words}")
        elif expected is not None and not _same_kind(value, expected):
            found.append(f"{path}:{key}: {value!r} should be {_kind(expected)}, such as {expected!r}")
    return found


def _same_kind(value, expected):
    if isinstance(expected, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(expected, bool)
    if isinstance(expected, str):
        return isinstance(value, (str, int, float))
    if isinstance(expected, (int, float)):
        return isinstance(value, (int, float)) and value >= 0
    return value is None or isinstance(value, type(expected))


def _kind(value):
    kinds = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds[type(value)]


def _unknown(path, given, known):
    return [f"{path}:{key}: unknown setting{_guess(key, known)}" for key in given if key not in known]


def _guess(word, known):
    close = difflib.get_close_matches(str(word), [str(name) for name in known], 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(map(str, known)))}"


def _mapping(path, value, found, wanted):
    if isinstance(value, dict) and value:
        return value
    found.append(f"{path}: must be a mapping, {wanted}")
    return {}


def _address(entry):
    given = entry.get("address") if isinstance(entry, dict) else entry
    try:
        return ipaddress.IPv4Address(str(given))
    except ValueError:
        return None


def _as_list(value):
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
