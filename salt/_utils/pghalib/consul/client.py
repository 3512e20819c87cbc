"""
A small client of Consul's HTTP API, with only the functions that the formula needs, over ``pghalib.http``.

Why not python-consul2: its last release is from 2020 and does not know the ``BootstrapSecret``; it would have to be
installed into Salt's own Python on every host; and its module has the same name as that of py-consul, which Patroni
uses.

A token is only in the header ``X-Consul-Token``: never in a URL, a log line or the text of an exception. It is sent
only to the agent of this host, and only to a process of Consul's user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from salt.exceptions import CommandExecutionError

import pghalib.consul.ports
import pghalib.host.diff
import pghalib.http
import pghalib.tls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pghalib.http import Answer
    from pghalib.shapes import Json, Secrets, Settings

# Seconds to connect, and between two bytes of an answer.
TIMEOUT = 10
BODY_SHOWN = 300

# From 1.15 on some calls answer 404 to an unknown token.
UNKNOWN = "acl not found"
FORBIDDEN = (
    "the token lacks the right or is not known to this server: salt-run state.orchestrate pgha registers it again"
)
REMEDIES = {
    403: FORBIDDEN,
    429: "Consul limits the rate of requests: wait, or raise limits in consul:config",
}
NO_LEADER = "the servers have no leader: start as many of them as are a majority"
OTHERWISE = "see journalctl -u consul on this host"


class Api(TypedDict):
    """Where this host's own HTTP API is, whose process it must be, and how to verify it (see :py:func:`api`)."""

    address: str
    user: str
    verify: str | bool


def api(settings: Settings) -> Api:
    """
    Return where this host's own HTTP API is, and how to verify that it is Consul:

    - ``address``: its URL. The host is a loopback address, unless ``client_addr`` has none; the port is that of
      ``pghalib.consul.ports``, unless ``config:ports`` sets another
    - ``user``: the user that Consul runs as
    - ``verify``: file with the authorities that may have signed the agent's certificate; True for those of the system
    """
    consul, tls = settings["consul"], pghalib.tls.enabled(settings)
    config = consul.get("config") or {}
    listed = str(config.get("client_addr") or consul.get("client_addr") or "127.0.0.1").split()
    own = [one for one in listed if one.startswith("127.") or one == "::1"]
    host = own[0] if own else ("127.0.0.1" if {"0.0.0.0", "::"} & set(listed) else listed[0])  # noqa: S104
    scheme, port = ("https", pghalib.consul.ports.HTTPS) if tls else ("http", pghalib.consul.ports.HTTP)
    port = (config.get("ports") or {}).get(scheme, port)
    return {
        "address": f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}",
        "user": consul["user"],
        "verify": pghalib.tls.verify(settings),
    }


def ask(
    settings: Settings,
    secrets: Callable[[], Secrets],
    method: str,
    path: str,
    *,
    token: str | None = None,
    params: dict[str, Json] | None = None,
    payload: Json = None,
    allow: Collection[int] = (),
) -> Answer:
    """
    Ask the agent of this host with the strongest token of the host: management on a server, else the agent token. When
    a process of another user than Consul's listens there, nothing is sent.

    settings
        The result of ``pgha.settings``.
    secrets
        A function that returns the secrets of this host; it is called only when no token is given.
    method, path
        ``GET`` and ``/v1/…``.
    token
        Secret of another token; ``""`` asks without a token.
    params, payload
        Query parameters (never a secret), and data that is sent as JSON.
    allow
        Status codes besides 2xx that are no error.

    Returns the result of ``pghalib.http.request``: ``status``, ``body`` and ``text``. Raises CommandExecutionError that
    names the address, the code, the answer and a remedy, and no secret.
    """
    if token is None:
        token = secrets()["management" if settings["role"] == "dcs" else "agent"]["secret"]
    where = api(settings)
    answer = pghalib.http.request(
        method,
        where["address"] + path,
        user=where["user"],
        verify=where["verify"],
        headers={"X-Consul-Token": token} if token else None,
        params=params,
        payload=payload,
        timeout=TIMEOUT,
        remedy="is Consul running? systemctl status consul",
    )
    status = answer["status"]
    if 200 <= status < 300 or status in allow:
        return answer
    shown = _without_secrets(answer["text"].strip(), token, payload)[:BODY_SHOWN]
    remedy = REMEDIES.get(status, OTHERWISE)
    if "leader" in shown.lower():
        remedy = NO_LEADER
    elif UNKNOWN in shown.lower():
        remedy = FORBIDDEN
    raise CommandExecutionError(
        f"Consul at {where['address']} answered {status} to {method} {path}: {shown} ({remedy})"
    )


def _without_secrets(text: str, token: str, payload: Json) -> str:
    """The text with the secrets of the request masked: Consul may quote the request in its answer."""
    sent = payload if isinstance(payload, dict) else {}
    secrets = [token, sent.get("SecretID"), sent.get("BootstrapSecret"), sent.get("Token")]
    return pghalib.host.diff.mask(text, secrets)
