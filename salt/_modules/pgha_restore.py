"""
A restore on this host: what speaks against it, and the server that recovers before Patroni is told.
"""

import pghalib.backup.recovering
import pghalib.backup.target
import pghalib.consul.client
import pghalib.consul.config
import pghalib.host.files
import pghalib.host.users
import pghalib.parse
import pghalib.patroni.member
import pghalib.postgres.asked
import pghalib.postgres.member_note
import pghalib.secrets.served
import pghalib.services.shown
import pghalib.services.transient
from salt.exceptions import CommandExecutionError

UNIT, SOCKET = pghalib.backup.recovering.UNIT, pghalib.backup.recovering.SOCKET
#: Keys of Patroni that tell of the time before: who led, how far, with whom.
KEYS = ("leader", "status", "optime/leader", "history", "failsafe", "sync", "failover")


def conditions():
    """
    Return what the master wants to know before a restore, see ``pghalib.master.conditions.Conditions``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.conditions
    """
    told, fault = {"backups": [], "repositories": []}, None
    try:
        told = __salt__["pgha_backup.told"]()
    except CommandExecutionError as error:
        fault = str(error)
    ends = [one["stop"] for one in told["backups"]]
    member = __salt__["pgha_patroni.member"]() or {}
    return {
        "leads": pghalib.patroni.member.writes(member),
        "restores": pghalib.backup.recovering.put_aside_for(note()),
        "member": pghalib.host.files.read_foreign(pghalib.postgres.member_note.NOTE, 65536) is not None,
        "paused": bool(member.get("pause")),
        **pghalib.backup.recovering.space(_settings()["postgres"]["data_dir"]),
        "kept": __salt__["pgha_kept.positions"](),
        "timeline": __salt__["pgha_timeline.now"](),
        "backups": [[one["stop"], one["size"]] for one in told["backups"]],
        "first": min(ends, default=None),
        "newest": max(ends, default=None),
        "fault": fault or next((one["fault"] for one in told["repositories"] if one["fault"] and not ends), None),
    }


def wal_switched():
    """
    End the file of WAL that is written now, on the leader, and return its name. A transaction is committed before, so
    that a recovery to any moment up to now finds its end.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.wal_switched
    """
    postgres, run_all = _settings()["postgres"], __salt__["cmd.run_all"]
    # In transactions of their own: the file ends after the commit.
    pghalib.postgres.asked.sql(run_all, postgres, "SELECT pg_logical_emit_message(true, 'pgha', 'restore')")
    return pghalib.postgres.asked.sql(run_all, postgres, "SELECT pg_walfile_name(pg_switch_wal())").strip()


def archived(wal):
    """
    Return whether a file of WAL, or a later one, is in the archive.

    wal
        Its name.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.archived 000000010000000000000007
    """
    statement = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
    last = pghalib.postgres.asked.sql(__salt__["cmd.run_all"], _settings()["postgres"], statement)
    return last[8:24] >= wal[8:24]


def fetched(target, source=None):
    """
    Fetch the data of a backup into the data directory, which must be there, and note where their recovery ends. Files
    that are there and equal are kept, so an interrupted fetch is gone on with.

    target
        As ``pghalib.backup.target.parsed`` returns it.
    source
        The name of another cluster, whose backups are copied to this host: that archives nothing then.

    Raises CommandExecutionError with pgBackRest's own words when it fails.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.fetched '{"type": "default", "value": null}'
    """
    path = _settings()["postgres"]["data_dir"]
    if __salt__["pgha_postgres.data_directory"]()["running"]:
        raise CommandExecutionError(f"a server has {path} open: what is it?")
    # What a server that was killed has left: pgBackRest takes it for a running one.
    _as_user(["rm", "-f", f"{path}/postmaster.pid"])
    words = ["--delta", *pghalib.backup.target.options(target), *(["--archive-mode=off"] if source else []), "restore"]
    __salt__["pgha_backup.run"](*words, timeout=pghalib.backup.recovering.FETCHED, stanza=source)


def start(copy=False):
    """
    Start the server that recovers: apart from Patroni, without a network. It goes on whatever becomes of the caller.
    Raises CommandExecutionError when systemd does not start the server.

    copy
        True: the data are another cluster's, whose hosts may have more memory and have them in another place.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.start
    """
    postgres = _settings()["postgres"]
    properties = {"User": postgres["user"], "Group": postgres["group"], "KillSignal": "SIGINT", "TimeoutStopSec": "600",
                  "RuntimeDirectory": UNIT, "RuntimeDirectoryMode": "0700", "LimitNOFILE": "65536"}  # fmt: skip
    parameters = pghalib.backup.recovering.parameters(postgres["data_dir"], copy)
    words = [f"{postgres['bin_dir']}/postgres", "-D", postgres["data_dir"],
             *(word for key, value in parameters.items() for word in ("-c", f"{key}={value}"))]  # fmt: skip
    pghalib.services.transient.start(__salt__["cmd.run_all"], UNIT, words, properties)


