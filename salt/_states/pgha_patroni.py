"""
States of Patroni: its environment, its configuration, and the checks before and after its start.
"""

import os

import pghalib.patroni.config
import pghalib.patroni.data_directory
import pghalib.patroni.dynamic
import pghalib.patroni.environment
import pghalib.patroni.files
import pghalib.patroni.founding
import pghalib.patroni.member
import pghalib.patroni.proof
import pghalib.patroni.sending
import pghalib.postgres.settings
import pghalib.preflight.verdicts
import pghalib.secrets.served
import pghalib.services.owed
import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError

# Seconds for a copy of the leader's data, and how many are waited for: Patroni begins anew for ever.
COPIED, COPIES, COPYING = 7 * 86400, 3, "copying"


@pghalib.states.state
def environment(ret):
    """
    The virtual environment has the pinned packages of ``patroni.requirements``, and only root can write to it. The
    comparison starts no process.

    A new version does not restart a running Patroni: the comment says that a restart is pending.
    """
    before = __salt__["pgha_patroni_env.venv_state"]()
    differing = pghalib.patroni.environment.differing(before)
    if before["complete"] and not differing:
        return "All packages of Patroni's virtual environment are there."
    ret.plan(differing)
    if not before["complete"]:
        ret.plan({"environment": {"old": None, "new": "complete"}})
    if ret.test:
        return "Patroni's virtual environment would be built."
    __salt__["pgha_patroni_env.build"]()
    after = __salt__["pgha_patroni_env.venv_state"]()
    if lacking := ", ".join(sorted(pghalib.patroni.environment.differing(after))):
        raise CommandExecutionError(f"pip reported success, but these are not there in the version required: {lacking}")
    ret.say("Patroni's virtual environment is built.")
    return "A restart of Patroni is pending." if before["installed"] != after["installed"] and _running() else None


@pghalib.states.state
def configured(ret):
    """
    patroni.yml follows the pillar, and a running Patroni has been told to read it (without a restart). If an earlier
    run could not tell Patroni, this run does. Before the new file replaces the old one, Patroni itself checks it. The
    file belongs to root, and Patroni may read it. The state also writes the password file of the formula's test write.
    The changes hold no secret.

    name
        Path of patroni.yml.
    """
    settings, secrets = __salt__["pgha.settings"](), pghalib.secrets.served.own(__pillar__, __opts__)
    __salt__["pgha_tls.stays"]()
    if ret.test and not _installed(settings):
        raise pghalib.states.Later(f"{ret.name} would be written, once PostgreSQL and Patroni are installed.")
    parameters = __salt__["pgha_postgres.parameters"]()
    written, passwords = pghalib.patroni.files.manage(
        ret.name,
        settings,
        secrets,
        parameters,
        validate=__salt__["pgha_patroni.validate"],
        sticky=__salt__["pgha_patroni.makes_files_beside_configuration"](),
        test=ret.test,
    )
    ret.add(passwords, "the password file of the check")
    ret.say(pghalib.postgres.settings.sentences(parameters))
    ret.say(ret.add(written, ret.name))
    return _read(ret)


def _read(ret):
    """Reload a running Patroni when a reload is owed. A stopped Patroni reads its configuration at its start."""
    if not pghalib.services.owed.owed(pghalib.patroni.files.RELOAD):
        return None
    if not _running():
        if not ret.test:
            pghalib.services.owed.paid(pghalib.patroni.files.RELOAD)
        return None
    done = {"reload": {"old": "owed", "new": "done"}}
    if ret.test:
        ret.plan(done)
        return "Patroni would be told to read its configuration."
    if not __salt__["service.reload"]("patroni"):
        raise CommandExecutionError(
            "Patroni was not told to read its configuration: systemctl reload patroni failed: see journalctl -u patroni"
        )
    # Without other changes the file was changed by an earlier run: only the reload is done here.
    ret.changes = ret.changes or done
    pghalib.services.owed.paid(pghalib.patroni.files.RELOAD)
    return "Patroni was told to read its configuration."


