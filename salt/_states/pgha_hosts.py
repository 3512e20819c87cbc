"""
The names of the cluster's hosts in ``/etc/hosts``, as a state.
"""

import pghalib.errors
import pghalib.host.files
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def present(name="/etc/hosts"):
    """
    The names of all hosts of the datacenter and of its virtual IPs are in the file, with the addresses of the pillar.

    name
        The hosts file.

    Fails, and leaves the file alone, when a line outside the formula's block gives one of the names another address. A
    loopback line with one of the names becomes a comment (see the execution module ``pgha_hosts``).
    """
    return _managed(name, "pgha_hosts.rendered")


@pghalib.errors.told
def absent(name="/etc/hosts"):
    """
    The file has no block of the formula, and its loopback lines are restored.

    name
        The hosts file.
    """
    return _managed(name, "pgha_hosts.cleaned")


def _managed(name, function):
    try:
        wanted = __salt__[function](name)
        ret = pghalib.host.files.manage(
            wanted["path"],
            wanted["new"],
            user=wanted["user"],
            group=wanted["group"],
            mode=wanted["mode"],
            test=__opts__["test"],
            check=lambda draft: __salt__["pgha_hosts.fault"](draft, name),
        )
    except CommandExecutionError as error:
        return {"name": name, "result": False, "changes": {}, "comment": str(error)}
    return {"name": name, **ret, "comment": " ".join([ret["comment"], *wanted["warnings"]])}
