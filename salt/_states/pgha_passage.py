"""
Directories on the way to files that a service reads.
"""

import pghalib.host.passage
import pghalib.states


@pghalib.states.state
def made(ret, paths):
    """
    The directories exist, and the services' users can pass through them and all directories above them. A missing
    directory is made for root with the mode 0755, and a directory that only root could pass is opened. All others, such
    as a mount point, keep their owner and mode.

    name
        State ID; not used.
    paths
        Absolute paths of the directories.
    """
    for path in paths:
        ret.changes.update(pghalib.host.passage.made(path, test=ret.test))
    if not ret.changes:
        return "The directories are there."
    return f"The directories {'would be' if ret.test else 'were'} made or opened."
