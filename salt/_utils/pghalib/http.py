"""
All HTTP requests of the formula: to Consul on this host, and to the REST API of Patroni here and on the other members.

A request goes to its address and nowhere else. By default ``requests``, which Salt itself depends on, would take the
proxies, the ``.netrc`` and the authorities from the minion's environment, and follow a redirect to another host. Each
of these could show another party a request that was meant for one service.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypedDict

import requests
from salt.exceptions import CommandExecutionError

import pghalib.host.listener
import pghalib.parse

if TYPE_CHECKING:
    from pghalib.shapes import Json

#: Bytes. The longest answers, the lists of a big datacenter, are much shorter.
LIMIT = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class Answer(TypedDict):
    """An answer over HTTP: its status code, its text, and the text decoded when it is JSON."""

    status: int
    body: Json
    text: str


def request(
    method: str,
    url: str,
    *,
    timeout: float,
    remedy: str,
    user: str | None = None,
    verify: bool | str = True,
    cert: str | None = None,
    auth: tuple[str, str] | None = None,
    headers: dict[str, str] | None = None,
    params: dict[str, Json] | None = None,
    payload: Json = None,
) -> Answer:
    """
    Make one request and return the answer, whatever its status code: ``{"status": …, "body": …, "text": …}``, the body
    decoded when it is JSON.

    method, url
        ``GET``, and an address without a secret in it: it is shown in messages and in the log.
    timeout
        Seconds to connect, and between two bytes of the answer.
    remedy
        What to do when nobody answers, the end of a sentence.
    user
        For a service of this host: the user who must own the process that listens there, else nothing is sent (see
        :py:func:`pghalib.host.listener.check`).
    verify
        File with the authorities that may have signed the certificate of the service; True for those of ``requests``.
    cert
        File with key and certificate to show.
    auth
        User and password.
    headers, params, payload
        Headers (with the secret, if there is one), query parameters (never a secret), and data that is sent as JSON.

    Raises CommandExecutionError with the address and the remedy, and no secret, when there is no answer or when it is
    too long.
    """
    if user:
        try:
            pghalib.host.listener.check(url, user, remedy)
        except CommandExecutionError as error:
            # The caller may treat this error as "not there", so it is logged here.
            log.debug("%s %s is not sent: %s", method, url, error)
            raise
    began = time.monotonic()
    outcome: int | str = "no answer"
    try:
        with requests.Session() as session:
            session.trust_env = False
            with session.request(
                method,
                url,
                params=params,
                json=payload,
                headers=headers,
                auth=auth,
                timeout=timeout,
                verify=verify,
                cert=cert,
                allow_redirects=False,
                stream=True,
            ) as answer:
                outcome = status = answer.status_code
                text = _read(answer, method, url)
    # Errors of requests, and a missing file of authorities or certificate.
    except OSError as error:
        raise CommandExecutionError(
            f"{url} does not answer {method} ({type(error).__name__}, {timeout} s): {remedy}"
        ) from None
    finally:
        log.debug("%s %s: %s, %d ms", method, url, outcome, (time.monotonic() - began) * 1000)
    return {"status": status, "body": _decoded(text), "text": text}


def said(answer: Answer) -> str:
    """Return the status code of an answer of :py:func:`request` and the beginning of its text, for a message."""
    return f"{answer['status']} {answer['text'].strip()[:300]}"


def _read(answer: requests.Response, method: str, url: str) -> str:
    content = b""
    for chunk in answer.iter_content(65536):
        content += chunk
        if len(content) > LIMIT:
            raise CommandExecutionError(
                f"{url} answers {method} with more than {LIMIT} bytes: is it the service that belongs there?"
            )
    return content.decode(errors="replace")


def _decoded(text: str) -> Json:
    try:
        return pghalib.parse.from_json(text)
    except ValueError:
        return text.strip()
