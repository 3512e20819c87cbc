"""
What the first server of the inventory sees to for its whole datacenter, beside the ACLs.
"""

import pghalib.errors
import pghalib.wait
from salt.exceptions import CommandExecutionError

# Seconds that autopilot's configuration may be another's to change, or be without a leader.
PATIENCE = 10


@pghalib.errors.told
def autopilot_configured(name):
    """
    Consul's autopilot works with the configured settings, such as the number of servers below which none is taken out.
    It reads them from its configuration only when the datacenter is new, so on a living one the API sets them.

    The first server of the inventory does it; on the others there is nothing to do.

    name
        A sentence.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It is as configured."}
    try:
        if not __salt__["pgha_consul_acl.registrar"]():
            return {**ret, "comment": "The first server of the inventory sees to it."}
        if __opts__["test"]:
            ret["changes"] = __salt__["pgha_consul_registrar.autopilot_differences"]()
            return {**ret, "result": None, "comment": "It would be changed."} if ret["changes"] else ret
        apply = __salt__["pgha_consul_registrar.autopilot_apply"]
        # In a tuple, as no change is a good answer.
        ret["changes"] = pghalib.wait.until(lambda: (apply(),), PATIENCE, "autopilot's configuration is taken")[0]
    except CommandExecutionError as error:
        if __opts__["test"]:
            return {**ret, "result": None, "comment": f"It would be compared, once Consul answers: {error}"}
        return {**ret, "result": False, "comment": str(error)}
    return {**ret, "comment": "It was changed."} if ret["changes"] else ret
