"""
Settings that go as they are into units of systemd, sudoers, shells and /etc/hosts: those quote in ways that differ, and
partly in none, so such a setting is made of characters that mean nothing to any of them. Pure functions.
"""

import re

# In each case what is right in words, and as a pattern for the whole.
PATH = ("an absolute path of letters, digits and . _ + - /", re.compile(r"/[A-Za-z0-9._/+-]*"))
USER = ("a name of letters, digits and . _ -", re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}"))
UNIT = ("the name of a unit: letters, digits and . _ @ : -", re.compile(r"[A-Za-z0-9._@:][A-Za-z0-9._@:-]*"))
VERSION = ("a version of letters, digits and . _ + ~ -", re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*"))
LOCALE = ("the name of a locale, such as en_US.UTF-8", re.compile(r"[A-Za-z0-9._@-]+"))
INTERFACE = ("the name of an interface", re.compile(r"[A-Za-z0-9._:@-]{1,15}"))
DOMAIN = ("a domain of letters, digits, . and -", re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"))

SETTINGS = {
    "hosts": {"domain": DOMAIN},
    "consul": {
        "version": VERSION, "user": USER, "group": USER, "config_dir": PATH, "data_dir": PATH, "log_dir": PATH,
    },
    "postgres": {
        "version": VERSION, "user": USER, "group": USER, "data_dir": PATH, "socket_dir": PATH, "bin_dir": PATH,
        "package_data_dir": PATH, "createcluster": PATH, "services": UNIT, "locale": LOCALE, "locales": LOCALE,
        "lc_messages": LOCALE,
    },
    "patroni": {"venv": PATH, "python": PATH, "config_dir": PATH, "log_dir": PATH},
    "vip": {"version": VERSION, "interface": INTERFACE},
}  # fmt: skip
# What the formula cannot do without; the others may be null or missing.
NEEDED = {"data_dir", "socket_dir", "bin_dir", "config_dir", "log_dir", "venv", "python", "user", "group", "version"}


def faults(path, name, settings):
    """
    Return the faults of one section of settings, each with its path and what would be right.

    path
        Where it stands, for the message.
    name
        Its name.
    settings
        What ``pgha_inventory.section`` returns.
    """
    found = []
    for key, (right, pattern) in SETTINGS[name].items():
        given = settings.get(key)
        values = given if isinstance(given, list) else [given]
        wrong = [value for value in values if not pattern.fullmatch(str(value)) and (value or key in NEEDED)]
        found += [f"{path}:{key}: must be {right}, not {value!r}" for value in wrong]
    return found
