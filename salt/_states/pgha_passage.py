"""
Directories on the way to files that a service reads.
"""

import pghalib.errors
import pghalib.host.passage
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def made(name, paths):
    """
    The directories exist, and the services' users can pass through them and all directories above them. A missing
    directory is made for root with the mode 0755, and a directory that only root could pass is opened. All others, such
    as a mount point, keep their owner and mode.

    name
        State ID; not used.
    paths
        Absolute paths of the directories.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "They are there."}
    try:
        for path in paths:
            ret["changes"].update(pghalib.host.passage.made(path, test=__opts__["test"]))
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    if ret["changes"]:
        ret["comment"] = "They would be made or opened." if __opts__["test"] else "They were made or opened."
        ret["result"] = None if __opts__["test"] else True
    return ret
