"""
What has to be written into Consul so that its policies and tokens are those of the inventory. Consul is asked here, but
nothing is written except by :py:func:`adopt`.

``ask`` is always a function ``(method, path, **kwargs)`` as ``pghalib.consul.client.ask``, for this host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.consul.config
import pghalib.consul.drift

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pghalib.consul.config import Links
    from pghalib.http import Answer
    from pghalib.shapes import Json, Secrets, Settings, Token

    Ask = Callable[..., Answer]
    #: The old content (None when there is none), the new one, and the call that writes it.
    Write = tuple[Mapping[str, object] | None, Mapping[str, object], "Call"]

ANONYMOUS = "00000000-0000-0000-0000-000000000002"


class Call(TypedDict):
    """A PUT that writes a policy or a token; the payload may hold a secret."""

    path: str
    payload: dict[str, Json]


def token(ask: Ask, secret: str, stale: bool = True) -> Json:
    """
    Return a token as Consul has it, or None when Consul does not know it.

    secret
        The token's secret.
    stale
        True: ask this server's own copy, even without a leader. False: ask the leader.
    """
    # Unknown token: 403 up to Consul 1.14, 404 from 1.15. 401 means "ACL support disabled", which is an error.
    params = {"stale": ""} if stale else None
    answer = ask("GET", "/v1/acl/token/self", token=secret, params=params, allow=(403, 404))
    return answer["body"] if answer["status"] == 200 else None


def adopt(ask: Ask, own: Token, foreign: Json) -> None:
    """
    Register the master's management token by means of the token that Consul made at bootstrap; delete the latter.

    own
        The master's token: ``accessor`` and ``secret``.
    foreign
        Consul's answer to the bootstrap.
    """
    payload = {
        "AccessorID": own["accessor"],
        "SecretID": own["secret"],
        "Description": pghalib.consul.drift.MANAGEMENT_DESCRIPTION,
        "Policies": [{"ID": pghalib.consul.drift.GLOBAL_MANAGEMENT}],
    }
    ask("PUT", "/v1/acl/token", token=foreign["SecretID"], payload=payload)
    if token(ask, own["secret"], stale=False) is not None:
        ask("DELETE", f"/v1/acl/token/{foreign['AccessorID']}", token=own["secret"])


def plan(settings: Settings, secrets: Callable[[], Secrets], ask: Ask) -> dict[str, Write]:
    """
    Return the writes to do, policies before tokens: ``{title: (old, new, {"path", "payload"})}``. Old and new hold no
    secret; the payload may.

    settings
        The result of ``pgha.settings``.
    secrets
        A function that returns the secrets of this host.

    Raises CommandExecutionError when the master has not made a token yet.
    """
    result = _anonymous(ask)
    known = {one["Name"]: one["ID"] for one in ask("GET", "/v1/acl/policies")["body"] or []}
    for name, new in pghalib.consul.config.policies(settings).items():
        payload = {"Name": name, "Description": new["description"], "Rules": new["rules"]}
        path, old = "/v1/acl/policy", None
        if name in known:
            # PUT raises the index even without a difference, so compare first.
            path += f"/{known[name]}"
            body = ask("GET", path)["body"]
            old = {"description": body["Description"], "rules": body["Rules"]}
            payload["ID"] = known[name]
        if old != new:
            result[f"policy {name}"] = (old, new, {"path": path, "payload": payload})
    for name, links in pghalib.consul.config.tokens(settings).items():
        stored = secrets()["tokens"].get(name)
        if not stored:
            raise CommandExecutionError(f"The master has no token {name} yet: salt-run pgha.secrets makes it")
        write = _write(stored, links, token(ask, stored["secret"], stale=False))
        if write:
            result[f"token {name}"] = write
    return result


def powerful(ask: Ask, ours: Collection[str]) -> set[str]:
    """
    Return the ids of the policies that give all rights, as a set.

    ours
        Names of the inventory's own policies, which are not looked at.
    """
    found = {pghalib.consul.drift.GLOBAL_MANAGEMENT}
    for policy in ask("GET", "/v1/acl/policies")["body"] or []:
        if policy["Name"] not in ours and policy["ID"] not in found:
            rules = ask("GET", f"/v1/acl/policy/{policy['ID']}")["body"]["Rules"]
            found |= {policy["ID"]} if pghalib.consul.drift.writes_acl(rules) else set()
    return found


def _anonymous(ask: Ask) -> dict[str, Write]:
    """The write that takes all rights from the anonymous token. Nothing while Consul has not made that token yet."""
    path = f"/v1/acl/token/{ANONYMOUS}"
    answer = ask("GET", path, allow=(403, 404))
    rights = pghalib.consul.drift.rights(answer["body"]) if answer["status"] == 200 else {}
    if not rights:
        return {}
    # Consul removes the rights that are not in the payload.
    payload = {"AccessorID": ANONYMOUS, "Description": answer["body"].get("Description") or ""}
    return {"anonymous token": (rights, {}, {"path": path, "payload": payload})}


def _write(stored: Token, new: Links, body: Json) -> Write | None:
    """The write that makes a token ``new``, None when it is; ``body`` is the token as Consul has it, or None."""
    payload = {
        "AccessorID": stored["accessor"],
        "Description": new["description"],
        "Policies": [{"Name": policy} for policy in new["policies"]],
        "NodeIdentities": new["node_identities"],
    }
    if body is None:
        return None, new, {"path": "/v1/acl/token", "payload": {**payload, "SecretID": stored["secret"]}}
    old = {
        "description": body["Description"],
        "policies": [policy["Name"] for policy in body.get("Policies") or []],
        "node_identities": body.get("NodeIdentities") or [],
    }
    # Rights that somebody added to a token of the formula count as a difference too.
    more = {key: body[key] for key in ("Roles", "ServiceIdentities", "TemplatedPolicies") if body.get(key)}
    if old == new and not more:
        return None
    payload["AccessorID"] = body["AccessorID"]
    return {**old, **more}, new, {"path": f"/v1/acl/token/{body['AccessorID']}", "payload": payload}
