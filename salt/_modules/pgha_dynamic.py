"""
The dynamic configuration of this host's cluster: the declared entries, and other entries in the DCS.
"""

import pghalib.patroni.config
import pghalib.patroni.dynamic
import pghalib.postgres.settings


def declared():
    """
    Return the dynamic configuration from the pillar and the formula's defaults, with the note of the declared names.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_dynamic.declared
    """
    return _declared(None)


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


def _declared(live):
    settings = __salt__["pgha.settings"]()
    return pghalib.patroni.config.dynamic(settings, pghalib.postgres.settings.shared(settings["postgres"]), live)
