"""
The user of PostgreSQL on this host: whether the system leaves the user's memory and programs alone.
"""

import contextlib

import pghalib.host.os_release
import pghalib.host.users
import pghalib.preflight.account
import pghalib.preflight.facts
import pghalib.preflight.interpreters
from salt.exceptions import CommandExecutionError

# Programs are tried as this user where that of PostgreSQL is still to come.
NOBODY = "nobody"


def account():
    """
    Return what this host knows of PostgreSQL's user: ``name``, ``uid``, ``highest`` (the highest UID of the system's
    users), ``local`` (it is in /etc/passwd) and ``lingers`` (logind keeps it); None while there is no such user.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_server_user.account
    """
    return pghalib.preflight.account.account(__salt__["pgha.settings"]()["postgres"]["user"])


def refused():
    """
    Return the interpreters that PostgreSQL's user (``nobody`` while there is none) may not run, as a list of
    ``{"program", "user", "code", "said"}``. They are run only where a lock is possible, see
    ``pghalib.preflight.interpreters.doubtful``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_server_user.refused
    """
    commands = pghalib.preflight.interpreters.trials(__salt__["pgha.settings"]())
    release = pghalib.host.os_release.read()
    if not pghalib.preflight.interpreters.doubtful(release, [words[0] for words in commands]):
        return []
    known, run_all = account(), __salt__["cmd.run_all"]
    user = known["name"] if known else NOBODY
    first, limit = pghalib.preflight.interpreters.STARTER, pghalib.preflight.interpreters.TIMEOUT
    tried = [(words[0], pghalib.host.users.run(run_all, user, [first, *words], timeout=limit)) for words in commands]
    found = [pghalib.preflight.interpreters.refusal(program, user, ran) for program, ran in tried]
    return [one for one in found if one]


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
    astra = pghalib.host.os_release.read().get("ID") == "astra"
    found = [*faults(), *pghalib.preflight.interpreters.faults(refused(), astra)]
    warnings = pghalib.preflight.account.distant(account())
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
