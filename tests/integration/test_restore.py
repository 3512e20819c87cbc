"""A cluster goes back to a moment: nothing of later is there, nothing of before is lost, interrupted or not."""

import datetime
import json
import secrets

import pytest
from integration import formula, ground
from integration.cluster import Cluster
from integration.ledger import Ledger
from integration.test_backup import CA, KEY_FILE, backups, repository, status
from lab import s3
from lab.tools import wait_for

NAME = f"restore-{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def backed_up(cluster, pillar):
    """The cluster, with a backup in an S3 server, and a table of what was written when: {"early": moment}."""
    # Not on the first timeline: its history is older than the archive.
    switch(cluster)
    with s3.S3(cluster.lab.state / "s3") as server:
        for host in cluster.db:
            host.write(CA, server.ca)
        cluster.lab.master.write(KEY_FILE, f"{s3.KEY}\n{s3.SECRET}\n", mode="0600")
        pillar.put({"only": [cluster.name], "backup": {"repositories": {NAME: repository(NAME)}, "times": []}})
        cluster.lab.salt("salt-run", "pgha.credential", "test", NAME, f"file={KEY_FILE}")
        run = formula.run(cluster.lab)
        assert run.code == 0, run.text
        done = cluster.lab.salt("salt-run", "pgha.backup", "test", "type=full", "-l", "quiet", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        cluster.psql(cluster.leader(), "DROP TABLE IF EXISTS written")
        cluster.psql(cluster.leader(), "CREATE TABLE written (what text, at timestamptz DEFAULT clock_timestamp())")
        yield cluster
    cluster.psql(cluster.leader(), "DROP TABLE written")
    for host in cluster.db:
        host.run(["sh", "-c", "rm -rf /pgdata/test.before-*"])
    pillar.put({})
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text


def switch(cluster):
    """Switch over to another member, and return it."""
    target = cluster.replicas()[0]
    cluster.switch_over(target)
    cluster.wait_healthy()
    assert cluster.leader() is target
    return target


def reinit(cluster, host):
    """Copy the data of the leader to a member, as a DBA does."""
    command = f"patronictl reinit {cluster.name} {host.name} --force --wait"
    host.run(["su", "-", "postgres", "-c", command], timeout=180)


def write(cluster, what):
    """Write a row, and return a moment after it, which is over."""
    leader = cluster.leader()
    cluster.psql(leader, f"INSERT INTO written VALUES ('{what}')")
    return cluster.psql(leader, "SELECT clock_timestamp() AT TIME ZONE 'UTC' FROM pg_sleep(0.01)") + "+00"


def whole_archive(cluster):
    """Wait until all that was committed is in the archive."""
    wal = cluster.psql(cluster.leader(), "SELECT pg_walfile_name(pg_switch_wal())")
    last = "SELECT substr(last_archived_wal, 9) FROM pg_stat_archiver"
    wait_for(lambda: cluster.psql(cluster.leader(), last) >= wal[8:], timeout=90, what=f"{wal} is archived")


def rows(cluster):
    return cluster.psql(cluster.leader(), "SELECT what FROM written ORDER BY at").split()


def asked(target, without=(), **more):
    """The words for a restore, which leaves out these hosts."""
    pgha = {"pgha": {"without": without}} if without else {}
    return f"pillar={json.dumps({**pgha, 'pgha_restore': {'cluster': 'test', 'target': target, **more}})}"


def confirmed(cluster, target, without=(), **more):
    """The words for a restore, with the confirmation that is asked for."""
    pgha = {"pgha": {"without": without}} if without else {}
    return formula.confirmed(cluster.lab, {"cluster": "test", "target": target, **more}, **pgha)


@pytest.fixture(scope="module")
def moments(backed_up):
    """When each of three rows was there and the next one not, on which timeline, and what clients wrote meanwhile."""
    with Ledger(backed_up) as ledger:
        found = {}
        for what in ("one", "two", "three"):
            found[what] = write(backed_up, what)
            ledger.wait_for_writes()
    return {**found, "timeline": backed_up.timeline(), "ledger": ledger}


def of_that_moment(cluster, ledger, moment):
    """Whether every write is there that was acknowledged before a moment, and none that began after it."""
    pairs = cluster.psql(cluster.leader(), f"SELECT key, value FROM {ledger.table}").split()
    there = {tuple(map(int, pair.split("|"))) for pair in pairs}
    # Both clocks are this machine's.
    at = datetime.datetime.fromisoformat(moment).timestamp() * 1e9
    writes = ledger.history()["writes"]
    before = {(one["key"], one["value"]) for one in writes if one["outcome"] == "ok" and one["end"] < at}
    after = {(one["key"], one["value"]) for one in writes if one["start"] > at}
    assert before
    assert after
    return (before - there, after & there) == (set(), set())


def test_what_will_be_lost_is_shown_and_nothing_is_touched_without_a_yes(backed_up, moments):
    before = backed_up.services()
    for words, said in [
        ([asked(moments["one"])], '"confirm": "test to'),
        ([asked(moments["one"], confirm="yes")], " min is lost"),
        ([asked(moments["one"], confirm=f"test to {moments['one']} from timeline 1")], "test has gone on since"),
        ([asked("2026-11-29 12:00:00")], "has no zone"),
        ([asked("2020-01-01 00:00:00+00")], "nothing before that can be restored"),
        ([asked("2099-01-01 00:00:00+00")], "is in the future"),
        ([], "say what is to be restored"),
    ]:
        run = formula.run(backed_up.lab, *words, sls="pgha.restore")
        assert run.code == 1
        assert said in run.text, run.text
        assert "Traceback" not in run.text
    assert backed_up.services() == before
    assert rows(backed_up) == ["one", "two", "three"]


def test_it_goes_back_wherever_it_was_interrupted(backed_up, moments):
    lab, leader = backed_up.lab, backed_up.leader()
    words = confirmed(backed_up, moments["one"])
    others = [host for host in backed_up.db if host is not leader]

    def is_there(host, path):
        return host.run(["sh", "-c", f"test -e {path}"], check=False).returncode == 0

    for what, reached in [
        ("the first members are stopped", lambda: not host_runs(others[0], "patroni")),
        ("the data are aside", lambda: is_there(leader, "/pgdata/test.before-*")),
        ("the data are fetched", lambda: is_there(leader, "/pgdata/test/global/pg_control")),
        ("the restored member runs", lambda: host_runs(leader, "patroni")),
    ]:
        formula.run_until(lab, reached, words, what=what, sls="pgha.restore")
        # Meanwhile the main job says what is to be done, and does nothing.
        run = formula.run(lab)
        assert run.code == 1
        assert "a restore of test has begun and is not finished" in run.text
        wait_for(
            lambda: formula.idle(backed_up.db), timeout=120, what="the minions have ended their jobs", interval=0.5
        )
    run = formula.run(lab, words, sls="pgha.restore")
    assert run.code == 0, run.text
    backed_up.wait_healthy()
    assert rows(backed_up) == ["one"]
    assert of_that_moment(backed_up, moments["ledger"], moments["one"])
    assert all(is_there(host, "/pgdata/test.before-*") for host in backed_up.db)
    assert [one["type"] for one in backups(backed_up.leader())] == ["full", "full"]
    # By mistake once more: what clients write after it stays.
    services = backed_up.services()
    run = formula.run(lab, words, sls="pgha.restore")
    assert run.code == 1
    assert "perhaps the restore has ended already" in run.text
    assert backed_up.services() == services
    formula.changes_nothing(lab)
    assert "Everything is as it should be." in status(backed_up)


def host_runs(host, unit):
    return host.run(["systemctl", "is-active", "-q", unit], check=False).returncode == 0


def test_the_way_back_to_the_data_of_before_leads_from_the_middle_of_a_restore(backed_up, moments):
    """The restored member has begun a timeline already, whose number the archive knows."""
    lab, leader = backed_up.lab, backed_up.leader()
    write(backed_up, "before")
    words = confirmed(backed_up, moments["one"])
    there = {one.rpartition("before-")[2] for one in leader.run(["sh", "-c", "ls -d /pgdata/test.*"]).stdout.split()}
    formula.run_until(
        lab,
        lambda: leader.run(["grep", "-q", '"restored"', "/etc/pgha/restore.json"], check=False).returncode == 0,
        words,
        what="the data are restored",
        sls="pgha.restore",
    )
    wait_for(lambda: formula.idle(backed_up.db), timeout=120, what="the minions have ended their jobs", interval=0.5)
    now = {one.rpartition("before-")[2] for one in leader.run(["sh", "-c", "ls -d /pgdata/test.*"]).stdout.split()}
    (kept,) = now - there
    run = formula.run(lab, confirmed(backed_up, f"kept:{kept}"), sls="pgha.restore")
    assert run.code == 0, run.text
    backed_up.wait_healthy()
    assert rows(backed_up)[-1] == "before"
    switch(backed_up)
    whole_archive(backed_up)
    assert "Everything is as it should be." in status(backed_up)
    backed_up.psql(backed_up.leader(), "DELETE FROM written WHERE what = 'before'")


def tablespace(cluster, name):
    """Make a tablespace with a table in it, after its directory on every host."""
    for host in cluster.db:
        host.run(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", f"/srv/{name}"])
    cluster.psql(cluster.leader(), f"CREATE TABLESPACE {name} LOCATION '/srv/{name}'")
    cluster.psql(cluster.leader(), f"CREATE TABLE in_{name} TABLESPACE {name} AS SELECT 1 AS one")


def test_further_forward_on_the_timeline_of_before(backed_up, moments):
    """
    What the first restore has dropped is in the archive still. One host is off meanwhile, and comes back with data of a
    time that is no more. The data of now have a tablespace, and so cannot be kept.
    """
    write(backed_up, "other")
    tablespace(backed_up, "dropped")
    away = backed_up.replicas()[0]
    away.poweroff()
    how = {"without": [away.name], "timeline": moments["timeline"]}
    run = formula.run(backed_up.lab, asked(moments["two"], **how), sls="pgha.restore")
    assert run.code == 1
    assert run.text.count("there are 1 tablespaces") >= 2
    words = confirmed(backed_up, moments["two"], keep=False, **how)
    assert ", and lose the data of now" in words
    run = formula.run(backed_up.lab, words, sls="pgha.restore")
    assert run.code == 0, run.text
    assert rows(backed_up) == ["one", "two"]
    assert backed_up.leader().run(["ls", "-A", "/srv/dropped"]).stdout == ""
    away.poweron()
    backed_up.lab.wait_ready()
    reinit(backed_up, away)
    backed_up.wait_healthy()
    assert rows(backed_up) == ["one", "two"]
    assert of_that_moment(backed_up, moments["ledger"], moments["two"])


@pytest.fixture
def second(backed_up, pillar):
    """A second cluster of the same kind, on other hosts, without backups."""
    test2 = {
        "vip": {"address": "198.51.100.50/24", "manager": "callback"},
        "hosts": {f"test2-db{n}": f"198.51.100.{30 + n}" for n in (1, 2, 3)},
    }
    backup = {"backup": {"repositories": {NAME: repository(NAME)}, "times": []}}
    pillar.put({"clusters": {"test": backup, "test2": test2}})
    ground.fresh(backed_up.lab, "test2")
    cluster = Cluster(backed_up.lab, "test2", "198.51.100.50")
    for host in cluster.db:
        host.write(CA, backed_up.db[0].read(CA))
    run = formula.run(backed_up.lab)
    assert run.code == 0, run.text
    yield cluster
    pillar.put({"only": [backed_up.name], **backup})
    assert formula.run(backed_up.lab).code == 0
    ground.forget(backed_up, "test2")


def test_another_cluster_gets_a_copy_and_the_first_one_does_not_notice(backed_up, second):
    lab, before, own = backed_up.lab, backed_up.services(), formula.store(backed_up.lab, "cluster-test2")
    moment = write(backed_up, "copied")
    write(backed_up, "later")
    words = {"cluster": "test2", "from": "test", "target": moment}
    run = formula.run(lab, f"pillar={json.dumps({'pgha_restore': words})}", sls="pgha.restore")
    assert run.code == 1
    assert "all that is in test2 now is replaced" in run.text
    copied = formula.confirmed(lab, words)
    assert f"test2 from test to {moment} from timeline " in copied
    run = formula.run(lab, copied, sls="pgha.restore")
    assert run.code == 0, run.text
    second.wait_healthy()
    assert rows(second) == ["one", "two", "copied"]
    assert rows(backed_up) == ["one", "two", "copied", "later"]
    assert backed_up.services() == before
    # By its own password, which is not that of the first cluster.
    with second.connect() as connection:
        assert connection.execute("SHOW archive_mode").fetchone() == ("on",)
    assert own["superuser"] != formula.store(lab, "cluster-test")["superuser"]
    formula.changes_nothing(lab)
    assert "Everything is as it should be." in status(backed_up)
    passphrase = formula.store(lab, "cluster-test")["backup"][NAME]["passphrase"]
    for host in second.db:
        assert passphrase not in lab.salt("salt", host.name, "pillar.items", "--out=json").stdout
        assert host.run(["grep", "-rlF", passphrase, "/etc", "/var/spool", "/run"], check=False).stdout == ""
    switch(second)
    backed_up.psql(backed_up.leader(), "DELETE FROM written WHERE what IN ('copied', 'later')")


FROM_BACKUP = 'pillar={"pgha": {"from_backup": "test"}}'


def test_a_cluster_whose_hosts_are_all_lost_comes_back(backed_up, moments):
    """Only the master's store and the repository are left."""
    lab = backed_up.lab
    tablespace(backed_up, "lasting")
    whole_archive(backed_up)
    lost = backed_up.psql(backed_up.leader(), "SELECT system_identifier FROM pg_control_system()")
    ca = backed_up.db[0].read(CA)
    for host in backed_up.hosts:
        host.reset(wait=False)
    lab.wait_ready()
    for host in backed_up.db:
        host.write(CA, ca)
    # A tablespace takes its directory on every host, and a user who is there only now.
    run = formula.run(lab, FROM_BACKUP)
    assert run.code == 1
    assert "/srv/lasting" in run.text
    assert "Traceback" not in run.text
    for host in backed_up.db:
        host.run(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", "/srv/lasting"])
    # As if the fetch had been killed: pgBackRest's list of files, and some of them.
    script = "cd /pgdata/test && : > backup.manifest && : > mine.conf && : > PG_VERSION.pgbackrest.tmp"
    backed_up.db[0].run(["runuser", "-u", "postgres", "--", "sh", "-ec", script])
    run = formula.run(lab, FROM_BACKUP)
    assert run.code == 0, run.text
    backed_up.wait_healthy()
    services = backed_up.services()
    # By mistake once more: nothing happens to a cluster that lives.
    run = formula.run(lab, FROM_BACKUP)
    assert (run.code, run.changed(), backed_up.services()) == (0, [], services), run.text
    assert rows(backed_up) == ["one", "two"]
    assert {backed_up.psql(host, "SELECT one FROM in_lasting") for host in backed_up.db} == {"1"}
    assert backed_up.psql(backed_up.leader(), "SELECT system_identifier FROM pg_control_system()") == lost
    assert "Everything is as it should be." in status(backed_up)


def test_afterwards_a_failover_and_a_new_copy_work(backed_up):
    leader = backed_up.leader()
    switch(backed_up)
    reinit(backed_up, leader)
    backed_up.wait_healthy()
    assert write(backed_up, "last")
    assert rows(backed_up) == ["one", "two", "last"]
