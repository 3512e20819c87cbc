"""
How fast a backup and a restore are, beside pg_basebackup and cp on the same disk: the table of docs/backup.md.

    tests/lab/lab run -- PYTHON bench/backup.py --gigabytes 10 --rounds 2

PYTHON is that of the tests' environment (`tests/run` makes it). All is done on one host, the leader's: pgbench makes
the database, an S3 server on the same machine takes the backups. Between two measurements the caches are dropped.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "salt/_utils")]

from integration import formula  # noqa: E402
from integration.cluster import Cluster  # noqa: E402
from lab import Lab, s3  # noqa: E402

CA, KEY_FILE = "/etc/ssl/s3-ca.pem", "/root/s3-key"
# pgbench's rows of one unit take 15 MB with their index.
UNIT = 15
BIN = "/opt/pgpro/1c-18/bin"
COPY = "/pgdata/bench"


def deployed(lab, server, processes):
    """The first cluster with backups, alone: replicas would write as much again to the same disk."""
    pillar = formula.Pillar(lab)
    main = {"type": "s3", "endpoint": f"198.51.100.1:{s3.PORT}", "bucket": s3.BUCKET, "ca": CA}
    pillar.put({"backup": {"repositories": {"main": main}, "times": [], "processes": processes}})
    lab.wait_ready()
    lab.salt("salt-run", "saltutil.sync_all")
    cluster = Cluster(lab)
    for host in cluster.db:
        host.write(CA, server.ca)
    lab.master.write(KEY_FILE, f"{s3.KEY}\n{s3.SECRET}\n", mode="0600")
    lab.salt("salt-run", "pgha.credential", "test", "main", f"file={KEY_FILE}")
    run = formula.run(lab)
    if run.code:
        sys.exit(run.text)
    cluster.wait_healthy()
    for host in cluster.replicas():
        host.run(["systemctl", "stop", "patroni"])
    return cluster


def as_postgres(host, command, password=""):
    """Run a line of shell as the user of the server, and return the seconds that it takes; ``password`` is libpq's."""
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    began = time.monotonic()
    given = {"PATH": f"{BIN}:/usr/bin:/bin:/usr/sbin", "PGHOST": "/run/postgresql", "PGPASSWORD": password}
    host.run(["runuser", "-u", "postgres", "--", "sh", "-ec", command], env=given)
    return time.monotonic() - began


def measured(cluster):
    """{what: seconds} of one round."""
    host, data = cluster.leader(), "/pgdata/test"
    password = formula.store(cluster.lab, "cluster-test")["replication"]
    pgbackrest = "pgbackrest --stanza=test --log-level-console=warn"
    host.run(["sh", "-c", f"rm -rf {COPY} && install -d -o postgres -m 0700 {COPY}"])
    found = {}
    for what, command in [
        ("cp of the data directory", f"cp -r {data} {COPY}/cp && sync -f {COPY}"),
        ("pg_basebackup", f"pg_basebackup -U replicator -D {COPY}/base -c fast -X stream"),
        ("full backup", f"{pgbackrest} --type=full backup"),
        ("incremental backup after 1 % of changes", f"{pgbackrest} --type=incr backup"),
        ("restore into an empty directory", f"{pgbackrest} --pg1-path={COPY}/restored restore"),
        ("restore --delta over equal files", f"{pgbackrest} --pg1-path={COPY}/restored --delta restore"),
    ]:
        if what.startswith("incremental"):
            cluster.psql(host, "UPDATE pgbench_accounts SET abalance = 1 WHERE aid % 6400 < 64")
        if what.startswith("restore into"):
            host.run(["sh", "-c", f"rm -rf {COPY}/cp {COPY}/base; install -d -o postgres -m 0700 {COPY}/restored"])
        found[what] = as_postgres(host, command, password)
        print(f"{found[what]:8.1f} s  {what}", flush=True)
    host.run(["rm", "-rf", COPY])
    return found


def main():
    """Run it with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    lab = Lab()
    with s3.S3(lab.state / "s3") as server:
        cluster = deployed(lab, server, given.processes)
        scale = round(given.gigabytes * 1024 / UNIT)
        seconds = as_postgres(cluster.leader(), f"pgbench -i -q -s {scale} postgres")
        size = cluster.psql(cluster.leader(), "SELECT pg_size_pretty(pg_database_size('postgres'))")
        print(f"pgbench has made {size} in {seconds:.0f} s", flush=True)
        rounds = [measured(cluster) for _ in range(given.rounds)]
    print(f"\n| what | runs | min, s | median, s | max, s | to pg_basebackup |\n| --- |{' ---: |' * 5}")
    base = statistics.median(one["pg_basebackup"] for one in rounds)
    for what in rounds[0]:
        took = [one[what] for one in rounds]
        median = statistics.median(took)
        print(f"| {what} | {len(took)} | {min(took):.1f} | {median:.1f} | {max(took):.1f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
