"""
The rights of Patroni's token in Consul, without which the keys of a cluster look as if the cluster were empty, so that
Patroni would initialise it again. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.consul.config
import pghalib.http

if TYPE_CHECKING:
    from pghalib.http import Answer
    from pghalib.shapes import MemberSettings


def asked(settings: MemberSettings) -> list[dict[str, str]]:
    """
    Return the rights that Patroni needs on a host, as the payload of ``/v1/internal/acl/authorize``.

    settings
        The result of ``pgha.settings`` for a database host.
    """
    leader = f"{pghalib.consul.config.key_prefix(settings['cluster'])}leader"
    return [
        {"Resource": "key", "Access": "write", "Segment": leader},
        {"Resource": "key", "Access": "read", "Segment": leader},
        {"Resource": "session", "Access": "write", "Segment": settings["name"]},
    ]


def fault(answer: Answer) -> str | None:
    """
    Return None when the token has all rights, else a sentence with the remedy.

    answer
        Consul's answer to :py:func:`asked`, as ``pghalib.consul.client.ask`` returns it.
    """
    if answer["status"] != 200:
        said = pghalib.http.said(answer)
        return f"Consul does not know Patroni's token ({said}): apply pgha.dcs on its servers, which registers it"
    denied = [
        f"{right['Access']} {right['Resource']} {right['Segment']}" for right in answer["body"] if not right["Allow"]
    ]
    if denied:
        return f"Patroni's token may not {', '.join(denied)}: apply pgha.dcs on Consul's servers, which corrects it"
    return None
