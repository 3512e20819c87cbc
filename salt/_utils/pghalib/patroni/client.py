"""A small client of Patroni's REST API, on this host and on the other members, over ``pghalib.http``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.http
import pghalib.patroni.config

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.http import Answer
    from pghalib.shapes import Json, Secrets, Settings

#: Seconds. The members are on one network: a member that does not answer in this time has a problem.
TIMEOUT = 5


def ask(
    settings: Settings,
    secrets: Callable[[], Secrets] | None,
    method: str,
    path: str,
    *,
    address: str | None = None,
    protected: bool = False,
    timeout: float = TIMEOUT,
    payload: Json = None,
) -> Answer:
    """
    Make one request to a member and return the result of ``pghalib.http.request``: ``status``, ``body`` and ``text``.

    settings
        The result of ``pgha.settings``.
    secrets
        A function that returns the secrets of this host; it is called only for a protected request, and may be None
        for others. The password does not leave this function.
    method, path
        ``GET`` and ``/patroni``, for example.
    address
        Address of the member; default: this host's own.
    protected
        True for a request that changes something: it needs the password, and with TLS a certificate.
    timeout
        Seconds to connect, and between two bytes of the answer.
    payload
        Data that is sent as JSON.

    Raises CommandExecutionError when the member does not answer.
    """
    api = pghalib.patroni.config.api(settings, address)
    return pghalib.http.request(
        method,
        api["url"] + path,
        user=api["user"],
        verify=api["verify"],
        auth=("patroni", secrets()["restapi"]) if protected and secrets else None,
        cert=api["cert"] if protected else None,
        payload=payload,
        timeout=timeout,
        remedy="systemctl status patroni on that host, and its log, tell more",
    )
