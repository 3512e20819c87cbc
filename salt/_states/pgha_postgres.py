"""
States of the host for PostgreSQL: locales, port, parameters, TLS support and data directory.
"""

import os

import pghalib.host.descriptors
import pghalib.postgres.data_directory
import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def locales_present(ret, locales):
    """
    The host has these locales. All missing locales are made in one call.

    locales
        Names such as ``ru_RU.UTF-8``.
    """
    missing = __salt__["pgha_locales.missing"](locales)
    if not missing:
        return f"The host has the locales {', '.join(locales)}."
    ret.plan({locale: {"old": None, "new": "present"} for locale in missing})
    if ret.test:
        return f"The locales {', '.join(missing)} would be made."
    __salt__["pgha_locales.make"](missing)
    return f"The locales {', '.join(missing)} were made."


@pghalib.states.state
def port_free(ret):
    """
    Only this cluster's own server listens on the port of PostgreSQL. Changes nothing: the state names a foreign
    process, and a person decides.
    """
    port = __salt__["pgha.settings"]()["postgres"]["port"]
    foreign = [entry for entry in __salt__["pgha_postgres.listeners"]() if not entry["ours"]]
    if not foreign:
        return f"Nobody else listens on port {port}."
    holders = [f"{entry['address']}:{port} is held by pid {entry['pid']} ({entry['command']})" for entry in foreign]
    who = "; ".join(holders)
    if ret.test:
        raise pghalib.states.Later(f"{who}. The run would fail, unless it stops this server before.")
    raise CommandExecutionError(
        f"{who}. Patroni could not start its server: stop that one and keep it from starting, or set another port"
        " under pgha:postgres:port."
    )


@pghalib.states.state
def parameters_accepted(ret):
    """
    The installed server would start on this host with its parameters: the server program itself is asked. Changes
    nothing.

    name
        State ID; not used.
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    if ret.test and not os.path.exists(f"{settings['bin_dir']}/postgres"):
        raise pghalib.states.Later("The server would be asked whether it starts, once it is installed.")
    __salt__["pgha_postgres.parameters"]()
    return "The installed server would start with its parameters."


@pghalib.states.state
def parameters_written(ret):
    """
    The server of this host has been given the parameters of the cluster. Patroni passes over what changes while its
    server starts; then it is told once more.

    name
        State ID; not used.
    """
    if ret.test and not (__salt__["pgha_patroni.member"]() or {}):
        raise pghalib.states.Later("The parameters would be compared, once Patroni runs.")
    missing = __salt__["pgha_dynamic.unwritten"](formulas=True)
    if not missing:
        return "The server has been given all parameters."
    if ret.test:
        ret.plan({name: {"old": "another value", "new": "as in the DCS"} for name in missing})
        return "Patroni would be told to write the parameters, unless it does so by itself."
    timeout = 3 * __salt__["pgha_dynamic.loop"]()
    pghalib.wait.until(__salt__["pgha_dynamic.taken_up"], timeout, "Patroni has taken up the dynamic configuration")

    def written():
        left = __salt__["pgha_dynamic.unwritten"](formulas=True)
        if left:
            raise CommandExecutionError(f"PostgreSQL has not been given {', '.join(left)}")
        return True

    try:
        # Patroni writes right after it has heard.
        pghalib.wait.until(written, 2, "the server has been given all parameters", 0.2)
        return "The server has been given all parameters."
    except CommandExecutionError:
        __salt__["service.reload"]("patroni")
    pghalib.wait.until(written, timeout, "the server has been given all parameters", 0.2)
    ret.plan({name: {"old": "passed over", "new": "as in the DCS"} for name in missing})
    return "Patroni was told to write the parameters that it had passed over while its server started."


@pghalib.states.state
def speaks_tls(ret):
    """
    The installed server supports TLS, where TLS is on. Changes nothing. The check comes right after the installation,
    so a fault shows before the long wait for Patroni.
    """
    fault = __salt__["pgha_postgres.tls_fault"]()
    if fault:
        raise CommandExecutionError(fault)
    return "The installed server supports TLS, or needs none."


@pghalib.states.state
def data_directory_made(ret):
    """
    A data directory, also that of a copy, exists and belongs to the server's user alone (0700). Where another user can
    change the directory above it, root makes nothing; the server's user makes it. With data of another user in it the
    state fails, and gives it to nobody.

    name
        Its path.
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    if strange := pghalib.postgres.data_directory.strangers(ret.name, settings["user"]):
        raise CommandExecutionError(strange)
    wanted = {"user": settings["user"], "group": settings["group"], "mode": "0700"}
    changes = pghalib.host.descriptors.directory(ret.name, **wanted, test=True)
    if not changes:
        return f"{ret.name} is there."
    ret.plan(changes)
    if ret.test:
        return f"{ret.name} would be made, or given to the server's user."
    __salt__["pgha_postgres.make_directory"](ret.name)
    pghalib.host.descriptors.directory(ret.name, **wanted, test=False)
    return f"{ret.name} was made." if "made" in changes else f"Owner and mode of {ret.name} were set."
