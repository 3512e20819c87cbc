"""The addresses of this host, and the interfaces that have them. A pure function."""

from __future__ import annotations

from typing import TypedDict

import pghalib.parse


class Address(TypedDict):
    """An address of this host with the length of its prefix, and the interface that has it."""

    interface: str
    address: str
    prefix: int


def parsed(listing: str) -> list[Address]:
    """
    Return ``[{"interface", "address", "prefix"}]`` for the output of ``ip -j addr show``.

    Raises ValueError for any other text.
    """
    found: list[Address] = []
    for link in pghalib.parse.from_json(listing or "[]"):
        for entry in link.get("addr_info", ()):
            if "local" in entry:
                # `ip -j` gives empty entries for filtered links.
                row: Address = {"interface": link["ifname"], "address": entry["local"], "prefix": entry["prefixlen"]}
                found.append(row)
    return found
