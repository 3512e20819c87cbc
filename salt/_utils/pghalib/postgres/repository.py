"""
The apt source of PostgreSQL: its line, and whether a host has the same source already.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Name of the formula's own source.
OURS = "pgha-postgres.list"
# In the line of a source: stands for the vendor's path and suite for this host's system.
PLATFORM = "{platform}"


def platform(system: Mapping[str, str]) -> str:
    """
    Return the value of ``{platform}`` for the line of a source, by the rule in Postgres Pro's script
    (pgpro-repo-add.sh): ``debian bookworm``, and on Astra Linux ``astra-smolensk/1.8 1.8_x86-64``.

    system
        os-release of the host, a mapping.

    Raises CommandExecutionError when it is empty: the host has no such file.
    """
    if not system:
        raise CommandExecutionError(
            f"this host has no /etc/os-release, which {PLATFORM} in postgres:repo:name is made of: write that file, or"
            " set postgres:repo:name"
        )
    top, suite = system.get("ID", ""), system.get("VERSION_CODENAME", "")
    if top == "astra":
        number = system.get("VERSION_ID", "").partition("_")[0]
        top = f"astra-{system.get('VARIANT_ID') or 'smolensk'}/{number}"
        suite = suite or system.get("VERSION_ID", "")
    return f"{top} {suite}"


def keyring(key_url: str) -> str:
    """Return the path of the repository's key: apt tells a binary key from an armoured one by the file's name."""
    return "/etc/apt/keyrings/pgha-postgres." + ("gpg" if key_url.endswith((".gpg", ".kbx")) else "asc")


def line(name: str, key_url: str | None, system: Mapping[str, str]) -> str:
    """
    Return the line of an apt source that trusts one key only.

    name
        The line from the settings: ``deb URL SUITE COMPONENT…``, perhaps with its own options in brackets.
        ``{platform}`` is filled in.
    key_url
        The URL of the key; None adds no key to the line (for example a mirror marked as trusted).
    system
        os-release of the host, a mapping.

    Raises CommandExecutionError when ``{platform}`` cannot be filled in (:py:func:`platform`).
    """
    if PLATFORM in name:
        name = name.replace(PLATFORM, platform(system))
    kind, _, rest = name.strip().partition(" ")
    if not key_url or "signed-by=" in name:
        return f"{kind} {rest.strip()}"
    signed = f"signed-by={keyring(key_url)}"
    rest = rest.strip()
    if rest.startswith("["):
        options, _, rest = rest[1:].partition("]")
        signed = f"{options.strip()} {signed}"
    return f"{kind} [{signed}] {rest.strip()}"


def elsewhere(name: str, top: str | Path) -> bool:
    """
    Return whether a source of this host other than the formula's has the repository of a line (:py:func:`named`).

    name
        The line from the settings.
    top
        Path of apt's sources.list; beside it is its directory ``sources.list.d``.
    """
    directory = Path(f"{top}.d")
    for path in [Path(top), *sorted(directory.glob("*.list")), *sorted(directory.glob("*.sources"))]:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        if path.name != OURS and named(name, text):
            return True
    return False


def named(name: str, text: str) -> bool:
    """
    Return whether a file of apt's sources names the repository of a line, with any protocol. With ``{platform}`` in the
    line, any URL below the same parent counts: else apt would find a package twice, with two keys.

    name
        The line from the settings.
    text
        The content of the file, of either style.
    """
    above, platforms, _ = name.partition(PLATFORM)
    if platforms:
        place = _bare(_url(f"{above} x") or "")
        return any(one.startswith(f"{place}/") for one in sources(text))
    return _bare(_url(name) or "") in sources(text)


def sources(text: str) -> set[str]:
    """
    Return the URLs of all repositories in a file of apt's sources, of either style, without protocol and without a
    slash at the end.
    """
    found: set[str | None] = set()
    for row in text.splitlines():
        words = row.split()
        if words[:1] == ["deb"]:
            found.add(_url(row))
        elif words[:1] == ["URIs:"]:
            found.update(words[1:])
    return {_bare(one) for one in found if one}


def _url(row: str) -> str | None:
    return next(iter(re.sub(r"\[[^]]*\]", "", row).split()[1:]), None)


def _bare(url: str) -> str:
    return url.rpartition("://")[2].rstrip("/")
