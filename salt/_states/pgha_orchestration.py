"""
States around an orchestration, on the master: it runs alone, on a valid pillar, and ends with a summary of failures.
"""

import pghalib.master.alone
import pghalib.master.outcome
import pghalib.secrets.store
import pghalib.states
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def alone(ret, work=""):
    """
    No other orchestration runs on this master until this process and its child processes have ended.

    name
        State ID; not used.
    work
        What this one does, such as ``the restore of test``: whom the lock keeps out is told that.

    The kernel keeps the lock (flock) and releases it when its holder ends, in whatever way. A dry run takes it too.
    """
    pghalib.master.alone.lock(pghalib.secrets.store.directory(__opts__), work=work)
    return "No other orchestration runs."


@pghalib.states.state
def possible(ret, refused=()):
    """
    No fault prevents the run.

    name
        State ID; not used.
    refused
        The faults because of which the run must not begin, as lines: ``refused`` of ``pgha_master.plan``.
    """
    if not refused:
        return "Nothing speaks against the run."
    raise CommandExecutionError("\n".join(["Nothing was touched, because of:", *(f"  - {fault}" for fault in refused)]))


# No decorator: Salt sets __running__ in the module of the function that it finds.
def summarised(name):
    """
    All failures are listed in one place: host, state, reason, and where to look. This state fails, because the run has
    failed.

    name
        State ID; not used.

    .. code-block:: yaml

        What failed, and where to look:
          pgha_orchestration.summarised:
            - onfail: …
    """
    lines = pghalib.master.outcome.failures(__running__)  # noqa: F821 - Salt sets it
    comment = "\n".join(lines) or "Nothing has failed."
    return {"name": name, "result": not lines, "changes": {}, "comment": comment}
