"""
Patroni on this host and its cluster: its REST API, its keys in Consul, a write as proof.
"""

import os

import pghalib.consul.client
import pghalib.consul.config
import pghalib.host.files
import pghalib.host.users
import pghalib.http
import pghalib.patroni.config
import pghalib.patroni.environment
import pghalib.secrets.served
import pghalib.tls
from salt.exceptions import CommandExecutionError

STARTED_WITH = "/run/pgha/patroni.started-with"
#: Seconds: the members are on one network, so whoever does not answer in this time is in trouble.
_TIMEOUT = 5


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
    Return None when Patroni finds no fault in a configuration file, else what it says. It connects to Consul for that.

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
    Return what a member says of itself (``GET /patroni``): role, state, timeline, replication_state, pending_restart,
    and so on. None when it does not answer.

    address
        Default: this host's own.

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
    Return the members of the cluster as a member sees them (``GET /cluster``): name, role, state, timeline, lag and
    host of each. Raises CommandExecutionError when it does not answer.

    address
        The member that is asked; default: this host's own.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.cluster
    """
    answer = _api("GET", "/cluster", address)
    members = answer["body"].get("members") if isinstance(answer["body"], dict) else None
    if not isinstance(members, list):
        raise CommandExecutionError(f"Patroni lists no members: {_said(answer)}")
    return members


def dynamic_config():
    """
    Return the dynamic configuration as it is in the DCS (``GET /config``). Raises CommandExecutionError when Patroni on
    this host does not answer, or when there is none yet.

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
    Change the dynamic configuration (``PATCH /config``) and return it as it is afterwards. All members follow at once.
    None: somebody else changed it at the same moment (HTTP 409), and nothing was done.

    patch
        What differs, as nested mappings; null takes a key away.

    Raises CommandExecutionError when Patroni does not answer or refuses it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.patch_config '{"ttl": 30}'
    """
    answer = _api("PATCH", "/config", payload=patch, protected=True)
    if answer["status"] == 409:
        return None
    if answer["status"] != 200:
        raise CommandExecutionError(f"Patroni refused the dynamic configuration: {_said(answer)}")
    return answer["body"]


def wake(address=None):
    """
    Have a member's loop run now and not at the end of ``loop_wait``. Returns True when it accepted.

    ``PATCH /config`` wakes the loop even when it changes nothing, so a key that is not there is taken away and nothing
    is written (``POST /reload`` does not wake it). A leader wakes at once; a replica waits for the leader key in Consul
    and does not notice.

    address
        The member; default: this host's own.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.wake
    """
    return _api("PATCH", "/config", address, protected=True, payload={"pgha_wake": None})["status"] == 200


def command(what, timeout, **details):
    """
    Have Patroni on this host do something and wait for its end: ``restart`` (PostgreSQL) or ``switchover``.

    what
        The path of its REST API, which is told by POST.
    timeout
        Seconds that it may take.
    details
        What the API takes for it, such as ``restart_pending`` or ``leader``.

    Returns what Patroni says. Raises CommandExecutionError when it refuses or fails.

    CLI Example:

    .. code-block:: bash

        salt 'test-db2' pgha_patroni.command restart 300 restart_pending=True
    """
    details = {key: value for key, value in details.items() if not key.startswith("__")}
    answer = _api("POST", f"/{what}", protected=True, payload=details, timeout=timeout)
    if answer["status"] != 200:
        raise CommandExecutionError(f"Patroni does not {what}: {_said(answer)}")
    return answer["text"].strip()


def dcs():
    """
    Return what Consul knows of this cluster: ``initialize`` (the system identifier, None for a cluster that is not
    initialised) and ``leader`` (the name of the member that holds the leader key, or None).

    Raises CommandExecutionError when Consul does not answer, and when Patroni's token lacks a right: a token that may
    not read sees an empty cluster, and Patroni would initialise it once more.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.dcs
    """
    settings = _settings()
    prefix = pghalib.consul.config.key_prefix(settings["cluster"])
    asked = [
        {"Resource": "key", "Access": "write", "Segment": f"{prefix}leader"},
        {"Resource": "key", "Access": "read", "Segment": f"{prefix}leader"},
        {"Resource": "session", "Access": "write", "Segment": settings["name"]},
    ]
    answer = _consul("POST", "/v1/internal/acl/authorize", payload=asked, allow=(403, 404))
    if answer["status"] != 200:
        raise CommandExecutionError(
            f"Consul does not know Patroni's token ({_said(answer)}): apply pgha.dcs on its servers, which registers it"
        )
    denied = [
        f"{right['Access']} {right['Resource']} {right['Segment']}" for right in answer["body"] if not right["Allow"]
    ]
    if denied:
        raise CommandExecutionError(
            f"Patroni's token may not {', '.join(denied)}: apply pgha.dcs on Consul's servers, which corrects it"
        )
    values = {}
    for key in ("initialize", "leader"):
        answer = _consul("GET", f"/v1/kv/{prefix}{key}", params={"raw": "", "consistent": ""}, allow=(404,))
        values[key] = answer["text"] or None if answer["status"] == 200 else None
    return values


def write_error(address=None):
    """
    Return None when the server at an address takes a write, else why it does not. The write is a transaction of its own
    with a message in the WAL, so it waits for a synchronous replica like any other; nothing is left behind in a table.

    address
        Default: the virtual IP of the cluster; without one this host's own address.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.write_error 198.51.100.40
    """
    settings = _settings()
    vip = settings["cluster"]["vip"]
    address = address or (vip["address"] if vip else settings["address"])
    postgres = settings["postgres"]
    # -X: no one's psqlrc. The statement is no secret; the password is in the file.
    statement = "SELECT pg_catalog.pg_logical_emit_message(true, 'pgha', 'a write as proof')"
    result = _run_as_user(
        [f"{postgres['bin_dir']}/psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-c", statement],
        env={
            "PGHOST": address,
            "PGPORT": str(postgres["port"]),
            "PGUSER": "rewind",
            "PGDATABASE": "postgres",
            "PGPASSFILE": f"{settings['patroni']['config_dir']}/pgpass.check",
            "PGCONNECT_TIMEOUT": "3",
            **pghalib.tls.libpq(settings),
            "PGOPTIONS": "-c statement_timeout=5s",
            "LC_ALL": "C",
        },
        timeout=15,
    )
    return None if result["retcode"] == 0 else (result["stderr"] or result["stdout"]).strip() or "psql failed"


def log_tail(lines=5):
    """
    Return the last lines of Patroni's log on this host, and of what it and the server say to the journal (a server that
    cannot start says why only there), for messages.

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
    Return whether the Patroni that runs makes files in the directory of patroni.yml: one that was started when its
    password file lay there starts no PostgreSQL as long as it may not. That ends with its next start.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni.makes_files_beside_configuration
    """
    # The unit that writes this note is written after the patroni.yml that names another directory.
    return bool(__salt__["service.status"]("patroni")) and not os.path.exists(STARTED_WITH)


def _settings():
    return __salt__["pgha.settings"]()


def _api(method, path, address=None, protected=False, timeout=_TIMEOUT, payload=None):
    """A call of a member's REST API. Passwords are fetched here and given to nobody."""
    api = pghalib.patroni.config.api(_settings(), address)
    proof = {}
    if protected:
        proof = {"auth": ("patroni", _secrets()["restapi"]), "cert": api["cert"]}
    return pghalib.http.request(
        method,
        api["url"] + path,
        user=api["user"],
        verify=api["verify"],
        payload=payload,
        timeout=timeout,
        remedy="systemctl status patroni on that host, and its log, tell more",
        **proof,
    )


def _consul(method, path, **kwargs):
    """A request to the agent of this host with Patroni's own token."""
    secrets = _secrets
    token = secrets()["patroni"]["secret"]
    return pghalib.consul.client.ask(_settings(), secrets, method, path, token=token, **kwargs)


def _said(answer):
    return f"{answer['status']} {answer['text'].strip()[:300]}"


def _run_as_user(command, **kwargs):
    return pghalib.host.users.run(__salt__["cmd.run_all"], _settings()["postgres"]["user"], command, **kwargs)


def _secrets():
    return pghalib.secrets.served.own(__pillar__, __opts__)
