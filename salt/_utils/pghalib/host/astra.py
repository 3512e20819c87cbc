"""
What Astra Linux may have locked on a host so that the formula's programs do not start or cannot be installed. Pure
functions.
"""

import re

# The closed software environment: which files it looks at, from the next boot on.
DIGSIG = "/etc/digsig/digsig_initramfs.conf"
# Nobody may make a file executable, root neither: now, and from the next boot on.
NOCHMODX = ("/parsecfs/nochmodx", "/etc/parsec/nochmodx")


def files():
    """Return the paths of what :py:func:`faults` looks at."""
    return [DIGSIG, *NOCHMODX]


def faults(texts, works):
    """
    Return (faults, warnings) of a hardened Astra Linux.

    texts
        Mapping of a path of :py:func:`files` to its text; None, or no key, where it is not there.
    works
        Whether Consul runs on this host already: its files are signed then, and what is installed goes on working, so
        it is a warning.
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


def _digsig(text):
    """The mode for programs in that file: ``1`` loads nothing without a signature. The last line counts."""
    values = re.findall(r"^\s*DIGSIG_ELF_MODE\s*=\s*[\"']?(\w+)", text, re.MULTILINE)
    return values[-1] if values else None
