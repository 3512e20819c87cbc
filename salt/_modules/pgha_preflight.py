"""
Whether this host can take the role that the pillar gives it: all faults are found at once, before anything is
installed. Nothing on the host is changed. Ports without a service yet are opened for a moment, so that the other hosts
can test the connection.
"""

import contextlib
import contextvars
import os
import sys
import threading
from pathlib import Path

import pghalib.backup.keeper
import pghalib.consul.files
import pghalib.host.astra
import pghalib.host.files
import pghalib.host.packages
import pghalib.host.routes
import pghalib.preflight.facts
import pghalib.preflight.foreign
import pghalib.preflight.listening
import pghalib.preflight.meeting
import pghalib.preflight.packages
import pghalib.preflight.verdicts
import pghalib.run
import pghalib.secrets.served
import pghalib.services.shown
import pghalib.text
import pghalib.tls
import pghalib.versions
import salt.version
from salt.exceptions import CommandExecutionError


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
    if old := pghalib.versions.too_old(salt.version.__version__, sys.version):
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
    places = pghalib.preflight.listening.places(listening, settings)
    told(pghalib.preflight.foreign.listeners(listening, settings, ports, places))
    told((pghalib.backup.keeper.unencrypted(settings) + __salt__["pgha_tls.not_yet"](), []))
    told(([], pghalib.preflight.packages.warnings(packages(), pghalib.preflight.packages.programs(settings))))
    told(([], pghalib.host.packages.reboots(__salt__["cmd.run_all"])))
    if settings["role"] == "repository":
        told((__salt__["pgha_repository.early_faults"](), []))
    else:
        told(pghalib.consul.files.verdict(consul_files(), settings))
        told((pghalib.consul.files.home(), []))
        switched = pghalib.tls.switch_fault(__salt__["pgha_tls.speaks"](), settings)
        # Without encryption the API is elsewhere, too.
        moved = not switched and __salt__["pgha_consul.pid"]() is not None
        told((switched + (pghalib.consul.files.moved(settings) if moved else []), []))
        told(([], pghalib.preflight.verdicts.trust(settings)))
    told((store_faults(), []))
    if settings["role"] == "db":
        told((__salt__["pgha_backup.early_faults"](), []))
        told((__salt__["pgha_founding.faults"](), []))
        # A restore that was interrupted has left a part of all that was in the data directory of then.
        if not __salt__["pgha_founding.founding_state"]()["begun"]:
            told(pghalib.preflight.foreign.data_directory(data_directory(), settings))
        told((__salt__["pgha_locales.faults"](), []))
        member = __salt__["pgha_member.verdict"]()
        told((member["faults"] + __salt__["pgha_member.strangers"](), member["warnings"]))
        user = __salt__["pgha_server_user.verdict"]()
        told((user["faults"], user["warnings"]))
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
    elif settings["role"] == "repository":
        paths = [path for path, _cluster in pghalib.backup.keeper.directories(settings)]
    return pghalib.preflight.facts.host(paths, __salt__["pgha_vip.addresses"]())


def locks():
    """
    Return the lock settings of Astra Linux, as its files have them: ``{path: text}``; None for a missing file.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.locks
    """
    return {path: pghalib.host.files.peek(path) for path in pghalib.host.astra.files()}


def listeners():
    """
    Return the processes that listen on TCP and UDP: a list of ``{"address", "port", "protocol", "pid", "name", "user",
    "cmdline", "cwd", "runs_as"}``: on a database host what Patroni's configuration says of it, else None.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.listeners
    """
    settings = __salt__["pgha.settings"]()
    rest = pghalib.preflight.verdicts.ports(settings)["rest"] if settings["role"] == "db" else None
    return pghalib.preflight.listening.processes(rest, ("root", settings["postgres"]["user"]))


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
    Return the state of PostgreSQL's data directory, see ``pghalib.preflight.facts.data_directory``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.data_directory
    """
    postgres = __salt__["pgha.settings"]()["postgres"]
    return pghalib.preflight.facts.data_directory(postgres["data_dir"], postgres["user"])


def consul_files():
    """
    Return facts about the configuration files in Consul's directory, as ``{path: {"datacenter", "contradicts",
    "understood"}}``: the datacenter that the file names or None, the keys in which a foreign file contradicts the
    formula's configuration, and whether the file could be parsed. Other values are left out: they may be secrets.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.consul_files
    """
    return pghalib.consul.files.found(__salt__["pgha.settings"]())


def packages():
    """
    Return which Debian packages have a program that the formula installs itself, as the lines of ``dpkg-query``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_preflight.packages
    """
    command = ["dpkg-query", "-S", *pghalib.preflight.packages.programs(__salt__["pgha.settings"]())]
    # A host without it has a fault already: its system.
    with contextlib.suppress(CommandExecutionError):
        return __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True)["stdout"]
    return ""


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
    ca = __salt__["pgha_tls.bundle"]()
    found = pghalib.preflight.meeting.meet(settings, plan, listening, ca, _starts)
    faults, warnings = pghalib.preflight.meeting.verdict(found, plan, settings)
    if asking:
        asking.join()
        more = _virtual_ip(settings, answering, found)
        faults += more[0]
        warnings += more[1]
    return faults, warnings


def _probed(settings):
    cluster = settings["cluster"]
    wanted = settings["preflight"]["probe_vip"] and settings["vip"]["manager"] != "none"
    return bool(wanted and cluster and cluster["vip"])


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


def _starts(unit):
    return pghalib.services.shown.starts(__salt__["service.show"](unit))
