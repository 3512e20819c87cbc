"""
The secrets of all clusters, on the master: made and stored before anything uses them. Runs in the orchestration.
"""


def stored(name):
    """
    Every secret that the inventory needs is in the master's store; what is there is never made anew.

    name
        A sentence; nothing is read from it.

    .. code-block:: yaml

        Every secret is stored on the master:
          pgha_secrets.stored: []
    """
    pgha, defaults = __pillar__.get("pgha") or {}, __salt__["pgha.defaults"]()
    store = __utils__["pgha_store.directory"](__opts__)
    if __opts__["test"]:
        missing = __utils__["pgha_store.missing"](store, pgha) + __utils__["pgha_pki.missing"](store, pgha, defaults)
        comment = f"{len(missing)} secrets would be made." if missing else "All secrets are there."
    else:
        missing = __utils__["pgha_store.fill"](store, pgha) + __utils__["pgha_pki.fill"](store, pgha, defaults)
        comment = f"{len(missing)} secrets were made." if missing else "All secrets are there."
    changes = {secret: {"old": None, "new": "made" if not __opts__["test"] else "to be made"} for secret in missing}
    return {
        "name": name,
        "result": None if missing and __opts__["test"] else True,
        "changes": changes,
        "comment": comment,
    }
