"""What a run costs while it runs: time, processor, memory of Salt, calls of the APIs, and what others did meanwhile."""

import os
import resource
import threading
import time
from pathlib import Path

from lab import cgroups
from lab.tools import wait_for

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# A call of an API is a connection here: neither the formula nor the scripts reuse one. By user, since Patroni's own
# (which it keeps open) are not the formula's.
COUNTERS = {"consul": "{ 8500, 8501 }", "patroni": "8008"}
RULES = "table inet bench {{\n{counters}chain out {{\ntype filter hook output priority 0;\n{rules}}}\n}}\n"
SAMPLE = 0.5


def machine_busy():
    """Seconds that the processors of the machine were busy since it booted."""
    words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = map(int, words)
    return (user + nice + system + irq + softirq) / TICK


def own_busy():
    """Processor seconds of this process and of the children that have ended: scripts run on hosts by nsenter."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, kinds))


def lab_busy(lab):
    """Processor seconds of everything that the lab's hosts started, and of the mirror."""
    group = cgroups.unified(lab.id, "")
    for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines():
        if line.startswith("usage_usec"):
            fields = Path(f"/proc/{lab.about['keeper']}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            return int(line.split()[1]) / 1e6 + (int(fields[11]) + int(fields[12])) / TICK
    raise OSError(f"{group} has no usage_usec")


def settle(timeout=15):
    """Wait until the machine is idle for a second, as far as others let it; give up silently."""
    processors = os.cpu_count()

    def idle():
        before = machine_busy()
        time.sleep(1)
        return machine_busy() - before < 0.15 * processors

    end = time.monotonic() + timeout
    while time.monotonic() < end and not idle():
        pass


class Meter:
    """
    Context manager around one run. Afterwards ``result`` has: seconds, cpu (processor seconds of the lab and of what
    was run on its hosts), others (those of everybody else on the machine), calls, memory (of Salt's processes, MB).
    """

    def __init__(self, lab, memory_of=()):
        """
        Args:
            lab: the lab, up.
            memory_of: names of the hosts whose Salt processes are watched.
        """
        self.lab, self.memory_of, self.result = lab, memory_of, {}
        self._peaks, self._over = {}, threading.Event()

    def __enter__(self):
        for name in self.lab.hosts:
            counters = "".join(f"counter {key} {{ }}\n" for key in COUNTERS)
            rules = "".join(
                f"tcp dport {port} tcp flags & (syn|ack) == syn meta skuid 0 counter name {key}\n"
                for key, port in COUNTERS.items()
            )
            text = RULES.format(counters=counters, rules=rules)
            self.lab.client(["ip", "netns", "exec", name, "nft", "delete", "table", "inet", "bench"], check=False)
            self.lab.client(["ip", "netns", "exec", name, "nft", "-f", "-"], input=text)
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        self._before = (time.monotonic(), lab_busy(self.lab), own_busy(), machine_busy())
        self.wall = time.time()
        return self

    def __exit__(self, *error):
        after = (time.monotonic(), lab_busy(self.lab), own_busy(), machine_busy())
        seconds, lab, own, machine = (now - then for now, then in zip(after, self._before, strict=True))
        self._over.set()
        self._sampler.join()
        self.result = {
            "seconds": round(seconds, 2),
            "cpu": round(lab + own, 1),
            "others": round(max(0, machine - lab - own), 1),
            "memory": {key: round(value / 2**20) for key, value in self._peaks.items()},
        }
        if error[0] is None:
            self.result["calls"] = {name: self._calls(name) for name in COUNTERS}

    def _calls(self, counter):
        total = 0
        for name in self.lab.hosts:
            command = ["ip", "netns", "exec", name, "nft", "list", "counter", "inet", "bench", counter]
            total += int(self.lab.client(command).stdout.split("packets ")[1].split()[0])
        return total

    def _sample(self):
        """Keep the peaks of the sums of RSS and PSS of the Salt processes of each watched host."""
        while not self._over.wait(SAMPLE):
            for name in self.memory_of:
                rss = pss = 0
                group = cgroups.unified(self.lab.id, name) / "payload/system.slice"
                for listing in group.glob("salt-*.service/cgroup.procs"):
                    for pid in _words(listing):
                        if b"/opt/salt/" in _bytes(f"/proc/{pid}/cmdline"):
                            rss += int((_words(f"/proc/{pid}/statm") or [0, 0])[1]) * PAGE
                            fields = _words(f"/proc/{pid}/smaps_rollup")
                            pss += int(fields[fields.index("Pss:") + 1]) * 1024 if "Pss:" in fields else 0
                for key, value in ((f"{name} rss", rss), (f"{name} pss", pss)):
                    self._peaks[key] = max(value, self._peaks.get(key, 0))


def _bytes(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _words(path):
    return _bytes(path).decode("ascii", "replace").split()


def wait_booted(lab):
    """Wait until every host's systemd has nothing left to start."""
    for host in lab.hosts.values():
        wait_for(lambda host=host: host.state() in ("running", "degraded"), timeout=60, what=f"{host.name} has booted")
