"""
Patroni on this host and its cluster: its REST API, its keys in Consul, a test write.
"""

import pghalib.consul.client
import pghalib.consul.config
import pghalib.host.files
import pghalib.host.users
import pghalib.http
import pghalib.patroni.client
import pghalib.patroni.environment
import pghalib.patroni.proof
import pghalib.patroni.rights
import pghalib.secrets.served
import pghalib.services.started
from salt.exceptions import CommandExecutionError


def version():
    """
    Return the version of Patroni in its virtual environment, None when it is not there.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.version
    """
    return pghalib.patroni.environment.installed(_settings()["patroni"]["venv"]).get("patroni")


def validate(path):
    """
    Return None when Patroni finds no fault in a configuration file, else its output. Patroni connects to Consul for
    the check.

    path
        The file; the user of PostgreSQL must be able to read it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.validate /etc/patroni/patroni.yml
    """
    settings = _settings()
    result = _run_as_user(
        [f"{settings['patroni']['venv']}/bin/patroni", "--validate-config", "--ignore-listen-port", path]
    )
    if result["retcode"] == 0:
        return None
    return (result["stdout"] + "\n" + result["stderr"]).strip() or f"exit code {result['retcode']}"


def member(address=None):
    """
    Return a member's own report (``GET /patroni``): role, state, timeline, replication_state, pending_restart, and so
    on. None when the member does not answer.

    address
        Address of the member; default: this host's own.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.member
    """
    try:
        answer = _api("GET", "/patroni", address)["body"]
    except CommandExecutionError:
        return None
    return answer if isinstance(answer, dict) else None


def cluster(address=None):
    """
    Return the members of the cluster as one member sees them (``GET /cluster``): name, role, state, timeline, lag and
    host of each. Raises CommandExecutionError when that member does not answer.

    address
        Address of the member to ask; default: this host's own.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.cluster
    """
    answer = _api("GET", "/cluster", address)
    members = answer["body"].get("members") if isinstance(answer["body"], dict) else None
    if not isinstance(members, list):
        raise CommandExecutionError(f"Patroni lists no members: {pghalib.http.said(answer)}")
    return members


def dynamic_config():
    """
    Return the dynamic configuration in the DCS (``GET /config``). Raises CommandExecutionError when Patroni on this
    host does not answer, or when there is no dynamic configuration yet.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.dynamic_config
    """
    answer = _api("GET", "/config")
    if answer["status"] != 200:
        raise CommandExecutionError(f"There is no dynamic configuration yet: HTTP {answer['status']}")
    return answer["body"]


def patch_config(patch):
    """
    Change the dynamic configuration (``PATCH /config``) and return the new one. All members apply it at once. None:
    somebody else changed it at the same moment (HTTP 409), and nothing was done.

    patch
        The differences, as nested mappings; null removes a key.

    Raises CommandExecutionError when Patroni does not answer or refuses the change.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.patch_config '{"ttl": 30}'
    """
    answer = _api("PATCH", "/config", payload=patch, protected=True)
    if answer["status"] == 409:
        return None
    if answer["status"] != 200:
        raise CommandExecutionError(f"Patroni refused the dynamic configuration: {pghalib.http.said(answer)}")
    return answer["body"]


def wake(address=None):
    """
    Make a member run its loop now instead of at the end of ``loop_wait``. Returns True when the member accepted.

    ``PATCH /config`` wakes the loop even without a change, so this removes a key that does not exist: nothing is
    written. (``POST /reload`` does not wake the loop.) A leader wakes at once; a replica does not, because it waits for
    the leader key in Consul.

    address
        Address of the member; default: this host's own.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.wake
    """
    return _api("PATCH", "/config", address, protected=True, payload={"pgha_wake": None})["status"] == 200


