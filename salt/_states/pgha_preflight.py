"""
The preflight as a state.
"""

import pghalib.errors
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def passed(name):
    """
    This host can take the role that the pillar gives it; all faults are named at once.

    name
        State ID; not used.

    The state changes nothing, so test mode makes no difference. All hosts must run it in one job, because they try to
    reach each other.
    """
    try:
        found = __salt__["pgha_preflight.check"]()
    except CommandExecutionError as error:
        return {"name": name, "result": False, "changes": {}, "comment": str(error)}
    faults = [f"fault: {text}" for text in found["faults"]]
    warnings = [f"warning: {text}" for text in found["warnings"]]
    comment = "\n".join([*faults, *warnings]) or "Nothing stands in the way."
    return {"name": name, "result": not faults, "changes": {}, "comment": comment}
