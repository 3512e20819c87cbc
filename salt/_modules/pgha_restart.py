"""
Pending restarts of this host's services, and whether a restart is safe now.
"""

import time
from pathlib import Path

import pghalib.consul.answers
import pghalib.consul.client
import pghalib.master.turns
import pghalib.patroni.environment
import pghalib.patroni.member
import pghalib.postgres.data_directory
import pghalib.secrets.served
import pghalib.services.programs
import pghalib.services.started
import pghalib.wait
from salt.exceptions import CommandExecutionError


def facts():
    """
    Return this host's data for the order of a rolling restart: ``pending`` (as :py:func:`pending`), ``leads`` (it leads
    Consul's servers, or its database cluster), ``synchronous`` (commits wait for this replica), ``lowered`` (parameters
    that the leader must apply first).

    Waits up to 3 loops of Patroni, because Patroni reports a pending restart only after its next loop.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restart.facts
    """
    settings = _settings()
    if settings["role"] != "db":
        leading = settings["role"] == "dcs" and leads_by_consul()
        return {"pending": pending(), "leads": leading, "synchronous": False, "lowered": {}}
    timeout = 3 * __salt__["pgha_dynamic.loop"]()
    pghalib.wait.until(_configuration_taken_up, timeout, "Patroni has taken up its configuration")
    member = __salt__["pgha_patroni.member"]() or {}
    return {
        "pending": pending(),
        "leads": leads_by_consul(),
        "synchronous": bool(member.get("sync_standby") or member.get("quorum_standby")),
        "lowered": lowered(),
    }


def pending():
    """
    Return the pending restarts of this host: ``{service: [sentence, …]}``, only with services that need a restart.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restart.pending
    """
    # A repository host has nothing that waits: its service is restarted at once.
    if _settings()["role"] == "repository":
        return {}
    found = {"Consul": __salt__["pgha_consul.restart_pending"]()}
    if _settings()["role"] == "db":
        found["Patroni"] = _process_pending()
        found["PostgreSQL"] = [
            *(f"{name} is {values['old_value']}, to be {values['new_value']}" for name, values in _reasons().items()),
            *_server_replaced(),
        ]
        changed = __salt__["pgha_vip.restart_pending"]() or []
        found["vip-manager"] = [f"{path} has changed" for path in changed]
    return {service: sentences for service, sentences in found.items() if sentences}


def leads_by_consul():
    """
    Return whether this host is the leader: on a server of Consul of the servers, on a database host of its cluster.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_restart.leads_by_consul
    """
    if _settings()["role"] == "db":
        return __salt__["pgha_patroni.dcs"]()["leader"] == _settings()["name"]
    leader = __salt__["pgha_consul.leader"]()
    return bool(leader) and pghalib.consul.answers.host(leader) == _settings()["address"]


def lowered():
    """
    Return the parameters that a restart of PostgreSQL here would lower, among those that a standby needs as high as its
    primary: ``{name: {"old", "new"}}``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restart.lowered
    """
    return pghalib.master.turns.lowered(_reasons())


def consul_ready():
    """
    Return True when Consul does not need this host for a moment (before a restart), or this host is back (after it). On
    a server: all servers of the inventory vote and are healthy, and this server has applied the whole raft log. On a
    database host: the agent is registered, and finds the leader of the database cluster.

    Raises CommandExecutionError with the missing condition.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_restart.consul_ready
    """
    settings = _settings()
    if settings["role"] == "db":
        if not __salt__["pgha_consul.registered"]():
            raise CommandExecutionError("the agent of this host is not registered, or not alive")
        if not __salt__["pgha_patroni.dcs"]()["leader"]:
            raise CommandExecutionError("the database cluster has no leader")
        return True
    known = {one["name"]: one for one in __salt__["pgha_consul.autopilot"]()["servers"]}
    for server in settings["datacenter"]["servers"]:
        found = known.get(server["name"], {"voter": False, "healthy": False})
        if not (found["voter"] and found["healthy"]):
            raise CommandExecutionError(f"{server['name']} has no vote, or is not healthy")
    applied, last = _applied_index(), max(one["index"] for one in known.values())
    if applied < last:
        raise CommandExecutionError(f"this server has applied the raft log up to {applied} of {last}")
    return True


