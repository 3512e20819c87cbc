"""
States of the system's packages.
"""

import pghalib.host.packages
import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError

COMMAND = ("dpkg", "--force-confdef", "--force-confold", "--configure", "-a")
# Seconds to wait for another dpkg, such as that of a nightly update.
PATIENCE = 120


@pghalib.states.state
def settled(ret):
    """
    No installation of packages was cut off, as by a loss of power. After that, apt installs nothing until
    ``dpkg --configure -a`` has finished the installation. Files that a person has changed stay as they are.

    name
        State ID; not used.

    .. code-block:: yaml

        No installation of packages was cut off:
          pgha_packages.settled:
            - order: first
    """
    if not pghalib.host.packages.cut_off():
        return "No installation was cut off."
    ret.plan({"packages": {"old": "installed in part", "new": "configured"}})
    if ret.test:
        return "dpkg would finish the installation that was cut off."
    pghalib.wait.until(_configured, PATIENCE, "dpkg has finished the installation that was cut off", 1)
    return "dpkg has finished the installation that was cut off."


def _configured():
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    result = __salt__["cmd.run_all"](COMMAND, python_shell=False, ignore_retcode=True, env=environment)
    if result["retcode"]:
        raise CommandExecutionError((result["stderr"] or result["stdout"]).strip()[-500:])
    return not pghalib.host.packages.cut_off()
