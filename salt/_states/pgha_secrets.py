"""
The secrets of all clusters: on the master made and stored before anything uses them, on a host noted as those in use.
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
    Every secret that the inventory needs is in the master's store, and the store knows who is who; what is there is
    never made anew.

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
    The store knows that the hosts of datacenters have not refused to be encrypted, or not, as the inventory has it.

    name
        State ID; not used.
    datacenters
        Their names, a list.
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
    This host has noted which secrets of the master's store it works with, as fingerprints: the next preflight compares.

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
