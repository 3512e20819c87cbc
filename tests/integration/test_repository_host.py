"""
Backups on a repository host, from bare hosts on: made by the leader, encrypted before they leave it, proven, restored.
The host keeps what it cannot read, and lets nobody write elsewhere.
"""

import pytest
from integration import formula, ground
from integration.cluster import Cluster, main_pid
from integration.test_backup import archived, backups, how_made, status, whole, write
from integration.test_restore import FROM_BACKUP, reinit, whole_archive
from lab.tools import wait_for

GROUND = "encrypted"

# A host of the second cluster, whose others get a copy.
KEEPER, PLACE, UNIT = "test2-db1", "/backup/test", "pgha-repository"
CONFIG = "/etc/pgbackrest/pgbackrest.conf"
COPIES = ("test2-db2", "test2-db3")


@pytest.fixture(scope="module")
def cluster(lab, pillar, tmp_path_factory):
    """The first cluster on new hosts, encrypted, with its backups on a repository host."""
    pillar.put(given(lab))
    ground.bare(lab)
    lab[KEEPER].run(["sh", "-c", "rm -rf /backup; systemctl reset-failed"], check=False)
    run = formula.run(lab)
    assert run.code == 0, run.text
    file = tmp_path_factory.mktemp("client") / "ca.pem"
    file.write_text(formula.authorities(lab))
    cluster = Cluster(lab, authorities=str(file))
    cluster.wait_healthy()
    yield cluster
    pillar.put({})


def given(lab, copy=False, **backup):
    """The pillar of a site with a repository host, and with a second cluster for a copy."""
    main = {"type": "host", "host": KEEPER, "path": "/backup/{cluster}"}
    # pgBackRest waits a minute for a repository that is away.
    patience = {"io-timeout": 5, "archive-timeout": 10}
    from_there = {"catch_up": True, "new_replicas": True}
    own = {"repositories": {"main": main}, "times": [], "proof_back": 0, "config": patience, **from_there, **backup}
    clusters = {"test": {"backup": own}}
    if copy:
        clusters["test2"] = {"vip": "198.51.100.50/24", "hosts": {name: lab[name].address for name in COPIES}}
    return {
        "tls": {"enabled": None},
        "datacenters": {"test-dcs-cluster": {"repository_hosts": {KEEPER: lab[KEEPER].address}}},
        "clusters": clusters,
    }


def as_postgres(host, *words):
    """What pgBackRest says to a DBA of a member."""
    return host.run(["runuser", "-u", "postgres", "--", "pgbackrest", *words], check=False)


def test_the_main_job_turns_the_archive_on_and_a_second_run_changes_nothing(cluster):
    command = "/usr/bin/pgbackrest --stanza=test archive-push %p"
    wait_for(lambda: archived(cluster) == {command}, timeout=30, what="all members have the command")
    assert cluster.lab[KEEPER].run(["systemctl", "is-active", UNIT]).stdout.strip() == "active"
    formula.changes_nothing(cluster.lab)


