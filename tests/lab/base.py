"""The tree that all hosts share: Debian 12 with systemd and a Salt virtual environment, without any formula in it."""

import os
import shutil

from . import cache, machine
from .tools import run, say, write

# PGHA_SALT: another version of Salt for the master and all minions.
SALT = os.environ.get("PGHA_SALT", "3008.3")
# Two are for the master: git, which may have the formula in a repository (gitfs; Salt brings GitPython along), and
# python3-psycopg, for the client of a drill. nftables is on every Debian that was not made as small as this one.
PACKAGES = [
    "systemd", "systemd-sysv", "dbus", "iproute2", "iputils-ping", "iputils-arping", "python3", "python3-venv",
    "ca-certificates", "sudo", "locales", "procps", "unzip", "openssl",
    "git", "python3-psycopg", "nftables",
]  # fmt: skip
# What is mounted and started on the way is gone with the command, also when it is interrupted.
APART = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
UNITS = {
    "salt-master": """\
[Unit]
Description=The Salt Master
After=network.target

[Service]
LimitNOFILE=100000
ExecStart=/opt/salt/bin/salt-master
Restart=on-failure

[Install]
WantedBy=multi-user.target
""",
    # As in Salt's own packages: a restart of the minion does not kill the job that asked for it.
    "salt-minion": """\
[Unit]
Description=The Salt Minion
After=network.target

[Service]
KillMode=process
LimitNOFILE=8192
ExecStart=/opt/salt/bin/salt-minion
Restart=on-failure

[Install]
WantedBy=multi-user.target
""",
}
# Nothing of its own accord may hold apt's lock or use the two cores.
MASKED = [
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "console-getty.service", "systemd-firstboot.service",
]  # fmt: skip


def wheelhouse(name, requirements):
    """Directory of the cache with wheels of ``requirements`` (pip's words) and all they need, for Python 3.11."""

    def build(place):
        python = machine.python311()
        venv = place / "venv"
        log = place / "log"
        run([python, "-m", "venv", venv], log=log)
        pip = [venv / "bin/pip", "wheel", "--use-pep517", "--no-cache-dir"]
        run([*pip, "-w", place / "wheels", *requirements], log=log)
        shutil.rmtree(venv)

    return cache.entry(name, {"requirements": requirements}, build) / "wheels"


def base():
    """Directory of the cache with the shared root file system."""
    wheels = wheelhouse("salt-wheels", [f"salt=={SALT}"])

    def build(place):
        root, log = place / "root", place / "log"
        packages = ",".join(PACKAGES)
        mirror = machine.debian_mirror()
        run([*APART, "debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", root, mirror], log=log)
        say("Debian 12 is unpacked; installing Salt")
        write(root / "etc/apt/sources.list", "")
        for leftover in [*root.glob("var/cache/apt/**/*.*"), *root.glob("var/lib/apt/lists/*_*")]:
            leftover.unlink()
        for path in ("etc/machine-id", "etc/resolv.conf"):
            write(root / path, "")
        write(root / "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
        install = (
            "set -e; mount -t proc proc /proc; python3 -m venv /opt/salt;"
            "/opt/salt/bin/pip install --no-index --find-links /srv/wheels --no-cache-dir salt==" + SALT
        )
        shutil.copytree(wheels, root / "srv/wheels")
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "PIP_CONFIG_FILE": os.devnull}
        run([*APART, "chroot", root, "sh", "-c", install], log=log, env=clean)
        shutil.rmtree(root / "srv/wheels")
        for command in root.glob("opt/salt/bin/salt*"):
            (root / "usr/local/bin" / command.name).symlink_to(f"/opt/salt/bin/{command.name}")
        for name, text in UNITS.items():
            write(root / f"etc/systemd/system/{name}.service", text)
        for name in MASKED:
            (root / "etc/systemd/system" / name).symlink_to("/dev/null")

    recipe = {"salt": SALT, "packages": PACKAGES, "units": UNITS, "masked": MASKED, "wheels": wheels.parent.name}
    return cache.entry("base", recipe, build) / "root"
