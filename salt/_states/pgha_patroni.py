"""
States of Patroni: its environment, its configuration, and the checks before and after its start.
"""

import os

import pghalib.errors
import pghalib.patroni.config
import pghalib.patroni.data_directory
import pghalib.patroni.dynamic
import pghalib.patroni.environment
import pghalib.patroni.files
import pghalib.patroni.founding
import pghalib.patroni.member
import pghalib.patroni.sending
import pghalib.postgres.settings
import pghalib.preflight.verdicts
import pghalib.secrets.served
import pghalib.services.owed
import pghalib.wait
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def environment(name):
    """
    The virtual environment has the pinned packages of ``patroni.requirements``, and only root can write to it. The
    comparison starts no process.

    A new version does not restart a running Patroni: the comment says that a restart is pending.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "All packages are there."}
    before = __salt__["pgha_patroni_env.state"]()
    ret["changes"] = pghalib.patroni.environment.differing(before)
    if before["complete"] and not ret["changes"]:
        return ret
    if not before["complete"]:
        ret["changes"]["environment"] = {"old": None, "new": "complete"}
    if __opts__["test"]:
        return {**ret, "result": None, "comment": "The virtual environment would be built."}
    __salt__["pgha_patroni_env.build"]()
    after = __salt__["pgha_patroni_env.state"]()
    lacking = ", ".join(sorted(pghalib.patroni.environment.differing(after)))
    if lacking:
        return _failed(ret, f"pip reported success, but these are not there in the version required: {lacking}")
    pending = before["installed"] != after["installed"] and _running()
    comment = "The virtual environment is built." + (" A restart of Patroni is pending." if pending else "")
    return {**ret, "comment": comment}


@pghalib.errors.told
def configured(name):
    """
    patroni.yml follows the pillar, and a running Patroni has been told to read it (without a restart). If an earlier
    run could not tell Patroni, this run does. Before the new file replaces the old one, Patroni itself checks it. The
    file belongs to root, and Patroni may read it. The state also writes the password file of the formula's test write.
    The changes hold no secret.

    name
        Path of patroni.yml.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": ""}
    if __opts__["test"] and not __pillar__.get(pghalib.secrets.served.KEY):
        return {**ret, "result": None, "comment": "The master has made no secrets yet; this would follow."}
    settings, secrets = __salt__["pgha.settings"](), pghalib.secrets.served.own(__pillar__, __opts__)
    __salt__["pgha_tls.stays"]()
    if __opts__["test"] and not _installed(settings):
        return {**ret, "result": None, "comment": "It would be written, once PostgreSQL and Patroni are installed."}
    parameters = __salt__["pgha_postgres.parameters"]()
    written, passwords = pghalib.patroni.files.manage(
        name,
        settings,
        secrets,
        parameters,
        validate=__salt__["pgha_patroni.validate"],
        sticky=__salt__["pgha_patroni.makes_files_beside_configuration"](),
        test=__opts__["test"],
    )
    ret["comment"] = " ".join([written["comment"], pghalib.postgres.settings.sentences(parameters)])
    ret["result"] = written["result"]
    for what, done in ((name, written), ("the password file of the check", passwords)):
        if done["changes"]:
            ret["changes"][what] = done["changes"]
    return ret if written["result"] is False else _read(ret)


def _read(ret):
    """Reload a running Patroni when a reload is owed. A stopped Patroni reads its configuration at its start."""
    try:
        if not pghalib.services.owed.owed(pghalib.patroni.files.RELOAD):
            return ret
        if __opts__["test"]:
            changes = {**ret["changes"], "reload": {"old": "owed", "new": "done"}} if _running() else ret["changes"]
            return {**ret, "result": None if changes else ret["result"], "changes": changes}
        if _running():
            if not __salt__["service.reload"]("patroni"):
                raise CommandExecutionError("systemctl reload patroni failed: see journalctl -u patroni")
            ret["comment"] += " Patroni was told to read it."
            # The file was changed by an earlier run: only the reload is done here.
            ret["changes"] = ret["changes"] or {"reload": {"old": "owed", "new": "done"}}
        pghalib.services.owed.paid(pghalib.patroni.files.RELOAD)
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": f"{ret['comment']} Patroni was not told to read it: {error}"}
    return ret


