"""Archive and backups in a real S3 server: turned on, made, followed through a failover, missed, turned off."""

import json
import secrets

import pytest
from integration import formula
from lab import s3
from lab.tools import wait_for

CA = "/etc/ssl/s3-ca.pem"
KEY_FILE = "/root/s3-key"
# Another one each time, as the lab may have been used before: the store keeps the passphrase of a repository for ever.
MAIN = f"main-{secrets.token_hex(3)}"
# pgBackRest waits a minute for a repository that is away.
PATIENCE = {"io-timeout": 5, "archive-timeout": 10}


@pytest.fixture(scope="module")
def store(cluster):
    """The S3 server; the hosts know its authority. Afterwards the cluster has no backups any more."""
    with s3.S3(cluster.lab.state / "s3") as server:
        for host in cluster.db:
            host.write(CA, server.ca)
        yield server


@pytest.fixture(scope="module", autouse=True)
def settings(cluster, pillar, store):
    """The pillar of a site with backups; afterwards they are turned off again."""
    backup = {"repositories": {MAIN: repository(MAIN)}, "times": [], "proof_back": 1, "config": PATIENCE}
    pillar.put({"only": [cluster.name], "backup": backup})
    yield
    pillar.put({})
    cluster.wait_healthy()
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text


def repository(name):
    """A repository in the bucket, as the pillar has it."""
    return {"type": "s3", "endpoint": f"198.51.100.1:{s3.PORT}", "bucket": s3.BUCKET, "ca": CA, "path": f"/{name}"}


def status(cluster):
    return cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False).stdout


def write(cluster):
    """Give the archive a file of WAL, which it takes at once: what has failed is tried again only a minute later."""
    cluster.psql(cluster.leader(), "SELECT pg_logical_emit_message(true, 'backup', ''), pg_switch_wal()")


def whole(cluster):
    """Wait until what waited for the archive is there."""

    def found():
        write(cluster)
        return "WRONG" not in status(cluster)

    wait_for(found, timeout=120, what="what waited is archived", interval=1)


def archived(cluster):
    """The archive_command of all members."""
    return {cluster.psql(host, "SHOW archive_command") for host in cluster.db}


def backups(host):
    """What pgBackRest itself tells, asked as a DBA does."""
    told = host.run(["runuser", "-u", "postgres", "--", "pgbackrest", "--stanza=test", "info", "--output=json"]).stdout
    return json.loads(told)[0]["backup"]


def test_without_a_key_nothing_is_touched_and_the_command_is_named(cluster):
    run = formula.run(cluster.lab)
    assert run.code == 1
    assert f"salt-run pgha.credential test {MAIN}" in run.text
    assert archived(cluster) == {"/bin/true"}


def test_a_key_that_others_may_read_is_refused(cluster):
    cluster.lab.master.write(KEY_FILE, f"{s3.KEY}\n{s3.SECRET}\n", mode="0644")
    done = cluster.lab.salt("salt-run", "pgha.credential", "test", MAIN, f"file={KEY_FILE}", check=False)
    assert done.returncode == 1
    assert "may be read by others" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_main_job_turns_the_archive_on_and_shows_no_secret(cluster):
    cluster.lab.master.run(["chmod", "600", KEY_FILE])
    cluster.lab.salt("salt-run", "pgha.credential", "test", MAIN, f"file={KEY_FILE}")
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    command = "/usr/bin/pgbackrest --stanza=test archive-push %p"
    wait_for(lambda: archived(cluster) == {command}, timeout=30, what="all members have the command")
    own = formula.store(cluster.lab, "cluster-test")["backup"][MAIN]
    assert own["key_secret"] == s3.SECRET
    shown = run.text + cluster.lab.salt("salt-run", "jobs.list_jobs", "--out=json").stdout
    seen = [secret for secret in own.values() if secret in shown]
    assert not seen


def test_a_second_run_changes_nothing(cluster):
    formula.changes_nothing(cluster.lab)


