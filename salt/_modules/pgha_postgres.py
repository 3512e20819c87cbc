"""
The installed PostgreSQL: its parameters on this host, the parameters that it refuses, and its data directory.
"""

import os
import shutil
from pathlib import Path

import pghalib.host.files
import pghalib.host.os_release
import pghalib.host.space
import pghalib.host.users
import pghalib.postgres.answered
import pghalib.postgres.data_directory
import pghalib.postgres.parameters
import pghalib.postgres.refused
import pghalib.postgres.repository
import pghalib.postgres.settings
import pghalib.tls
import psutil
from salt.exceptions import CommandExecutionError

#: Name of the drop-in file that keeps a package's own service from starting (pgha.postgres.install).
HELD_BACK = ".service.d/pgha.conf"
_SOURCES = Path("/etc/apt/sources.list")
#: The code searches the server's messages, so they must not be translated.
_ENVIRONMENT = {"LC_ALL": "C", "LANGUAGE": "C"}


def parameters():
    """
    Return the parameters of this cluster on this host:

    - ``shared``: the parameters of all members, stored in the DCS
    - ``host``: the parameters that depend on the memory, the cores and the disk of this host
    - ``source``: the origin of ``host``: ``pgpro_tune``, ``calculated`` or ``none``
    - ``left_out``: tuned parameters that the installed server refuses, with its message for each

    Raises CommandExecutionError when the server refuses a parameter that the user set, when it would not start with all
    parameters on this host, and when TLS is wanted and the server lacks it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.parameters
    """
    everything = __salt__["pgha.settings"]()
    settings = everything["postgres"]
    if fault := tls_fault():
        raise CommandExecutionError(fault)
    shared = pghalib.postgres.settings.shared(settings)
    tuned, source = _tuned(settings)
    host = pghalib.postgres.settings.host_only(tuned, settings)
    left_out = unknown_parameters(host)
    host = {name: value for name, value in host.items() if name not in left_out}
    given = pghalib.postgres.parameters.effective(everything, shared, host)
    refused = unknown_parameters(given)
    if refused:
        lines = "; ".join(f"{name} = {given[name]!r}: {error}" for name, error in sorted(refused.items()))
        raise CommandExecutionError(
            f"PostgreSQL in {settings['bin_dir']} refuses what is set: {lines}. Correct it in the pillar under"
            " pgha:postgres:parameters (null takes a parameter away)"
        )
    faults = __salt__["pgha_parameters.faults"](given)
    if faults:
        raise CommandExecutionError(
            f"PostgreSQL in {settings['bin_dir']} would not start on this host with what is set: {'; '.join(faults)}."
            " Correct it in the pillar: parameters are under pgha:postgres:parameters, and a library comes with a"
            " package (pgha:postgres:packages)"
        )
    return {"shared": shared, "host": host, "source": source, "left_out": left_out}


def tls_fault():
    """
    Return None when the installed server supports TLS or TLS is off, else a sentence with the fault. Also None while
    no server is installed.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.tls_fault
    """
    host = __salt__["pgha.settings"]()
    settings = host["postgres"]
    if not pghalib.tls.enabled(host) or not os.path.exists(f"{settings['bin_dir']}/postgres"):
        return None
    try:
        refused = unknown_parameters({"ssl": "on"})
    except CommandExecutionError as error:
        return str(error)
    except LookupError:
        # The programs are there, their user is not: dpkg has not configured the packages yet.
        return None
    if not refused:
        return None
    return (
        f"PostgreSQL in {settings['bin_dir']} is built without TLS ({refused['ssl']}): take another build"
        " (postgres:distribution), or leave pgha:tls off"
    )


def started_by_others():
    """
    Return the units of PostgreSQL's packages (``postgres:services``) that systemd would start at the next boot, beside
    Patroni, as a list of names: units that are enabled and lack the formula's drop-in file that keeps them off.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.started_by_others
    """
    found = []
    for unit in __salt__["pgha.settings"]()["postgres"]["services"]:
        shown = __salt__["service.show"](unit)
        enabled = str(shown.get("UnitFileState", "")).startswith("enabled")
        if enabled and HELD_BACK not in str(shown.get("DropInPaths", "")):
            found.append(unit)
    return found


def beside_patroni():
    """
    Return a sentence for each unit of :py:func:`started_by_others`, for the status; none on a server of Consul.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.beside_patroni
    """
    units = started_by_others() if __salt__["pgha.settings"]()["role"] == "db" else []
    return [f"{unit} starts at the next boot beside Patroni, and takes its port: run the main job" for unit in units]


