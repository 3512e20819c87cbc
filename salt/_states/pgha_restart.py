"""
States of a rolling restart: a service is restarted only where it does not run the installed program and configuration.
Each state is for one host at a time: it waits until the others do not need this host, restarts the service, and waits
until this host is back.
"""

import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def consul(ret):
    """
    Consul on this host (server or agent) runs the installed program and configuration. A server that leads first gives
    the lead to another server.

    name
        State ID; not used.
    """

    def restart(changes):
        timeout = _settings()["consul"]["startup_timeout"]
        pghalib.wait.until(__salt__["pgha_restart.consul_ready"], timeout, "Consul can do without this host")
        handed_over = __salt__["pgha_restart.consul_handed_over"](timeout)
        _service("consul")
        ret.changes.update(changes)
        ret.say("Consul was restarted" + (" after another server had taken the lead." if handed_over else "."))
        pghalib.wait.until(__salt__["pgha_restart.consul_ready"], timeout, "this host is back in Consul")

    return _restarted(ret, ["Consul"], restart)


@pghalib.states.state
def patroni(ret):
    """
    Patroni and PostgreSQL on this host run the installed programs and configuration. A leader first becomes a replica
    by a switchover, which also restarts its PostgreSQL.

    name
        State ID; not used.
    """

    def restart(changes):
        settings = _settings()
        timeout = settings["patroni"]["startup_timeout"]
        _others_serve(timeout)
        if __salt__["pgha_restart.leads_by_consul"]() and len(settings["cluster"]["hosts"]) > 1:
            pghalib.wait.until(_switched_over, timeout, "another member leads")
            ret.say("This member gave the lead away.")
            _streams(ret, timeout)
        if "Patroni" in changes:
            # A restart of Patroni also stops and starts PostgreSQL.
            _service("patroni")
            ret.changes.update(changes)
            ret.say("Patroni and PostgreSQL were restarted.")
        elif __salt__["pgha_restart.pending"]().get("PostgreSQL"):
            _postgresql_restarted(ret, changes, timeout)
        _streams(ret, timeout)
        _others_serve(timeout)

    return _restarted(ret, ["Patroni", "PostgreSQL"], restart)


@pghalib.states.state
def lowered(ret):
    """
    The leader runs with lowered parameters that a standby needs as high as its primary. Its PostgreSQL is restarted
    without a switchover, before the replicas: a replica cannot have a lower value than the leader.

    name
        State ID; not used.
    """
    if not __salt__["pgha_restart.leads_by_consul"]():
        return "This member does not lead: replicas take lowered parameters up after the leader."
    changes = __salt__["pgha_restart.lowered"]()
    if not changes:
        return "No lowered parameter waits for a restart of the leader."
    ret.plan(changes)
    if ret.test:
        return "PostgreSQL would be restarted."
    timeout = _settings()["patroni"]["startup_timeout"]
    _others_serve(timeout)
    _postgresql_restarted(ret, changes, timeout)
    _streams(ret, timeout)
    return None


def _restarted(ret, services, restart):
    """
    Restart when one of ``services`` has a pending restart. ``restart`` gets the changes, says what it has done, and
    notes the changes as soon as they have happened: what follows may fail.
    """
    before = _pending(services)
    if not before:
        verb = "runs" if len(services) == 1 else "run"
        return f"{' and '.join(services)} {verb} with the installed program and configuration."
    changes = {service: {"old": "; ".join(why), "new": "restarted"} for service, why in before.items()}
    ret.plan(changes)
    if ret.test:
        return f"{' and '.join(before)} would be restarted."
    restart(changes)
    ret.changes.update(changes)
    if left := _pending(services):
        why = "; ".join(sentence for sentences in left.values() for sentence in sentences)
        raise CommandExecutionError(f"A restart is still pending: {why}")
    return None


def _pending(services):
    found = __salt__["pgha_restart.pending"]()
    return {service: found[service] for service in services if service in found}


def _service(unit):
    if not __salt__["service.restart"](unit):
        raise CommandExecutionError(f"{unit} did not restart: see journalctl -u {unit}")


def _postgresql_restarted(ret, changes, timeout):
    try:
        __salt__["pgha_patroni.post"]("restart", timeout)
    except CommandExecutionError as error:
        words = "; ".join(__salt__["pgha_parameters.last_words"]()) or "nothing that its logs have"
        raise CommandExecutionError(
            f"{error}. The server said: {words}. Nothing else was restarted: correct the pillar, run the main job,"
            " and this again."
        )
    ret.changes.update(changes)
    ret.say("PostgreSQL was restarted.")


def _others_serve(timeout):
    pghalib.wait.until(__salt__["pgha_restart.others_serve"], timeout, "the cluster can do without this member")


def _switched_over():
    """Ask Patroni for a switchover. Called repeatedly: without a synchronous replica Patroni refuses for a while."""
    if __salt__["pgha_restart.leads_by_consul"]():
        __salt__["pgha_patroni.post"]("switchover", 60, leader=_settings()["name"])
    return not __salt__["pgha_restart.leads_by_consul"]()


def _streams(ret, timeout):
    done = __states__["pgha_patroni.streaming"](ret.name, timeout)
    if not done["result"]:
        raise CommandExecutionError(done["comment"])


def _settings():
    return __salt__["pgha.settings"]()
