"""
States of the host for PostgreSQL: locales, port, parameters, TLS support and data directory.
"""

import os

import pghalib.errors
import pghalib.host.descriptors
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def locales_present(name, locales):
    """
    The host has these locales. All missing locales are made in one call.

    locales
        Names such as ``ru_RU.UTF-8``.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": f"There are {', '.join(locales)}."}
    try:
        missing = __salt__["pgha_locales.missing"](locales)
        if not missing:
            return ret
        ret["changes"] = {locale: {"old": None, "new": "present"} for locale in missing}
        if __opts__["test"]:
            return {**ret, "result": None, "comment": f"{', '.join(missing)} would be made."}
        __salt__["pgha_locales.make"](missing)
    except CommandExecutionError as error:
        return {**ret, "result": False, "changes": {}, "comment": str(error)}
    return {**ret, "comment": f"{', '.join(missing)} were made."}


@pghalib.errors.told
def port_free(name):
    """
    Only this cluster's own server listens on the port of PostgreSQL. Changes nothing: the state names a foreign
    process, and a person decides.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "Nobody else listens there."}
    port = __salt__["pgha.settings"]()["postgres"]["port"]
    foreign = [entry for entry in __salt__["pgha_postgres.listeners"]() if not entry["ours"]]
    if not foreign:
        return ret
    holders = [f"{entry['address']}:{port} is held by pid {entry['pid']} ({entry['command']})" for entry in foreign]
    who = "; ".join(holders)
    if __opts__["test"]:
        return {**ret, "result": None, "comment": f"{who}. The run would fail, unless it stops this server before."}
    return {
        **ret,
        "result": False,
        "comment": f"{who}. Patroni could not start its server: stop that one and keep it from starting, or set another"
        " port under pgha:postgres:port.",
    }


@pghalib.errors.told
def parameters_accepted(name):
    """
    The installed server would start on this host with its parameters: the server program itself is asked. Changes
    nothing.

    name
        State ID; not used.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It would."}
    settings = __salt__["pgha.settings"]()["postgres"]
    if __opts__["test"] and not os.path.exists(f"{settings['bin_dir']}/postgres"):
        return {**ret, "result": None, "comment": "It would be asked, once it is installed."}
    try:
        __salt__["pgha_postgres.parameters"]()
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    return ret


@pghalib.errors.told
def speaks_tls(name):
    """
    The installed server supports TLS, where TLS is on. Changes nothing. The check comes right after the installation,
    so a fault shows before the long wait for Patroni.
    """
    fault = __salt__["pgha_postgres.tls_fault"]()
    return {"name": name, "result": not fault, "changes": {}, "comment": fault or "It can, as far as it is asked to."}


@pghalib.errors.told
def data_directory_made(name):
    """
    The data directory exists and belongs to the server's user alone (0700). Where another user can change the directory
    above it, root makes nothing; the server's user makes the data directory.

    name
        Path of the data directory.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It is there."}
    settings = __salt__["pgha.settings"]()["postgres"]
    wanted = {"user": settings["user"], "group": settings["group"], "mode": "0700"}
    directory = pghalib.host.descriptors.directory
    try:
        ret["changes"] = directory(name, **wanted, test=True)
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "It would be made, or given to the server's user."}
        __salt__["pgha_postgres.make_directory"](name)
        directory(name, **wanted, test=False)
    except CommandExecutionError as error:
        return {**ret, "result": False, "changes": {}, "comment": str(error)}
    return {**ret, "comment": "It was made." if "made" in ret["changes"] else "Its owner and mode were set."}
