"""
The ACLs of Consul: bootstrap, policies, tokens, the token of this host's agent.

The master chose the ids and secrets of all tokens, so registering a token twice has no further effect. Each function
takes them from the host's secrets itself: no secret is an argument of a job or part of a result.
"""

import os
import re
import time

import pghalib.consul.acl
import pghalib.consul.client
import pghalib.consul.config
import pghalib.consul.drift
import pghalib.host.files
import pghalib.parse
import pghalib.secrets.served
import pghalib.wait
from salt.exceptions import CommandExecutionError

# Seconds to wait after a refused bootstrap: the token may be ours, and this server may not know it yet. Then seconds to
# wait for the preset token.
REFUSED_PATIENCE = 15
PRESET_PATIENCE = 20
# Seconds that the other servers wait for the first server; its own call has ended long before.
OTHERS_PATIENCE = 60


def registrar():
    """
    Return whether this host registers policies and tokens: the first server of the inventory does, except servers that
    this run leaves out.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.registrar
    """
    settings = _settings()
    return settings["datacenter"]["registrar"]["id"] == settings["id"]


def token_works(name="management"):
    """
    Return whether the agent of this host knows one of the tokens in the host's secrets. A server looks into its
    own copy, even without a leader.

    name
        ``management`` or ``agent``; on a server also a token that the server registers (``patroni-CLUSTER``, …); on a
        database host also ``patroni`` or ``vip``.

    Do not ask the agent of a database host for a token that may not exist yet: the agent caches the answer for 30 s.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.token_works management
    """
    return pghalib.consul.acl.token(_api, _secret(name)) is not None


def bootstrap():
    """
    Make the master's management token work on this server. The registrar bootstraps the ACLs; other servers wait.
    Each takes ``consul:startup_timeout`` at most, a server that only waits OTHERS_PATIENCE.

    Returns True when the token did not work before, False when there was nothing to do.

    The token is preset (see :py:func:`preset_wanted`), so usually the leader installs it and this function only waits.
    When the servers were started without the preset, the registrar bootstraps the ACLs by the API after some seconds.
    Consul 1.15 and newer accept the chosen secret. Older versions answer with their own secret: that token registers
    the chosen token and is then deleted. A call that timed out may have succeeded, so the token is tried before each
    call and after a refusal.

    Raises CommandExecutionError when the ACLs were bootstrapped with another secret, or the token did not work in time.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.bootstrap
    """
    settings = _settings()
    timeout = settings["consul"]["startup_timeout"]
    if not registrar():
        timeout = min(timeout, OTHERS_PATIENCE)
    secret = _secret("management")
    # A short timeout must leave time for the call and its effect.
    may_call = time.monotonic() + min(PRESET_PATIENCE, timeout / 2)
    refused = {}

    def works():
        if pghalib.consul.acl.token(_api, secret) is not None:
            return "works"
        if refused and time.monotonic() > refused["until"]:
            return "foreign"
        if registrar() and not refused and time.monotonic() >= may_call:
            answer = _api("PUT", "/v1/acl/bootstrap", token="", payload={"BootstrapSecret": secret}, allow=(403,))
            if answer["status"] == 403:
                refused.update(until=time.monotonic() + REFUSED_PATIENCE, text=str(answer["body"]))
            elif answer["body"]["SecretID"] != secret:
                pghalib.consul.acl.adopt(_api, _secrets()["management"], answer["body"])
        return None

    try:
        if pghalib.consul.acl.token(_api, secret) is not None:
            return False
    except CommandExecutionError:
        pass
    first = settings["datacenter"]["registrar"]["name"]
    what = f"{first} bootstraps the ACLs (the result of {first} in this run says why it does not)"
    what = "the management token works" if registrar() else what
    if pghalib.wait.until(works, timeout, what) == "foreign":
        index = re.search(r"reset index: (\d+)", refused["text"])
        raise CommandExecutionError(
            "The ACLs of this Consul were bootstrapped with a management token that is not the one in the master's"
            " store. Restore the store that was in use then; or make a new one work: on the leader write"
            f" {index.group(1) if index else 'the reset index'} to"
            f" {settings['consul']['data_dir']}/acl-bootstrap-reset, and run this again"
        )
    return True


def differences():
    """
    Return how the policies and tokens in Consul differ from the inventory, without secrets:
    ``{"policy NAME": {"old": …, "new": …}, "token NAME": {…}}``. Other policies and tokens are left alone. Exception:
    ``anonymous token`` must have no rights, because every request without a token uses it.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.differences
    """
    plan = pghalib.consul.acl.plan(_settings(), _secrets, _api)
    return {title: {"old": old, "new": new} for title, (old, new, _) in plan.items()}


