"""
States of the first server of the inventory for its whole datacenter, besides the ACLs.
"""

import pghalib.errors
import pghalib.wait
from salt.exceptions import CommandExecutionError

# Seconds to try again while somebody else changes autopilot's configuration, or Consul has no leader.
PATIENCE = 10


@pghalib.errors.told
def autopilot_configured(name):
    """
    Consul's autopilot has the configured settings, such as the minimum number of servers. Consul reads them from its
    configuration file only in a new datacenter; in a running datacenter the API sets them.

    The first server of the inventory does this; on the other servers there is nothing to do.

    name
        State ID; not used.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It is as configured."}
    try:
        if not __salt__["pgha_consul_acl.registrar"]():
            return {**ret, "comment": "The first server of the inventory sees to it."}
        if __opts__["test"]:
            ret["changes"] = __salt__["pgha_consul_registrar.autopilot_differences"]()
            return {**ret, "result": None, "comment": "It would be changed."} if ret["changes"] else ret
        apply = __salt__["pgha_consul_registrar.autopilot_apply"]
        # In a tuple, because "no change" is a good answer and must not count as false.
        ret["changes"] = pghalib.wait.until(lambda: (apply(),), PATIENCE, "autopilot's configuration is taken")[0]
    except CommandExecutionError as error:
        if __opts__["test"]:
            return {**ret, "result": None, "comment": f"It would be compared, once Consul answers: {error}"}
        return {**ret, "result": False, "comment": str(error)}
    return {**ret, "comment": "It was changed."} if ret["changes"] else ret