def consul_handed_over(timeout):
    """
    When this server of Consul is the leader, give the lead to another server, if this version of Consul can do that
    (POST ``/v1/operator/raft/transfer-leader``). Returns whether the lead was given away.

    timeout
        Seconds to wait for the new leader.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_restart.consul_handed_over 60
    """
    if _settings()["role"] != "dcs" or not leads_by_consul():
        return False
    # Older versions do not have this path: then the other servers elect a leader when this server has stopped.
    if _consul("POST", "/v1/operator/raft/transfer-leader", allow=(404, 405))["status"] != 200:
        return False
    pghalib.wait.until(
        lambda: __salt__["pgha_consul.leader"]() and not leads_by_consul(), timeout, "another server leads"
    )
    return True


def others_serve():
    """
    Return True when the database cluster does not need this member for a moment: all other members of the inventory
    answer, there is a leader, the other replicas stream, and Patroni is not paused.

    Raises CommandExecutionError with the missing condition.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restart.others_serve
    """
    settings = _settings()
    if (__salt__["pgha_patroni.member"]() or {}).get("pause"):
        raise CommandExecutionError("Patroni is paused: patronictl resume")
    if not __salt__["pgha_patroni.dcs"]()["leader"]:
        raise CommandExecutionError("no member leads")
    for host in settings["cluster"]["hosts"]:
        # Each member is asked directly: its state in Consul is as old as its last loop.
        member = {} if host["id"] == settings["id"] else __salt__["pgha_patroni.member"](host["address"])
        if member is None:
            raise CommandExecutionError(f"Patroni on {host['name']} does not answer")
        if member and not pghalib.patroni.member.serves(member):
            states = f"{member.get('state')}, replication is {member.get('replication_state', 'off')}"
            raise CommandExecutionError(f"{host['name']} ({member.get('role')}) is {states}")
    return True


def _configuration_taken_up():
    """
    Whether Patroni has applied its present configuration: its own copy of the dynamic configuration in the data
    directory is the same as in the DCS, and patroni.yml is older than one loop.
    """
    settings = _settings()
    try:
        age = time.time() - Path(settings["patroni"]["config_dir"], "patroni.yml").stat().st_mtime
    except FileNotFoundError as error:
        raise CommandExecutionError(f"{error.filename} is not there")
    if 0 <= age <= __salt__["pgha_dynamic.loop"]() + 2:
        return False
    return __salt__["pgha_dynamic.taken_up"]()


def _process_pending():
    """Files that changed since the running Patroni was started, as a list of sentences."""
    if not __salt__["service.status"]("patroni"):
        return []
    requirements = f"{_settings()['patroni']['venv']}/{pghalib.patroni.environment.MARKER}"
    return [f"{path} has changed" for path in pghalib.services.started.changed("patroni", [requirements])]


def _server_replaced():
    """Of an update of its package PostgreSQL's server learns nothing, and Patroni does not look."""
    postgres = _settings()["postgres"]
    pid = pghalib.postgres.data_directory.postmaster(postgres["data_dir"])
    outdated = pghalib.services.programs.outdated(pid, f"{postgres['bin_dir']}/postgres") if pid else None
    return [outdated] if outdated else []


def _reasons():
    return (__salt__["pgha_patroni.member"]() or {}).get("pending_restart_reason") or {}


def _applied_index():
    return int(_consul("GET", "/v1/agent/self")["body"]["Stats"]["raft"]["applied_index"])


def _consul(method, path, **kwargs):
    return pghalib.consul.client.ask(_settings(), _secrets, method, path, **kwargs)


def _settings():
    return __salt__["pgha.settings"]()


def _secrets():
    return pghalib.secrets.served.own(__pillar__, __opts__)