def apply():
    """
    Create the policies and tokens that are missing and update those that differ; none is replaced or deleted. Returns
    the differences as they were before (see :py:func:`differences`). Raises CommandExecutionError when Consul refuses
    one, or knows its id with another secret.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.apply
    """
    plan = pghalib.consul.acl.plan(_settings(), _secrets, _api)
    for title, (_, _, write) in plan.items():
        try:
            _api("PUT", write["path"], payload=write["payload"])
        except CommandExecutionError as error:
            if "already in use" in str(error):
                raise CommandExecutionError(
                    f"The {title} of the master's store has an id that Consul knows with another secret: the store is"
                    " not the one that was used before. Restore it, or delete that token in Consul and run this again"
                ) from None
            raise
    return {title: {"old": old, "new": new} for title, (old, new, _) in plan.items()}


def foreign_tokens():
    """
    Return the tokens that do not belong to the inventory and that have all rights, or a description like the formula's
    tokens: ``[{"accessor", "description", "management"}]``. The formula never deletes them; a person decides.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.foreign_tokens
    """
    settings, stored = _settings(), _secrets()["tokens"]
    own = {stored[name]["accessor"] for name in pghalib.consul.config.tokens(settings) if name in stored}
    # Consul itself chose the accessor id of the management token.
    own.add((pghalib.consul.acl.token(_api, _secret("management")) or {}).get("AccessorID"))
    powerful = pghalib.consul.acl.powerful(_api, pghalib.consul.config.policies(settings))
    listed, roles = (_api("GET", f"/v1/acl/{kind}")["body"] or [] for kind in ("tokens", "roles"))
    return pghalib.consul.drift.foreign_tokens(listed, roles, powerful, own)


def agent_token_known():
    """
    Return whether this server has stored its agent token in its data directory, so that a restart keeps it.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.agent_token_known
    """
    return _persisted().get("agent") == _secret("agent")


def agent_token_set():
    """
    Give this server its agent token; the server stores it in its data directory (``enable_token_persistence``). Returns
    True. The token must already be registered: Consul does not check it. Raises CommandExecutionError when the server
    has not stored the token.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.agent_token_set
    """
    _api("PUT", "/v1/agent/token/agent", payload={"Token": _secret("agent")})
    if not agent_token_known():
        raise CommandExecutionError(
            f"Consul took the agent token, but {_settings()['consul']['data_dir']}/acl-tokens.json has it not: leave"
            " acl:enable_token_persistence in consul:config at true"
        )
    return True


def preset_wanted():
    """
    Return whether the file that presets the management token must exist: on a server, until the token works.

    Without the file, anybody who reaches the API could bootstrap the ACLs after the first leader is elected and before
    the formula's call.

    The master stores the secret before it is used, so a crash at any moment does not lose it:

    * The file is written and Consul was never started: the next run finds the file correct and starts Consul.
    * Consul has a leader and the token is not installed, or a server is killed while it installs the token: the next
      leader has the same file and installs the same secret. A leader that finds the token in the state leaves it alone.
    * The token works and some servers still have the file: the next run on each server removes it.
    * All servers have removed the file: the token is in the raft log and the snapshots, like all tokens.

    A server that has stored an agent token is past all these steps, also while it is stopped.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.preset_wanted
    """
    if _settings()["role"] != "dcs" or agent_token_known():
        return False
    try:
        return not token_works("management")
    except CommandExecutionError:
        return True


def _settings():
    return __salt__["pgha.settings"]()


def _secret(name):
    secrets = _secrets()
    token = secrets.get(name) or (secrets.get("tokens") or {}).get(name)
    if not token:
        raise CommandExecutionError(f"This host has no token {name}: salt-run pgha.secrets makes it on the master")
    return token["secret"]


def _api(method, path, **kwargs):
    # When Consul does not run, another program may listen on its port.
    if not _runs():
        raise CommandExecutionError(
            "Consul does not run on this host: systemctl start consul; journalctl -u consul tells why it ended"
        )
    return pghalib.consul.client.ask(_settings(), _secrets, method, path, **kwargs)


def _runs():
    """Whether Consul runs. A run asks Consul 26 times: systemd tells its process once, and again when it has ended."""
    if not os.path.exists(f"/proc/{__context__.get('pgha_consul_acl.pid')}"):
        __context__["pgha_consul_acl.pid"] = __salt__["pgha_consul.pid"]()
    return __context__["pgha_consul_acl.pid"] is not None


def _persisted():
    path = f"{_settings()['consul']['data_dir']}/acl-tokens.json"
    text = pghalib.host.files.read_foreign(path)
    try:
        found = {} if text is None else pghalib.parse.from_json(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CommandExecutionError(f"{path} is not JSON: remove it, restart Consul, run the formula again")
    return found


def _secrets():
    return pghalib.secrets.served.own(__pillar__, __opts__)