@pghalib.states.state
def data_directory_ours(ret):
    """
    The data directory is empty, or its data belong to this cluster: of other data a person decides. Changes nothing.

    name
        State ID; not used.
    """
    found = __salt__["pgha_postgres.data_directory"]()
    path = found["path"]
    if found["empty"]:
        return f"{path} is empty: Patroni will put its data there."
    if found["running"] and __salt__["pgha_patroni.member"]():
        return f"Patroni runs a server on {path}."
    if ret.test and not _consul_answers():
        raise pghalib.states.Later(f"Whose data {path} holds, can be told when Consul runs.")
    initialized = __salt__["pgha_patroni.dcs"]()["initialize"]
    return ret.add({"changes": {}, **pghalib.patroni.data_directory.verdict(found, initialized)})


@pghalib.states.state
def leader_elected(ret, timeout, first=False):
    """
    The cluster has, or had, its first leader, so this host's Patroni joins the cluster and does not found it.

    timeout
        Seconds to wait for that, after the founder's Consul and Patroni run (each: ``consul:startup_timeout`` at most).
    first
        True on the host that founds the cluster: it does not wait, unless it has no data and another member has some.
    """
    living = __salt__["pgha_founding.elsewhere"]() if first else {}
    if first and not living:
        return "This host may found the cluster."
    if ret.test:
        return None if _consul_answers() else "The run would wait for the first leader."
    settings = __salt__["pgha.settings"]()
    ports, patience = pghalib.preflight.verdicts.ports(settings), settings["consul"]["startup_timeout"]
    founder = settings["cluster"]["founder"]
    # While the first member runs initdb, the key exists but is empty.
    pghalib.patroni.founding.wait(
        founder, ports, lambda: __salt__["pgha_patroni.dcs"]()["initialize"], patience, timeout, living
    )
    return "The cluster is initialised."


@pghalib.states.state
def streaming(ret, timeout):
    """
    This member runs as the leader, or as a replica that streams on the leader's timeline.

    timeout
        Seconds to wait for it, not counting those in which it copies the leader's data.
    """
    if ret.test and __salt__["pgha_patroni.member"]() is None:
        raise pghalib.states.Later("The run would wait for this member.")
    seen = {"woken": False, "member": None, "copies": 0}

    def healthy():
        seen["member"] = __salt__["pgha_patroni.member"]()
        if pghalib.patroni.member.serves(seen["member"] or {}):
            return True
        # A replica streams through a slot. The leader makes the slot in its next loop after this member is listed.
        if not seen["woken"] and not ret.test:
            seen["woken"] = _leader_woken()
        if not ret.changes and not ret.test and __salt__["pgha_member.astray"]():
            # Refused while Patroni waits for the server that it has started: asked again then.
            __salt__["pgha_patroni.post"]("restart", timeout)
            ret.changes["PostgreSQL"] = {"old": "started without its configuration", "new": "restarted"}
        if ret.test or seen["copies"] == COPIES or not pghalib.patroni.member.copies(seen["member"] or {}):
            return False
        seen["copies"] += 1
        return COPYING

    def copied():
        seen["member"] = __salt__["pgha_patroni.member"]()
        return not pghalib.patroni.member.copies(seen["member"] or {})

    try:
        while pghalib.wait.until(healthy, 0 if ret.test else timeout, "this member leads or streams") is COPYING:
            pghalib.wait.until(copied, COPIED, "the copy of the leader's data has ended", 1)
    except CommandExecutionError:
        logged = [*__salt__["pgha_patroni.log_tail"](8), *__salt__["pgha_parameters.last_words"]()]
        settings = __salt__["pgha.settings"]()
        raise CommandExecutionError(pghalib.patroni.member.diagnosis(seen["member"], timeout, logged, settings))
    leads = pghalib.patroni.member.leads(seen["member"])
    ret.say("This member is the leader." if leads else "This member streams from the leader.")
    if seen["member"].get("pending_restart"):
        return "A restart is pending for some parameters (patronictl list shows them)."
    return None


