"""
The dynamic configuration of this host's cluster: what others set in it, and what Patroni on this host has of it.
"""

from pathlib import Path

import pghalib.host.files
import pghalib.parse
import pghalib.patroni.config
import pghalib.patroni.dynamic
import pghalib.postgres.settings
from salt.exceptions import CommandExecutionError

# Seconds of a loop for which somebody waits, whatever a file says.
LONGEST = 60


def undeclared():
    """
    Return the entries in the DCS that the formula did not write (but, say, ``patronictl edit-config``), as a list of
    names such as ``postgresql.parameters.work_mem``. The formula leaves them alone.

    Raises CommandExecutionError when Patroni on this host does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.undeclared
    """
    live = __salt__["pgha_patroni.dynamic_config"]()
    return pghalib.patroni.dynamic.undeclared(_declared(live), live)


def taken_up():
    """
    Return whether Patroni on this host has heard of the present dynamic configuration: its own copy, in the data
    directory, is the same as in the DCS.

    Raises CommandExecutionError when there is no copy, and when Patroni does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.taken_up
    """
    return _copy() == __salt__["pgha_patroni.dynamic_config"]()


def loop():
    """
    Return the seconds between two loops of Patroni on this host: the declared ``loop_wait``, or the one of Patroni's
    own copy of the dynamic configuration when that is longer: Patroni works by that until it has heard of the other.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.loop
    """
    declared = __salt__["pgha.settings"]()["patroni"]["loop_wait"]
    try:
        copy = _copy()
    except CommandExecutionError:
        return declared
    noted = copy.get("loop_wait") if isinstance(copy, dict) else None
    # The user of PostgreSQL can write this file.
    return max(declared, noted) if type(noted) is int and noted <= LONGEST else declared


def unwritten(formulas=False):
    """
    Return the names of PostgreSQL's parameters that this host's server has not been given as the DCS has them, as a
    list: Patroni passes over what changes while its server starts.

    formulas
        True: only parameters that the formula has put there.

    Raises CommandExecutionError when Patroni on this host does not answer, and when its configuration is damaged.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.unwritten
    """
    settings = __salt__["pgha.settings"]()
    own = _own(f"{settings['patroni']['config_dir']}/patroni.yml")
    # A person may have put it elsewhere (patroni:config).
    place = own.get("config_dir") or settings["postgres"]["data_dir"]
    text = pghalib.host.files.read_foreign(f"{place}/postgresql.conf")
    if text is None:
        return []
    live = __salt__["pgha_patroni.dynamic_config"]()
    return pghalib.patroni.dynamic.unwritten(live, text, own.get("parameters") or {}, formulas)


def faults():
    """
    Return what is wrong with the parameters of this host's server, as sentences.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.faults
    """
    if __salt__["pgha.settings"]()["role"] != "db":
        return []
    # Another check names a Patroni or a server that does not run; what was changed just now comes with the next loop.
    if (__salt__["pgha_patroni.member"]() or {}).get("state") != "running" or not taken_up():
        return []
    names = unwritten()
    if not names:
        return []
    return [f"PostgreSQL here has not been given {', '.join(names)} as the DCS has it: systemctl reload patroni"]


def _own(path):
    """What Patroni's own configuration has for PostgreSQL."""
    try:
        found = pghalib.parse.from_yaml(Path(path).read_bytes()) or {}
    except ValueError as error:
        raise CommandExecutionError(f"{path} is no YAML ({error}): the main job writes it anew")
    own = found.get("postgresql", {}) if isinstance(found, dict) else None
    if not isinstance(own, dict):
        raise CommandExecutionError(f"{path} is no mapping: the main job writes it anew")
    return own


def _copy():
    """Patroni's own copy of the dynamic configuration."""
    path = f"{__salt__['pgha.settings']()['postgres']['data_dir']}/patroni.dynamic.json"
    noted = pghalib.host.files.read_foreign(path)
    if noted is None:
        raise CommandExecutionError(f"{path} is not there")
    try:
        return pghalib.parse.from_json(noted)
    except ValueError:
        raise CommandExecutionError(f"{path} is not JSON")


def _declared(live):
    settings = __salt__["pgha.settings"]()
    return pghalib.patroni.config.dynamic(settings, pghalib.postgres.settings.shared(settings["postgres"]), live)
