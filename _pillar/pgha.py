"""
External pillar: hands each minion id its own secrets and no others, under the key ``pgha_secrets``.

In the master's configuration:

.. code-block:: yaml

    ext_pillar:
      - pgha: true

Who a minion is, is decided by its id, which the master has authenticated, and by the index that the master itself keeps
with the secrets. The pillar that this function is handed is never read: Salt renders it on top of what the minion sent
along (``pillar_override``), so it may be the minion's word. No grain takes part either.
"""


def ext_pillar(minion_id, _pillar, *_args, **_kwargs):
    """
    Return ``{"pgha_secrets": …}`` for a host of the index, else nothing.

    minion_id
        The authenticated id.

    Raises CommandExecutionError when the store cannot be read.
    """
    own = __utils__["pgha_secrets.of_minion"](__utils__["pgha_store.directory"](__opts__), minion_id)
    return {"pgha_secrets": own} if own else {}
