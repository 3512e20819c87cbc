"""The drill as a person runs it: its faults, its verdict, and that nothing of it is left."""

import concurrent.futures
import contextlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

import pghalib.drill.faults
import pytest
from integration import formula
from lab.tools import LabError, wait_for


def drill(cluster, *words):
    return cluster.lab.salt("salt-run", "pgha.drill", *words, "-l", "quiet", check=False, timeout=900)


def ask(cluster, host, function, *words):
    """What a function of the drill on a host returns, called without a drill around it; an error is its text."""
    called = ["salt", host.name, f"pgha_drill.{function}", *words, "--out=json", "--static", "-l", "quiet"]
    return json.loads(cluster.lab.salt(*called, check=False).stdout)[host.name]


def left(cluster):
    """What a drill has left on the members: logins and schemas, observers, files."""
    roles, schemas = "SELECT rolname FROM pg_roles WHERE", "SELECT nspname FROM pg_namespace WHERE"
    script = "systemctl list-units --no-legend 'pgha-drill*'; ls /run/pgha/drill"
    found = [host.run(["sh", "-c", script], check=False).stdout for host in cluster.db]
    found.append(cluster.psql(cluster.leader(), f"{roles} rolname ~ 'drill' UNION {schemas} nspname ~ 'drill'"))
    return [one for one in found if one.strip()]


def test_the_faults_are_listed(cluster):
    told = drill(cluster, "list=True")
    assert told.returncode == 0
    assert "kill-postgres" in told.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tset"], "There is no cluster 'tset'; there is test"),
        (["test", "faults=kill-postgres,no-such"], "kill-postgres does harm"),
    ],
)
def test_a_drill_that_may_not_begin_harms_nothing(cluster, words, said):
    before = cluster.services()
    told = drill(cluster, *words)
    assert told.returncode == 1
    assert said in told.stdout + told.stderr
    assert cluster.services() == before
    assert left(cluster) == []


def test_a_paused_cluster_is_not_harmed(cluster):
    leader = cluster.leader()
    leader.run(["su", "-", "postgres", "-c", "patronictl pause --wait"])
    try:
        told = drill(cluster, "test")
    finally:
        leader.run(["su", "-", "postgres", "-c", "patronictl resume --wait"])
    assert told.returncode == 1
    assert "Patroni is paused" in told.stdout + told.stderr


def test_every_fault_is_made_and_judged_and_nothing_is_left(cluster):
    """The client is on a minion, the host of an application, say; here a server of Consul, without PostgreSQL."""
    host, names = cluster.dcs[0], ["switchover", "restart-replica", "restart-vip-manager", "kill-postgres"]
    told = drill(cluster, "test", f"faults={','.join(names)}", "harmful=True", f"client={host.name}")
    assert told.returncode == 0, told.stdout + told.stderr
    report = told.stdout[told.stdout.index("Drill of test") :]
    assert [line.split()[0] for line in report.splitlines()[3 : 3 + len(names)]] == names
    assert report.count("held  ") == 7
    script = "systemctl list-units --no-legend 'pgha-drill*'; ls -A /run/pgha/drill"
    assert host.run(["sh", "-c", script]).stdout.strip() == ""
    assert left(cluster) == []
    cluster.wait_healthy()
    formula.changes_nothing(cluster.lab)


def test_a_cluster_that_loses_writes_is_not_called_good(cluster):
    """Without synchronous replication a leader that is cut off acknowledges what its successor never gets."""
    told = drill(cluster, "test", "faults=isolate", "harmful=True")
    assert told.returncode == 1, told.stdout + told.stderr
    assert "BROKEN  every acknowledged write is there" in told.stdout
    assert "ended early" not in told.stdout
    assert left(cluster) == []
    cluster.wait_healthy()


def test_a_drill_that_is_killed_leaves_nothing_that_goes_on(cluster):
    # After this one Patroni's list of members is right at once.
    master, name = cluster.lab.master, "kill-vip-manager"
    with tempfile.NamedTemporaryFile("w") as said:
        words = ["salt-run", "pgha.drill", "test", f"faults={name}", "harmful=True", "-l", "quiet"]
        process = master.popen(words, stdout=said, stdin=subprocess.DEVNULL)
        wait_for(lambda: f"{name} on" in Path(said.name).read_text(), timeout=120, what=f"{name} is made")
        master.run(["pkill", "-9", "-f", "salt-run pgha.drill"])
        process.wait()
    client = ["pgrep", "-f", "drills/.*/client.py"]
    wait_for(lambda: master.run(client, check=False).returncode != 0, timeout=60, what="the client has ended")
    wait_for(lambda: formula.idle(cluster.db), timeout=60, what="no minion works any more")
    for host in cluster.db:
        shown = host.run(["systemctl", "show", "pgha-drill-observer", "-p", "RuntimeMaxUSec"]).stdout
        assert shown.strip() not in ("RuntimeMaxUSec=", "RuntimeMaxUSec=infinity")
    expiry = "SELECT rolvaliduntil > now() AND rolvaliduntil < now() + interval '1 hour' FROM pg_roles"

    def expires():
        # The fault may come only now: the master had sent it before it was killed.
        with contextlib.suppress(LabError):
            return cluster.psql(cluster.leader(), f"{expiry} WHERE rolname = 'pgha_drill'") == "t"

    wait_for(expires, timeout=60, what="the login that is left expires by itself")
    cluster.wait_healthy()
    # The next one takes away what is left.
    told = drill(cluster, "test", "faults=restart-replica")
    assert told.returncode == 0, told.stdout + told.stderr
    assert left(cluster) == []


