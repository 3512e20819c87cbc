"""
Who asks for the secrets of others, and a store that is not the one the clusters work with: nothing is given, and
nothing is touched.
"""

import json

import pytest
from integration import formula

# As root of a host, by Salt's own request with a pillar of his own making under it; the values are not masked here.
ASK = """
import json, sys, salt.config, salt.minion, salt.pillar
opts = salt.minion.SMinion(salt.config.minion_config("/etc/salt/minion")).opts
pillar = salt.pillar.get_pillar(opts, {"id": opts["id"]}, opts["id"], "base", pillar_override=json.loads(sys.argv[1]))
print(json.dumps(pillar.compile_pillar().get("pgha_secrets")))
"""


def asked(host, override):
    """The secrets that the master answers to a host that hands it ``override``."""
    return json.loads(host.run(["/opt/salt/bin/python", "-c", ASK, json.dumps(override)]).stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "claimed",
    [
        {"datacenters": {"test-dcs-cluster": {"servers": {"test-db1": "1.1.1.1"}}}},
        {"datacenters": {"test-dcs-cluster": {"servers": {"test-db1": {"address": "1.1.1.1", "name": "test-dcs2"}}}}},
        {"clusters": {"test": {"hosts": {"test-db1": {"address": "1.1.1.1", "name": "test-db2"}}}}},
        {"clusters": {"other": {"datacenter": "test-dcs-cluster", "hosts": {"test-db1": "1.1.1.1"}}}},
    ],
    ids=["a server", "another server", "another member", "another cluster"],
)
def test_a_host_that_claims_to_be_another_gets_its_own_secrets_and_no_more(cluster, claimed):
    host = cluster.db[0]
    own = asked(host, {})
    assert own["superuser"] == formula.store(cluster.lab, "cluster-test")["superuser"]
    assert asked(host, {"pgha": claimed}) == own
    assert not {"management", "tokens"} & set(own)


def test_a_minion_of_no_inventory_gets_nothing(cluster):
    stranger = cluster.lab["test2-db1"]
    assert asked(stranger, {}) is None
    assert (
        asked(stranger, {"pgha": {"datacenters": {"test-dcs-cluster": {"servers": {"test2-db1": "1.1.1.1"}}}}}) is None
    )


@pytest.mark.parametrize(
    ("words", "answered"),
    [
        (("pgha.settings",), "superuser_networks"),
        (("state.show_sls", "pgha.patroni.config"), "Patroni is configured"),
        (("slsutil.renderer", """string={{ salt["pgha.settings"]() | json }}"""), "superuser_networks"),
    ],
    ids=["a job", "a state", "a template"],
)
def test_no_function_returns_secrets(cluster, words, answered):
    said = cluster.lab.salt("salt", "test-db1", *words, "--out=json", "-t", "60", check=False).stdout
    assert answered in said, said
    own = formula.store(cluster.lab, "cluster-test")
    assert not [name for name in ("superuser", "restapi", "rewind") if own[name] in said]


def files(cluster):
    """Everything on the hosts that has secrets in it, as digests."""
    script = (
        "sha256sum /etc/consul.d/config.json /root/.consul-token /etc/patroni/patroni.yml /etc/pgha/secrets.json 2>&1"
    )
    return {host.name: host.run(["sh", "-c", script], check=False).stdout for host in cluster.hosts}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("rm cluster-test.json", "lacks what it once had"),
        # A copy from before all that, or a new master: the store is whole in itself, and not the clusters' own.
        ("rm -rf ../pgha/*", "this host works with other secrets than the master's store has"),
    ],
    ids=["a file is lost", "another store"],
)
def test_a_store_that_is_not_the_clusters_own_is_refused_before_a_host_is_touched(cluster, harm, said):
    master = cluster.lab.master
    before, services = files(cluster), cluster.services()
    tokens = cluster.consul("acl", "token", "list")
    master.run(["sh", "-c", f"rm -rf /root/kept && cp -a {formula.STORE} /root/kept && cd {formula.STORE} && {harm}"])
    try:
        assert cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False).returncode == 1
        run = formula.run(cluster.lab)
        assert run.code == 1
        assert said in run.text
        assert "restore the store" in run.text
        assert files(cluster) == before
        assert cluster.consul("acl", "token", "list") == tokens
        assert cluster.services() == services
    finally:
        master.run(["sh", "-c", f"rm -rf {formula.STORE} && mv /root/kept {formula.STORE}"])


def test_the_restored_store_is_the_clusters_own_again(cluster):
    formula.changes_nothing(cluster.lab)