def unknown_parameters(params):
    """
    Return the parameters that the installed server refuses, as ``{name: its message}``: unknown names, values that this
    build does not support (``wal_compression = lz4`` without lz4), and values out of range.

    The server program itself is asked (``postgres -C``, about 10 ms): first with all parameters, then again without
    each one that it refuses.

    params
        ``{name: value}``. Names with a dot belong to extensions and are never refused.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.unknown_parameters '{"wal_compression": "lz4"}'
    """
    settings = __salt__["pgha.settings"]()["postgres"]

    def ask():
        return pghalib.postgres.refused.refused(settings, params, lambda command: _run(settings, command))

    return pghalib.postgres.answered.once(__context__, ("unknown", settings["bin_dir"], params), ask)


def data_directory():
    """
    Return the state of this cluster's data directory: ``path``, ``exists``, ``empty``, ``version`` (from PG_VERSION),
    ``identifier`` (the system identifier, None without a readable control file), ``patroni`` (Patroni has worked on it)
    and ``running`` (a postmaster has it open).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.data_directory
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    root = Path(settings["data_dir"])
    control = [f"{settings['bin_dir']}/pg_controldata", "-D", str(root)]
    return pghalib.postgres.data_directory.state(root, lambda: _run(settings, control))


def make_directory(path):
    """
    Make a directory, or set its mode, as the user of PostgreSQL: 0700, for that user alone. Returns whether this
    succeeded.

    path
        The directory.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.make_directory /pgdata/test
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    return _run(settings, ["install", "-d", "-m", "0700", path])["retcode"] == 0


def repository():
    """
    Return the apt repository of PostgreSQL: ``line`` (of the source), ``key_url`` and ``key_file`` (None where no key
    is set). None when no source must be written: the distribution's own sources have PostgreSQL, or this host already
    has the same repository (from the vendor's script, say). apt refuses one source with two keys.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.repository
    """
    repo = __salt__["pgha.settings"]()["postgres"].get("repo") or {}
    name, key_url = repo.get("name"), repo.get("key_url")
    if not name or pghalib.postgres.repository.elsewhere(name, _SOURCES):
        return None
    return {
        "line": pghalib.postgres.repository.line(name, key_url, pghalib.host.os_release.read()),
        "key_url": key_url,
        "key_file": pghalib.postgres.repository.keyring(key_url) if key_url else None,
    }


def listeners():
    """
    Return the processes that listen on the port of PostgreSQL on this host: a list of ``address``, ``pid``, ``command``
    and ``ours`` (true for a server that has this cluster's data directory open).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.listeners
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    ours = pghalib.postgres.data_directory.postmaster(settings["data_dir"])
    found = []
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == int(settings["port"]):
            found.append(
                {
                    "address": connection.laddr.ip,
                    "pid": connection.pid,
                    "command": _command(connection.pid),
                    "ours": connection.pid is not None and connection.pid == ours,
                }
            )
    return sorted(found, key=lambda entry: entry["address"])


def log_errors(lines=5):
    """
    Return the last errors (FATAL, PANIC) from the server's log on this host, for messages; none when nothing was logged
    in the last minute (a copy of the leader's data also contains the leader's old log).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_postgres.log_errors
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    directory = str(pghalib.postgres.settings.shared(settings).get("log_directory") or "log")
    return pghalib.postgres.data_directory.log_errors(Path(settings["data_dir"], directory), int(lines))


def _tuned(settings):
    if not settings["tune"]:
        return {}, "none"
    disk = shutil.disk_usage(pghalib.host.space.nearest(settings["data_dir"])).total // 1024**2
    limit = {"max_slot_wal_keep_size": pghalib.postgres.settings.slot_limit(disk)}
    written = Path(settings.get("package_data_dir") or "/nonexistent", "postgresql.conf")
    block = pghalib.postgres.settings.parse_tuned(pghalib.host.files.read_foreign(str(written)) or "")
    if block:
        return {**limit, **block}, "pgpro_tune"
    calculate = pghalib.postgres.settings.calculate
    return {**limit, **calculate(__grains__["mem_total"], __grains__["num_cpus"], disk)}, "calculated"


def _run(settings, command):
    """PostgreSQL's programs refuse to run as root."""
    return pghalib.host.users.run(__salt__["cmd.run_all"], settings["user"], command, env=_ENVIRONMENT)


def _command(pid):
    try:
        return " ".join(psutil.Process(pid).cmdline()) if pid else None
    except psutil.Error:
        return None
