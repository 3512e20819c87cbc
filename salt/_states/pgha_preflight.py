"""
The preflight as a state.
"""

import pghalib.errors
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def passed(name):
    """
    Nothing stands in the way of this host becoming what the pillar says; every fault is named at once.

    name
        State ID; not used.

    It changes nothing, so it is the same in test mode. All hosts must run it in one job, as they try to reach each
    other.
    """
    try:
        found = __salt__["pgha_preflight.check"]()
    except CommandExecutionError as error:
        return {"name": name, "result": False, "changes": {}, "comment": str(error)}
    faults = [f"fault: {text}" for text in found["faults"]]
    warnings = [f"warning: {text}" for text in found["warnings"]]
    comment = "\n".join([*faults, *warnings]) or "Nothing stands in the way."
    return {"name": name, "result": not faults, "changes": {}, "comment": comment}
