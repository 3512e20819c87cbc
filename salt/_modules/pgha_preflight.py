"""
Whether this host can take the role that the pillar gives it: all faults are found at once, before anything is
installed. Nothing on the host is changed. Ports without a service yet are opened for a moment, so that the other hosts
can test the connection.
"""

import contextvars
import os
import platform
import re
import shutil
import socket
import sys
import threading
from pathlib import Path

import pghalib.consul.files
import pghalib.host.astra
import pghalib.host.descriptors
import pghalib.host.files
import pghalib.host.routes
import pghalib.preflight.foreign
import pghalib.preflight.rendezvous
import pghalib.preflight.verdicts
import pghalib.run
import pghalib.secrets.served
import pghalib.text
import pghalib.tls
import pghalib.versions
import psutil
import salt.version
import yaml
from salt.exceptions import CommandExecutionError

# Seconds that a port is left free for a service that is about to start.
STARTING = 2
RUNNING = ("active", "activating", "reloading")


def check():
    """
    Check this host and its network, and return ``{"faults": […], "warnings": […]}``: sentences that name each fault and
    its correction.

    All hosts of a run must do this at the same time, because each host tries to reach the others.

    Raises CommandExecutionError when the pillar itself has faults.

    CLI Example:

    .. code-block:: bash

        salt -L test-dcs1,test-dcs2,test-dcs3,test-db1,test-db2,test-db3 pgha_preflight.check
    """
    # First of all, because an older Salt or Python may lack functions that the other checks need.
    old = pghalib.versions.too_old(salt.version.__version__, sys.version)
    if old:
        return {"faults": [old], "warnings": []}
    settings = __salt__["pgha.settings"]()
    ids = __salt__["pgha.plan"]()["hosts"]
    facts, listening = host(), listeners()
    faults, warnings = [], []

    def told(verdict):
        faults.extend(verdict[0])
        warnings.extend(verdict[1])

    told(pghalib.preflight.verdicts.system(facts, settings))
    told(pghalib.host.astra.faults(locks(), _starts("consul.service")))
    ports = pghalib.preflight.verdicts.ports(settings)
    told(pghalib.preflight.foreign.listeners(listening, settings, ports, _places(listening, settings)))
    told(pghalib.consul.files.verdict(consul_files(), settings))
    told(pghalib.consul.files.package())
    told((pghalib.tls.switched(__salt__["pgha_tls.speaks"](), settings), []))
    told(([], pghalib.preflight.verdicts.trust(settings)))
    told((store_faults(), []))
    if settings["role"] == "db":
        told(pghalib.preflight.foreign.data_directory(data_directory(), settings))
        told((pghalib.preflight.foreign.locales(locales(), settings), []))
        member = __salt__["pgha_member.verdict"]()
        told((member["faults"], member["warnings"]))
        fault = __salt__["pgha_postgres.tls_fault"]()
        told(([fault] if fault else [], []))
    wrong_network, odd_network = pghalib.preflight.verdicts.network(facts, settings)
    told((wrong_network, odd_network))
    if any(row["address"] == settings["address"] for row in facts["addresses"]):
        told(pghalib.host.routes.faults(sources(), settings))
        told(_with_others(settings, ids, listening, probe=not wrong_network))
    # Names of files, processes and hosts in the sentences come from others.
    line = pghalib.text.line
    return {"faults": [line(text) for text in faults], "warnings": [line(text) for text in warnings]}


