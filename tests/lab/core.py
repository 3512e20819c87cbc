"""The lab as Python sees it: `Lab().up()`, then `lab["test-db1"].run([...])`, `.cut()`, `.poweroff()` and the like."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from . import base, keeper, machine, mirror, saltstack
from .host import Host
from .tools import CHECKOUT, LabError, lock, run, say, wait_for
from .topology import CLIENT, MASTER, topology

DEFAULT_STATE = "/var/tmp/pgha-lab"
STATE = Path(os.environ.get("PGHA_LAB", DEFAULT_STATE))
CLIENT_NAME = "client"


class Lab:
    """
    The lab of one checkout; several objects, in several processes, may speak of the same one.

    Works both outside and inside the lab's namespaces: a command that has to run in there is entered when needed.
    """

    def __init__(self, checkout=CHECKOUT):
        self.checkout = Path(os.path.realpath(checkout))
        # Control groups are named by it, so two labs of one checkout in different places must not share it.
        whose = [str(self.checkout)] + ([] if str(STATE) == DEFAULT_STATE else [str(STATE)])
        self.id = hashlib.sha256("\0".join(whose).encode()).hexdigest()[:10]
        self.state = STATE / self.id
        self._lifeline = None
        self._read()

    def _read(self):
        try:
            self.about = json.loads((self.state / "lab.json").read_text(encoding="utf-8"))
            plan = json.loads((self.state / "plan.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.about, self.hosts = None, {}
            return
        self.hosts = {spec.name: Host(self, spec, Path(plan["base"])) for spec in topology(plan["clusters"])}

    def __getitem__(self, name):
        try:
            return self.hosts[name]
        except KeyError:
            if not self.running():
                raise LabError("the lab is not up: run `tests/lab/lab up`") from None
            raise LabError(f"the lab has no host {name!r}; it has {', '.join(self.hosts)}") from None

    @property
    def master(self):
        """The host that runs the Salt master."""
        return self[MASTER]

    @property
    def share(self):
        """The directory that all database hosts have mounted as /srv/share."""
        return self.state / "share"

    def inside(self):
        """Whether this process runs in the lab's own namespaces."""
        return self.about is not None and keeper.namespaces("self") == self.about["namespaces"]

    def running(self):
        """Whether the lab is up."""
        if self.about is None:
            return False
        return self.inside() or keeper.namespaces(self.about["keeper"]) == self.about["namespaces"]

    def enter(self, command):
        """``command`` (a list), prefixed so that it runs in the place of an outside client of the hosts."""
        if self.about is None:
            raise LabError("the lab is not up: run `tests/lab/lab up`")
        if self.inside():
            return [*command]
        return ["nsenter", "-t", str(self.about["keeper"]), "-m", "-n", "-p", f"--wd={os.getcwd()}", "--", *command]

    def client(self, command, **kwargs):
        """Run ``command`` (a list) at 198.51.100.1, outside of all hosts; arguments and result as tools.run."""
        return run(self.enter(command), **kwargs)

    def up(self, *, clusters=1, attached=False):
        """
        Start the lab, or do nothing when it is up already.

        Args:
            clusters: 1 or 2 database clusters of three hosts each.
            attached: the lab ends with this process, however that ends; else it lives until `down`.

        Raises:
            LabError: when the machine lacks something, or a minion does not answer; nothing is left then.
        """
        machine.check()
        with lock(STATE / f"{self.id}.lock", waiting="another process starts or stops this lab; waiting"):
            self._read()
            if self.running():
                say("the lab is up already")
                if len(self.hosts) != len(topology(clusters)):
                    raise LabError(f"it has {len(self.hosts)} hosts, not the ones asked for: run `lab down` first")
                return
            machine.require_watches(len(topology(clusters)))
            tree, files = base.base(), mirror.files()
            self._clean()
            self.state.mkdir(parents=True, mode=0o700)
            self._need_room()
            mirror.link(files, self.state / "mirror")
            self.share.mkdir()
            plan = {"clusters": clusters, "base": str(tree)}
            (self.state / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
            try:
                self._start_guard()
                self._start_hosts()
            except BaseException:
                self._stop()
                raise
            if not attached:
                os.write(self._lifeline.fileno(), keeper.DETACH)
                self._lifeline.close()

    def _need_room(self):
        kind = run(["stat", "-f", "-c", "%T", self.state]).stdout.strip()
        if kind == "overlayfs":
            raise LabError(f"{self.state} is on overlayfs, which hosts cannot be layered on: set PGHA_LAB elsewhere")
        free = shutil.disk_usage(self.state).free >> 20
        if free < 6000:
            raise LabError(f"{self.state} has {free} MB free, the lab needs 6000: make room or set PGHA_LAB elsewhere")

    def _start_guard(self):
        log = STATE / f"{self.id}.log"
        with open(log, "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                keeper.command("guard", self.state),
                env=keeper.environment(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
            )
        self._lifeline, self._guard = process.stdin, process

        def ready():
            if process.poll() is not None:
                raise LabError(f"the lab's namespaces could not be made: {log.read_text(encoding='utf-8')[-500:]}")
            self._read()
            return self.about

        wait_for(ready, timeout=30, what="the lab's namespaces are there", interval=0.02)

    def _start_hosts(self):
        saltstack.make_keys(self)
        for host in self.hosts.values():
            host.create()
        saltstack.write_pillar(self)
        for host in self.hosts.values():
            host.start()
        say(f"{len(self.hosts)} hosts are booting")
        saltstack.wait_for_minions(self)
        say("all minions answer")

    def _stop(self):
        """Let the guard end the lab and remove what it left."""
        if self._lifeline is not None and not self._lifeline.closed:
            self._lifeline.close()
        self.down()

    def down(self):
        """End the lab and remove everything of it; True when there was one."""
        was = self.state.exists()
        if self.inside():
            raise LabError("this process lives in the lab: run `lab down` outside of it")
        self._read()
        if self.about is not None and self.running():
            guard = self.about["guard"]
            if self._is_guard(guard):
                os.kill(guard, 15)
                wait_for(lambda: not self._is_guard(guard), timeout=60, what="the lab's guard has ended")
            else:
                os.kill(self.about["keeper"], 9)
        if self.state.exists():
            self._clean()
        self._read()
        return was

    def _clean(self):
        """Remove what a lab has left. Its guard does the same, and would take the next lab's directory with it."""
        with keeper.watched(self.state):
            keeper.clean(self.state)

    def _is_guard(self, pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"guard" in words and str(self.state).encode() in words

    def address_of(self, name):
        """The address of a host, or of the outside client."""
        return CLIENT if name == CLIENT_NAME else self[name].spec.address

    def repair(self):
        """Undo every cut."""
        for kind in ("cuts", "portcuts", "clientcuts", "fromcuts"):
            self.client(["nft", "flush", "set", "bridge", "lab", kind])
        for host in self.hosts.values():
            host.plug()

    def salt(self, *arguments, **kwargs):
        """Run a command of Salt (``"salt-run", "pgha.status"``) on the master; result as tools.run."""
        return self.master.run([*arguments], **kwargs)

    def status(self):
        """A list of (name, address, role, state) for every host; state is off, running, degraded, starting, …"""
        return [(h.name, h.spec.address, h.spec.role, h.state()) for h in self.hosts.values()]

    def wait_ready(self, timeout=150):
        """Wait until every host that is powered on has booted and its minion answers."""
        saltstack.wait_for_minions(self, timeout=timeout)


def seconds():
    """A monotonic time stamp, for tests that measure."""
    return time.monotonic()
