"""
The names of the cluster's hosts in ``/etc/hosts``, as a state.
"""

import pghalib.host.files
import pghalib.states


@pghalib.states.state
def present(ret):
    """
    The names that this host must know (``pgha_hosts.entries``) are in the file, with the addresses of the pillar.

    name
        The hosts file.

    Fails, and leaves the file alone, when a line outside the formula's block gives one of the names another address. A
    loopback line with one of the names becomes a comment (see the execution module ``pgha_hosts``).
    """
    return _managed(ret, "pgha_hosts.rendered")


@pghalib.states.state
def absent(ret):
    """
    The file has no block of the formula, and its loopback lines are restored.

    name
        The hosts file.
    """
    return _managed(ret, "pgha_hosts.cleaned")


def _managed(ret, function):
    wanted = __salt__[function](ret.name)
    done = pghalib.host.files.manage(
        wanted["path"],
        wanted["new"],
        user=wanted["user"],
        group=wanted["group"],
        mode=wanted["mode"],
        test=ret.test,
        check=lambda draft: __salt__["pgha_hosts.fault"](draft, ret.name),
    )
    ret.say(ret.add(done))
    return "; ".join(wanted["warnings"])
