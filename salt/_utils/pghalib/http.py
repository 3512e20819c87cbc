"""
The one way in which the formula asks by HTTP: Consul on this host, and the REST API of Patroni here and on the other
members.

A request goes where its address says and nowhere else. ``requests``, which Salt itself depends on, would otherwise take
the proxies, the ``.netrc`` and the authorities of the environment of the minion, and follow a redirect to another
host, and each of these may get to see what was meant for one service alone.
"""

import json
import logging
import time

import requests
from salt.exceptions import CommandExecutionError

import pghalib.host.listener

#: Bytes. The longest answers of all, the lists of a big datacenter, are far from it.
LIMIT = 4 * 1024 * 1024

log = logging.getLogger(__name__)


def request(
    method,
    url,
    *,
    timeout,
    remedy,
    user=None,
    verify=True,
    cert=None,
    auth=None,
    headers=None,
    params=None,
    payload=None,
):
    """
    Make one request and return its answer, whatever its code is: ``{"status": …, "body": …, "text": …}``, the body
    decoded when it is JSON.

    method, url
        ``GET``, and an address without a secret in it: it is shown in messages and in the log.
    timeout
        Seconds to connect, and between two bytes of the answer.
    remedy
        What to do when nobody answers, the end of a sentence.
    user
        For a service of this host: the user whose process has to be the one that listens there, else nothing is sent
        (see :py:func:`pghalib.host.listener.check`).
    verify
        File with the authorities that may have signed the certificate of the service; True for those of ``requests``.
    cert
        File with key and certificate to show.
    auth
        User and password.
    headers, params, payload
        Headers (with the secret, if there is one), query parameters (never a secret), and what is sent as JSON.

    Raises CommandExecutionError with the address and the remedy, and no secret, when there is no answer or too long a
    one.
    """
    if user:
        try:
            pghalib.host.listener.check(url, user, remedy)
        except CommandExecutionError as error:
            # Whoever asks may take it for "not there".
            log.debug("%s %s is not sent: %s", method, url, error)
            raise
    began, outcome = time.monotonic(), "no answer"
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
                outcome = answer.status_code
                text = _read(answer, method, url)
    # Those of requests, and a file of authorities or a certificate that is not there.
    except OSError as error:
        raise CommandExecutionError(
            f"{url} does not answer {method} ({type(error).__name__}, {timeout} s): {remedy}"
        ) from None
    finally:
        log.debug("%s %s: %s, %d ms", method, url, outcome, (time.monotonic() - began) * 1000)
    return {"status": outcome, "body": _decoded(text), "text": text}


def _read(answer, method, url):
    content = b""
    for chunk in answer.iter_content(65536):
        content += chunk
        if len(content) > LIMIT:
            raise CommandExecutionError(
                f"{url} answers {method} with more than {LIMIT} bytes: is it the service that belongs there?"
            )
    return content.decode(errors="replace")


def _decoded(text):
    try:
        return json.loads(text)
    # RecursionError: brackets within brackets, thousands of them.
    except (ValueError, RecursionError):
        return text.strip()
