"""Parameters as people set them: with a blank that counts, taken out again, and such that no server starts with."""

import json

import pytest
from integration import formula
from lab.tools import wait_for

PREFIX = "%t [%p]: user=%u,db=%d "
TYPO = "pg_stat_statments"
# In JSON.
WORDS = f'could not access file \\"{TYPO}\\"'


@pytest.fixture(autouse=True, scope="module")
def settings(cluster, pillar):
    """The cluster as the pillar had it; afterwards too."""
    yield
    pillar.put({})
    cluster.wait_healthy()
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text


def put(cluster, pillar, **parameters):
    pillar.put({"only": [cluster.name], "postgres": {"parameters": parameters}})


def members_changed(cluster, *arguments):
    """Apply the states of Patroni on all members at once, and return a line for everything that they changed."""
    names = ",".join(host.name for host in cluster.db)
    done = cluster.lab.salt("salt", "-L", names, "state.apply", "pgha.patroni", *arguments, "--out=json", "--static")
    answers = json.loads(done.stdout[done.stdout.index("{") :])
    assert len(answers) == len(cluster.db)
    return [line for host, states in answers.items() for line in formula.changed_states(host, states)]


def by_hand(cluster, **parameters):
    """What a DBA does in a login shell of his; null takes a parameter away."""
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
    shell = f'patronictl edit-config {cluster.name} --force --quiet "$@"'
    cluster.db[0].run(["runuser", "-u", "postgres", "--", "bash", "-lc", shell, "bash", *words])


def in_dcs(cluster):
    return cluster.ask(cluster.db[0], "/config")["postgresql"]["parameters"]


def shown(cluster, name):
    """The value of a parameter on all members, in quotes."""
    return {cluster.psql(host, f"SELECT quote_literal(current_setting('{name}'))") for host in cluster.db}


def status(cluster):
    return cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False).stdout


def test_a_value_arrives_as_it_is_written(cluster, pillar):
    put(cluster, pillar, log_line_prefix=PREFIX)
    assert any("log_line_prefix" in line for line in members_changed(cluster))
    wait_for(lambda: shown(cluster, "log_line_prefix") == {f"'{PREFIX}'"}, timeout=30, what="all members have it")
    assert members_changed(cluster) == []


def test_a_library_that_is_not_there_is_refused_before_any_member_has_it(cluster, pillar):
    before = in_dcs(cluster)
    put(cluster, pillar, log_line_prefix=PREFIX, shared_preload_libraries=TYPO)
    run = formula.run(cluster.lab)
    assert run.code == 1
    # Each member says it, and the summary once more.
    assert run.text.count(WORDS) >= len(cluster.db), run.text
    assert in_dcs(cluster) == before


def test_a_server_that_does_not_start_is_quoted_and_the_pillar_repairs_it(cluster, pillar):
    """What was set is taken out in the same run, and what somebody else has set stays."""
    by_hand(cluster, shared_preload_libraries=TYPO, log_min_messages="notice")
    leader = cluster.leader()
    wait_for(
        lambda: status(cluster).count("shared_preload_libraries is") == 3, timeout=30, what="all wait for a restart"
    )
    run = formula.run(cluster.lab, sls="pgha.restart")
    assert run.code == 1
    assert WORDS in run.text
    assert cluster.leader() is leader
    # What Consul has of a member is as old as its last loop.
    wait_for(cluster.why_not_healthy, timeout=30, what="it shows that a replica has not come back")

    put(cluster, pillar, shared_preload_libraries=None)
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    cluster.wait_healthy()
    assert "log_line_prefix" not in in_dcs(cluster)
    assert shown(cluster, "log_line_prefix") != {f"'{PREFIX}'"}
    run = formula.run(cluster.lab, sls="pgha.restart")
    assert run.code == 0, run.text
    assert shown(cluster, "shared_preload_libraries") == {"''"}
    said = status(cluster)
    assert "waits for a restart" not in said
    assert "only in the DCS, not in the pillar: postgresql.parameters.log_min_messages" in said
    assert shown(cluster, "log_min_messages") == {"'notice'"}
    by_hand(cluster, log_min_messages="null")


