"""
What of this host's services waits for a restart, and whether its turn may come.
"""

import json
import time
from pathlib import Path

import pghalib.consul.client
import pghalib.host.files
import pghalib.master.turns
import pghalib.patroni.config
import pghalib.secrets.served
import pghalib.wait
from salt.exceptions import CommandExecutionError

UNIT = "/etc/systemd/system/patroni.service"
STARTED_WITH = "/run/pgha/patroni.started-with"


def standing():
    """
    Return what the order of a rolling restart needs of this host: ``pending`` (as :py:func:`pending`), ``leads`` (it
    leads Consul's servers, or its database cluster), ``synchronous`` (commits wait for this replica), ``lowered``
    (parameters that the leader has to take up first).

    Waits up to 3 times ``loop_wait``, because Patroni reports a pending restart only after its next loop.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restart.standing
    """
    settings = _settings()
    if settings["role"] == "dcs":
        return {"pending": pending(), "leads": leads(), "synchronous": False, "lowered": {}}
    timeout = 3 * settings["patroni"]["loop_wait"]
    pghalib.wait.until(_configuration_taken_up, timeout, "Patroni has taken up its configuration")
    member = __salt__["pgha_patroni.member"]() or {}
    return {
        "pending": pending(),
        "leads": leads(),
        "synchronous": bool(member.get("sync_standby") or member.get("quorum_standby")),
        "lowered": lowered(),
    }


def pending():
    """
    Return what waits for a restart on this host: ``{service: [sentence, …]}`` with those services only that have
    something pending.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restart.pending
    """
    found = {"Consul": __salt__["pgha_consul.restart_pending"]()}
    if _settings()["role"] == "db":
        found["Patroni"] = _process_pending()
        found["PostgreSQL"] = [
            f"{name} is {values['old_value']}, to be {values['new_value']}" for name, values in _reasons().items()
        ]
        changed = __salt__["pgha_vip.restart_pending"]() or []
        found["vip-manager"] = [f"{path} has changed" for path in changed]
    return {service: sentences for service, sentences in found.items() if sentences}


def leads():
    """
    Return whether this host leads: on a server of Consul the other servers, on a database host its cluster.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_restart.leads
    """
    if _settings()["role"] == "db":
        return __salt__["pgha_patroni.dcs"]()["leader"] == _settings()["name"]
    leader = __salt__["pgha_consul.leader"]()
    return bool(leader) and leader.rpartition(":")[0].strip("[]") == _settings()["address"]


def lowered():
    """
    Return the parameters that wait for a restart of PostgreSQL here to get lower, and that no standby may have lower
    than its primary: ``{name: {"old", "new"}}``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_restart.lowered
    """
    return pghalib.master.turns.lowered(_reasons())


def consul_ready():
    """
    Return True when Consul can do without this host for a moment, and when this host is back: on a server all servers
    of the inventory vote and are healthy, and this one has applied what the others have; on a database host the agent
    is registered, and finds the leader of the database cluster.

    Raises CommandExecutionError that says what is missing.

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
    Have another server of Consul lead when this one does, where this version of Consul can do that (POST
    ``/v1/operator/raft/transfer-leader``). Returns whether another server was made the leader.

    timeout
        Seconds to wait for the other leader.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_restart.consul_handed_over 60
    """
    if _settings()["role"] != "dcs" or not leads():
        return False
    # Older servers do not know the path: the others then elect a leader when this one has stopped.
    if _consul("POST", "/v1/operator/raft/transfer-leader", allow=(404, 405))["status"] != 200:
        return False
    pghalib.wait.until(lambda: __salt__["pgha_consul.leader"]() and not leads(), timeout, "another server leads")
    return True


def others_serve():
    """
    Return True when the database cluster can do without this member for a moment: all others of the inventory are
    there, somebody leads, the others stream, and nobody has paused Patroni.

    Raises CommandExecutionError that says what is missing.

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
        # Asked itself: what it told Consul is as old as its last loop.
        member = {} if host["id"] == settings["id"] else __salt__["pgha_patroni.member"](host["address"])
        if member is None:
            raise CommandExecutionError(f"Patroni on {host['name']} does not answer")
        if member and not pghalib.patroni.config.serves(member):
            states = f"{member.get('state')}, replication is {member.get('replication_state', 'off')}"
            raise CommandExecutionError(f"{host['name']} ({member.get('role')}) is {states}")
    return True


def _configuration_taken_up():
    """
    Whether Patroni runs with the configuration that is there: the dynamic one is that of its own note in the data
    directory, and a new patroni.yml has lain there for longer than a loop takes to come to it.
    """
    settings = _settings()
    path = f"{settings['postgres']['data_dir']}/patroni.dynamic.json"
    noted = pghalib.host.files.read_foreign(path)
    if noted is None:
        raise CommandExecutionError(f"{path} is not there")
    try:
        age = time.time() - Path(settings["patroni"]["config_dir"], "patroni.yml").stat().st_mtime
    except FileNotFoundError as error:
        raise CommandExecutionError(f"{error.filename} is not there")
    if 0 <= age <= settings["patroni"]["loop_wait"] + 2:
        return False
    try:
        noted = json.loads(noted)
    except ValueError:
        raise CommandExecutionError(f"{path} is not JSON")
    return noted == __salt__["pgha_patroni.dynamic_config"]()


def _process_pending():
    """What of a running Patroni is older than what is on the disk, as a list of sentences."""
    if not __salt__["service.status"]("patroni"):
        return []
    requirements = f"{_settings()['patroni']['venv']}/.pgha-requirements"
    changed = pghalib.host.files.changed_since(STARTED_WITH, UNIT, [requirements])
    return [f"{path} has changed" for path in changed]


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
