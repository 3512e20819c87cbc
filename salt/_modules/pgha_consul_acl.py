"""
The ACLs of Consul: bootstrap, policies, tokens, the token of this host's agent.

The ids and secrets of all tokens were chosen on the master, so registering them twice is the same as once. They come
from the secrets of the host inside a function: none is an argument of a job, and none is in a result.
"""

import json
import re
import time

import pghalib.consul.client
import pghalib.consul.config
import pghalib.consul.drift
import pghalib.host.files
import pghalib.run
import pghalib.secrets.served
import pghalib.wait
from salt.exceptions import CommandExecutionError

ANONYMOUS = "00000000-0000-0000-0000-000000000002"
# Seconds that a refused bootstrap gets to be our own one, not yet seen by this server; and that the preset token gets.
REFUSED_PATIENCE = 15
PRESET_PATIENCE = 20
# Seconds that the others wait for the first server, which has called and knows what came of it long before.
OTHERS_PATIENCE = 60


def registrar():
    """
    Return whether this host registers policies and tokens: the first server of the inventory that is not left out does.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.registrar
    """
    settings = _settings()
    first = pghalib.run.present(settings["datacenter"]["servers"], settings["without"])[0]
    return first["id"] == settings["id"]


def token_works(name="management", stale=True):
    """
    Return whether the agent of this host knows one of the tokens in the host's secrets.

    name
        ``management``, ``agent``, or on a server one of those it registers (``patroni-CLUSTER``, …), on a database host
        ``patroni`` or ``vip``.
    stale
        True: as this server has it, even without a leader. False: as the leader has it.

    Do not ask an agent of a database host for a token that may not be there yet: it remembers the answer for 30 s.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.token_works management
    """
    return _self(_secret(name), stale=stale) is not None


def bootstrap(timeout=None):
    """
    See to it that the management token of the master works on this server; on the registrar that bootstraps the ACLs.

    timeout
        Seconds, ``consul:startup_timeout`` when None, and no more than OTHERS_PATIENCE on a server that only waits.

    Returns True when it did not work before, False when there was nothing to do.

    The token is preset (see :py:func:`preset_wanted`), so as a rule a leader has installed it and this waits for that.
    Servers that were started without the preset do not, so after some seconds the registrar calls for the bootstrap.
    Consul 1.15 and newer take the chosen secret for it. Older ones answer with a secret of their own: that token
    registers the chosen one and is deleted. A call that timed out may have done its work, so the token is tried first
    each time, and again after a refusal.

    Raises CommandExecutionError when the ACLs were bootstrapped with another secret, or nothing worked in time.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.bootstrap
    """
    settings = _settings()
    timeout = timeout or settings["consul"]["startup_timeout"]
    if not registrar():
        timeout = min(timeout, OTHERS_PATIENCE)
    secret = _secret("management")
    # A short time-out has to leave time for the call and what comes of it.
    may_call = time.monotonic() + min(PRESET_PATIENCE, timeout / 2)
    refused = {}

    def works():
        if _self(secret) is not None:
            return "works"
        if refused and time.monotonic() > refused["until"]:
            return "foreign"
        if registrar() and not refused and time.monotonic() >= may_call:
            answer = _api("PUT", "/v1/acl/bootstrap", token="", payload={"BootstrapSecret": secret}, allow=(403,))
            if answer["status"] == 403:
                refused.update(until=time.monotonic() + REFUSED_PATIENCE, text=str(answer["body"]))
            elif answer["body"]["SecretID"] != secret:
                _adopt(answer["body"])
        return None

    try:
        if _self(secret) is not None:
            return False
    except CommandExecutionError:
        pass
    first = pghalib.run.present(settings["datacenter"]["servers"], settings["without"])[0]["name"]
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
    Return how the policies and tokens in Consul differ from what the inventory wants, without secrets:
    ``{"policy NAME": {"old": …, "new": …}, "token NAME": {…}}``. What the inventory does not name is left alone, but
    for the rights of ``anonymous token``: whoever asks without a token has them, so it has none.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.differences
    """
    return {title: {"old": old, "new": new} for title, (old, new, _) in _plan().items()}


def apply():
    """
    Create the policies and tokens that are missing and update those that differ; nothing is created anew or deleted.

    Returns what :py:func:`differences` returned before.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.apply
    """
    plan = _plan()
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
    Return the tokens that are not the inventory's in the master's store and yet may do everything, or are described as
    ours: ``[{"accessor", "description", "management"}]``. They are for a person to judge and never deleted by us.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.foreign_tokens
    """
    settings, stored = _settings(), _secrets()["tokens"]
    own = {stored[name]["accessor"] for name in pghalib.consul.config.tokens(settings) if name in stored}
    # Consul chose the accessor id of the management token.
    own.add((_self(_secret("management")) or {}).get("AccessorID"))
    ours, powerful = pghalib.consul.config.policies(settings), {pghalib.consul.drift.GLOBAL_MANAGEMENT}
    for policy in _api("GET", "/v1/acl/policies")["body"] or []:
        if policy["Name"] not in ours and policy["ID"] not in powerful:
            rules = _api("GET", f"/v1/acl/policy/{policy['ID']}")["body"]["Rules"]
            powerful |= {policy["ID"]} if pghalib.consul.drift.writes_acl(rules) else set()
    listed, roles = (_api("GET", f"/v1/acl/{kind}")["body"] or [] for kind in ("tokens", "roles"))
    return pghalib.consul.drift.foreign_tokens(listed, roles, powerful, own)


