"""
Whether this host can become what the pillar says: everything that stands in the way, found at once, before anything is
installed. Nothing on the host is changed; ports that nobody serves yet are opened for a moment, so that the others can
try to reach them.
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

# Seconds that a service which is about to start is left its port.
STARTING = 2
RUNNING = ("active", "activating", "reloading")


def check():
    """
    Look at this host and at its network, and return ``{"faults": […], "warnings": […]}``: sentences that name what is
    wrong and what would be right.

    All hosts of a run must do this at the same time, since each tries to reach the others.

    Raises CommandExecutionError when the pillar is wrong as a whole.

    CLI Example:

    .. code-block:: bash

        salt -L test-dcs1,test-dcs2,test-dcs3,test-db1,test-db2,test-db3 pgha_preflight.check
    """
    # First of all: what is older may lack what the rest is asked with.
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
    # Others have named the files, processes and hosts in it.
    line = pghalib.text.line
    return {"faults": [line(text) for text in faults], "warnings": [line(text) for text in warnings]}


def host():
    """
    Return what this host is: ``release`` (os-release), ``machine``, ``systemd``, ``hostname``, ``memory_mb``,
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
        # Not there, or not UTF-8: an unknown system, which is a warning.
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
    Return what Astra Linux may have locked: ``{path: text}`` of its files; None where one is not there.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.locks
    """
    return {path: _peeked(path) for path in pghalib.host.astra.files()}


def listeners():
    """
    Return who listens on TCP and UDP: a list of ``{"address", "port", "protocol", "pid", "name", "user", "cmdline",
    "cwd", "scope"}``; the scope is that of a Patroni on a database host, None where it is not known.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.listeners
    """
    settings, found = __salt__["pgha.settings"](), []
    trusted = ("root", settings["postgres"]["user"])
    rest = pghalib.preflight.verdicts.ports(settings)["rest"] if settings["role"] == "db" else None
    for one in psutil.net_connections(kind="inet"):
        protocol = "udp" if one.type == socket.SOCK_DGRAM else "tcp"
        # A socket of UDP with a peer is a client's.
        if one.laddr and (one.status == psutil.CONN_LISTEN if protocol == "tcp" else not one.raddr):
            row = {"address": one.laddr.ip, "port": one.laddr.port, "protocol": protocol, "pid": one.pid}
            row.update(_process(one.pid))
            # Whoever else it is may name any file in its command line.
            asked = protocol == "tcp" and row["port"] == rest and row["user"] in trusted
            found.append({**row, "scope": _scope(row["cmdline"]) if asked else None})
    return found


def sources():
    """
    Return from which address this host would speak to each other member of its cluster: ``{address: own address}``,
    None where there is no route.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.sources
    """
    return pghalib.host.routes.sources(pghalib.host.routes.peers(__salt__["pgha.settings"]()))


def data_directory():
    """
    Return what is in PostgreSQL's data directory: ``path``, ``entries`` (names at its top), ``version`` (of the data,
    None where there are none) and ``link`` (whether the last name of the path is a link).

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
    # What the server's user says goes into a message.
    said = pghalib.host.files.read_foreign(str(path / "PG_VERSION"), 64) or ""
    version = said.strip() if re.fullmatch(r"\d+(\.\d+)*\s*", said) else None
    return {"path": str(path), "entries": entries, "version": version, "link": path.is_symlink()}


def locales():
    """
    Return the locales that are ``installed`` and those that can be generated (``supported``; None where the package
    locales is not there yet).

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
    Return what the configuration files in Consul's directory say, as ``{path: {"datacenter", "contradicts",
    "understood"}}``: the datacenter that a file names or None, the keys in which one that is not ours says otherwise
    than our configuration, and whether it could be read. None of the values, as there may be secrets among them.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.consul_files
    """
    settings = __salt__["pgha.settings"]()
    home, found = Path(settings["consul"]["config_dir"]), {}
    printable = pghalib.text.printable
    for path in sorted([*home.glob("*.json"), *home.glob("*.hcl")]):
        # Whose the directory is, the states see to later.
        said = pghalib.consul.files.understood(_peeked(str(path)) or "")
        named, ours = (said or {}).get("datacenter"), pghalib.consul.files.is_ours(path.name)
        keys = [] if ours else pghalib.consul.files.contradictions(said or {}, settings)
        found[str(path)] = {
            "datacenter": printable(named) if isinstance(named, str) else None,
            "contradicts": [printable(key) for key in keys],
            # What is damaged of ours is written anew.
            "understood": ours or said is not None,
        }
    return found


def store_faults():
    """
    Return the fault of a master's store that is not the one this host works with, as a list; ``[]`` when all is well,
    and when this host has no data yet.

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
    """Return (faults, warnings) on what several hosts find out together: ports, clocks, the virtual IP."""
    plan = pghalib.preflight.verdicts.plan(settings, ids)
    answering = {}
    asking = None
    if probe and _probed(settings):
        members = [one["address"] for one in settings["cluster"]["hosts"]]
        # Beside the meeting, as both take their time.
        wanted = (answering, settings["cluster"]["vip"]["address"], members)
        # Salt's loader finds its functions by the context, which a new thread has not.
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
    """Where the paths lead by which our services are known, and those that processes of their users name."""
    ours = ("root", settings["consul"]["user"], settings["postgres"]["user"])
    named = [path for one in listening if one["user"] in ours for path in pghalib.preflight.foreign.named(one)]
    return {path: pghalib.host.descriptors.real(path) for path in [*pghalib.preflight.foreign.paths(settings), *named]}


def _starts(unit):
    return __salt__["service.show"](unit).get("ActiveState") in RUNNING


def _disk(path):
    """Return the free space where a directory is or will be, and whether it is in use already."""
    there = Path(path)
    in_use = there.is_dir() and any(there.iterdir())
    while not there.exists():
        there = there.parent
    return {"path": str(path), "free_mb": shutil.disk_usage(there).free // 2**20, "in_use": in_use}


def _interfaces():
    """From the kernel by system calls: /sys may be another network namespace's, as in a container."""
    found = psutil.net_if_stats().items()
    return {name: {"loopback": "loopback" in stats.flags.split(",")} for name, stats in found}


def _process(pid):
    """What the kernel tells of a process: the user is its real one, the rest is the process's own choice."""
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
        # The parser in C: a file of that size takes the other one many seconds.
        content = yaml.load(_peeked(path) or "", Loader=yaml.CSafeLoader) if path else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    scope = content.get("scope") if isinstance(content, dict) else None
    return pghalib.text.printable(scope) if isinstance(scope, str) else None


def _peeked(path):
    """The text of a file that another user may have put there; None for what is no regular file, or is larger."""
    try:
        return pghalib.host.files.read_foreign(path, 2**20)
    except CommandExecutionError:
        return None
