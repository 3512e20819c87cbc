"""
The processes that own a lab, so that a lab can neither outlive its owner nor leave anything on the machine.

    caller (lab up, pytest)      holds the write end of a pipe, the lifeline
    └─ guard (python)            outside; ends the lab when the lifeline closes, then removes what is on disk
       └─ unshare --kill-child   dies with the guard (PR_SET_PDEATHSIG), and takes its child with it
          └─ init (python)       pid 1 of a PID namespace, in a mount and a network namespace of its own: hosts,
                                 mounts, bridge, links and the mirror live in there, and the kernel removes them all
                                 when it dies

The caller writes one byte into the lifeline to let the lab live on by itself (`lab up`).
"""

import functools
import http.server
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from . import cgroups
from .tools import PACKAGE_PARENT, die_with_parent, lock, run, wait_for
from .topology import CLIENT, PREFIX

DETACH = b"d"
# An address of its own: else the bridge takes the lowest of its ports', another one when a host is replaced, and the
# hosts that know the former one reach neither mirror nor clients for up to a minute.
BRIDGE = (
    "link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0",
    f"addr add {CLIENT}/{PREFIX} dev br0",
    "link set br0 up",
)
# In the bridge's family, since hosts talk through the bridge and not through this namespace's own stack.
RULES = """
table bridge lab {
  set cuts { type ifname . ifname; }
  set portcuts { type ifname . ifname . inet_service; }
  set clientcuts { type ifname; }
  set fromcuts { type ifname; }
  chain between {
    type filter hook forward priority 0;
    iifname . oifname @cuts drop
    meta l4proto { tcp, udp } iifname . oifname . th dport @portcuts drop
  }
  chain to_client {
    type filter hook input priority 0;
    iifname @clientcuts drop
  }
  chain from_client {
    type filter hook output priority 0;
    oifname @fromcuts drop
  }
}
"""


def command(part, state):
    """The command line that runs one of this module's processes."""
    return [sys.executable, "-c", "import lab.keeper; lab.keeper.main()", part, str(state)]


def environment():
    """This process's environment, with the package importable."""
    path = os.pathsep.join(filter(None, [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH")]))
    return dict(os.environ, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")


def namespaces(pid):
    """The ids of a process's PID and network namespaces, or None when there is no such process."""
    try:
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("pid", "net")]
    except OSError:
        return None


def watched(state):
    """The lock that a lab's guard holds until all of its lab is removed: another lab of this name waits for it."""
    return lock(state.with_name(f"{state.name}.guard"), waiting="the former lab is still being removed; waiting")


def guard(state):
    """Start the lab's namespaces, tell where they are in ``lab.json``, and clean up when they or the caller end."""
    with watched(state):
        _guarded(state)


def _guarded(state):
    unshare = subprocess.Popen(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", *command("init", state)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: unshare.kill())
    try:
        if unshare.stdout.readline() == b"ready\n":
            children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text(encoding="ascii").split()
            keeper = int(children[0])
            about = {"guard": os.getpid(), "keeper": keeper, "namespaces": namespaces(keeper)}
            temporary = state / "lab.json.new"
            temporary.write_text(json.dumps(about), encoding="ascii")
            temporary.rename(state / "lab.json")
        _until_over(unshare)
    finally:
        unshare.kill()
        unshare.wait()
        clean(state)


def _until_over(unshare):
    """Return when the namespaces are gone (end of file from init) or the caller closed the lifeline undetached."""
    sources = [unshare.stdout, sys.stdin.buffer.raw]
    while True:
        for ready in select.select(sources, [], [])[0]:
            said = ready.read(1) if ready is not unshare.stdout else os.read(ready.fileno(), 1)
            if said == DETACH and ready is not unshare.stdout:
                sources.remove(ready)
            elif not said:
                return


def clean(state):
    """Remove everything of a lab that is over: its control groups and its directory."""
    wait_for(lambda: cgroups.remove(state.name), timeout=30, what=f"control groups of {state.name} are empty")
    shutil.rmtree(state, ignore_errors=True)


def init(state):
    """Be pid 1 of the lab: set up the mounts, the bridge and the mirror, then reap what hosts leave behind."""
    for place in ("/run/netns", "/run/systemd/nspawn"):
        os.makedirs(place, exist_ok=True)
        run(["mount", "-t", "tmpfs", "lab", place])
    for line in ("link set lo up", *BRIDGE):
        run(["ip", *line.split()])
    run(["nft", "-f", "-"], input=RULES)
    handler = functools.partial(_Mirror, directory=str(state / "mirror"))
    server = http.server.ThreadingHTTPServer((CLIENT, 8080), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            # No child now; the next one may be an orphan handed to pid 1.
            signal.sigtimedwait([signal.SIGCHLD], 1)


class _Mirror(http.server.SimpleHTTPRequestHandler):
    """The plain files that hosts download; connections are kept open, as apt and pip ask for many."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # noqa: A002
        pass


def main():
    """Be the part that the command line names."""
    {"guard": guard, "init": init}[sys.argv[1]](Path(sys.argv[2]))
