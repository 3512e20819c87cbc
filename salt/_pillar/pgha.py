"""
External pillar: gives each minion id its own secrets and no others, under the key ``pgha_secrets``.

In the master's configuration:

.. code-block:: yaml

    ext_pillar:
      - pgha: true

The minion id, which the master has authenticated, and the master's own index of the secrets decide which secrets a
minion gets. The pillar argument of this function is never read: Salt merges it with data that the minion sent
(``pillar_override``), so a minion could forge it. Grains are not read either.

When the store cannot be read, the master's log says so, and no minion gets secrets. This is no error of the pillar:
minions that have nothing to do with the formula keep their pillar. The main job reports the fault in its first stage.
"""

import logging

import pghalib.secrets.minted
import pghalib.secrets.store
from salt.exceptions import CommandExecutionError

log = logging.getLogger(__name__)


def ext_pillar(minion_id, _pillar, *_args, **_kwargs):
    """
    Return ``{"pgha_secrets": …}`` for a host in the index, else ``{}``.

    minion_id
        The authenticated minion id.
    """
    try:
        own = pghalib.secrets.minted.of_minion(pghalib.secrets.store.directory(__opts__), minion_id)
    except CommandExecutionError as error:
        log.error("pgha serves no secrets to %s: %s", minion_id, error)
        return {}
    return {"pgha_secrets": own} if own else {}
