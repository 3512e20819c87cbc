"""A small client of Patroni's REST API, on this host and on the other members, over ``pghalib.http``."""

import pghalib.http
import pghalib.patroni.config

#: Seconds. The members are on one network: a member that does not answer in this time has a problem.
TIMEOUT = 5


def ask(settings, secrets, method, path, *, address=None, protected=False, timeout=TIMEOUT, payload=None):
    """
    Make one request to a member and return the result of ``pghalib.http.request``: ``status``, ``body`` and ``text``.

    settings
        The result of ``pgha.settings``.
    secrets
        A function that returns the secrets of this host; it is called only for a protected request. The password does
        not leave this function.
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
    proof = {"auth": ("patroni", secrets()["restapi"]), "cert": api["cert"]} if protected else {}
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
