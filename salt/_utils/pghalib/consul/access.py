"""
How root's ``consul`` finds the management token and the API: a file with the token, and a script that shells read.

The procedure by hand puts the token itself into ~/.profile. With the file, the token is not in the environment of
every process that root starts.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pghalib.consul.ports

if TYPE_CHECKING:
    from pghalib.consul.client import Api

TOKEN_FILE = "/root/.consul-token"  # noqa: S105
PROFILE = "/etc/profile.d/pgha-consul.sh"


def profile(api: Api) -> str:
    """
    Return the text of PROFILE; it holds no secret.

    api
        The result of ``pghalib.consul.client.api``. Only what differs from the defaults of ``consul`` is set.
    """
    text = f"if [ -r {TOKEN_FILE} ]; then\n    export CONSUL_HTTP_TOKEN_FILE={TOKEN_FILE}\nfi\n"
    if api["address"] != f"http://127.0.0.1:{pghalib.consul.ports.HTTP}":
        text += f"export CONSUL_HTTP_ADDR={shlex.quote(api['address'])}\n"
    if isinstance(api["verify"], str):
        text += f"export CONSUL_CACERT={shlex.quote(api['verify'])}\n"
    return text
