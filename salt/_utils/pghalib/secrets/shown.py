"""
The certificate that a port of this host shows, asked for as a client asks.
"""

from __future__ import annotations

import datetime
import logging
import socket
import ssl
import struct
import time

import pghalib.secrets.x509

log = logging.getLogger(__name__)
#: Seconds to wait for a service of this host.
TIMEOUT = 5
#: The first message of a client to PostgreSQL that asks for TLS.
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
# Numbers of OpenSSL (X509_V_ERR_*): the certificate is not valid yet, or has ended.
_OUT_OF_TIME = frozenset({9, 10})
# No authority of the file has signed it: the issuer is not there (2, 20), or has another key (7); it is its own issuer
# (18), or ends in an authority that nobody knows (19); nothing above it can be verified (21).
_UNKNOWN = frozenset({2, 7, 18, 19, 20, 21})


def serial(host: str, port: int, *, starttls: bool, authorities: str | None) -> str:
    """
    Return the serial number (hexadecimal) of the certificate that a port shows. The certificate is verified.

    host, port
        Address of this host, which the certificate must have, and number of the TCP port.
    starttls
        True for PostgreSQL: the client asks for TLS in its first message.
    authorities
        File with the authorities that are trusted; None for those of the system.

    Raises OSError when no service answers with TLS, or when the certificate is not to be trusted.
    """
    context = ssl.create_default_context(cafile=authorities)
    began, came = time.monotonic(), "no certificate"
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as raw:
            if starttls:
                raw.sendall(_SSL_REQUEST)
                if raw.recv(1) != b"S":
                    raise OSError("the service does not speak TLS")
            with context.wrap_socket(raw, server_hostname=host) as wrapped:
                came = "a certificate"
                shown = wrapped.getpeercert() or {}
                return f"{int(str(shown['serialNumber']), 16):x}"
    finally:
        log.debug("%s:%s: %s, %d ms", host, port, came, (time.monotonic() - began) * 1000)


def former(error: OSError, unread: bool) -> bool:
    """
    Return whether a port that shows a certificate which is not to be trusted may only lack a reload: the certificate
    has ended, or the service still has one of a former authority. Nobody may trust it for that.

    error
        The error of :py:func:`serial`.
    unread
        Whether the service may not have read the authorities of now: only then the authority may be a former one.
    """
    if not isinstance(error, ssl.SSLCertVerificationError):
        return False
    return error.verify_code in _OUT_OF_TIME or (unread and error.verify_code in _UNKNOWN)


def in_time(trusted: str, certificate: str) -> bool:
    """
    Return whether a certificate on the disk is valid now, and so is the authority that has signed it.

    trusted, certificate
        PEM texts, as for :py:func:`pghalib.secrets.x509.end_of_authority`.

    Raises ValueError when a text is no PEM.
    """
    own = pghalib.secrets.x509.describe(certificate)
    ends = (own["until"], pghalib.secrets.x509.end_of_authority(trusted, certificate)["until"])
    now = datetime.datetime.now(datetime.timezone.utc)
    return own["begins_in"] <= 0 and now < min(map(datetime.datetime.fromisoformat, ends))