OWN_DISK = """
set -e
systemctl stop patroni
cp -a /pgdata/test /root/data
mount -t tmpfs -o mode=0755,size=$(($(du -sm /root/data | cut -f1) + 64))m own /pgdata
cp -a /root/data /pgdata/test
rm -rf /root/data
systemctl start patroni
"""


@pytest.fixture
def own_disk(cluster):
    """A leader whose data have a small file system of their own; afterwards they are where they were."""
    host = cluster.replicas()[0]
    host.run(["sh", "-c", OWN_DISK])
    cluster.wait_healthy()
    cluster.switch_over(host)
    cluster.wait_healthy()
    yield host
    wait_for(lambda: ask(cluster, host, "undone") is True, timeout=60, what="the fault has ended")
    cluster.wait_healthy()
    if cluster.leader() is host:
        cluster.switch_over()
        cluster.wait_healthy()
    host.run(["sh", "-c", "systemctl stop patroni && umount --lazy /pgdata && systemctl start patroni"])
    cluster.wait_healthy()


def test_the_disk_of_the_data_is_full(cluster, own_disk):
    refused = ask(cluster, next(host for host in cluster.db if host is not own_disk), "fault", "full-disk")
    assert "full-disk is for a host whose data have a file system of their own" in refused
    told = drill(cluster, "test", "faults=full-disk", "harmful=True")
    assert told.returncode == 0, told.stdout + told.stderr
    (place,) = re.findall(r"The report is (\S+)/report\.html", told.stdout)
    # Not in the server's own log, which has no room either.
    assert '"outcome": "info"' in cluster.lab.master.read(f"{place}/client.jsonl")
    assert own_disk.run(["sh", "-c", "ls /pgdata"]).stdout.split() == ["test"]
    assert left(cluster) == []


# One on each member at the same time: no matter what else is broken, each ends.
ROUNDS = [
    ("hang-patroni", "stop-patroni", "hang-postgres"),
    ("freeze", "isolate", "cut-consul"),
    ("hang-vip-manager", "stop-agent", "cut-replication"),
]
# Enough for what is looked at meanwhile; none would end sooner by itself.
SECONDS = 20
STOPPED = "grep '^State:.*stopped' /proc/$(systemctl show -P MainPID {})/status"
# A command that says that a fault lasts.
LASTS = {
    "hang-patroni": STOPPED.format("patroni"),
    "stop-patroni": "systemctl is-failed patroni",
    "freeze": STOPPED.format("consul"),
    "isolate": "nft list table inet pgha_drill",
    "hang-vip-manager": STOPPED.format("vip-manager"),
    "stop-agent": "! systemctl is-active consul",
}


def test_the_rounds_have_every_fault_that_lasts():
    lasting = {name for name, one in pghalib.drill.faults.FAULTS.items() if one["lasting"]}
    assert {name for names in ROUNDS for name in names} == lasting - {"full-disk"}


@pytest.mark.parametrize("names", ROUNDS, ids="+".join)
def test_faults_end_by_themselves_when_nobody_undoes_them(cluster, names):
    cluster.wait_healthy()
    hosts = dict(zip(names, cluster.db, strict=True))

    def make(one):
        name, host = one
        return ask(cluster, host, "fault", name, f"seconds={SECONDS}")

    def undone():
        members = ",".join(host.name for host in cluster.db)
        called = ["salt", "-L", members, "pgha_drill.undone", "--out=json", "--static", "-l", "quiet"]
        return set(json.loads(cluster.lab.salt(*called, check=False).stdout).values())

    def last():
        checks = [(hosts[name], script) for name, script in LASTS.items() if name in hosts]
        return [host.run(["sh", "-c", script], check=False).returncode == 0 for host, script in checks]

    assert undone() == {True}
    # At once: one after another, the first would be over on a slow machine before the last is looked at.
    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        assert set(pool.map(make, hosts.items())) == {f"it lasts for {SECONDS} s"}
    assert all(last())
    assert undone() == {False}
    assert "A fault of a drill lasts here" in ask(cluster, cluster.db[0], "fault", names[0])
    wait_for(lambda: undone() == {True}, timeout=120, what=f"{', '.join(names)} have ended", interval=1)
    assert not any(last())
    cluster.wait_healthy()
    assert left(cluster) == []
