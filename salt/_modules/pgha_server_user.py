"""
The user of PostgreSQL on this host: whether the system leaves the user's memory alone.
"""

import contextlib

import pghalib.preflight.account
import pghalib.preflight.facts
from salt.exceptions import CommandExecutionError


def account():
    """
    Return what this host knows of PostgreSQL's user: ``name``, ``uid``, ``highest`` (the highest UID of the system's
    users), ``local`` (it is in /etc/passwd) and ``lingers`` (logind keeps it); None while there is no such user.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_server_user.account
    """
    return pghalib.preflight.account.account(__salt__["pgha.settings"]()["postgres"]["user"])


def faults():
    """
    Return a sentence, as a list, when systemd-logind removes the shared memory of the server when its user logs out;
    none on other hosts than those of databases.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_server_user.faults
    """
    if __salt__["pgha.settings"]()["role"] != "db":
        return []
    known = account()
    # Without a question to systemd on nearly all hosts.
    return pghalib.preflight.account.robbed(known, _logind()) if pghalib.preflight.account.exposed(known) else []


def verdict():
    """
    Return ``{"faults", "warnings"}``: what the preflight says about PostgreSQL's user. What is a fault on a new host is
    a warning on a host with data.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_server_user.verdict
    """
    settings = __salt__["pgha.settings"]()
    found, warnings = faults(), pghalib.preflight.account.distant(account())
    # A restore for a founding that was interrupted is to end.
    begun = __salt__["pgha_founding.founding_state"]()["begun"]
    if begun or pghalib.preflight.facts.settled(settings["postgres"]["data_dir"]):
        return {"faults": [], "warnings": [*found, *warnings]}
    return {"faults": found, "warnings": warnings}


def _logind():
    # A host without systemd has a fault already.
    with contextlib.suppress(CommandExecutionError):
        command = list(pghalib.preflight.account.LOGIND)
        return __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True)["stdout"]
    return ""
