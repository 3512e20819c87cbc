"""
States of a rolling restart: a service is restarted only where it does not run the installed program and configuration.
Each state is for one host at a time: it waits until the others do not need this host, restarts the service, and waits
until this host is back.
"""

import pghalib.errors
import pghalib.wait
from salt.exceptions import CommandExecutionError


@pghalib.errors.told
def consul(name):
    """
    Consul on this host (server or agent) runs the installed program and configuration. A server that leads first gives
    the lead to another server.

    name
        State ID; not used.
    """

    def restart(_pending):
        timeout = _settings()["consul"]["startup_timeout"]
        pghalib.wait.until(__salt__["pgha_restart.consul_ready"], timeout, "Consul can do without this host")
        handed_over = __salt__["pgha_restart.consul_handed_over"](timeout)
        _service("consul")
        pghalib.wait.until(__salt__["pgha_restart.consul_ready"], timeout, "this host is back in Consul")
        return "Consul was restarted" + (" after another server had taken the lead." if handed_over else ".")

    return _restarted(name, ["Consul"], restart)


@pghalib.errors.told
def patroni(name):
    """
    Patroni and PostgreSQL on this host run the installed programs and configuration. A leader first becomes a replica
    by a switchover, which also restarts its PostgreSQL.

    name
        State ID; not used.
    """

    def restart(pending):
        settings = _settings()
        timeout = settings["patroni"]["startup_timeout"]
        _others_serve(timeout)
        done = []
        if __salt__["pgha_restart.leads"]() and len(settings["cluster"]["hosts"]) > 1:
            pghalib.wait.until(_switched_over, timeout, "another member leads")
            done.append("It gave the lead away.")
            _streams(name, timeout)
        if "Patroni" in pending:
            # A restart of Patroni also stops and starts PostgreSQL.
            _service("patroni")
            done.append("Patroni was restarted, and PostgreSQL with it.")
        elif __salt__["pgha_restart.pending"]().get("PostgreSQL"):
            _restart_postgresql(timeout)
            done.append("PostgreSQL was restarted.")
        _streams(name, timeout)
        _others_serve(timeout)
        return " ".join(done)

    return _restarted(name, ["Patroni", "PostgreSQL"], restart)


@pghalib.errors.told
def lowered(name):
    """
    The leader runs with lowered parameters that a standby needs as high as its primary. Its PostgreSQL is restarted
    without a switchover, before the replicas: a replica cannot have a lower value than the leader.

    name
        State ID; not used.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It does."}
    try:
        changes = __salt__["pgha_restart.lowered"]() if __salt__["pgha_restart.leads"]() else {}
        if not changes:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "changes": changes, "comment": "PostgreSQL would be restarted."}
        timeout = _settings()["patroni"]["startup_timeout"]
        _others_serve(timeout)
        _restart_postgresql(timeout)
        _streams(name, timeout)
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    return {**ret, "changes": changes, "comment": "PostgreSQL was restarted."}


def _restarted(name, services, restart):
    """Restart when one of ``services`` has a pending restart. ``restart`` gets the reasons and returns a comment."""

    def pending():
        found = __salt__["pgha_restart.pending"]()
        return {service: found[service] for service in services if service in found}

    ret = {"name": name, "result": True, "changes": {}, "comment": "It does."}
    try:
        before = pending()
        if not before:
            return ret
        changes = {service: {"old": "; ".join(why), "new": "restarted"} for service, why in before.items()}
        if __opts__["test"]:
            return {**ret, "result": None, "changes": changes, "comment": "It would be restarted."}
        comment = restart(before)
        left = pending()
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    if left:
        why = "; ".join(sentence for sentences in left.values() for sentence in sentences)
        return {**ret, "result": False, "changes": changes, "comment": f"{comment} This is still pending: {why}"}
    return {**ret, "changes": changes, "comment": comment}


def _service(unit):
    if not __salt__["service.restart"](unit):
        raise CommandExecutionError(f"{unit} did not restart: see journalctl -u {unit}")


def _restart_postgresql(timeout):
    try:
        __salt__["pgha_patroni.command"]("restart", timeout, restart_pending=True)
    except CommandExecutionError as error:
        words = "; ".join(__salt__["pgha_parameters.last_words"]()) or "nothing that its logs have"
        raise CommandExecutionError(
            f"{error}. The server said: {words}. Nothing else was restarted: correct the pillar, run the main job,"
            " and this again."
        )


def _others_serve(timeout):
    pghalib.wait.until(__salt__["pgha_restart.others_serve"], timeout, "the cluster can do without this member")


def _switched_over():
    """Ask Patroni for a switchover. Called repeatedly: without a synchronous replica Patroni refuses for a while."""
    if __salt__["pgha_restart.leads"]():
        __salt__["pgha_patroni.command"]("switchover", 60, leader=_settings()["name"])
    return not __salt__["pgha_restart.leads"]()


def _streams(name, timeout):
    done = __states__["pgha_patroni.streaming"](name, timeout)
    if not done["result"]:
        raise CommandExecutionError(done["comment"])


def _settings():
    return __salt__["pgha.settings"]()
