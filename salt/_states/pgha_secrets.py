"""
States of the secrets: the master makes and stores them before they are used; a host notes which secrets it works with.
"""

import os

import pghalib.errors
import pghalib.host.files
import pghalib.host.passage
import pghalib.secrets.minted
import pghalib.secrets.served
import pghalib.secrets.store
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def stored(name):
    """
    Every secret that the inventory needs is in the master's store, and the store knows which minion has which role.
    Existing secrets are kept; only certificates that end soon are renewed.

    name
        State ID; not used.

    .. code-block:: yaml

        Every secret is stored on the master:
          pgha_secrets.stored: []
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "All secrets are there."}
    store, test = pghalib.secrets.store.directory(__opts__), __opts__["test"]
    try:
        pgha, _faults = __salt__["pgha_master.inventory"]()
        made = (pghalib.secrets.minted.missing if test else pghalib.secrets.minted.mint)(
            store, pgha, __salt__["pgha.defaults"]()
        )
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    if not made:
        return ret
    changes = {one: {"old": None, "new": "to be written" if test else "written"} for one in made}
    comment = f"{len(made)} entries of the store {'would be' if test else 'were'} written."
    return {**ret, "result": None if test else True, "changes": changes, "comment": comment}


@pghalib.errors.told
def settled(name, datacenters):
    """
    The store notes that the hosts of these datacenters have not refused its choice of TLS on or off.

    name
        State ID; not used.
    datacenters
        List of their names.
    """
    store, test = pghalib.secrets.store.directory(__opts__), __opts__["test"]
    news = pghalib.secrets.minted.settle(store, datacenters, test)
    if not news:
        return {"name": name, "result": True, "changes": {}, "comment": "Nothing is to be noted."}
    changes = {one: {"old": None, "new": "to be noted" if test else "noted"} for one in news}
    return {"name": name, "result": None if test else True, "changes": changes, "comment": ""}


@pghalib.errors.told
def in_use(name):
    """
    This host has noted fingerprints of the secrets that it works with. The next preflight compares them with the
    secrets in the master's store.

    name
        State ID; not used.

    .. code-block:: yaml

        This host works with the secrets of the master's store:
          pgha_secrets.in_use: []
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "The note of this host is as it should be."}
    if __opts__["test"] and not __pillar__.get(pghalib.secrets.served.KEY):
        return {**ret, "result": None, "comment": "The master has made no secrets yet; this would follow."}
    try:
        secrets = pghalib.secrets.served.own(__pillar__, __opts__)
        if not __opts__["test"]:
            pghalib.host.passage.made(os.path.dirname(pghalib.secrets.served.NOTE), test=False, top="/etc/pgha")
        done = pghalib.host.files.manage(
            pghalib.secrets.served.NOTE,
            pghalib.secrets.served.note(__salt__["pgha.settings"](), secrets),
            user="root",
            group="root",
            mode="0600",
            test=__opts__["test"],
        )
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    if done["changes"]:
        done["changes"] = {
            pghalib.secrets.served.NOTE: {"old": "other fingerprints", "new": "those of the master's store"}
        }
    return {"name": name, **done}
