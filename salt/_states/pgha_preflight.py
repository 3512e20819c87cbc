"""
The preflight as a state.
"""

import pghalib.secrets.served
import pghalib.states
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def passed(ret):
    """
    This host can take the role that the pillar gives it; all faults are named at once.

    name
        State ID; not used.

    The state changes nothing, so test mode makes no difference. All hosts must run it in one job, because they try to
    reach each other.
    """
    try:
        found = __salt__["pgha_preflight.check"]()
    except pghalib.secrets.served.Unserved as error:
        # A host that has noted its secrets is not in its first dry run: it lacks them.
        raise CommandExecutionError(str(error))
    faults = [f"fault: {text}" for text in found["faults"]]
    comment = "\n".join([*faults, *(f"warning: {text}" for text in found["warnings"])])
    if faults:
        raise CommandExecutionError(comment)
    return comment or "Nothing stands in the way of this host's role."
