"""
External pillar: hands each minion id its own secrets and no others, under the key ``pgha_secrets``.

In the master's configuration:

.. code-block:: yaml

    ext_pillar:
      - pgha: true

Who a minion is, is decided by its id, which the master has authenticated, and by the inventory in the pillar that the
master compiled for that id. No grain takes part.
"""


def ext_pillar(minion_id, pillar, *_args, **_kwargs):
    """
    Return ``{"pgha_secrets": …}`` for a host of the inventory, else nothing.

    minion_id
        The authenticated id.
    pillar
        What the pillar roots gave for it.

    Raises CommandExecutionError when the store cannot be read.
    """
    pgha = pillar.get("pgha")
    if not isinstance(pgha, dict):
        return {}
    store = __utils__["pgha_store.directory"](__opts__)
    own = __utils__["pgha_store.of_minion"](store, pgha, minion_id)
    tls = __utils__["pgha_pki.of_minion"](store, pgha, minion_id) if own else None
    if tls:
        own["tls"] = tls
    return {"pgha_secrets": own} if own else {}
