"""
States of Patroni: its environment, its configuration, and the checks before and after its start.
"""

import functools
import os

import pghalib.errors
import pghalib.host.files
import pghalib.patroni.config
import pghalib.patroni.dynamic
import pghalib.preflight.verdicts
import pghalib.secrets.served
import pghalib.services.owed
import pghalib.text
import pghalib.wait
from salt.exceptions import CommandExecutionError

#: Note: patroni.yml was replaced, or was about to be, and Patroni has not been told to read it yet.
RELOAD = "patroni.reload-owed"
#: Seconds to try again when several members send the same change at the same moment.
_CONFLICT = 10


@pghalib.errors.told
def environment(name):
    """
    The virtual environment has the pinned packages of ``patroni.requirements``, and only root can write to it. The
    comparison starts no process.

    A new version does not restart a running Patroni: the comment says that a restart is pending.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "All packages are there."}
    try:
        before = __salt__["pgha_patroni_env.state"]()
        if before["complete"] and before["installed"] == before["wanted"]:
            return ret
        ret["changes"] = _versions(before["installed"], before["wanted"])
        if not before["complete"]:
            ret["changes"]["environment"] = {"old": None, "new": "complete"}
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "The virtual environment would be built."}
        __salt__["pgha_patroni_env.build"]()
        after = __salt__["pgha_patroni_env.state"]()
    except CommandExecutionError as error:
        return _failed(ret, str(error))
    if after["installed"] != after["wanted"]:
        lacking = ", ".join(sorted(_versions(after["installed"], after["wanted"])))
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
    try:
        settings, secrets = __salt__["pgha.settings"](), pghalib.secrets.served.own(__pillar__, __opts__)
        __salt__["pgha_tls.stays"]()
        if __opts__["test"] and not _installed(settings):
            return {**ret, "result": None, "comment": "It would be written, once PostgreSQL and Patroni are installed."}
        parameters = __salt__["pgha_postgres.parameters"]()
        config = pghalib.patroni.config.document(settings, secrets, parameters["shared"], parameters["host"])
        user, group = settings["postgres"]["user"], settings["postgres"]["group"]
        manage = {
            "group": group,
            "test": __opts__["test"],
            "secrets": pghalib.patroni.config.secret_values(secrets),
            "sticky": __salt__["pgha_patroni.makes_files_beside_configuration"](),
        }
        passwords = pghalib.host.files.manage(
            f"{settings['patroni']['config_dir']}/pgpass.check",
            pghalib.patroni.config.pgpass(settings, secrets),
            # libpq ignores a password file that others may read.
            user=user,
            mode="0600",
            **manage,
        )
        written = pghalib.host.files.manage(
            name,
            pghalib.patroni.config.render(config),
            check=_owing(__salt__["pgha_patroni.validate"]),
            user="root",
            mode="0640",
            **manage,
        )
        if written["result"] and written["changes"]:
            # Also when only the owner changed: Patroni may have been unable to read the file.
            pghalib.services.owed.owe(RELOAD)
    except CommandExecutionError as error:
        return _failed(ret, str(error))
    ret["comment"] = " ".join([written["comment"], _tuned(parameters)])
    ret["result"] = written["result"]
    for what, done in ((name, written), ("the password file of the check", passwords)):
        if done["changes"]:
            ret["changes"][what] = done["changes"]
    return ret if written["result"] is False else _read(ret)


def _owing(validate):
    """Return a check of a draft. If the draft is valid, the check notes the reload before the file is replaced."""

    def check(path):
        error = validate(path)
        if not error:
            pghalib.services.owed.owe(RELOAD)
        return error

    return check


def _read(ret):
    """Reload a running Patroni when a reload is owed. A stopped Patroni reads its configuration at its start."""
    try:
        if not pghalib.services.owed.owed(RELOAD):
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
        pghalib.services.owed.paid(RELOAD)
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
    try:
        found = __salt__["pgha_postgres.data_directory"](name)
        if found["empty"] or (found["running"] and __salt__["pgha_patroni.member"]()):
            return ret if found["empty"] else {**ret, "comment": "Patroni runs a server on it."}
        if __opts__["test"] and not _consul_answers():
            return {**ret, "result": None, "comment": "Whose data it is, can be told when Consul runs."}
        initialized = __salt__["pgha_patroni.dcs"]()["initialize"]
    except CommandExecutionError as error:
        return _failed(ret, str(error))
    aside = f"move it aside (mv {name} {name}.old) if nobody needs it there, and apply this again"
    if found["identifier"] is None:
        # Patroni never starts a server on incomplete data. It reports them, and `streaming` names the remedy.
        if initialized:
            return {**ret, "comment": "It holds an incomplete copy; Patroni decides what to do with it."}
        return _failed(ret, f"{name} is not empty, and no complete PostgreSQL data: {aside}.")
    if initialized and initialized != found["identifier"]:
        return _failed(
            ret,
            f"{name} holds the data of another cluster (system identifier {found['identifier']}, this cluster has"
            f" {initialized}): {aside}; Patroni will then copy the leader's.",
        )
    if not initialized and not found["patroni"]:
        return _failed(
            ret,
            f"{name} holds a PostgreSQL {found['version']} that Patroni has never run (system identifier"
            f" {found['identifier']}). To make it the first member of this cluster, start Patroni by hand on it"
            f" (systemctl start patroni), else {aside}.",
        )
    return {**ret, "comment": f"It holds this cluster's data (system identifier {found['identifier']})."}


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
    founder, ports = settings["cluster"]["founder"], pghalib.preflight.verdicts.ports(settings)
    here = founder["name"]

    def initialized():
        # While the first member runs initdb, the key exists but is empty.
        return __salt__["pgha_patroni.dcs"]()["initialize"]

    # When the founder has failed, the missing service shows where.
    steps = [
        ("gossip", f"Consul runs on {here}, which founds the cluster (journalctl -u consul on {here} says why)"),
        (
            "rest",
            f"Patroni runs on {here}, which founds the cluster (journalctl -u patroni on {here} says why; where it"
            f" was not started, the result of {here} in this run)",
        ),
    ]
    try:
        for service, what in steps:
            started = functools.partial(pghalib.wait.listening, founder["address"], ports[service])
            within = min(timeout, settings["consul"]["startup_timeout"])
            pghalib.wait.until(functools.partial(_either, initialized, started), within, what, interval=1)
        what = f"{here} founds the cluster (journalctl -u patroni and Patroni's log on {here} say why)"
        pghalib.wait.until(initialized, timeout, what)
    except CommandExecutionError as error:
        return _failed(ret, str(error))
    return {**ret, "comment": "The cluster is initialised."}


def _either(asked, enough):
    """Whether one of two conditions holds. An error of the first is raised only while the second does not hold."""
    try:
        if asked():
            return True
    except CommandExecutionError:
        if not enough():
            raise
        return True
    return enough()


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
        if _healthy(seen["member"] or {}):
            return True
        # A replica streams through a slot. The leader makes the slot in its next loop after this member is listed.
        if not seen["woken"] and not __opts__["test"]:
            seen["woken"] = _leader_woken()
        return False

    try:
        pghalib.wait.until(healthy, 0 if __opts__["test"] else timeout, "this member leads or streams")
    except CommandExecutionError:
        return _failed(ret, _diagnosis(seen["member"], timeout))
    comment = ["It is the leader." if _is_leader(seen["member"]) else "It streams from the leader."]
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
    try:
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
        left = pghalib.patroni.dynamic.patch(declared, _patched(declared))
    except CommandExecutionError as error:
        return _failed(ret, str(error))
    if left:
        return _failed(ret, f"Patroni took the change, but these differ still: {', '.join(sorted(left))}")
    comment = "It was changed; every member follows, and says by itself if a restart is pending."
    return {**ret, "comment": comment + beside}


def _repairable(member):
    """Whether PostgreSQL is down and the cluster has a dynamic configuration: a change of it may let it start."""
    try:
        down = any(word in str(member.get("state")) for word in ("failed", "crashed", "stopped"))
        return down and bool(__salt__["pgha_patroni.dynamic_config"]())
    except CommandExecutionError:
        return False


def _patched(declared):
    """Send the differences and return the new live configuration. Another member may send the same at this moment."""

    def sent():
        live = __salt__["pgha_patroni.dynamic_config"]()
        patch = pghalib.patroni.dynamic.patch(declared, live)
        return __salt__["pgha_patroni.patch_config"](patch) if patch else live

    return pghalib.wait.until(sent, _CONFLICT, "Patroni takes the change of its dynamic configuration")


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
    if not settings["cluster"]["vip"] and not _is_leader(__salt__["pgha_patroni.member"]() or {}):
        return {**ret, "comment": "Without a virtual IP the leader's host checks this."}
    if __opts__["test"]:
        return {**ret, "comment": "A dry run writes nothing."}

    def writes():
        error = __salt__["pgha_patroni.write_error"]()
        if error:
            raise CommandExecutionError(error)
        return True

    try:
        pghalib.wait.until(writes, timeout, "a write through the address of the cluster")
    except CommandExecutionError as error:
        return _failed(ret, str(error))
    return ret


def _healthy(member):
    return pghalib.patroni.config.serves(member)


def _is_leader(member):
    return pghalib.patroni.config.leads(member)


def _leader_woken():
    """Make the leader run its loop now. False while this member is not listed yet, or no other member leads."""
    own = __salt__["pgha.settings"]()["name"]
    try:
        members = __salt__["pgha_patroni.cluster"]()
        leader = next((entry for entry in members if _is_leader(entry) and entry["name"] != own), None)
        return bool(leader and own in [entry["name"] for entry in members]) and __salt__["pgha_patroni.wake"](
            leader["host"]
        )
    except CommandExecutionError:
        return False


def _diagnosis(member, timeout):
    if member is None:
        said = "Patroni does not answer on this host"
    else:
        keys = ("role", "state", "replication_state", "timeline")
        said = "This member says " + ", ".join(f"{key}: {member[key]}" for key in keys if key in member)
    lines = [*__salt__["pgha_patroni.log_tail"](8), *__salt__["pgha_parameters.last_words"]()]
    log = "\n".join(map(pghalib.text.line, lines))
    settings = __salt__["pgha.settings"]()
    reinit = f"patronictl reinit {settings['cluster']['name']} {settings['name']}"
    return (
        f"{said}, after {timeout} s. The logs end with:\n{log}\nSee journalctl -u patroni as well. A replica that"
        f" cannot be repaired gets the leader's data anew by: {reinit}"
    )


def _tuned(parameters):
    told = {"pgpro_tune": "Memory settings are pgpro_tune's.", "calculated": "Memory settings are calculated."}
    comment = [told.get(parameters["source"], "Memory settings are PostgreSQL's own.")]
    comment += [f"{name} is left out: {why}." for name, why in sorted(parameters["left_out"].items())]
    return " ".join(comment)


def _versions(old, new):
    return {key: {"old": old.get(key), "new": new[key]} for key in new if old.get(key) != new[key]}


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
