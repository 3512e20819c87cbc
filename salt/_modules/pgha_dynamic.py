"""
The dynamic configuration of this host's cluster: what is declared, and what is in the DCS beside it.
"""

import pghalib.patroni.config
import pghalib.patroni.dynamic
import pghalib.postgres.settings


def declared():
    """
    Return the dynamic configuration that the pillar and the formula's defaults make, with the note of its names.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.declared
    """
    settings = __salt__["pgha.settings"]()
    return pghalib.patroni.config.dynamic(settings, pghalib.postgres.settings.shared(settings["postgres"]))


def undeclared():
    """
    Return what is in the DCS by another hand than the formula's (``patronictl edit-config``, say), as a list of names
    such as ``postgresql.parameters.work_mem``. The formula leaves it alone.

    Raises CommandExecutionError when Patroni on this host does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.undeclared
    """
    return pghalib.patroni.dynamic.undeclared(declared(), __salt__["pgha_patroni.dynamic_config"]())