def recovering():
    """
    Return whether the server that recovers is still at it: True, or False when it takes writes.

    Raises SaltException with its last words when it has ended, and CommandExecutionError while it does not answer yet.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.recovering
    """
    if not running():
        said = "; ".join(__salt__["pgha_parameters.last_words"]()) or f"see journalctl -u {UNIT} and PostgreSQL's log"
        raise pghalib.backup.recovering.ended(said)
    own = {**_settings()["postgres"], "socket_dir": SOCKET}
    return pghalib.postgres.asked.sql(__salt__["cmd.run_all"], own, "SELECT pg_is_in_recovery()").strip() == "t"


def running():
    """
    Return whether the server that recovers runs; one that is being stopped does not.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.running
    """
    return pghalib.services.shown.starts(__salt__["service.show"](f"{UNIT}.service"))


def halt():
    """
    End the server that recovers, if one runs. Returns None.

    Raises CommandExecutionError when it does not end.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.halt
    """
    pghalib.services.transient.stop(__salt__["cmd.run_all"], UNIT)
    if not pghalib.services.shown.ended(__salt__["service.show"](f"{UNIT}.service")):
        raise CommandExecutionError(f"the server that recovers does not stop: systemctl status {UNIT}")


def stop(copy=False):
    """
    Stop the server that has recovered, and take out of its data what told it to recover: a copy of them would stop at
    the same moment once more. Raises CommandExecutionError when the server does not stop, or its file does not change.

    copy
        True: what told it to archive nothing is taken out, too.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.stop
    """
    halt()
    path = f"{_settings()['postgres']['data_dir']}/postgresql.auto.conf"
    names = pghalib.backup.recovering.PARAMETERS + ("|archive_mode" if copy else "")
    result = _as_user(["sed", "-i", "-E", rf"/^({names}) *=/d", path])
    if result["retcode"]:
        raise CommandExecutionError(f"{path} could not be changed: {result['stderr'].strip()}")


def forget_dcs(test=False):
    """
    Remove what Patroni keeps in Consul about the time before a restore, and write the system identifier of the restored
    data there: it is another one where a cluster that was lost comes back. Returns the names of the keys that were
    there, or differed.

    test
        True: nothing is removed.

    Raises CommandExecutionError when Consul does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.forget_dcs
    """
    found = [key for key in KEYS if _key("GET", key)["status"] == 200]
    for key in () if test else found:
        _key("DELETE", key)
    identifier = __salt__["pgha_postgres.data_directory"]()["identifier"]
    if identifier and __salt__["pgha_patroni.dcs"]()["initialize"] != identifier:
        if not test:
            # As JSON a number is its digits.
            _key("PUT", "initialize", payload=int(identifier))
        found.append("initialize")
    return found


def left_out():
    """
    Return the names of the members that this run leaves out (``pgha:without``) and that run nevertheless: Patroni keeps
    a key of each in Consul, which ends with the lease of a host that is off. Raises CommandExecutionError when Consul
    does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.left_out
    """
    settings = _settings()
    names = [host["name"] for host in settings["cluster"]["hosts"] if host["id"] in settings["without"]]
    answers = {name: _key("GET", f"members/{name}", params={"raw": "", "consistent": ""}) for name in names}
    return [name for name, one in answers.items() if one["status"] == 200 and _runs(one["text"])]


def note():
    """
    Return this host's note of a restore (``id``, ``step``) as ``pghalib.backup.recovering.read``: {} without one.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restore.note
    """
    return pghalib.backup.recovering.read()


def _runs(text):
    """Whether a member's key in Consul tells of a server that was not stopped in order; what cannot be read does."""
    try:
        return pghalib.parse.from_json(text)["state"] != "stopped"
    except (ValueError, KeyError, TypeError):
        return True


def _key(method, key, **how):
    """A request for one of Patroni's keys in Consul, with Patroni's own token."""

    def secrets():
        return pghalib.secrets.served.own(__pillar__, __opts__)

    settings, token = _settings(), secrets()["patroni"]["secret"]
    path = f"/v1/kv/{pghalib.consul.config.key_prefix(settings['cluster'])}{key}"
    return pghalib.consul.client.ask(settings, secrets, method, path, token=token, allow=(404,), **how)


def _as_user(words):
    return pghalib.host.users.run(__salt__["cmd.run_all"], _settings()["postgres"]["user"], words)


def _settings():
    return __salt__["pgha.settings"]()
