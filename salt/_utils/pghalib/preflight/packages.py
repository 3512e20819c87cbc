"""
The verdict of the preflight on Debian packages that have a program which the formula installs itself. Pure functions.
Nothing is ever removed: a person decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pghalib.shapes import Settings


def programs(settings: Settings) -> list[str]:
    """
    Return the paths by which the programs are called that the formula installs on this host from released archives.

    settings
        The result of ``pgha.settings``.
    """
    role = settings["role"]
    wanted = {
        "consul": role != "repository",
        "vip-manager": role == "db" and settings["vip"]["manager"] == "vip-manager",
        "pgbackrest": role == "repository" or role == "db" and bool(settings["backup"]["repositories"]),
    }
    return [f"/usr/bin/{name}" for name, there in wanted.items() if there]


def warnings(listing: str, paths: list[str]) -> list[str]:
    """
    Return a warning for each package that has one of these programs.

    listing
        The output of ``dpkg-query -S``: ``PACKAGE, PACKAGE: PATH`` in each line, and lines about diversions.
    paths
        The result of :py:func:`programs`.
    """
    found = []
    for line in listing.splitlines():
        owners, _, path = line.rpartition(": ")
        if path not in paths or "diversion " in owners:
            continue
        found += [
            f"the package {owner} is installed, and its update or removal takes {path} away from the formula: apt-get"
            f" remove {owner} before this run, or afterwards apt-mark hold {owner}"
            for owner in owners.split(", ")
        ]
    return found