def host():
    """
    Return the facts of this host: ``release`` (os-release), ``machine``, ``systemd``, ``hostname``, ``memory_mb``,
    ``disks``, ``addresses`` and ``interfaces``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.host
    """
    settings = __salt__["pgha.settings"]()
    paths = [settings["consul"]["data_dir"]]
    if settings["role"] == "db":
        paths.append(settings["postgres"]["data_dir"])
    try:
        release = platform.freedesktop_os_release()
    except (OSError, ValueError):
        # The file is missing or not UTF-8: an unknown system, which is a warning.
        release = {}
    return {
        "release": release,
        "machine": platform.machine(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "hostname": socket.gethostname(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "disks": [_disk(path) for path in paths],
        "addresses": __salt__["pgha_vip.addresses"](),
        "interfaces": _interfaces(),
    }


def locks():
    """
    Return the lock settings of Astra Linux, as its files have them: ``{path: text}``; None for a missing file.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.locks
    """
    return {path: _peeked(path) for path in pghalib.host.astra.files()}


def listeners():
    """
    Return the processes that listen on TCP and UDP: a list of ``{"address", "port", "protocol", "pid", "name", "user",
    "cmdline", "cwd", "scope"}``. ``scope`` is Patroni's scope, on a database host; None when it is not known.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.listeners
    """
    settings, found = __salt__["pgha.settings"](), []
    trusted = ("root", settings["postgres"]["user"])
    rest = pghalib.preflight.verdicts.ports(settings)["rest"] if settings["role"] == "db" else None
    for one in psutil.net_connections(kind="inet"):
        protocol = "udp" if one.type == socket.SOCK_DGRAM else "tcp"
        # A UDP socket with a peer belongs to a client.
        if one.laddr and (one.status == psutil.CONN_LISTEN if protocol == "tcp" else not one.raddr):
            row = {"address": one.laddr.ip, "port": one.laddr.port, "protocol": protocol, "pid": one.pid}
            row.update(_process(one.pid))
            # Only root and the user of PostgreSQL are trusted: another user could put any file in its command line.
            asked = protocol == "tcp" and row["port"] == rest and row["user"] in trusted
            found.append({**row, "scope": _scope(row["cmdline"]) if asked else None})
    return found


def sources():
    """
    Return the source address of this host towards each other member of its cluster: ``{address: own address}``, None
    where there is no route.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.sources
    """
    return pghalib.host.routes.sources(pghalib.host.routes.peers(__salt__["pgha.settings"]()))


def data_directory():
    """
    Return the state of PostgreSQL's data directory: ``path``, ``entries`` (names at its top), ``version`` (of the data,
    None without data) and ``link`` (whether the last name of the path is a link).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.data_directory
    """
    path = Path(__salt__["pgha.settings"]()["postgres"]["data_dir"])
    try:
        entries = sorted(os.listdir(path))
    except FileNotFoundError:
        broken = next((step for step in (path, *path.parents) if step.is_symlink() and not step.exists()), None)
        if broken:
            target = pghalib.text.printable(os.readlink(broken))
            raise CommandExecutionError(
                f"{broken} is a link to {target}, which is not there: mount the disk of the data, or correct the link"
            )
        entries = []
    except NotADirectoryError:
        raise CommandExecutionError(f"{path} is not a directory: move it away or set postgres:data_dir")
    # The user of PostgreSQL can write this file, and its text goes into a message.
    said = pghalib.host.files.read_foreign(str(path / "PG_VERSION"), 64) or ""
    version = said.strip() if re.fullmatch(r"\d+(\.\d+)*\s*", said) else None
    return {"path": str(path), "entries": entries, "version": version, "link": path.is_symlink()}


def locales():
    """
    Return the ``installed`` locales and the locales that can be generated (``supported``; None while the package
    locales is not installed).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.locales
    """
    ran = __salt__["cmd.run_all"](["locale", "-a"], python_shell=False, ignore_retcode=True, output_loglevel="trace")
    try:
        lines = Path("/usr/share/i18n/SUPPORTED").read_text(encoding="utf-8", errors="replace").splitlines()
        supported = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    except FileNotFoundError:
        supported = None
    return {"installed": ran["stdout"].split(), "supported": supported}


def consul_files():
    """
    Return facts about the configuration files in Consul's directory, as ``{path: {"datacenter", "contradicts",
    "understood"}}``: the datacenter that the file names or None, the keys in which a foreign file contradicts the
    formula's configuration, and whether the file could be parsed. Other values are left out: they may be secrets.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.consul_files
    """
    settings = __salt__["pgha.settings"]()
    home, found = Path(settings["consul"]["config_dir"]), {}
    printable = pghalib.text.printable
    for path in sorted([*home.glob("*.json"), *home.glob("*.hcl")]):
        # The states check the owner of the directory later.
        said = pghalib.consul.files.understood(_peeked(str(path)) or "")
        named, ours = (said or {}).get("datacenter"), pghalib.consul.files.is_ours(path.name)
        keys = [] if ours else pghalib.consul.files.contradictions(said or {}, settings)
        found[str(path)] = {
            "datacenter": printable(named) if isinstance(named, str) else None,
            "contradicts": [printable(key) for key in keys],
            # A damaged file of the formula is written anew.
            "understood": ours or said is not None,
        }
    return found


def store_faults():
    """
    Return a fault, as a list, when the master's store has other secrets than this host works with; else ``[]``, also
    when this host has no data yet.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.store_faults
    """
    settings = __salt__["pgha.settings"]()
    paths = [settings["consul"]["data_dir"], settings["postgres"]["data_dir"] if settings["role"] == "db" else None]
    if not any(path and os.path.isdir(path) and os.listdir(path) for path in paths):
        return []
    try:
        text = Path(pghalib.secrets.served.NOTE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    allowed = pghalib.run.listed(__pillar__, "new_secrets")
    return pghalib.secrets.served.faults(text, settings, pghalib.secrets.served.own(__pillar__, __opts__), allowed)


def _with_others(settings, ids, listening, probe):
    """Return (faults, warnings) of the checks that several hosts make together: ports, clocks, the virtual IP."""
    plan = pghalib.preflight.verdicts.plan(settings, ids)
    answering = {}
    asking = None
    if probe and _probed(settings):
        members = [one["address"] for one in settings["cluster"]["hosts"]]
        # In parallel with the port checks, because both need time.
        wanted = (answering, settings["cluster"]["vip"]["address"], members)
        # Salt's loader finds its functions by the context, and a new thread has none.
        asking = threading.Thread(target=contextvars.copy_context().run, args=(_ask, *wanted))
        asking.start()
    found = _meet(settings, plan, listening)
    faults = pghalib.preflight.verdicts.reachability(found, plan["names"])
    faults += pghalib.preflight.verdicts.identity(found, plan["ids"])
    skewed, slightly = pghalib.preflight.verdicts.clocks(found, plan["names"], settings)
    translated, harmless = pghalib.host.routes.translated(found, settings)
    warnings = [*slightly, *harmless]
    faults += [*skewed, *translated]
    if asking:
        asking.join()
        more = _virtual_ip(settings, answering, found)
        faults += more[0]
        warnings += more[1]
    return faults, warnings


def _meet(settings, plan, listening):
    ports = pghalib.preflight.verdicts.ports(settings)
    served = pghalib.preflight.foreign.served(listening, settings["address"])
    listen = set(plan["listen"]) - served
    later, hold = {}, set()
    if listen & {ports["rpc"], ports["gossip"]} and _starts("consul.service"):
        later |= {ports["rpc"]: STARTING, ports["gossip"]: STARTING}
    if listen & {ports["postgres"], ports["rest"]} and _starts("patroni.service"):
        later[ports["rest"]] = STARTING
        # Patroni may start PostgreSQL at any moment.
        hold.add(ports["postgres"])
    return pghalib.preflight.rendezvous.meet(
        settings["id"],
        settings["address"],
        plan["links"],
        listen,
        plan["expect"],
        timeout=settings["preflight"]["port_timeout"],
        udp=ports["gossip"],
        http=ports["rest"],
        ca=__salt__["pgha_tls.bundle"](),
        later=later,
        hold=hold & listen,
        excuse={ports["postgres"]: ports["rest"]},
    )


def _probed(settings):
    cluster = settings["cluster"]
    wanted = settings["preflight"]["probe_vip"] and settings["vip"]["manager"] != "none"
    return bool(wanted and cluster and cluster["vip"] and ":" not in cluster["vip"]["address"])


def _ask(answering, address, members):
    try:
        answering.update(__salt__["pgha_vip.neighbours"]([address, *members]))
    except (CommandExecutionError, OSError) as error:
        answering["error"] = str(error)


def _virtual_ip(settings, answering, found):
    address = settings["cluster"]["vip"]["address"]
    if "error" in answering:
        return [], [f"whether somebody has the virtual IP {address} could not be asked: {answering['error']}"]
    home = [row["interface"] for row in __salt__["pgha_vip.addresses"]() if row["address"] == settings["address"]]
    members = {peer: macs for peer, macs in answering.items() if peer != address}
    runs = any(link.get("http") for link in found.values()) or _starts("patroni.service")
    attributable = __salt__["pgha_vip.interface"]() in home
    return pghalib.preflight.verdicts.virtual_ip(answering[address], members, attributable, runs, settings)


def _places(listening, settings):
    """The real paths of the paths that identify our services, and of the paths in their users' processes."""
    ours = ("root", settings["consul"]["user"], settings["postgres"]["user"])
    named = [path for one in listening if one["user"] in ours for path in pghalib.preflight.foreign.named(one)]
    return {path: pghalib.host.descriptors.real(path) for path in [*pghalib.preflight.foreign.paths(settings), *named]}


def _starts(unit):
    return __salt__["service.show"](unit).get("ActiveState") in RUNNING


def _disk(path):
    """Return the free space at the place of a directory, and whether the directory is already in use."""
    there = Path(path)
    in_use = there.is_dir() and any(there.iterdir())
    while not there.exists():
        there = there.parent
    return {"path": str(path), "free_mb": shutil.disk_usage(there).free // 2**20, "in_use": in_use}


def _interfaces():
    """Read by system calls: in a container /sys may show another network namespace."""
    found = psutil.net_if_stats().items()
    return {name: {"loopback": "loopback" in stats.flags.split(",")} for name, stats in found}


def _process(pid):
    """Facts of a process. The kernel guarantees the user; the process itself chooses the other values."""
    try:
        process = psutil.Process(pid) if pid else None
        if process:
            printable = pghalib.text.printable
            return {
                "name": printable(process.name()),
                "user": process.username(),
                "cmdline": [printable(word) for word in process.cmdline()],
                "cwd": printable(process.cwd()),
            }
    except psutil.Error:
        pass
    return {"name": "", "user": None, "cmdline": [], "cwd": None}


def _scope(cmdline):
    """Return the scope in the configuration of a running Patroni, None where it cannot be read."""
    if not any(os.path.basename(word) == "patroni" for word in cmdline):
        return None
    path = next((word for word in cmdline if word.startswith("/") and word.endswith((".yml", ".yaml"))), None)
    try:
        # The parser in C: the other parser needs many seconds for a large file.
        content = yaml.load(_peeked(path) or "", Loader=yaml.CSafeLoader) if path else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    scope = content.get("scope") if isinstance(content, dict) else None
    return pghalib.text.printable(scope) if isinstance(scope, str) else None


def _peeked(path):
    """The text of a file that another user may have written; None if it is missing, not regular, or too large."""
    try:
        return pghalib.host.files.read_foreign(path, 2**20)
    except CommandExecutionError:
        return None