@pghalib.states.state
def dcs_configured(ret, repair=False):
    """
    The dynamic configuration in the DCS has all declared entries. Entries that the formula once wrote and no longer
    declares are removed. Entries of others are left alone and named. Only the differences are sent, in one request. Any
    member may do this, because all members have the same configuration.

    repair
        True: act only where Patroni runs on this host and PostgreSQL does not. The declared configuration may be what
        lets PostgreSQL start, so the state does not wait until this member is healthy.
    """
    member = __salt__["pgha_patroni.member"]() if repair or ret.test else None
    if repair and not _repairable(member or {}):
        return "No server that cannot start waits for the dynamic configuration."
    if ret.test and member is None:
        raise pghalib.states.Later("The dynamic configuration would be compared, once Patroni runs.")
    parameters = __salt__["pgha_postgres.parameters"]()
    live = _dynamic_config(ret.test)
    declared = pghalib.patroni.config.dynamic(__salt__["pgha.settings"](), parameters["shared"], live)
    others = ", ".join(pghalib.patroni.dynamic.undeclared(declared, live))
    beside = f" Only in the DCS, by another hand, and left alone: {others}." if others else ""
    patch = pghalib.patroni.dynamic.patch(declared, live)
    if not patch:
        return f"The dynamic configuration is as declared.{beside}"
    ret.plan(pghalib.patroni.dynamic.changes(patch, live))
    if ret.test:
        return f"The dynamic configuration would be changed on the living cluster.{beside}"
    ask, send = __salt__["pgha_patroni.dynamic_config"], __salt__["pgha_patroni.patch_config"]
    left = pghalib.patroni.dynamic.patch(declared, pghalib.patroni.sending.send(declared, ask, send))
    if left:
        raise CommandExecutionError(f"Patroni took the change, but these differ still: {', '.join(sorted(left))}")
    ret.say("The dynamic configuration was changed; every member follows, and says by itself if a restart is pending.")
    return beside.strip()


def _repairable(member):
    """Whether PostgreSQL is down and the cluster has a dynamic configuration: a change of it may let it start."""
    try:
        return pghalib.patroni.member.down(member) and bool(__salt__["pgha_patroni.dynamic_config"]())
    except CommandExecutionError:
        return False


def _dynamic_config(test):
    """The live configuration. A member that has just become the leader sees it only after its next loop."""
    if test:
        return __salt__["pgha_patroni.dynamic_config"]()
    timeout = 3 * __salt__["pgha_dynamic.loop"]()
    return pghalib.wait.until(
        __salt__["pgha_patroni.dynamic_config"], timeout, "Patroni shows its dynamic configuration"
    )


@pghalib.states.state
def serves_writes(ret, timeout):
    """
    A write through the cluster's address succeeds: through the virtual IP, or, without a virtual IP, through this
    host's own address when it is the leader.

    timeout
        Seconds to wait for it.
    """
    settings = __salt__["pgha.settings"]()
    if not settings["cluster"]["vip"] and not pghalib.patroni.member.leads(__salt__["pgha_patroni.member"]() or {}):
        return "Without a virtual IP the leader's host checks that the cluster takes a write."
    if ret.test:
        return "A dry run writes nothing."

    def writes():
        if error := __salt__["pgha_patroni.write_error"]():
            raise CommandExecutionError(error)
        return True

    try:
        pghalib.wait.until(writes, timeout, "a write through the address of the cluster")
    except CommandExecutionError as error:
        # On a replica nothing else tells why nobody has the address.
        outdated, member = __salt__["pgha_vip.outdated"](), __salt__["pgha_patroni.member"]() or {}
        raise CommandExecutionError(pghalib.patroni.proof.failure(str(error), outdated, member))
    return "A write succeeded."


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
    return pghalib.wait.now(lambda: [__salt__["pgha_patroni.dcs"]()]) is not None
