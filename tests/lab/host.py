"""One host of the lab: a booted systemd with its own disk layer, network, processes and control groups."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from . import cgroups, saltstack
from .tools import LabError, run, wait_for, write
from .topology import MIRROR, PREFIX

ASTRA = """\
PRETTY_NAME="Astra Linux"
NAME="Astra Linux"
ID=astra
ID_LIKE=debian
ANSI_COLOR="1;31"
HOME_URL="https://astralinux.ru"
SUPPORT_URL="https://astralinux.ru/support"
LOGO=astra
VERSION_ID=1.8_x86-64
VERSION_CODENAME=1.8_x86-64
"""
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = ["env", "-i", f"PATH={PATHS}", "HOME=/root", "USER=root", "LANG=C.UTF-8"]
# Joins the host's control groups, then leaves this session, so that the host belongs to the lab's pid 1.
START = """
for group in $LAB_GROUPS; do mkdir -p $group; echo 0 > $group/cgroup.procs; done
unset LAB_GROUPS
exec setsid --fork "$@" < /dev/null > "$CONSOLE" 2>&1
"""


class Host:
    """A host of a running lab. Every method works from outside of the lab's namespaces and from inside."""

    def __init__(self, lab, spec, base):
        self.lab, self.spec, self.name, self.address, self.base = lab, spec, spec.name, spec.address, base
        self.place = lab.state / "hosts" / spec.name

    def __repr__(self):
        return f"<Host {self.name} {self.address}>"

    @property
    def upper(self):
        """The host's own layer: what was written here before its first start is part of its root file system."""
        return self.place / "upper"

    def create(self):
        """Write the host's layer: who it is, where it downloads from, its minion; then mount it."""
        for directory in ("upper", "work", "root"):
            (self.place / directory).mkdir(parents=True)
        self.upper.chmod(0o755)
        write(self.upper / "etc/hostname", f"{self.name}\n")
        write(self.upper / "etc/machine-id", hashlib.md5(self.name.encode()).hexdigest() + "\n", 0o444)
        write(self.upper / "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost ip6-localhost\n")
        if self.spec.system == "astra":
            write(self.upper / "etc/os-release", ASTRA)
        shutil.copyfile(self.lab.state / "mirror/debian/key.asc", self._make("etc/apt/keyrings/lab.asc"))
        source = f"Types: deb\nURIs: {MIRROR}/debian/\nSuites: ./\nSigned-By: /etc/apt/keyrings/lab.asc\n"
        write(self.upper / "etc/apt/sources.list.d/lab.sources", source)
        saltstack.configure(self)
        layers = f"lowerdir={self.base},upperdir={self.upper},workdir={self.place / 'work'}"
        self.lab.client(["mount", "-t", "overlay", self.name, "-o", layers, self.place / "root"])

    def _make(self, path):
        (self.upper / path).parent.mkdir(parents=True, exist_ok=True)
        return self.upper / path

    def start(self):
        """Plug the host in and boot it, without waiting for anything."""
        ip = [
            f"netns add {self.name}",
            f"link add {self.spec.link} type veth peer name eth0 netns {self.name}",
            f"link set {self.spec.link} master br0 up",
            f"-n {self.name} link set lo up",
            f"-n {self.name} addr add {self.address}/{PREFIX} dev eth0",
            f"-n {self.name} link set eth0 up",
        ]
        self.lab.client(["sh", "-ec", "".join(f"ip {line}\n" for line in ip)])
        groups = " ".join(map(str, cgroups.groups(self.lab.id, self.name)))
        nspawn = [
            "systemd-nspawn", "-q", "-D", self.place / "root", f"--machine={self.name}", "--register=no", "--keep-unit",
            f"--network-namespace-path=/run/netns/{self.name}", "--resolv-conf=off",
            "--capability=CAP_NET_ADMIN,CAP_NET_RAW", *saltstack.binds(self), "--boot",
        ]  # fmt: skip
        self.lab.client(
            ["sh", "-ec", START, "start", *map(str, nspawn)],
            env=dict(os.environ, LAB_GROUPS=groups, CONSOLE=str(self.place / "console")),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def pid(self):
        """The host's pid 1 as this process sees it, or None when the host is off."""
        payload = cgroups.unified(self.lab.id, self.name) / "payload"
        for group in (payload / "init.scope", payload):
            with contextlib.suppress(OSError):
                for pid in (group / "cgroup.procs").read_text(encoding="ascii").split():
                    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                    if [line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:")] == ["1"]:
                        return int(pid)
        return None

    def command(self, command, env=None):
        """``command`` (a list), prefixed to run on the host as root with a clean environment (plus ``env``)."""
        pid = self.pid()
        if pid is None:
            raise LabError(f"{self.name} is off: `lab poweron {self.name}`")
        extra = [f"{key}={value}" for key, value in (env or {}).items()]
        return ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--",
                *ENVIRONMENT, *extra, *map(str, command)]  # fmt: skip

    def run(self, command, *, env=None, **kwargs):
        """
        Run ``command`` (a list) on the host as root.

        Args:
            env: variables to set in the otherwise clean environment.
            kwargs: check, input, timeout (seconds) and others of tools.run; check is on by default.

        Returns:
            subprocess.CompletedProcess with text output.
        """
        return run(self.command(command, env), **kwargs)

    def popen(self, command, *, env=None, **kwargs):
        """Start ``command`` on the host and return its subprocess.Popen."""
        return subprocess.Popen(self.command(command, env), **kwargs)

    def read(self, path):
        """The text of a file on the host."""
        return self.run(["cat", path]).stdout

    def write(self, path, content, mode="0644"):
        """Write the text ``content`` to a file on the host."""
        self.run(["sh", "-c", 'cat > "$0.lab" && chmod "$1" "$0.lab" && mv "$0.lab" "$0"', path, mode], input=content)

    def state(self):
        """off, or what systemd says of itself: starting, running, degraded, …"""
        if self.pid() is None:
            return "off"
        return self.run(["systemctl", "is-system-running"], check=False).stdout.strip() or "starting"

    def addresses(self):
        """The IPv4 addresses on the host's network card, without prefix, the VIP included; [] when it is off."""
        done = self.lab.client(["ip", "-n", self.name, "-j", "-4", "addr", "show", "dev", "eth0"], check=False)
        if done.returncode:
            return []
        return [entry["local"] for link in json.loads(done.stdout or "[]") for entry in link.get("addr_info", [])]

    # Faults

    def cut(self, to=(), frm=(), port=None):
        """
        Cut the host off: from everything (its link goes down), or one way, silently.

        Args:
            to: names that what this host sends no longer reaches ("client" is the outside).
            frm: names whose packets no longer reach this host.
            port: with ``to`` or ``frm``, only packets to this TCP or UDP port are lost.
        """
        if not to and not frm:
            self.lab.client(["ip", "link", "set", self.spec.link, "down"])
            return
        for source, target in [*((self.name, other) for other in to), *((other, self.name) for other in frm)]:
            self.lab.client(["nft", "add", "element", "bridge", "lab", *self._element(source, target, port)])

    def _element(self, source, target, port):
        links = [None if name == "client" else self.lab[name].spec.link for name in (source, target)]
        if None in links:
            if port is not None:
                raise LabError("a cut to or from the client takes no port")
            return ["clientcuts" if links[1] is None else "fromcuts", f"{{ {links[0] or links[1]} }}"]
        if port is None:
            return ["cuts", f"{{ {links[0]} . {links[1]} }}"]
        return ["portcuts", f"{{ {links[0]} . {links[1]} . {port} }}"]

    def plug(self):
        """Bring the link up again if the host has one."""
        self.lab.client(["ip", "link", "set", self.spec.link, "up"], check=False)

    def repair(self):
        """Undo every cut that this host is part of."""
        link = self.spec.link
        for kind in ("cuts", "portcuts", "clientcuts", "fromcuts"):
            listed = json.loads(self.lab.client(["nft", "-j", "list", "set", "bridge", "lab", kind]).stdout)
            for item in listed["nftables"][-1]["set"].get("elem", []):
                parts = item["concat"] if isinstance(item, dict) else [item]
                if link in parts:
                    text = " . ".join(map(str, parts))
                    self.lab.client(["nft", "delete", "element", "bridge", "lab", kind, f"{{ {text} }}"])
        self.plug()

    def poweroff(self):
        """Cut the power: the network is gone first, so no process can say good-bye; the disk stays as it is."""
        if self.pid() is not None:
            self.lab.client(["ip", "link", "set", self.spec.link, "down"], check=False)
        group = cgroups.unified(self.lab.id, self.name)
        if (group / "cgroup.kill").exists():
            (group / "cgroup.kill").write_text("1", encoding="ascii")
            wait_for(lambda: not cgroups.populated(self.lab.id, self.name), timeout=30, what=f"{self.name} is off")
            wait_for(lambda: cgroups.remove(self.lab.id, self.name), timeout=10, what=f"{self.name} has no groups")
        self.lab.client(["ip", "link", "del", self.spec.link], check=False)
        self.lab.client(["ip", "netns", "del", self.name], check=False)

    def poweron(self, *, wait=True):
        """Boot the host again; ``wait`` until its systemd has started everything."""
        if self.pid() is None:
            self.start()
        if wait:
            self.wait_booted()

    def wait_booted(self, timeout=60):
        """Wait until systemd has nothing left to start."""
        wait_for(lambda: self.state() in ("running", "degraded"), timeout=timeout, what=f"{self.name} has booted")

    def reset(self, *, wait=True):
        """Replace the host by a new one of the same name: an empty disk, the same minion key."""
        self.poweroff()
        self.lab.client(["umount", self.place / "root"])
        shutil.rmtree(self.place)
        self.create()
        self.poweron(wait=wait)

    def freeze(self):
        """Stop every process of the host at once, as a hypervisor's pause does; its network card stays up."""
        self._freeze("1")

    def thaw(self):
        """Let a frozen host go on."""
        self._freeze("0")

    def _freeze(self, value):
        group = cgroups.unified(self.lab.id, self.name)
        (group / "cgroup.freeze").write_text(value, encoding="ascii")
        events, wanted = group / "cgroup.events", f"frozen {value}"
        wait_for(lambda: wanted in events.read_text(encoding="ascii"), timeout=10, what=f"{self.name}: {wanted}")