def test_the_status_misses_a_backup_until_one_is_made(cluster):
    assert f"the repository {MAIN} has no backup yet" in status(cluster)
    done = cluster.lab.salt("salt-run", "pgha.backup", "test", "type=full", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The backup is made" in done.stdout
    assert [one["type"] for one in backups(cluster.leader())] == ["full"]
    shown = cluster.lab.salt("salt-run", "pgha.backups", "test", "-l", "quiet").stdout
    assert "any moment since" in shown
    assert backups(cluster.db[0])[0]["label"] in shown
    assert "Everything is as it should be." in status(cluster)


def test_a_replica_proves_that_it_can_be_restored_and_leaves_nothing(cluster):
    """The newest backup with all that the archive has, then a moment that lies between the backup and the end of it."""
    leader, (made,) = cluster.leader(), backups(cluster.leader())
    whole = made["timestamp"]["stop"]
    wait_for(
        lambda: cluster.psql(leader, f"SELECT now() > to_timestamp({whole + 3})") == "t", timeout=10, what="a while"
    )
    leader.run(["systemctl", "start", "pgha-backup"])
    cluster.psql(leader, "SELECT pg_switch_wal()")
    done = cluster.lab.salt("salt-run", "pgha.proof", "test", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (said,) = [line.strip() for line in done.stdout.splitlines() if "proven on" in line]
    assert "pg_dumpall found no fault; gone back to " in said
    assert said in cluster.lab.salt("salt-run", "pgha.backups", "test", "-l", "quiet").stdout
    (host,) = [host for host in cluster.replicas() if f" on {host.name}: " in said]
    assert host.run(["ls", "-A", "/pgdata/test.proof"]).stdout == ""
    assert "postgres -D /pgdata/test.proof" not in host.run(["ps", "-eo", "args"]).stdout
    assert "Everything is as it should be." in status(cluster)


def test_the_next_leader_goes_on(cluster):
    target = cluster.replicas()[0]
    leader = cluster.switch_over(target)
    cluster.wait_healthy()
    assert cluster.leader() is target
    done = cluster.lab.salt("salt-run", "pgha.backup", "test", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["type"] for one in backups(target)] == ["full", "incr"]
    program = ["runuser", "-u", "postgres", "--", "python3", "-I", "/usr/local/lib/pgha-backup", "run", "full"]
    done = leader.run(program, check=False)
    assert (done.returncode, done.stdout) == (3, "this host does not lead the cluster: its leader makes the backup\n")
    assert len(backups(target)) == 2


def test_a_replica_that_was_away_for_too_long_catches_up_from_the_repository(cluster, pillar):
    backup = {"repositories": {MAIN: repository(MAIN)}, "times": [], "catch_up": True, "config": PATIENCE}
    backup["new_replicas"] = True
    little = {"max_slot_wal_keep_size": "16MB", "wal_keep_size": "16MB", "min_wal_size": "32MB", "max_wal_size": "48MB"}
    pillar.put({"only": [cluster.name], "backup": backup, "postgres": {"parameters": little}})
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    leader, away = cluster.leader(), cluster.replicas()[0]
    wait_for(lambda: cluster.psql(leader, "SHOW max_slot_wal_keep_size") == "16MB", timeout=30, what="it is set")
    away.run(["systemctl", "stop", "patroni"])

    def lost():
        write(cluster)
        cluster.psql(leader, "CHECKPOINT")
        return "lost" in cluster.psql(leader, "SELECT wal_status FROM pg_replication_slots").split()

    wait_for(lost, timeout=60, what="the slot of the replica is lost")
    away.run(["systemctl", "start", "patroni"])
    cluster.wait_healthy()
    assert "restored log file" in away.run(["sh", "-c", "cat /pgdata/test/log/*"]).stdout
    assert "bootstrap from leader" not in away.run(["tail", "-n", "40", "/var/log/patroni/patroni.log"]).stdout
    formula.changes_nothing(cluster.lab)


def how_made(host):
    """How Patroni made the data of a replica the last time, in its own word."""
    said = host.run(["grep", "-o", "replica has been created using .*", "/var/log/patroni/patroni.log"]).stdout
    return said.split()[-1]


def made_again(cluster, host):
    """Make a replica again as a DBA does, and return how Patroni did it."""
    host.run(["su", "-", "postgres", "-c", f"patronictl reinit {cluster.name} {host.name} --force --wait"], timeout=120)
    cluster.wait_healthy()
    return how_made(host)


def test_a_new_replica_comes_from_the_repository_while_the_newest_backup_is_of_now(cluster, store):
    again, lost = cluster.replicas()
    cluster.psql(cluster.leader(), "CREATE TABLE after_the_backup AS SELECT 1 AS one")
    assert made_again(cluster, again) == "pgbackrest"
    assert cluster.psql(again, "SELECT one FROM after_the_backup") == "1"
    # pgBackRest writes one of its own, which has no limit of time.
    assert cluster.psql(again, "SHOW restore_command").startswith("timeout 10 ")

    lost.reset()
    lost.write(CA, store.ca)
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    assert how_made(lost) == "pgbackrest"
    cluster.wait_healthy()
    formula.changes_nothing(cluster.lab)

    before = cluster.switch_over()
    cluster.wait_healthy()
    assert made_again(cluster, before) == "basebackup"
    assert cluster.psql(before, "SELECT one FROM after_the_backup") == "1"
    cluster.psql(cluster.leader(), "DROP TABLE after_the_backup")


def test_a_repository_that_is_away_is_named_and_nothing_is_lost(cluster, store):
    store.stop()
    try:
        write(cluster)
        wait_for(lambda: "the archive fails" in status(cluster), timeout=60, what="the status names the archive")
        assert f"the repository {MAIN} does not answer" in status(cluster)
        done = cluster.lab.salt("salt-run", "pgha.backup", "test", "-l", "quiet", check=False, timeout=300)
        assert done.returncode == 1
        assert "The backup has failed" in done.stdout
    finally:
        store.start()
    whole(cluster)


def test_a_key_that_the_server_takes_no_more_is_named_until_the_pillar_brings_the_next_one(cluster, pillar, store):
    store.stop()
    store.trust("another-secret")
    store.start()
    wait_for(lambda: " 403 " in status(cluster), timeout=30, what="the status names what the server says", interval=1)
    given = {**repository(MAIN), "key": s3.KEY, "key_secret": "another-secret"}
    pillar.put({"only": [cluster.name], "backup": {"repositories": {MAIN: given}, "times": []}})
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    shown = run.text + cluster.lab.salt("salt", "test-db1", "pgha.settings", "--out=json").stdout
    assert "another-secret" not in shown
    whole(cluster)


def test_a_passphrase_that_is_lost_stops_the_run_and_the_store_of_before_ends_that(cluster):
    path = f"{formula.STORE}/cluster-test.json"
    stored = cluster.lab.master.read(path)
    without = json.loads(stored)
    del without["backup"][MAIN]["passphrase"]
    cluster.lab.master.write(path, json.dumps(without), mode="0600")
    run = formula.run(cluster.lab)
    assert run.code == 1
    assert "lacks what it once had. Nothing was made or touched" in run.text
    assert f"test/backup/{MAIN}/passphrase, made " in run.text
    cluster.lab.master.write(path, stored, mode="0600")
    assert "Everything is as it should be." in status(cluster)


def test_a_timer_that_does_not_run_is_named(cluster):
    timers = ["pgha-backup.timer", "pgha-proof.timer"]
    cluster.db[0].run(["systemctl", "stop", *timers])
    shown = status(cluster)
    assert [timer for timer in timers if f"{timer} does not run" not in shown] == []
    cluster.db[0].run(["systemctl", "start", *timers])
    assert "Everything is as it should be." in status(cluster)


def test_a_second_repository_gets_its_own_backup_by_the_timer(cluster, pillar):
    """
    On every member the timer starts the program; the leader alone makes what is due, and only where it is. The second
    one is a directory, which has to be safe before anything is changed.
    """
    second = {"type": "posix", "path": "/srv/share/{cluster}", "encrypted": False}
    backup = {"repositories": {MAIN: repository(MAIN), "second": second}, "times": ["00:00"], "full": []}
    pillar.put({"only": [cluster.name], "backup": backup})
    run = formula.run(cluster.lab)
    assert run.code == 1
    assert run.text.count("/srv/share/test, the repository second, cannot be seen") >= len(cluster.db)
    cluster.db[0].run(["install", "-d", "-m", "0700", "/srv/share/test"])
    assert "the repository second, is not postgres's: chown postgres /srv/share/test" in formula.run(cluster.lab).text
    cluster.db[0].run(["chown", "postgres:", "/srv/share/test"])
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    for host in cluster.db:
        assert host.run(["systemctl", "is-active", "pgha-backup.timer"]).stdout.strip() == "active"
        # The timer may have been faster; two at once are kept apart by pgBackRest.
        host.run(["systemctl", "start", "pgha-backup"], check=False)

    def made():
        return [one["type"] for one in backups(cluster.leader()) if one["database"]["repo-key"] == 2]

    wait_for(made, timeout=60, what="the second repository has a backup")
    assert made() == ["full"]
    assert [one["type"] for one in backups(cluster.leader()) if one["database"]["repo-key"] == 1] == ["full", "incr"]
    assert "Everything is as it should be." in status(cluster)
    assert cluster.db[0].run(["ls", "/srv/share/test/backup/test"]).stdout.split()


def test_a_repository_whose_disk_is_full_is_named_and_what_waited_goes_there_afterwards(cluster):
    leader = cluster.leader()
    (place,) = leader.run(["sh", "-c", "echo /srv/share/test/archive/test/*-*"]).stdout.split()
    leader.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=0777", "full", place])

    def named():
        # The first one may still find room.
        write(cluster)
        return "the archive fails" in status(cluster)

    try:
        wait_for(named, timeout=90, what="the status names the archive")
        assert "No space left on device" in leader.run(["sh", "-c", "cat /pgdata/test/log/*"]).stdout
    finally:
        # An attempt of pgBackRest may have it open still.
        leader.run(["umount", "--lazy", place])
    whole(cluster)
    cluster.db[0].run(["rm", "-rf", "/srv/share/test"])


def test_turned_off_the_archive_ends_and_the_timer_is_gone(cluster, pillar):
    pillar.put({"only": [cluster.name]})
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    wait_for(lambda: archived(cluster) == {"/bin/true"}, timeout=30, what="no member archives by pgBackRest")
    for host in cluster.db:
        assert host.run(["systemctl", "is-active", "pgha-backup.timer"], check=False).stdout.strip() == "inactive"
        # It has the passphrase and the key.
        assert host.run(["test", "-e", "/etc/pgbackrest/pgbackrest.conf"], check=False).returncode == 1
    assert "Everything is as it should be." in status(cluster)
