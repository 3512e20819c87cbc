"""
Servers in raft, and tokens with rights, that are in Consul but not in the inventory. Pure functions.

The formula removes none of them, since a person may have made them; it names each with the command that removes it.
Names and descriptions are text of others: they are cut to fit a line, and in a command that a person may copy such a
text is one quoted word.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, TypedDict

import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pghalib.consul.answers import Peer
    from pghalib.shapes import Host, Json

GLOBAL_MANAGEMENT = "00000000-0000-0000-0000-000000000001"
# Keys of a token that give it rights.
RIGHTS = ("Policies", "Roles", "ServiceIdentities", "NodeIdentities", "TemplatedPolicies")
MANAGEMENT_DESCRIPTION = "Management token of the formula"
# The beginnings of our tokens' descriptions (pghalib.consul.config.tokens).
VIRTUAL_IP = "Virtual IP of "
OURS = ("Patroni of the database cluster ", "Consul agent on ", VIRTUAL_IP, MANAGEMENT_DESCRIPTION)
# A token that may write ACLs can give itself every other right. Rules are HCL or JSON.
_WRITES_ACL = re.compile(r"""\bacl["']?\s*[=:]\s*["']write["']""")


class Foreign(TypedDict):
    """A token that is not ours; ``management``: it may do everything."""

    accessor: str
    description: str
    management: bool


def rights(token: dict[str, Json]) -> dict[str, Json]:
    """Return the rights of a token as Consul describes it, without empty keys: ``{}`` when it has none."""
    return {key: token[key] for key in RIGHTS if token.get(key)}


def writes_acl(rules: str | None) -> bool:
    """Return whether the rules of a policy give the right to write ACLs, which is as good as all rights."""
    return bool(_WRITES_ACL.search(rules or ""))


def foreign_tokens(listed: Json, roles: Json, powerful: Collection[str], own: Collection[str | None]) -> list[Foreign]:
    """
    Return the tokens that are not ours and that a person should look at: tokens that may do everything, and tokens with
    a description like ours.

    listed, roles
        The answers of ``/v1/acl/tokens`` and ``/v1/acl/roles``.
    powerful
        Ids of the policies that give all rights.
    own
        Accessor ids of the tokens in the master's store.

    Returns ``[{"accessor", "description", "management"}]`` by accessor.
    """
    strong_roles = {role["ID"] for role in roles if _linked(role, "Policies", powerful)}
    result: list[Foreign] = []
    for token in listed:
        management = _linked(token, "Policies", powerful) or _linked(token, "Roles", strong_roles)
        description = token.get("Description") or ""
        if token["AccessorID"] not in own and (management or description.startswith(OURS)):
            result.append({"accessor": token["AccessorID"], "description": description, "management": management})
    return sorted(result, key=lambda token: token["accessor"])


def foreign_servers(peers: Iterable[Peer], servers: Iterable[Host]) -> list[Peer]:
    """
    Return the servers in raft (``pgha_consul.raft_peers``) whose address no server in the inventory has.

    A new machine that replaces a lost server has another node id but the same address, so it is not foreign. A server
    that does not vote counts too: it gets all data of Consul, all tokens included.
    """
    known = {one["address"] for one in servers}
    return [peer for peer in peers if peer["address"] not in known]


def token_sentence(token: Foreign) -> str:
    """Return the sentence for one of :py:func:`foreign_tokens`, with the remedy."""
    accessor = _word(token.get("accessor"))
    power = ", which may do everything," if token.get("management") else ""
    first = ""
    # Without it vip-manager takes the address away. A newer version, or a callback, has no token in the store.
    if str(token.get("description")).startswith(VIRTUAL_IP):
        first = (
            "first the main job and salt-run state.orchestrate pgha.restart, as a vip-manager that waits for its"
            " restart still asks with it; then "
        )
    return (
        f"the token {accessor} \"{_word(token.get('description'))}\"{power} is none of the inventory's in the master's"
        f" store; unless you know whose it is, {first}on a server: consul acl token delete -id {shlex.quote(accessor)}"
    )


def server_sentence(peer: Peer) -> str:
    """Return the sentence for one of :py:func:`foreign_servers`, with the remedy."""
    name, address = _word(peer.get("name") or "a server"), _word(peer.get("address"))
    raft_address = shlex.quote(_word(peer.get("raft_address") or peer.get("address")))
    return (
        f"{name} ({address}) is a server in raft and not in the inventory: it has all tokens. A new server belongs into"
        " the pillar; for one that was taken out, or that nobody knows, stop Consul there, then on a server: consul"
        f" operator raft remove-peer -address={raft_address}"
        + (f" and consul force-leave -prune {shlex.quote(name)}" if peer.get("name") else "")
    )


def _linked(entry: Json, key: str, ids: Collection[str]) -> bool:
    return any(link.get("ID") in ids for link in entry.get(key) or [])


def _word(text: object) -> str:
    """Text of others, made safe for a line on a terminal."""
    return pghalib.text.printable(text, 80).replace('"', "?").replace("\\", "?")
