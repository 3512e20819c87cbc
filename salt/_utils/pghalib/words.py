"""
Settings that go unchanged into units of systemd, sudoers, shells and /etc/hosts. These quote in different ways or not
at all, so such a setting may have only characters that are special in none of them. Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pghalib.shapes import Json

# For each kind: the correct form in words, and as a pattern for the whole text.
PATH = ("an absolute path of letters, digits and . _ + - /", re.compile(r"(/+(?!\.\.?(/|$))[A-Za-z0-9._+-]+)+/*"))
# The socket in that directory has a name of 14 characters, and Linux allows 107 for the whole path.
SHORT_PATH = (f"{PATH[0]}, of 90 characters at most", re.compile(f"(?=.{{1,90}}$){PATH[1].pattern}"))
USER = ("a name of letters, digits and . _ -", re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}"))
UNIT = ("the name of a unit: letters, digits and . _ @ : -", re.compile(r"[A-Za-z0-9._@:][A-Za-z0-9._@:-]*"))
PACKAGE = ("the name of a Debian package, without a version", re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?"))
LOCALE = ("the name of a locale, such as en_US.UTF-8", re.compile(r"[A-Za-z0-9._@-]+"))
INTERFACE = ("the name of an interface", re.compile(r"[A-Za-z0-9._:@-]{1,15}"))
DOMAIN = ("a domain of letters, digits, . and -", re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"))
# The first numbers of the version decide how Consul and vip-manager are configured.
CONSUL = ("a version such as 1.22.3", re.compile(r"\d+\.\d+([.+~-][A-Za-z0-9._+~-]*)?", re.ASCII))
PGBACKREST = ("a version such as 2.60.0", re.compile(r"\d+\.\d+([.+~-][A-Za-z0-9._+~-]*)?", re.ASCII))
VIP_MANAGER = ("a version such as 4.0.0", re.compile(r"\d+([.+~-][A-Za-z0-9._+~-]*)?", re.ASCII))
# Keys of Consul: the API takes a path, and a server removes . and .. and empty parts from it.
NAMESPACE = (
    "a path of letters, digits and . _ - with single slashes, such as /db/",
    re.compile(r"/|/?(?!\.\.?(/|$))[A-Za-z0-9._-]+(/(?!\.\.?(/|$))[A-Za-z0-9._-]+)*/?"),
)
TIME = ("a time of the day as HH:MM, in quotes", re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII))
DAY = ("mon, tue, wed, thu, fri, sat or sun", re.compile(r"mon|tue|wed|thu|fri|sat|sun"))
SHA256 = ("64 lower case hexadecimal digits", re.compile(r"[0-9a-f]{64}"))
APT = ("the line of an apt source: deb URL SUITE COMPONENT", re.compile(r"deb(\s+\[[^\]]*\])?(\s+[^\s\[\]]+){2,}\s*"))

SETTINGS = {
    "hosts": {"domain": DOMAIN},
    "consul": {
        "version": CONSUL, "user": USER, "group": USER, "config_dir": PATH, "data_dir": PATH, "log_dir": PATH,
        "domain": DOMAIN,
    },
    "postgres": {
        "user": USER, "group": USER, "data_dir": PATH, "socket_dir": SHORT_PATH, "bin_dir": PATH,
        "package_data_dir": PATH, "createcluster": PATH, "services": UNIT, "locale": LOCALE, "locales": LOCALE,
        "lc_messages": LOCALE, "packages": PACKAGE, "host_packages": PACKAGE,
    },
    "patroni": {"venv": PATH, "python": PATH, "config_dir": PATH, "log_dir": PATH, "namespace": NAMESPACE},
    "vip": {"version": VIP_MANAGER, "interface": INTERFACE},
    "backup": {"version": PGBACKREST, "packages": PACKAGE, "times": TIME, "full": DAY},
    "repo": {"name": APT, "key_hash": SHA256},
}  # fmt: skip
# Sample values for `{version}` and `{cluster}`, to check the rest of the text.
_FILLED = (("{version}", "1"), ("{cluster}", "x"))


def fault(section: str, key: str, value: str | list[str]) -> str | None:
    """
    Return the correct form when the text (or a text of the list) does not fit a setting, else None.

    section, key
        The place of the setting; ``repo`` counts as a section here.
    value
        A text, or a list of texts.
    """
    right, pattern = SETTINGS.get(section, {}).get(key, (None, None))
    if pattern is None:
        return None
    for one in value if isinstance(value, list) else [value]:
        for word, text in _FILLED:
            one = one.replace(word, text)
        if not pattern.fullmatch(one):
            return f"must be {right}"
    return None


def normal(section: str, settings: dict[str, Json]) -> dict[str, Json]:
    """
    Return the settings of a section with its paths in the form that the rest of the formula expects: single slashes,
    none at the end, and /run instead of /var/run, which is a link to it.
    """
    kinds = SETTINGS.get(section, {})
    return {key: path(value) if kinds.get(key) in (PATH, SHORT_PATH) else value for key, value in settings.items()}


def path(value: Json) -> Json:
    """Return a path in that form; a value that is no absolute path is returned unchanged."""
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    short = re.sub(r"/+", "/", value).rstrip("/") or "/"
    return re.sub(r"^/var(?=/run(/|$))", "", short)