def test_the_leader_makes_backups_there_and_the_next_leader_goes_on(cluster):
    for kind in ("full", "incr"):
        done = cluster.lab.salt("salt-run", "pgha.backup", "test", f"type={kind}", "-l", "quiet", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        cluster.switch_over(cluster.replicas()[0])
        cluster.wait_healthy()
    for host in cluster.db:
        assert [one["type"] for one in backups(host)] == ["full", "incr"]
    assert "any moment since" in cluster.lab.salt("salt-run", "pgha.backups", "test", "-l", "quiet").stdout
    assert "Everything is as it should be." in status(cluster)


def test_a_new_replica_comes_from_there(cluster):
    done = cluster.lab.salt("salt-run", "pgha.backup", "test", "type=incr", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    replica = cluster.replicas()[0]
    reinit(cluster, replica)
    cluster.wait_healthy()
    assert how_made(replica) == "pgbackrest"


def test_the_host_keeps_what_it_cannot_read(cluster):
    keeper, own = cluster.lab[KEEPER], formula.store(cluster.lab, "cluster-test")["backup"]["main"]
    assert keeper.run(["head", "-c", "8", f"{PLACE}/backup/test/backup.info"]).stdout == "Salted__"
    assert own["passphrase"] not in keeper.read(CONFIG)
    pillar = cluster.lab.salt("salt", KEEPER, "pillar.items", "--out=json").stdout
    assert own["passphrase"] not in pillar
    assert formula.store(cluster.lab, "datacenter-test-dcs-cluster")["gossip_key"] not in pillar
    assert {line.split()[2] for line in keeper.run(["ls", "-ln", PLACE]).stdout.splitlines()[1:]} == {
        keeper.run(["id", "-u", "pgbackrest"]).stdout.strip()
    }


def test_nobody_works_for_another_cluster_or_writes_outside_of_the_repositories(cluster):
    member, keeper = cluster.db[0], cluster.lab[KEEPER]
    keeper.run(["install", "-d", "-m", "0777", "/srv/open"])
    assert "access denied" in as_postgres(member, "--stanza=other", "--output=json", "info").stdout

    def made(path):
        return as_postgres(member, "--stanza=test", f"--repo1-path={path}", "stanza-create")

    assert made(PLACE).returncode == 0, "the place that a client names counts"
    assert "Read-only file system" in "".join((made("/srv/open/x").stdout, made("/srv/open/x").stderr))
    for path in ("/etc", "/backup"):
        assert made(path).returncode != 0, path
    assert keeper.run(["ls", "-A", "/srv/open"]).stdout == ""
    assert keeper.run(["ls", "-A", "/backup"]).stdout.split() == ["test"]
    own = ["--repo1-host-cert-file=/etc/pgha/tls/consul.pem", "--repo1-host-key-file=/etc/pgha/tls/consul.pem"]
    assert as_postgres(member, "--stanza=test", *own, "check").returncode != 0, "the key of Consul is not PostgreSQL's"


def test_a_host_that_is_away_is_named_and_nothing_is_lost(cluster):
    keeper = cluster.lab[KEEPER]
    keeper.run(["systemctl", "stop", UNIT])
    write(cluster)
    wait_for(lambda: "the archive fails" in status(cluster), timeout=60, what="the status names the archive")
    shown = status(cluster)
    assert "the repository main does not answer" in shown
    assert f"{KEEPER}: {UNIT}.service does not run" in shown
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    whole(cluster)


def test_a_certificate_is_renewed_and_nothing_is_restarted(cluster):
    keeper = cluster.lab[KEEPER]
    before = (main_pid(keeper, UNIT), keeper.read("/etc/pgha/tls/repository.pem"))
    done = cluster.lab.salt("salt-run", "pgha.renew", check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"test-dcs-cluster/tls/{KEEPER}/repository" in done.stdout
    assert keeper.read("/etc/pgha/tls/repository.pem") != before[1]
    assert main_pid(keeper, UNIT) == before[0]
    write(cluster)
    assert as_postgres(cluster.leader(), "--stanza=test", "check").returncode == 0
    assert "Everything is as it should be." in status(cluster)


def test_what_is_there_is_proven(cluster):
    done = cluster.lab.salt("salt-run", "pgha.proof", "test", "host=test-db2", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " on test-db2: " in done.stdout
    assert "found no fault" in done.stdout


def test_a_repository_on_a_directory_of_somebody_elses_is_refused(cluster, pillar):
    keeper = cluster.lab[KEEPER]
    keeper.run(["sh", "-c", "mkdir -p /srv/theirs && touch /srv/theirs/file"])
    other = {"type": "host", "host": KEEPER, "path": "/srv/theirs"}
    pillar.put(
        given(cluster.lab, repositories={"main": {"type": "host", "host": KEEPER, "path": PLACE}, "other": other})
    )
    run = formula.run(cluster.lab)
    assert run.code == 1
    assert "/srv/theirs has something in it and is root's" in run.text
    pillar.put(given(cluster.lab))


def test_another_cluster_gets_a_copy_and_is_let_in_for_no_longer(cluster, pillar):
    lab, keeper = cluster.lab, cluster.lab[KEEPER]
    pillar.put(given(lab, copy=True))
    run = formula.run(lab)
    assert run.code == 0, run.text
    second = Cluster(lab, "test2", "198.51.100.50", authorities=cluster.authorities, members=COPIES)
    second.wait_healthy()
    started, services, known = main_pid(keeper, UNIT), cluster.services(), keeper.read(CONFIG)
    cluster.psql(cluster.leader(), "CREATE TABLE written AS SELECT 'before' AS what")
    moment = cluster.psql(cluster.leader(), "SELECT clock_timestamp() AT TIME ZONE 'UTC' FROM pg_sleep(0.01)") + "+00"
    cluster.psql(cluster.leader(), "INSERT INTO written VALUES ('after')")
    copied = (formula.confirmed(lab, {"cluster": "test2", "from": "test", "target": moment}),)
    # Killed when the copy is let in, and run again.
    formula.run_until(lab, lambda: keeper.read(CONFIG) != known, *copied, what="it is let in", sls="pgha.restore")
    wait_for(lambda: formula.idle(list(lab.hosts.values())), timeout=120, what="the minions have ended", interval=0.5)
    let_in = second.leader()
    assert f"tls-server-auth={let_in.name}=test\n" in keeper.read(CONFIG)
    assert "access denied" not in asked_as(cluster.db[0], let_in)
    run = formula.run(lab, *copied, sls="pgha.restore")
    assert run.code == 0, run.text
    second.wait_healthy()
    assert second.psql(second.leader(), "SELECT what FROM written") == "before"
    assert keeper.read(CONFIG) == known
    assert (main_pid(keeper, UNIT), cluster.services()) == (started, services), "nothing of the first was restarted"
    passphrase = formula.store(lab, "cluster-test")["backup"]["main"]["passphrase"]
    for host in second.db:
        assert host.run(["grep", "-rlF", passphrase, "/etc", "/var/spool", "/run"], check=False).stdout == ""
    assert "access denied" in asked_as(cluster.db[0], let_in)
    formula.changes_nothing(lab)
    assert "Everything is as it should be." in status(cluster)


def asked_as(member, other):
    """What pgBackRest of a member says of the backups when it shows the certificate of another host."""
    member.write("/root/other.pem", other.read("/etc/pgha/tls/postgres.pem"), mode="0600")
    member.run(["install", "-o", "postgres", "-m", "0600", "/root/other.pem", "/tmp/other.pem"])
    shown = [f"--repo1-host-{kind}-file=/tmp/other.pem" for kind in ("cert", "key")]
    said = as_postgres(member, "--stanza=test", "--output=json", *shown, "info").stdout
    member.run(["rm", "/root/other.pem", "/tmp/other.pem"])
    return said


def test_a_cluster_whose_hosts_are_all_lost_comes_back_from_a_host_that_was_cleaned(cluster, pillar):
    """Clean leaves the repositories, and the main job takes them again."""
    lab, keeper = cluster.lab, cluster.lab[KEEPER]
    whole_archive(cluster)
    cluster.lab.salt("salt", KEEPER, "state.apply", "pgha.clean")
    assert keeper.run(["systemctl", "is-active", UNIT], check=False).stdout.strip() == "inactive"
    left = ["/usr/bin/pgbackrest", CONFIG, "/etc/pgha", "/opt/pgbackrest"]
    assert [path for path in left if keeper.run(["test", "-e", path], check=False).returncode == 0] == []
    assert "198.51.100.21" not in keeper.read("/etc/hosts")
    pillar.put(given(lab))
    for host in (*cluster.hosts, *(lab[name] for name in COPIES)):
        host.reset(wait=False)
    lab.wait_ready()
    run = formula.run(lab, FROM_BACKUP)
    assert run.code == 0, run.text
    cluster.wait_healthy()
    assert cluster.psql(cluster.leader(), "SELECT what FROM written ORDER BY what").split() == ["after", "before"]
    assert [one["type"] for one in backups(cluster.leader())][:2] == ["full", "incr"]
    whole(cluster)


def test_a_host_that_is_lost_is_replaced_by_a_new_one(cluster):
    keeper = cluster.lab[KEEPER]
    keeper.reset(wait=False)
    cluster.lab.wait_ready()
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    assert "the repository main has no backup yet" in status(cluster)
    done = cluster.lab.salt("salt-run", "pgha.backup", "test", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["type"] for one in backups(cluster.leader())] == ["full"]
    whole(cluster)
