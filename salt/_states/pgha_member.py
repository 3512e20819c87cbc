"""
States of a member's data: checked before anything is made, and noted when the member serves.
"""

import os

import pghalib.errors
import pghalib.host.files
import pghalib.postgres.member_note
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
def noted(name):
    """
    This host has noted that it has data of its cluster, and where. The next run looks for them before it makes
    anything.

    name
        State ID; not used.

    .. code-block:: yaml

        This member has noted where its data are:
          pgha_member.noted: []
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": ""}
    try:
        text = __salt__["pgha_member.note"]()
        if text is None:
            comment = "Patroni does not tell which data it has; the next run notes it."
            return {**ret, "result": None if __opts__["test"] else True, "comment": comment}
        if not __opts__["test"]:
            os.makedirs(os.path.dirname(pghalib.postgres.member_note.NOTE), mode=0o755, exist_ok=True)
        done = pghalib.host.files.manage(
            pghalib.postgres.member_note.NOTE, text, user="root", group="root", mode="0600", test=__opts__["test"]
        )
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    return {"name": name, **done}