def post(what, timeout, **details):
    """
    Send Patroni on this host a command and wait for its end: ``restart`` (of PostgreSQL) or ``switchover``.

    what
        The path in the REST API, for a POST request.
    timeout
        Seconds that the command may take.
    details
        Parameters of the command, such as ``restart_pending`` or ``leader``.

    Returns Patroni's answer. Raises CommandExecutionError when Patroni refuses or fails.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_patroni.post restart 300 restart_pending=True
    """
    details = {key: value for key, value in details.items() if not key.startswith("__")}
    answer = _api("POST", f"/{what}", protected=True, payload=details, timeout=timeout)
    if answer["status"] != 200:
        raise CommandExecutionError(f"Patroni does not {what}: {pghalib.http.said(answer)}")
    return answer["text"].strip()


def dcs():
    """
    Return this cluster's keys in Consul: ``initialize`` (the system identifier, None for a cluster that is not
    initialised) and ``leader`` (the name of the member that holds the leader key, or None).

    Raises CommandExecutionError when Consul does not answer, and when Patroni's token lacks a right: with a token that
    cannot read, the cluster looks empty, and Patroni would initialise it again.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.dcs
    """
    settings = _settings()
    prefix = pghalib.consul.config.key_prefix(settings["cluster"])
    asked = pghalib.patroni.rights.asked(settings)
    fault = pghalib.patroni.rights.fault(_consul("POST", "/v1/internal/acl/authorize", payload=asked, allow=(403, 404)))
    if fault:
        raise CommandExecutionError(fault)
    values = {}
    for key in ("initialize", "leader"):
        answer = _consul("GET", f"/v1/kv/{prefix}{key}", params={"raw": "", "consistent": ""}, allow=(404,))
        values[key] = answer["text"] or None if answer["status"] == 200 else None
    return values


def write_error(address=None):
    """
    Return None when the server at an address accepts a write, else the error. The write is a transaction with a message
    in the WAL: it waits for a synchronous replica like any other transaction, and leaves nothing in a table.

    address
        Default: the virtual IP of the cluster; without a virtual IP this host's own address.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.write_error 198.51.100.40
    """
    settings = _settings()
    environment = pghalib.patroni.proof.environment(settings, address or pghalib.patroni.proof.address(settings))
    words, timeout = pghalib.patroni.proof.command(settings), pghalib.patroni.proof.TIMEOUT
    result = _run_as_user(words, env=environment, timeout=timeout)
    return None if result["retcode"] == 0 else (result["stderr"] or result["stdout"]).strip() or "psql failed"


def log_tail(lines=5):
    """
    Return the last lines of Patroni's log on this host and of the journal of its unit, for messages. A server that
    cannot start writes the reason only to the journal.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.log_tail 20
    """
    path = f"{_settings()['patroni']['log_dir']}/patroni.log"
    try:
        said = (pghalib.host.files.read_foreign(path, 16384, tail=True) or "").splitlines()[-int(lines) :]
    except CommandExecutionError as error:
        said = [str(error)]
    command = ["journalctl", "--unit=patroni", f"--lines={int(lines)}", "--output=cat", "--no-pager", "--quiet"]
    journal = __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True)
    return said + journal["stdout"].splitlines()


def makes_files_beside_configuration():
    """
    Return whether the running Patroni writes files in the directory of patroni.yml. A Patroni that was started with
    its password file there must be able to write there, else it does not start PostgreSQL. Its next restart ends that.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.makes_files_beside_configuration
    """
    # The unit that writes this note is installed after the patroni.yml with the new directory of the password file.
    return bool(__salt__["service.status"]("patroni")) and not pghalib.services.started.noted("patroni")


def _settings():
    return __salt__["pgha.settings"]()


def _api(method, path, address=None, **kwargs):
    return pghalib.patroni.client.ask(_settings(), _secrets, method, path, address=address, **kwargs)


def _consul(method, path, **kwargs):
    """A request to the agent of this host with Patroni's own token."""
    secrets = _secrets
    token = secrets()["patroni"]["secret"]
    return pghalib.consul.client.ask(_settings(), secrets, method, path, token=token, **kwargs)


def _run_as_user(command, **kwargs):
    return pghalib.host.users.run(__salt__["cmd.run_all"], _settings()["postgres"]["user"], command, **kwargs)


def _secrets():
    return pghalib.secrets.served.own(__pillar__, __opts__)
