"""
Consul on this host: its own state and its view of the cluster. The ACLs of Consul are in ``pgha_consul_acl``.

Every function asks the agent of the same host. Each function takes tokens from the host's secrets itself: no token is
an argument of a job or part of a result.
"""

import functools
import os

import pghalib.consul.answers
import pghalib.consul.client
import pghalib.consul.drift
import pghalib.consul.pending
import pghalib.secrets.served
import pghalib.services.shown
import pghalib.services.started
from salt.exceptions import CommandExecutionError

BINARY = "/usr/bin/consul"


def version():
    """
    Return the version of the installed Consul, e.g. ``1.22.3``, or None when it is not installed.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul.version
    """
    if not os.access(BINARY, os.X_OK):
        return None
    return _run("version")["stdout"].split()[1].lstrip("v").split("+")[0]


def validate(*paths):
    """
    Ask Consul whether configuration files are valid together.

    paths
        Absolute paths of the files; they are read as JSON, whatever their names.

    Returns None when they are valid, else Consul's error message.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul.validate /etc/consul.d/config.json
    """
    # The name of a draft has no suffix that Consul knows (an agent must not read it), so the format is given.
    answer = _run("validate", "-config-format=json", *paths, fail=False)
    if answer["retcode"] == 0:
        return None
    return (answer["stderr"] or answer["stdout"]).strip() or f"consul validate ended with {answer['retcode']}"


def leader():
    """
    Return the address of the leader of the servers, e.g. ``198.51.100.11:8300``, or None. Needs no token.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul.leader
    """
    return _api("GET", "/v1/status/leader", token="")["body"] or None


def members():
    """
    Return the members of the datacenter that this host may see: ``name``, ``address``, ``status``, ``type``, ``build``
    of each, sorted by name. A server sees all members; a database host's token shows only its own node.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_consul.members
    """
    return pghalib.consul.answers.members(_api("GET", "/v1/agent/members")["body"])


def raft_peers():
    """
    Return the servers in the raft configuration: ``address`` (of the host) and ``raft_address`` (with its port). With
    the management token also ``name`` (None while this server does not know it yet), ``voter`` and ``leader`` of each.
    On a server of Consul only.

    Before the ACLs exist, and without a leader, the list comes from ``/v1/status/peers``. That path needs no token and
    answers at once (a server without a leader needs 7 s to check a token), but it returns addresses only.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul.raft_peers
    """
    if leader():
        answer = _api("GET", "/v1/operator/raft/configuration", params={"stale": ""}, allow=(403, 404))
        if answer["status"] == 200:
            return pghalib.consul.answers.servers(answer["body"])
    return [pghalib.consul.answers.peer(one) for one in _api("GET", "/v1/status/peers", token="")["body"] or []]


def autopilot():
    """
    Return autopilot's report on the servers: ``healthy``, ``failure_tolerance`` and ``servers`` (``name``,
    ``healthy``, ``voter``, and ``index`` of the last entry in the raft log, of each). Needs the management token, so it
    works only on a server of Consul.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul.autopilot
    """
    # HTTP 429 means that the cluster is unhealthy.
    return pghalib.consul.answers.autopilot(_api("GET", "/v1/operator/autopilot/health", allow=(429,))["body"])


def health():
    """
    Return a summary of Consul as this host sees it, for a status report; ``errors`` holds the questions that failed.

    The keys: ``version`` (installed), ``leader`` (name of the server), ``members``, ``restart_pending``, ``errors``,
    and on a server ``voters`` (names), ``foreign_servers`` (those in raft that are not in the inventory, as
    :py:func:`raft_peers` has them) and ``autopilot``.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul.health
    """
    result, peers = {"errors": []}, []

    def voters():
        peers.extend(raft_peers())
        return [one["name"] for one in peers if one.get("voter")]

    asked = {"version": version, "leader": leader, "members": members, "restart_pending": restart_pending}
    if _settings()["role"] == "dcs":
        servers = _settings()["datacenter"]["servers"]
        foreign = functools.partial(pghalib.consul.drift.foreign_servers, peers, servers)
        asked.update(voters=voters, foreign_servers=foreign, autopilot=autopilot)
    for name, function in asked.items():
        try:
            result[name] = function()
        except CommandExecutionError as error:
            result[name] = None
            result["errors"].append(str(error))
    if result["leader"]:
        addresses = {one["address"]: one["name"] for one in _settings()["datacenter"]["servers"]}
        result["leader"] = addresses.get(pghalib.consul.answers.host(result["leader"]), result["leader"])
    return result


def registered():
    """
    Return whether this host is a node that can hold a session: the node is in the catalog, its gossip check
    (``serfHealth``) passes, and Consul has a leader.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_consul.registered
    """
    checks = _api("GET", f"/v1/health/node/{_settings()['name']}")["body"] or []
    return any(check["CheckID"] == "serfHealth" and check["Status"] == "passing" for check in checks)


def pid():
    """
    Return the process id of the running service, or None.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul.pid
    """
    try:
        return pghalib.services.shown.main_pid(__salt__["service.show"]("consul"))
    except CommandExecutionError:
        return None


def restart_pending():
    """
    Return the changes that the running agent applies only at its next restart, as a list of sentences; ``[]`` when
    nothing is pending, and when the agent does not run.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_consul.restart_pending
    """
    number = pid()
    if number is None:
        return []
    keys, changed = noted(), pghalib.services.started.changed("consul")
    return pghalib.consul.pending.sentences(keys, number, BINARY, changed)


def noted():
    """
    Return the keys of changed settings that the running agent applies only at its restart, as a list.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_consul.noted
    """
    return pghalib.consul.pending.noted()


def note(*keys):
    """
    Note changed settings that the running agent applies only at its restart. Returns all keys that are noted then.

    keys
        Keys to add.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_consul.note domain
    """
    return pghalib.consul.pending.note(keys)


def reload():
    """
    Have the running agent read its configuration again. Returns True.

    Raises CommandExecutionError when systemd does not tell the agent.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_consul.reload
    """
    # By a signal: the API requires agent:write, a right that the agent's token does not have and does not need.
    if not __salt__["service.reload"]("consul"):
        raise CommandExecutionError("systemctl reload consul failed: see journalctl -u consul")
    return True


def _settings():
    return __salt__["pgha.settings"]()


def _api(method, path, **kwargs):
    return pghalib.consul.client.ask(_settings(), _secrets, method, path, **kwargs)


def _run(*words, fail=True):
    answer = __salt__["cmd.run_all"]([BINARY, *words], python_shell=False, ignore_retcode=True, output_loglevel="quiet")
    if fail and answer["retcode"]:
        raise CommandExecutionError(f"consul {words[0]} failed: {answer['stderr'] or answer['stdout']}")
    return answer


def _secrets():
    return pghalib.secrets.served.own(__pillar__, __opts__)