def test_an_archive_that_a_person_set_up_stays_and_is_named_when_it_fails(cluster, pillar):
    pillar.put({"only": [cluster.name]})
    leader = cluster.leader()
    assert cluster.psql(leader, "SHOW archive_mode") == "on"
    by_hand(cluster, archive_command="/bin/false")
    try:
        assert not [line for line in members_changed(cluster) if "archive" in line]
        wait_for(lambda: shown(cluster, "archive_command") == {"'/bin/false'"}, timeout=30, what="all have it")
        cluster.psql(leader, "SELECT pg_logical_emit_message(true, 'archive', ''), pg_switch_wal()")
        wait_for(lambda: "the archive fails" in status(cluster), timeout=30, what="the status names it")
    finally:
        by_hand(cluster, archive_command="/bin/true")
    wait_for(lambda: "archive" not in status(cluster), timeout=90, what="what waited is archived")


def test_a_server_that_read_an_empty_configuration_is_restarted(cluster):
    """Patroni writes that file in place; here it is empty until the server has read it."""
    cluster.wait_healthy()
    replica = cluster.replicas()[0]
    race = 'kill -9 "$(head -n1 "$1")"; until [ -S /tmp/.s.PGSQL.5432 ]; do : > "$0"; done'
    files = ["/pgdata/test/postgresql.conf", "/pgdata/test/postmaster.pid"]
    replica.run(["timeout", "60", "sh", "-c", race, *files], check=False)
    assert replica.run(["test", "-S", "/tmp/.s.PGSQL.5432"], check=False).returncode == 0, (
        "the server read it too early"
    )
    cluster.lab.salt("salt", replica.name, "state.apply", "pgha.patroni", "--out=json", timeout=200)
    cluster.wait_healthy()
    assert replica.run(["test", "-S", "/run/postgresql/.s.PGSQL.5432"], check=False).returncode == 0


def test_a_database_that_other_rules_have_sorted_is_named(cluster):
    """As when its hosts have been replaced by those of another release."""
    leader = cluster.leader()
    cluster.psql(leader, "UPDATE pg_database SET datcollversion = '1.2' WHERE datname = 'postgres'")
    named = "the database postgres was made where text is sorted by version 1.2 of its collation"
    try:
        wait_for(lambda: status(cluster).count(named) == len(cluster.db), timeout=30, what="every member names it")
    finally:
        cluster.psql(leader, "ALTER DATABASE postgres REFRESH COLLATION VERSION")
    wait_for(lambda: named not in status(cluster), timeout=30, what="nobody names it")


def test_what_changes_while_a_server_starts_is_written_all_the_same(cluster, pillar):
    """Patroni passes over what it hears while its server starts; here the server hangs in that moment."""
    cluster.wait_healthy()
    leader, replica = cluster.leader(), cluster.replicas()[0]
    put(cluster, pillar, log_autovacuum_min_duration="7s")
    # patroni.yml has it, too, and Patroni writes everything when that changes.
    cluster.lab.salt("salt", replica.name, "state.apply", "pgha.patroni.config")
    hang = (
        "old=$(head -n1 $0); kill -9 $old; while :; do new=$(head -n1 $0 2>/dev/null);"
        ' [ -n "$new" ] && [ "$new" != "$old" ] && kill -STOP "$new" && break; done; echo "$new"'
    )
    pid = replica.run(["timeout", "60", "sh", "-c", hang, "/pgdata/test/postmaster.pid"]).stdout.strip()
    try:
        cluster.lab.salt("salt", leader.name, "state.apply", "pgha.patroni")
        assert in_dcs(cluster)["log_autovacuum_min_duration"] == "7s"
        heard = lambda: "7s" in replica.read("/pgdata/test/patroni.dynamic.json")  # noqa: E731
        wait_for(heard, timeout=30, what="Patroni of the replica has heard of it")
    finally:
        replica.run(["kill", "-CONT", pid])
    cluster.wait_healthy()
    assert cluster.psql(replica, "SHOW log_autovacuum_min_duration") != "7s"
    said = f"{replica.name}: PostgreSQL here has not been given log_autovacuum_min_duration as the DCS has it"
    wait_for(lambda: said in status(cluster), timeout=30, what="the status names it")
    (line,) = [line for line in members_changed(cluster) if line.startswith(f"{replica.name}: ")]
    assert "PostgreSQL of this host has the parameters of test: " in line
    assert shown(cluster, "log_autovacuum_min_duration") == {"'7s'"}
    assert members_changed(cluster) == []
