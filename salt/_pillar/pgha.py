"""
External pillar: hands each minion id its own secrets and no others, under the key ``pgha_secrets``.

In the master's configuration:

.. code-block:: yaml

    ext_pillar:
      - pgha: true

Who a minion is, is decided by its id, which the master has authenticated, and by the index that the master itself keeps
with the secrets. The pillar that this function is handed is never read: Salt renders it on top of what the minion sent
along (``pillar_override``), so it may be the minion's word. No grain takes part either.

A store that cannot be read is said in the master's log, and nobody is served: other minions of the same master, which
have nothing to do with it, keep their pillar. The main job names it in its first stage.
"""

import logging

import pghalib.secrets.minted
import pghalib.secrets.store
from salt.exceptions import CommandExecutionError

log = logging.getLogger(__name__)


def ext_pillar(minion_id, _pillar, *_args, **_kwargs):
    """
    Return ``{"pgha_secrets": …}`` for a host of the index, else nothing.

    minion_id
        The authenticated id.
    """
    try:
        own = pghalib.secrets.minted.of_minion(pghalib.secrets.store.directory(__opts__), minion_id)
    except CommandExecutionError as error:
        log.error("pgha serves no secrets to %s: %s", minion_id, error)
        return {}
    return {"pgha_secrets": own} if own else {}
