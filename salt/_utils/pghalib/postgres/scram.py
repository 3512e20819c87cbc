"""
The verifier of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL stores it. A server checks the password
by the verifier, and nobody can log in with it: so it may be part of a job, where a password may not.

Pure functions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

#: Rounds of PBKDF2: PostgreSQL's own default.
ROUNDS = 4096
PATTERN = re.compile(r"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/]+=*\$[A-Za-z0-9+/]+=*:[A-Za-z0-9+/]+=*")


def verifier(password: str, salt: bytes) -> str:
    """
    Return the verifier.

    password
        ASCII only: then SASLprep leaves it as it is.
    salt
        Random bytes, at least 16.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(one).decode() for one in (salt, stored, server))
    return f"SCRAM-SHA-256${ROUNDS}:{salt64}${stored64}:{server64}"
