"""
Somebody had rights for a while and left something behind: rights for everybody, a token, a server of Consul; or he
knows the superuser's password. The main job and the status see it, and what he left gives him nothing more.
"""

import contextlib
import json
import shlex

import psycopg
import pytest
from integration import formula
from lab.tools import LabError, wait_for

ANONYMOUS = "00000000-0000-0000-0000-000000000002"
OVER = "/etc/consul.d/stranger"
TOKENS = """\
import urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:8500/v1/acl/tokens").status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def anybody(host):
    """What anybody on a host is answered who asks for all tokens."""
    return host.run(["python3", "-c", TOKENS]).stdout.strip()


def status(cluster):
    """Exit code and text of the status."""
    done = cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False)
    return done.returncode, done.stdout


def comments(run):
    """What the states of a run said, all hosts."""
    return json.dumps(run.states)


def test_rights_of_everybody_are_taken_away_and_a_foreign_token_is_named(cluster):
    made = cluster.consul(
        "acl", "token", "create", "-description", "Left behind", "-policy-name", "global-management", "-format", "json"
    )
    made = json.loads(made)
    try:
        cluster.consul("acl", "token", "update", "-id", ANONYMOUS, "-policy-name", "global-management")
        for host in cluster.dcs:
            wait_for(lambda host=host: anybody(host) == "200", timeout=60, what="anybody reads all tokens")
        code, said = status(cluster)
        assert (code, made["AccessorID"] in said, made["SecretID"] in said) == (1, True, False)

        run = formula.run(cluster.lab)
        assert run.code == 0, run.text
        changed = run.changed()
        assert (len(changed), "anonymous token" in str(changed)) == (1, True), changed
        assert "The anonymous token gave rights to anybody; these rights were taken away." in comments(run)
        for host in cluster.dcs:
            wait_for(lambda host=host: anybody(host) == "403", timeout=60, what="nobody reads them any more")
        assert f"consul acl token delete -id {made['AccessorID']}" in comments(run)
        assert made["SecretID"] not in run.text
        # It is for a person to judge.
        assert made["AccessorID"] in cluster.consul("acl", "token", "list")
        code, said = status(cluster)
        assert code == 1
        assert f'the token {made["AccessorID"]} "Left behind", which may do everything' in said
    finally:
        cluster.consul("acl", "token", "delete", "-id", made["AccessorID"])
        cluster.consul("acl", "token", "update", "-id", ANONYMOUS, "-description", "Anonymous Token")
    assert status(cluster)[0] == 0


def refused(cluster, host):
    """What the leader answers to the superuser, with his password, from another host."""
    script = "PGPASSWORD=$1 exec psql -XAt -h $2 -U postgres -d postgres -c 'SELECT 1' 2>&1"
    path = "/opt/pgpro/1c-18/bin:/usr/lib/postgresql/15/bin:/usr/bin:/bin"
    password = formula.store(cluster.lab, f"cluster-{cluster.name}")["superuser"]
    return [
        host.run(["sh", "-c", script, "sh", password, address], check=False, env={"PATH": path}).stdout
        for address in (cluster.vip, cluster.leader().address, "127.0.0.1")
    ]


def test_the_superuser_is_refused_from_where_he_is_not_named(cluster):
    for host in (cluster.leader(), cluster.replicas()[0]):
        for said in refused(cluster, host):
            assert "pg_hba.conf rejects connection" in said, said
    with cluster.connect() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)


def test_a_network_that_is_named_no_more_is_refused_after_a_reload(cluster, pillar):
    before = cluster.services()
    pillar.put({"postgres": {"superuser_networks": []}})
    try:
        run = formula.run(cluster.lab)
        assert run.code == 0, run.text

        def turned_away():
            with contextlib.closing(cluster.connect()):
                return False

        def rejected():
            try:
                return turned_away()
            except psycopg.OperationalError as error:
                return "pg_hba.conf rejects connection" in str(error)

        wait_for(rejected, timeout=60, what="the superuser is refused from everywhere")
        assert cluster.services() == before
    finally:
        pillar.put({})
        run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    assert cluster.services() == before

    def let_in():
        with contextlib.suppress(psycopg.OperationalError), contextlib.closing(cluster.connect()):
            return True

    wait_for(let_in, timeout=60, what="the tests' client is let in again")


@pytest.fixture
def stranger(cluster):
    """A replica's host whose root has made its Consul a server, with the gossip key that it has."""
    cluster.wait_healthy()
    host = cluster.replicas()[0]
    # In a directory of ours, so that the preflight takes it for the agent.
    host.run(["mkdir", OVER])
    host.write(f"{OVER}/over.json", json.dumps({"server": True, "data_dir": "/root/stranger"}))
    host.run(["systemctl", "stop", "consul"])
    agent = f"/usr/bin/consul agent -config-file=/etc/consul.d/config.json -config-file={OVER}/over.json"
    try:
        host.run(["systemd-run", "--unit=stranger", *shlex.split(agent)])
        wait_for(lambda: len(cluster.voters()) == 4, timeout=120, what="the stranger votes", interval=1)
        yield host
    finally:
        host.run(["systemctl", "kill", "-s", "KILL", "stranger"], check=False)
        host.run(["systemctl", "reset-failed", "stranger"], check=False)

        def gone():
            with contextlib.suppress(LabError):
                cluster.consul("operator", "raft", "remove-peer", f"-address={host.address}:8300")
            with contextlib.suppress(LabError):
                cluster.consul("force-leave", "-prune", host.name)
            # While the catalog has the name with the stranger's node id, Consul may let no other node have it.
            with contextlib.suppress(LabError):
                known = [line.split()[0] for line in cluster.consul("catalog", "nodes").splitlines()[1:]]
                return host.name not in known and sorted(cluster.voters()) == [one.name for one in cluster.dcs]

        wait_for(gone, timeout=120, what="the stranger is no server any more, and forgotten", interval=2)
        host.run(["rm", "-rf", "/root/stranger", OVER])
        host.run(["systemctl", "start", "consul"])

        def whole():
            rows = [line.split() for line in cluster.consul("members").splitlines()[1:]]
            return {(row[0], row[2], row[3]) for row in rows} == {
                *((one.name, "alive", "server") for one in cluster.dcs),
                *((one.name, "alive", "client") for one in cluster.db),
            }

        wait_for(whole, timeout=180, what="all hosts are what they were in Consul", interval=2)
        cluster.wait_healthy(300)


def test_a_server_of_consul_that_nobody_knows_stops_the_run_and_is_named(cluster, stranger):
    said = f"{stranger.name} ({stranger.address}) is a server in raft and not in the inventory"
    run = formula.run(cluster.lab)
    assert run.code == 1
    assert said in run.text
    assert f"consul operator raft remove-peer -address={stranger.address}:8300" in run.text
    code, shown = status(cluster)
    assert (code, said in shown) == (1, True), shown


def test_everything_is_as_it_was(cluster):
    formula.changes_nothing(cluster.lab)
    code, said = status(cluster)
    assert code == 0, said