def agent_token_known():
    """
    Return whether this server keeps its own agent token in its data directory, so that it has it after a restart.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_acl.agent_token_known
    """
    return _persisted().get("agent") == _secret("agent")


def agent_token_set():
    """
    Give this server its own agent token, which it keeps in its data directory (``enable_token_persistence``).

    Returns True. The token must be known to this server: Consul does not check what it is given.

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
    Return whether the file that presets the management token should be there: on a server until the token works.

    Without it anybody who reaches the API could bootstrap the ACLs in the moment between the first leader and our call.

    The secret is the master's and is stored before it is used, so no moment of a crash can lose it:

    * the file is written, Consul never started: the next run finds it as it should be and starts Consul;
    * Consul has a leader, the token is not installed yet, or a server is killed while it installs it: whichever server
      leads next has the same file and installs the same secret; a leader that finds it in the state leaves it alone;
    * the token works, the file is still there on some servers: each one's next run removes its own;
    * the file is gone on all: the token is in the raft log and snapshots, where all tokens are.

    A server that keeps an agent token has been through all this, which also holds while it is stopped.

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
    # Whoever answers in its place now is not Consul.
    if __salt__["pgha_consul.pid"]() is None:
        raise CommandExecutionError(
            "Consul does not run on this host: systemctl start consul; journalctl -u consul tells why it ended"
        )
    return pghalib.consul.client.ask(_settings(), _secrets, method, path, **kwargs)


def _self(secret, stale=True):
    """The token with this secret as Consul has it, or None."""
    # Unknown tokens: 403 up to 1.14, 404 from 1.15; 401 is "ACL support disabled", which is an error.
    params = {"stale": ""} if stale else None
    answer = _api("GET", "/v1/acl/token/self", token=secret, params=params, allow=(403, 404))
    return answer["body"] if answer["status"] == 200 else None


def _adopt(foreign):
    """Register the management token of the master with the one that Consul made at bootstrap, and delete that."""
    token = _secrets()["management"]
    payload = {
        "AccessorID": token["accessor"],
        "SecretID": token["secret"],
        "Description": pghalib.consul.drift.MANAGEMENT_DESCRIPTION,
        "Policies": [{"ID": pghalib.consul.drift.GLOBAL_MANAGEMENT}],
    }
    _api("PUT", "/v1/acl/token", token=foreign["SecretID"], payload=payload)
    if _self(token["secret"], stale=False) is not None:
        _api("DELETE", f"/v1/acl/token/{foreign['AccessorID']}", token=token["secret"])


def _plan():
    """What to write, policies first: ``{title: (old, new, {"path", "payload"})}``."""
    settings = _settings()
    result = _anonymous_write()
    known = {one["Name"]: one["ID"] for one in _api("GET", "/v1/acl/policies")["body"] or []}
    for name, new in pghalib.consul.config.policies(settings).items():
        payload = {"Name": name, "Description": new["description"], "Rules": new["rules"]}
        path, old = "/v1/acl/policy", None
        if name in known:
            # PUT raises the index even when nothing differs, so compare first.
            path += f"/{known[name]}"
            body = _api("GET", path)["body"]
            old = {"description": body["Description"], "rules": body["Rules"]}
            payload["ID"] = known[name]
        if old != new:
            result[f"policy {name}"] = (old, new, {"path": path, "payload": payload})
    for name, new in pghalib.consul.config.tokens(settings).items():
        write = _token_write(name, new)
        if write:
            result[f"token {name}"] = write
    return result


def _anonymous_write():
    """Consul itself makes the token of those who show none; on a server that has not yet, there is nothing to write."""
    path = f"/v1/acl/token/{ANONYMOUS}"
    answer = _api("GET", path, allow=(403, 404))
    rights = pghalib.consul.drift.rights(answer["body"]) if answer["status"] == 200 else {}
    if not rights:
        return {}
    # What is not in the payload is taken away.
    payload = {"AccessorID": ANONYMOUS, "Description": answer["body"].get("Description") or ""}
    return {"anonymous token": (rights, {}, {"path": path, "payload": payload})}


def _token_write(name, new):
    token = _secrets()["tokens"].get(name)
    if not token:
        raise CommandExecutionError(f"The master has no token {name} yet: salt-run pgha.secrets makes it")
    payload = {
        "AccessorID": token["accessor"],
        "Description": new["description"],
        "Policies": [{"Name": policy} for policy in new["policies"]],
        "NodeIdentities": new["node_identities"],
    }
    body = _self(token["secret"], stale=False)
    if body is None:
        return None, new, {"path": "/v1/acl/token", "payload": {**payload, "SecretID": token["secret"]}}
    old = {
        "description": body["Description"],
        "policies": [policy["Name"] for policy in body.get("Policies") or []],
        "node_identities": body.get("NodeIdentities") or [],
    }
    # Rights that somebody added to a token of ours are a difference too.
    more = {key: body[key] for key in ("Roles", "ServiceIdentities", "TemplatedPolicies") if body.get(key)}
    if old == new and not more:
        return None
    payload["AccessorID"] = body["AccessorID"]
    return {**old, **more}, new, {"path": f"/v1/acl/token/{body['AccessorID']}", "payload": payload}


def _persisted():
    path = f"{_settings()['consul']['data_dir']}/acl-tokens.json"
    text = pghalib.host.files.read_foreign(path)
    try:
        found = {} if text is None else json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CommandExecutionError(f"{path} is not JSON: remove it, restart Consul, run the formula again")
    return found


def _secrets():
    return pghalib.secrets.served.own(__pillar__, __opts__)
