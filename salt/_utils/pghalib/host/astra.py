"""
Locks of Astra Linux on a host that keep the formula's programs from starting or from being installed. Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Settings of the closed software environment. A change takes effect at the next boot.
DIGSIG = "/etc/digsig/digsig_initramfs.conf"
# Nobody, not even root, may make a file executable: the state now, and the state from the next boot on.
NOCHMODX = ("/parsecfs/nochmodx", "/etc/parsec/nochmodx")


def files() -> list[str]:
    """Return the paths of the files that :py:func:`faults` looks at."""
    return [DIGSIG, *NOCHMODX]


def faults(texts: Mapping[str, str | None], works: bool) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) of a hardened Astra Linux.

    texts
        Mapping of a path of :py:func:`files` to its text; None, or no key, when the file does not exist.
    works
        Whether Consul runs on this host already. Then its files are signed and the installed programs go on working,
        so a lock is only a warning.
    """
    found = []
    if _digsig(texts.get(DIGSIG) or "") == "1":
        found.append(
            f"the closed software environment is on (DIGSIG_ELF_MODE=1 in {DIGSIG}), so that Consul, vip-manager and"
            " the libraries of Patroni are not loaded, as nobody has signed them: turn it off (astra-digsig-control"
            " disable, then reboot), or sign them (docs/astra.md)"
        )
    locked = [path for path in NOCHMODX if (texts.get(path) or "").strip() == "1"]
    if locked:
        found.append(
            f"no file can be made executable here, root's neither ({' and '.join(locked)} is 1), so that no program can"
            " be installed: run astra-nochmodx-lock disable, and after the main job astra-nochmodx-lock enable"
        )
    return ([], found) if works else (found, [])


def _digsig(text: str) -> str | None:
    """The mode for programs in that file: ``1`` loads nothing without a signature. The last line counts."""
    values = re.findall(r"^\s*DIGSIG_ELF_MODE\s*=\s*[\"']?(\w+)", text, re.MULTILINE)
    return values[-1] if values else None
