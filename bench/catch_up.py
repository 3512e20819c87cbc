"""
What `backup: {catch_up: true}` costs a switchover, while the repository answers and while it does not: the figures of
docs/backup.md.

    tests/lab/lab run -- PYTHON bench/catch_up.py --rounds 3

PYTHON is that of the tests' environment (`tests/run` makes it). A client writes through the virtual IP; a result is its
longest time without an acknowledged write. The backups are in an S3 server on the same machine.
"""

import argparse
import contextlib
import statistics
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "salt/_utils")]

from integration import formula  # noqa: E402
from integration.cluster import Cluster  # noqa: E402
from integration.ledger import Ledger  # noqa: E402
from lab import Lab, s3  # noqa: E402

CA, KEY_FILE = "/etc/ssl/s3-ca.pem", "/root/s3-key"


def become(cluster, pillar, catch_up):
    """Give the cluster its repository, with or without the setting."""
    main = {"type": "s3", "endpoint": f"198.51.100.1:{s3.PORT}", "bucket": s3.BUCKET, "ca": CA}
    pillar.put({"backup": {"repositories": {"main": main}, "times": [], "catch_up": catch_up}})
    cluster.lab.salt("salt-run", "pgha.credential", "test", "main", f"file={KEY_FILE}")
    for sls in ("pgha", "pgha.restart"):
        run = formula.run(cluster.lab, sls=sls)
        if run.code:
            sys.exit(run.text)
    cluster.wait_healthy()


@contextlib.contextmanager
def dropped(cluster):
    """The packets to the repository are lost on the way."""
    lost = f"type filter hook output priority 0;\ntcp dport {s3.PORT} drop"
    rules = f"table inet bench {{\nchain out {{\n{lost}\n}}\n}}"
    for host in cluster.db:
        host.run(["nft", rules])
    try:
        yield
    finally:
        for host in cluster.db:
            host.run(["nft", "delete table inet bench"])


def outages(cluster, rounds):
    """The seconds that clients wait in each of some switchovers."""
    found = []
    for _ in range(rounds):
        # A former leader that cannot archive takes minutes to stop.
        cluster.wait_healthy(600)
        with Ledger(cluster) as ledger:
            cluster.switch_over()
            ledger.wait_for_writes()
        ledger.check()
        found.append(ledger.outage())
        print(f"{found[-1]:8.2f} s", flush=True)
    return found


def main():
    """Run it with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    lab = Lab()
    pillar, cluster = formula.Pillar(lab), Cluster(lab)
    lab.wait_ready()
    lab.salt("salt-run", "saltutil.sync_all")
    lab.master.write(KEY_FILE, f"{s3.KEY}\n{s3.SECRET}\n", mode="0600")
    found = {}
    with s3.S3(lab.state / "s3") as server:
        for host in cluster.db:
            host.write(CA, server.ca)
        become(cluster, pillar, catch_up=False)
        found["off"] = outages(cluster, given.rounds)
        become(cluster, pillar, catch_up=True)
        found["on, the repository answers"] = outages(cluster, given.rounds)
        with dropped(cluster):
            found["on, packets to the repository are lost"] = outages(cluster, given.rounds)
    found["on, the repository refuses connections"] = outages(cluster, given.rounds)
    print("\n| `catch_up` | switchovers | min, s | median, s | max, s |\n| --- |" + " ---: |" * 4)
    for what, took in found.items():
        print(f"| {what} | {len(took)} | {min(took):.1f} | {statistics.median(took):.1f} | {max(took):.1f} |")


if __name__ == "__main__":
    main()
