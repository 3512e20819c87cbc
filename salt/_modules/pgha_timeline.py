"""
The timeline of the data on this host. Each restore and each promotion begins a new one.
"""

import os

import pghalib.host.users
import pghalib.postgres.settings


def now():
    """
    Return the timeline of the data directory as ``[number, when it began]``, in seconds since 1970 (0: not known, as of
    the first timeline). None when there are no data that tell one.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_timeline.now
    """
    postgres = __salt__["pgha.settings"]()["postgres"]
    path = postgres["data_dir"]
    words = [f"{postgres['bin_dir']}/pg_controldata", "-D", path]
    told = pghalib.host.users.run(__salt__["cmd.run_all"], postgres["user"], words)
    number = pghalib.postgres.settings.timeline(pghalib.postgres.settings.control_data(told["stdout"]))
    if number is None:
        return None
    try:
        # The member that was promoted has written this file, and nothing changes it there later: copies of one cluster
        # may have the same number again, but not the same moment. Each replica writes its own file when it follows.
        began = int(os.lstat(f"{path}/pg_wal/{number:08X}.history").st_mtime)
    except OSError:
        began = 0
    return [number, began]
