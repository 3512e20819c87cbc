"""What the lab needs of the machine it runs on: root, Debian packages, room on a disk, a mirror, a Python 3.11."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .tools import LabError, run, say

# Package: a command or file that shows it is there.
PACKAGES = {
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "curl": "curl",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "debootstrap": "debootstrap",
    "gcc": "gcc",
    "gnupg": "gpg",
    "iproute2": "ip",
    "iputils-arping": "arping",
    "libc6-dev": "/usr/include/stdlib.h",
    "libxml2": "/usr/lib/x86_64-linux-gnu/libxml2.so.2",
    "nftables": "nft",
    "openssl": "openssl",
    "patchelf": "patchelf",
    "python3-dev": "/usr/include/python3.11/Python.h",
    "python3-venv": "/usr/lib/python3.11/ensurepip/__init__.py",
    "systemd-container": "systemd-nspawn",
    "util-linux": "nsenter",
}
# inotify instances that a booted host takes: measured, with systemd, dbus and logind in it.
WATCHES = 6
LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


def missing_packages():
    """Names of the Debian packages that the lab needs and this machine lacks."""
    return [name for name, sign in PACKAGES.items() if not (Path(sign).exists() if "/" in sign else shutil.which(sign))]


def install_packages():
    """Install what is missing with apt-get (after an update), and nothing else."""
    require_root()
    names = missing_packages()
    if not names:
        say("nothing to install: every package the lab needs is here")
        return
    require_debian()
    say(f"installing {' '.join(names)}")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *names]):
        done = subprocess.run(["apt-get", *command], check=False, env=environment, stdout=sys.stderr)
        if done.returncode:
            raise LabError(
                f"`apt-get {command[0]}` failed: correct the machine's apt sources, then run `lab deps` again"
            )


def require_root():
    if os.geteuid() != 0:
        raise LabError("the lab makes namespaces and mounts: run it as root (sudo)")


def require_debian():
    if not Path("/etc/debian_version").exists():
        raise LabError("this is not Debian: the lab builds Debian hosts with Debian's tools, run it on Debian 12")


def check():
    """Raise LabError for the first thing that would stop the lab; changes nothing."""
    require_root()
    require_debian()
    names = missing_packages()
    if names:
        raise LabError(f"missing packages: {' '.join(names)}; run `tests/lab/lab deps` to install them")


def require_watches(hosts):
    """
    See to it that as many hosts can boot: each systemd takes some of the inotify instances that root may have.

    Where they are too few the limit is raised, until the machine's next boot: without them a host hangs in its own.

    Raises:
        LabError: when it cannot be raised.
    """
    wanted = WATCHES * hosts
    free = free_watches(wanted)
    if free >= wanted:
        return
    limit = int(LIMIT.read_text()) + wanted - free
    try:
        LIMIT.write_text(f"{limit}\n")
    except OSError as error:
        raise LabError(
            f"{hosts} hosts need {wanted} inotify instances, {free} are free, the limit cannot be raised ({error}): "
            f"end another lab, or set fs.inotify.max_user_instances to {limit} on the machine itself"
        ) from None
    say(f"fs.inotify.max_user_instances is raised to {limit} until the next boot: {hosts} hosts need {wanted}")


def free_watches(wanted):
    """How many inotify instances root can still have, ``wanted`` at the most."""
    libc, taken = ctypes.CDLL(None), []
    try:
        while len(taken) < wanted:
            descriptor = libc.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                break
            taken.append(descriptor)
        return len(taken)
    finally:
        for descriptor in taken:
            os.close(descriptor)


def mirrors():
    """
    The mirrors in the machine's own apt configuration, as a list of (URI, suite) in the order apt reads them.

    Raises:
        LabError: when there is none of Debian's own archive.
    """
    found = []
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            found += parse_sources(path.read_text(encoding="utf-8"), path.suffix == ".sources")
    return found


def parse_sources(text, deb822):
    """(URI, suite) pairs of the text of a ``.list`` or (``deb822``) ``.sources`` file, deb-src left out."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", text)
    found = []
    if not deb822:
        for line in re.findall(r"(?m)^\s*deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)", text):
            found.append(line)
        return found
    for stanza in re.split(r"\n\s*\n", text):
        pairs = re.findall(r"(?m)^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza)
        fields = {key.lower(): value.split() for key, value in pairs}
        if "deb" in fields.get("types", []) and "no" not in fields.get("enabled", []):
            found += [(uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", [])]
    return found


def debian_mirror():
    """URI of the mirror that has Debian itself (a suite with no ``-security`` or the like in its name)."""
    for uri, suite in mirrors():
        if re.fullmatch(r"bookworm|trixie|stable|oldstable", suite) and "debian" in uri:
            return uri.rstrip("/")
    raise LabError("no mirror of Debian's own suites in /etc/apt: add one to this machine's apt sources")


def python311():
    """
    Path of a Python 3.11 with venv and C headers: the hosts run 3.11, so wheels are built with it.

    Raises:
        LabError: when there is none.
    """
    probe = (
        "import sys, os, venv, ensurepip, sysconfig;"
        "sys.exit(sys.version_info[:2] != (3, 11) or not os.path.exists(sysconfig.get_path('include') + '/Python.h'))"
    )
    for candidate in ("/usr/bin/python3", "/usr/bin/python3.11", sys.executable, shutil.which("python3.11")):
        if candidate and Path(candidate).exists() and run([candidate, "-c", probe], check=False).returncode == 0:
            return candidate
    raise LabError("no Python 3.11 with venv and headers (the hosts' version): on Debian 12 run `tests/lab/lab deps`")
