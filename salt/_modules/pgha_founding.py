"""
The founding of a cluster: when this host must not found it, and the founding with the newest backup
(``pgha:from_backup``), for when all of its data are lost.
"""

import pghalib.backup.recovering
import pghalib.host.files
import pghalib.patroni.founding
import pghalib.postgres.member_note
import pghalib.run
from salt.exceptions import CommandExecutionError


def founding_state():
    """
    Return how a founding from a backup stands on this host: ``wanted`` (this run does it for the host's cluster),
    ``led`` (a member leads the cluster; False where Consul does not answer), ``begun`` (this host restores for it) and
    ``empty`` (this host has no data).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_founding.founding_state
    """
    settings = _settings()
    cluster = settings["cluster"]["name"] if settings["role"] == "db" else None
    if cluster is None or cluster not in pghalib.run.listed(__pillar__, "from_backup"):
        return {"wanted": False, "led": False, "begun": False, "empty": False}
    try:
        led = bool(__salt__["pgha_patroni.dcs"]()["leader"])
    except CommandExecutionError:
        # Consul is lost as well, and not here yet.
        led = False
    # Once this host has been a member its note of the founding is old: a run that failed later has left it.
    member = pghalib.host.files.read_foreign(pghalib.postgres.member_note.NOTE, 65536) is not None
    begun = not member and __salt__["pgha_restore.note"]().get("id") == pghalib.backup.recovering.FOUNDING
    return {"wanted": True, "led": led, "begun": begun, "empty": __salt__["pgha_postgres.data_directory"]()["empty"]}


def faults():
    """
    Return why the cluster of this host must not be founded from a backup, as sentences: there are data of it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_founding.faults
    """
    found = founding_state()
    if not found["wanted"] or found["led"] or found["begun"] or found["empty"]:
        return []
    settings = _settings()
    return [pghalib.backup.recovering.not_lost(settings["postgres"]["data_dir"], settings["cluster"]["name"])]


def elsewhere():
    """
    Return the other members that have data of this host's cluster while this host has none, as ``{name: system
    identifier}`` (``unknown`` where Patroni cannot be understood). Then this host must not found the cluster, even if
    Consul knows nothing of it. {} when this host has data: they are not asked.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_founding.elsewhere
    """
    if not __salt__["pgha_postgres.data_directory"]()["empty"]:
        return {}
    return pghalib.patroni.founding.others(_settings())


def _settings():
    return __salt__["pgha.settings"]()
