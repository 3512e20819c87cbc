"""
A bad network and busy processors for half an hour: a leader must stay what it is, and a client must be able to write.

    tests/lab/lab run -- PYTHON bench/soak.py --minutes 30 --rto fast --lost 5

PYTHON is that of the tests' environment (`tests/run` makes it). Of the packets of Consul's gossip, of Consul's servers
and of Patroni's API so many of a hundred are lost on the lab's bridge, and two processes for each processor work for
nothing. It ends with 1 when the leader changed, the guard acted, or a write was lost.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "salt/_utils")]

from integration import formula  # noqa: E402
from integration.cluster import Cluster  # noqa: E402
from integration.ledger import Ledger  # noqa: E402
from lab import Lab  # noqa: E402

# Seconds that the client may go on after the soak, at the most.
SPARE = 600
PORTS = "{ 8008, 8300, 8301 }"
# A packet from and to such a port has one chance, not two: goto does not come back.
RULES = """
table bridge soak {
  chain lose {
    counter numgen random mod 100 < %(percent)d counter drop
  }
  chain forward {
    type filter hook forward priority 10;
    meta l4proto { tcp, udp } th dport %(ports)s goto lose
    meta l4proto { tcp, udp } th sport %(ports)s goto lose
  }
}
"""


@contextlib.contextmanager
def lossy(lab, percent):
    """Lose some of the packets from and to these ports, as if by chance, between all hosts."""
    lab.client(["nft", "-f", "-"], input=RULES % {"ports": PORTS, "percent": percent})
    try:
        yield
        print(lab.client(["nft", "list", "table", "bridge", "soak"]).stdout)
    finally:
        lab.client(["nft", "delete", "table", "bridge", "soak"])


@contextlib.contextmanager
def busy(number):
    """Keep the processors busy."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for one in burners:
            one.kill()
            one.wait()


def deployed(lab, rto, mode):
    """The first cluster with a profile, deployed from bare hosts."""
    pillar = formula.Pillar(lab)
    pillar.put({"patroni": {"rto": rto, "synchronous_mode": mode}})
    lab.wait_ready()
    lab.salt("salt-run", "saltutil.sync_all")
    run = formula.run(lab)
    if run.code:
        sys.exit(run.text)
    cluster = Cluster(lab)
    cluster.wait_healthy()
    return cluster


def acts(cluster, since):
    """What the guards have done since a moment (seconds); the lab may have been used before."""
    words = ["journalctl", "-u", "pgha-guard", "-o", "cat", f"--since=@{since:.0f}"]
    said = [host.run(words, check=False).stdout for host in cluster.db]
    return [line for one in said for line in one.splitlines() if " is stopped: " in line or " is taken from " in line]


def soak(cluster, minutes, lost):
    """Write for so long, and return what was seen as sentences, and whether all is good."""
    before, began = cluster.timeline(), time.time()
    seen = []
    with Ledger(cluster, minutes * 60 + SPARE) as ledger, lossy(cluster.lab, lost), busy(2 * (os.cpu_count() or 1)):
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            time.sleep(10)
            with contextlib.suppress(StopIteration):
                if cluster.timeline() != before and not seen:
                    seen.append(f"the leader changed after {minutes * 60 - (end - time.monotonic()):.0f} s")
                    print(seen[-1], flush=True)
        # A client that ended before its time has seen nothing of what came then.
        ledger.wait_for_writes()
    cluster.wait_healthy()
    ledger.check()
    if cluster.timeline() != before:
        seen.append(f"the timeline is {cluster.timeline()} and was {before}")
    seen += acts(cluster, began)
    ok, unknown = ledger.counts()
    told = f"{ok} writes, {unknown} of which nobody knows; the longest time without one was {ledger.outage():.2f} s"
    return [told, *(seen or ["the leader stayed, and no guard acted"])], not seen


def main():
    """Run it with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rto", choices=("fast", "normal", "wide"), default="fast")
    parser.add_argument("--mode", choices=("off", "on", "quorum"), default="off")
    parser.add_argument("--lost", type=int, default=5, help="of a hundred packets")
    given = parser.parse_args()
    told, good = soak(deployed(Lab(), given.rto, given.mode), given.minutes, given.lost)
    print("\n".join([f"{given.rto}, {given.mode}, {given.minutes:g} min, {given.lost} % lost:", *told]))
    sys.exit(not good)


if __name__ == "__main__":
    main()
