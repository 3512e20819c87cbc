"""
Settings that go as they are into units of systemd, sudoers, shells and /etc/hosts: those quote in ways that differ, and
partly in none, so such a setting is made of characters that mean nothing to any of them. Pure functions.
"""

import re

# In each case what is right in words, and as a pattern for the whole.
PATH = ("an absolute path of letters, digits and . _ + - /", re.compile(r"(/+(?!\.\.?(/|$))[A-Za-z0-9._+-]+)+/*"))
# The socket in it has a name of 14 characters, and Linux takes 107 for the whole.
SHORT_PATH = (f"{PATH[0]}, of 90 characters at most", re.compile(f"(?=.{{1,90}}$){PATH[1].pattern}"))
USER = ("a name of letters, digits and . _ -", re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}"))
UNIT = ("the name of a unit: letters, digits and . _ @ : -", re.compile(r"[A-Za-z0-9._@:][A-Za-z0-9._@:-]*"))
PACKAGE = ("the name of a Debian package, without a version", re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?"))
LOCALE = ("the name of a locale, such as en_US.UTF-8", re.compile(r"[A-Za-z0-9._@-]+"))
INTERFACE = ("the name of an interface", re.compile(r"[A-Za-z0-9._:@-]{1,15}"))
DOMAIN = ("a domain of letters, digits, . and -", re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"))
# What Consul and vip-manager are asked for is decided by the first numbers.
CONSUL = ("a version such as 1.22.3", re.compile(r"\d+\.\d+([.+~-][A-Za-z0-9._+~-]*)?", re.ASCII))
VIP_MANAGER = ("a version such as 4.0.0", re.compile(r"\d+([.+~-][A-Za-z0-9._+~-]*)?", re.ASCII))
# Keys of Consul: the API takes a path, which a server cleans of . and .. and empty parts.
NAMESPACE = (
    "a path of letters, digits and . _ - with single slashes, such as /db/",
    re.compile(r"/|/?(?!\.\.?(/|$))[A-Za-z0-9._-]+(/(?!\.\.?(/|$))[A-Za-z0-9._-]+)*/?"),
)
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
    "repo": {"name": APT, "key_hash": SHA256},
}  # fmt: skip
# By what `{version}` and `{cluster}` are filled in to look at the rest.
_FILLED = (("{version}", "1"), ("{cluster}", "x"))


def fault(section, key, value):
    """
    Return what is right for the text (or each text of the list) at a setting that it does not fit, else None.

    section, key
        Its place; ``repo`` is a section here.
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


def normal(section, settings):
    """
    Return the settings of a section with its paths written in the one way that the rest of the formula compares and
    takes apart: single slashes, none at the end, and /run for /var/run, which is a link to it.
    """
    kinds = SETTINGS.get(section, {})
    return {key: path(value) if kinds.get(key) in (PATH, SHORT_PATH) else value for key, value in settings.items()}


def path(value):
    """Return a path in that way; what is no text is returned as it is."""
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    short = re.sub(r"/+", "/", value).rstrip("/") or "/"
    return re.sub(r"^/var(?=/run(/|$))", "", short)
