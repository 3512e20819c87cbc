"""
States of the first server of the inventory for its whole datacenter, besides the ACLs.
"""

import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError

# Seconds to try again while somebody else changes autopilot's configuration, or Consul has no leader.
PATIENCE = 10


@pghalib.states.state
def autopilot_configured(ret):
    """
    Consul's autopilot has the configured settings, such as the minimum number of servers. Consul reads them from its
    configuration file only in a new datacenter; in a running datacenter the API sets them.

    The first server of the inventory does this; on the other servers there is nothing to do.

    name
        State ID; not used.
    """
    if not __salt__["pgha_consul_acl.registrar"]():
        return "The first server of the inventory sees to autopilot's configuration."
    if not ret.plan(_differences() if ret.test else _applied()):
        return "Autopilot's configuration is as it should be."
    return f"Autopilot's configuration {'would be' if ret.test else 'was'} changed."


def _differences():
    """What a run would change, in a dry run. Before the first run there is no Consul to ask."""
    try:
        return __salt__["pgha_consul_registrar.autopilot_differences"]()
    except CommandExecutionError as error:
        later = f"Autopilot's configuration would be compared, once Consul answers: {error}"
        raise pghalib.states.Later(later) from None


def _applied():
    """What was changed. It is tried again for a while."""
    apply = __salt__["pgha_consul_registrar.autopilot_apply"]
    # In a tuple, because "no change" is a good answer and must not count as false.
    return pghalib.wait.until(lambda: (apply(),), PATIENCE, "autopilot's configuration is taken")[0]
