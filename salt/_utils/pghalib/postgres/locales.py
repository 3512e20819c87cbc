"""The locales that the system can generate, each with its charset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pghalib.postgres.settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Of the package locales: a name and a charset in each line.
SUPPORTED = "/usr/share/i18n/SUPPORTED"


def supported() -> dict[str, str] | None:
    """
    Return ``{name: charset}`` of the locales that can be generated, such as ``{"ru_RU": "ISO-8859-5"}``; None while the
    package locales is not installed.
    """
    try:
        lines = Path(SUPPORTED).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    words = [line.split() for line in lines if not line.startswith("#")]
    return {word[0]: word[1] for word in words if len(word) > 1}


def line(name: str, known: Mapping[str, str]) -> str | None:
    """
    Return the line for /etc/locale.gen that generates a locale, None when only its table could tell the charset.

    name
        Such as ``ru_RU.UTF-8``, ``ru_RU.utf8`` or ``ru_RU``.
    known
        As :py:func:`supported` returns it.
    """
    key = pghalib.postgres.settings.locale_key
    for one, charset in known.items():
        if key(one) == key(name):
            return f"{one} {charset}"
    # A person may have added a locale of his own.
    codeset = name.partition(".")[2].partition("@")[0]
    return f"{name} {codeset}" if codeset else None


def faults(missing: list[str], known: Collection[str] | None) -> list[str]:
    """
    Return the faults of locales that a host does not have and could not make.

    missing
        The names of the locales that it does not have.
    known
        As :py:func:`supported` returns it: where the package locales is still to come, nobody can tell.
    """
    if known is None:
        return []
    spelt = {pghalib.postgres.settings.locale_key(name) for name in known}
    return [
        f"the locale {name} is not known here: see /usr/share/i18n/SUPPORTED, correct postgres:locale or :locales"
        for name in missing
        if pghalib.postgres.settings.locale_key(name) not in spelt
    ]