@pghalib.errors.told
def data_directory_ours(name):
    """
    The data directory is empty, or its data belong to this cluster. With other data the state fails, and Patroni is not
    started: a person must decide. Changes nothing.

    name
        Path of the data directory.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It is empty: Patroni will fill it."}
    found = __salt__["pgha_postgres.data_directory"](name)
    if found["empty"] or (found["running"] and __salt__["pgha_patroni.member"]()):
        return ret if found["empty"] else {**ret, "comment": "Patroni runs a server on it."}
    if __opts__["test"] and not _consul_answers():
        return {**ret, "result": None, "comment": "Whose data it is, can be told when Consul runs."}
    initialized = __salt__["pgha_patroni.dcs"]()["initialize"]
    return {**ret, **pghalib.patroni.data_directory.verdict(name, found, initialized)}


@pghalib.errors.told
def leader_elected(name, timeout, first=False):
    """
    The cluster has, or had, its first leader, so this host's Patroni joins the cluster and does not found it.

    timeout
        Seconds to wait until the cluster is initialised, after Consul and Patroni run on the host that founds it. The
        wait for each of these two services is at most ``consul:startup_timeout``.
    first
        True on the host that founds the cluster: it does not wait.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "This host may found the cluster."}
    if first:
        return ret
    if __opts__["test"]:
        return {**ret, "comment": "The run would wait for the first leader." if not _consul_answers() else ""}
    settings = __salt__["pgha.settings"]()
    ports = pghalib.preflight.verdicts.ports(settings)
    patience = settings["consul"]["startup_timeout"]
    # While the first member runs initdb, the key exists but is empty.
    pghalib.patroni.founding.wait(
        settings["cluster"]["founder"], ports, lambda: __salt__["pgha_patroni.dcs"]()["initialize"], patience, timeout
    )
    return {**ret, "comment": "The cluster is initialised."}


@pghalib.errors.told
def streaming(name, timeout):
    """
    This member runs as the leader, or as a replica that streams on the leader's timeline.

    timeout
        Seconds to wait for it.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": ""}
    if __opts__["test"] and __salt__["pgha_patroni.member"]() is None:
        return {**ret, "result": None, "comment": "The run would wait for this member."}
    seen = {"woken": False, "member": None}

    def healthy():
        seen["member"] = __salt__["pgha_patroni.member"]()
        if pghalib.patroni.member.serves(seen["member"] or {}):
            return True
        # A replica streams through a slot. The leader makes the slot in its next loop after this member is listed.
        if not seen["woken"] and not __opts__["test"]:
            seen["woken"] = _leader_woken()
        return False

    try:
        pghalib.wait.until(healthy, 0 if __opts__["test"] else timeout, "this member leads or streams")
    except CommandExecutionError:
        logged = [*__salt__["pgha_patroni.log_tail"](8), *__salt__["pgha_parameters.last_words"]()]
        settings = __salt__["pgha.settings"]()
        return _failed(ret, pghalib.patroni.member.diagnosis(seen["member"], timeout, logged, settings))
    leads = pghalib.patroni.member.leads(seen["member"])
    comment = ["It is the leader." if leads else "It streams from the leader."]
    if seen["member"].get("pending_restart"):
        comment.append("A restart is pending for some parameters (patronictl list shows them).")
    return {**ret, "comment": " ".join(comment)}


@pghalib.errors.told
def dcs_configured(name, repair=False):
    """
    The dynamic configuration in the DCS has all declared entries. Entries that the formula once wrote and no longer
    declares are removed. Entries of others are left alone and named. Only the differences are sent, in one request. Any
    member may do this, because all members have the same configuration.

    repair
        True: act only where Patroni runs on this host and PostgreSQL does not. The declared configuration may be what
        lets PostgreSQL start, so the state does not wait until this member is healthy.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It is as declared."}
    member = __salt__["pgha_patroni.member"]() if repair or __opts__["test"] else None
    if repair and not _repairable(member or {}):
        return {**ret, "comment": "No server that cannot start waits for it."}
    if __opts__["test"] and member is None:
        return {**ret, "result": None, "comment": "It would be compared, once Patroni runs."}
    parameters = __salt__["pgha_postgres.parameters"]()
    declared = pghalib.patroni.config.dynamic(__salt__["pgha.settings"](), parameters["shared"])
    live = _dynamic_config()
    others = pghalib.patroni.dynamic.undeclared(declared, live)
    beside = f" Only in the DCS, by another hand, and left alone: {', '.join(others)}." if others else ""
    patch = pghalib.patroni.dynamic.patch(declared, live)
    if not patch:
        return {**ret, "comment": ret["comment"] + beside}
    ret["changes"] = pghalib.patroni.dynamic.changes(patch, live)
    if __opts__["test"]:
        return {**ret, "result": None, "comment": f"It would be changed on the living cluster.{beside}"}
    ask, send = __salt__["pgha_patroni.dynamic_config"], __salt__["pgha_patroni.patch_config"]
    left = pghalib.patroni.dynamic.patch(declared, pghalib.patroni.sending.send(declared, ask, send))
    if left:
        return _failed(ret, f"Patroni took the change, but these differ still: {', '.join(sorted(left))}")
    comment = "It was changed; every member follows, and says by itself if a restart is pending."
    return {**ret, "comment": comment + beside}


