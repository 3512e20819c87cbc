"""
States of a member's data: checked before anything is made, and noted when the member serves.
"""

import os

import pghalib.errors
import pghalib.host.files
import pghalib.postgres.member_note
import pghalib.wait
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def data_kept(name):
    """
    The data that this host had are still there, or it never had data. Otherwise the state fails, and nothing is made in
    their place. When ``pgha:new_data`` names this host, the note of lost data is removed, and Patroni makes a new copy.

    name
        State ID; not used.

    .. code-block:: yaml

        The data of this member are not missing:
          pgha_member.data_kept: []
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "They are where they were, or there were none."}
    try:
        found = __salt__["pgha_member.verdict"]()
        if found["faults"]:
            return {**ret, "result": False, "comment": "; ".join(found["faults"])}
        if not found["allowed"]:
            return {**ret, "comment": "; ".join(found["warnings"]) or ret["comment"]}
        pghalib.host.files.remove(pghalib.postgres.member_note.NOTE, test=__opts__["test"])
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    changes = {"data of this member": {"old": "noted", "new": "lost, by pgha:new_data"}}
    return {**ret, "result": None if __opts__["test"] else True, "changes": changes, "comment": "It gets a new copy."}


@pghalib.errors.told
def noted(name, timeout):
    """
    This host has noted that it has data of its cluster, and where. The next run looks for them before it makes
    anything.

    name
        State ID; not used.
    timeout
        Seconds to wait until Patroni tells which data it has. A new leader serves before it does: Patroni tells the
        system identifier when the bootstrap is over, and the bootstrap also makes the roles.

    .. code-block:: yaml

        This member has noted where its data are:
          pgha_member.noted:
            - timeout: 300
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": ""}
    test = __opts__["test"]
    try:
        if test and __salt__["pgha_member.note"]() is None:
            return {**ret, "result": None, "comment": "The note would be written when Patroni tells which data it has."}
        told = "Patroni tells which data it has"
        text = pghalib.wait.until(__salt__["pgha_member.note"], 0 if test else timeout, told)
        if not test:
            os.makedirs(os.path.dirname(pghalib.postgres.member_note.NOTE), mode=0o755, exist_ok=True)
        done = pghalib.host.files.manage(
            pghalib.postgres.member_note.NOTE, text, user="root", group="root", mode="0600", test=test
        )
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    return {"name": name, **done}
