"""
Tasks of the first server of the inventory for its whole datacenter, besides the ACLs: autopilot's configuration, and a
note for the other servers when the first server has failed, so that they do not wait for it.
"""

import pghalib.consul.autopilot
import pghalib.consul.client
import pghalib.consul.config
import pghalib.secrets.served
import pghalib.text
from salt.exceptions import CommandExecutionError

# Key with the reason why the first server's registration failed; it exists as long as the failure lasts.
NOTE = "pgha/registration-failed"


def autopilot_differences():
    """
    Return how autopilot's configuration in Consul differs from the settings: ``{key: {"old": …, "new": …}}``.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_registrar.autopilot_differences
    """
    return {key: {"old": old, "new": new} for key, (old, new) in _differing(_autopilot()).items()}


def autopilot_apply():
    """
    Write the settings to autopilot's configuration in Consul; keys that are not set keep their value. Returns the
    differences as they were before (see :py:func:`autopilot_differences`).

    Raises CommandExecutionError when somebody else changes the configuration at the same moment.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_registrar.autopilot_apply
    """
    found = _autopilot()
    differing = _differing(found)
    if differing:
        payload = {**found, **{key: new for key, (_, new) in differing.items()}}
        path, index = "/v1/operator/autopilot/configuration", {"cas": str(found["ModifyIndex"])}
        if _api("PUT", path, params=index, payload=payload)["body"] is not True:
            raise CommandExecutionError("Somebody else changed autopilot's configuration just now: run this again")
    return {key: {"old": old, "new": new} for key, (old, new) in differing.items()}


def note(text=None):
    """
    Tell the other servers that this server could not register policies or tokens; None takes that back. Returns True.

    text
        The reason, without any secret.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs1' pgha_consul_registrar.note
    """
    if text is not None:
        _api("PUT", f"/v1/kv/{NOTE}", payload={"why": text})
    elif _api("GET", f"/v1/kv/{NOTE}", allow=(404,))["status"] == 200:
        _api("DELETE", f"/v1/kv/{NOTE}")
    return True


def failed():
    """
    Return why the first server cannot register anything now, as a sentence; None when no failure is known.

    CLI Example:

    .. code-block:: bash

        salt 'test-dcs2' pgha_consul_registrar.failed
    """
    first = _settings()["datacenter"]["registrar"]["name"]
    states = {one["name"]: one["status"] for one in __salt__["pgha_consul.members"]()}
    if states.get(first, "gone") != "alive":
        return f"Consul on {first} is {states.get(first, 'gone')}: journalctl -u consul on {first} says why"
    answer = _api("GET", f"/v1/kv/{NOTE}", params={"raw": "", "stale": ""}, allow=(404,))
    if answer["status"] == 404:
        return None
    why = answer["body"].get("why") if isinstance(answer["body"], dict) else None
    return f"{first} could not register the policies and tokens: {pghalib.text.line(str(why))}"


def _differing(found):
    wanted = pghalib.consul.config.config(_settings(), _secrets()).get("autopilot")
    return pghalib.consul.autopilot.differences(wanted if isinstance(wanted, dict) else {}, found)


def _autopilot():
    return _api("GET", "/v1/operator/autopilot/configuration")["body"]


def _settings():
    return __salt__["pgha.settings"]()


def _secrets():
    return pghalib.secrets.served.own(__pillar__, __opts__)


def _api(method, path, **kwargs):
    return pghalib.consul.client.ask(_settings(), _secrets, method, path, **kwargs)