def _repairable(member):
    """Whether PostgreSQL is down and the cluster has a dynamic configuration: a change of it may let it start."""
    try:
        return pghalib.patroni.member.down(member) and bool(__salt__["pgha_patroni.dynamic_config"]())
    except CommandExecutionError:
        return False


def _dynamic_config():
    """The live configuration. A member that has just become the leader sees it only after its next loop."""
    if __opts__["test"]:
        return __salt__["pgha_patroni.dynamic_config"]()
    timeout = 3 * __salt__["pgha.settings"]()["patroni"]["loop_wait"]
    return pghalib.wait.until(
        __salt__["pgha_patroni.dynamic_config"], timeout, "Patroni shows its dynamic configuration"
    )


@pghalib.errors.told
def serves_writes(name, timeout):
    """
    A write through the cluster's address succeeds: through the virtual IP, or, without a virtual IP, through this
    host's own address when it is the leader.

    timeout
        Seconds to wait for it.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "A write succeeded."}
    settings = __salt__["pgha.settings"]()
    if not settings["cluster"]["vip"] and not pghalib.patroni.member.leads(__salt__["pgha_patroni.member"]() or {}):
        return {**ret, "comment": "Without a virtual IP the leader's host checks this."}
    if __opts__["test"]:
        return {**ret, "comment": "A dry run writes nothing."}

    def writes():
        if error := __salt__["pgha_patroni.write_error"]():
            raise CommandExecutionError(error)
        return True

    pghalib.wait.until(writes, timeout, "a write through the address of the cluster")
    return ret


def _leader_woken():
    """Make the leader run its loop now. False while this member is not listed yet, or no other member leads."""
    own = __salt__["pgha.settings"]()["name"]
    try:
        leader = pghalib.patroni.member.leader_of(__salt__["pgha_patroni.cluster"](), own)
        return bool(leader) and __salt__["pgha_patroni.wake"](leader["host"])
    except CommandExecutionError:
        return False


def _installed(settings):
    """Whether the programs for a dry run are installed: this version of PostgreSQL, and Patroni."""
    server = os.path.exists(f"{settings['postgres']['bin_dir']}/postgres")
    return server and __salt__["pgha_patroni.version"]() is not None


def _running():
    return bool(__salt__["service.status"]("patroni"))


def _consul_answers():
    try:
        __salt__["pgha_patroni.dcs"]()
    except CommandExecutionError:
        return False
    return True


def _failed(ret, comment):
    return {**ret, "result": False, "changes": {}, "comment": comment}
