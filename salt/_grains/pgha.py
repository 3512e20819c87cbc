"""
Treat Astra Linux as the Debian that it is based on.

For Astra Linux 1.8 (ID=astra, ID_LIKE=debian in os-release) Salt 3008 reports the family ``Astra``. Then Salt does not
load the modules that require ``Debian``: packages, repositories, locales. A custom grain overrides Salt's own.
"""

from pathlib import Path

OS_RELEASE = Path("/etc/os-release")


def os_family():
    """Return ``{"os_family": "Debian"}`` on Astra Linux and nothing elsewhere."""
    try:
        lines = OS_RELEASE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    return {"os_family": "Debian"} if release.get("ID", "").strip("\"'") == "astra" else {}
