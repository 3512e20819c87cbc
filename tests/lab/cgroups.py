"""
A control group for each host, in every hierarchy where systemd keeps its units.

Without them the hosts' systemds would share one tree: each would see the others' services as its own. They also give
a power-off that no process of the host can outrun (cgroup.kill) and a freeze of the whole host (cgroup.freeze).
"""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def hierarchies():
    """Mount points where a host needs a group: the unified one, and systemd's own on machines that still have v1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [place for place in (ROOT / "unified", ROOT / "systemd") if place.is_dir()]


def groups(lab, host):
    """Directories of the control groups of ``host`` in the lab called ``lab``."""
    return [place / f"pgha-lab-{lab}" / host for place in hierarchies()]


def unified(lab, host):
    """The directory in the version 2 hierarchy, which can kill and freeze."""
    return groups(lab, host)[0]


def populated(lab, host):
    """Whether any process lives in the host's group."""
    try:
        return "populated 1" in (unified(lab, host) / "cgroup.events").read_text(encoding="ascii")
    except OSError:
        return False


def remove(lab, host=""):
    """Remove the groups of a host, or of the whole lab; True when none is left, False while one is still busy."""
    done = True
    for top in groups(lab, host):
        for place, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(place)
            except FileNotFoundError:
                continue
            except OSError:
                done = False
    return done
