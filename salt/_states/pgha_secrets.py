"""
States of the secrets: the master makes and stores them before they are used; a host notes which secrets it works with.
"""

import os

import pghalib.host.files
import pghalib.host.passage
import pghalib.master.compiled
import pghalib.secrets.anew
import pghalib.secrets.minted
import pghalib.secrets.served
import pghalib.secrets.store
import pghalib.states


@pghalib.states.state
def stored(ret):
    """
    Every secret that the inventory needs is in the master's store, and the store knows which minion has which role.
    Existing secrets are kept; only certificates that end soon are renewed, and keys of repositories follow the pillar.

    name
        State ID; not used.

    .. code-block:: yaml

        Every secret is stored on the master:
          pgha_secrets.stored: []
    """
    store = pghalib.secrets.store.directory(__opts__)
    defaults = __salt__["pgha.defaults"]()
    pgha, _faults = pghalib.master.compiled.inventory(__opts__, __pillar__, defaults)
    entries = pghalib.secrets.minted.missing if ret.test else pghalib.secrets.minted.mint
    made = entries(store, pgha, defaults)
    ret.say(*pghalib.secrets.anew.idle(pgha, made))
    if not made:
        return "All secrets are there."
    ret.changes = {one: {"old": None, "new": "to be written" if ret.test else "written"} for one in made}
    return f"{len(made)} entries of the store {'would be' if ret.test else 'were'} written."


@pghalib.states.state
def settled(ret, datacenters):
    """
    The store notes that the hosts of these datacenters have not refused its choice of TLS on or off.

    name
        State ID; not used.
    datacenters
        List of their names.
    """
    news = pghalib.secrets.minted.settle(pghalib.secrets.store.directory(__opts__), datacenters, ret.test)
    if not news:
        return "Nothing is to be noted about TLS."
    ret.changes = {one: {"old": None, "new": "to be noted" if ret.test else "noted"} for one in news}
    noted = "would note" if ret.test else "has noted"
    return f"The store {noted} that no host of {', '.join(news)} has refused its choice of TLS on or off."


@pghalib.states.state
def in_use(ret):
    """
    This host has noted fingerprints of the secrets that it works with. The next preflight compares them with the
    secrets in the master's store.

    name
        State ID; not used.

    .. code-block:: yaml

        This host works with the secrets of the master's store:
          pgha_secrets.in_use: []
    """
    secrets = pghalib.secrets.served.own(__pillar__, __opts__)
    if not ret.test:
        pghalib.host.passage.made(os.path.dirname(pghalib.secrets.served.NOTE), test=False, top="/etc/pgha")
    done = pghalib.host.files.manage(
        pghalib.secrets.served.NOTE,
        pghalib.secrets.served.note(__salt__["pgha.settings"](), secrets),
        user="root",
        group="root",
        mode="0600",
        test=ret.test,
    )
    if done["changes"]:
        done["changes"] = {
            pghalib.secrets.served.NOTE: {"old": "other fingerprints", "new": "those of the master's store"}
        }
    return ret.add(done)
