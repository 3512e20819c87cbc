"""
Treat Astra Linux as the Debian that it is based on.

For Astra Linux 1.8 (ID=astra, ID_LIKE=debian in os-release) Salt 3008 reports the family ``Astra``. Then Salt does not
load the modules that require ``Debian``: packages, repositories, locales. A custom grain overrides Salt's own.
"""

import pghalib.host.os_release


def os_family():
    """Return ``{"os_family": "Debian"}`` on Astra Linux and nothing elsewhere."""
    return {"os_family": "Debian"} if pghalib.host.os_release.read().get("ID") == "astra" else {}
