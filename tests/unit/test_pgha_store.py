"""The store of secrets and what the master hands to whom."""

import json

import pytest
from salt.exceptions import CommandExecutionError

PGHA = {
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3": "192.0.2.3"}}},
    "clusters": {
        "one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}},
        "two": {"vip": "192.0.2.50/24", "hosts": {"db3": "192.0.2.13"}},
    },
}


@pytest.fixture
def store(loader_module):
    return loader_module("_utils/pgha_store.py")


def test_everything_is_made_once_and_private(store, tmp_path):
    path = tmp_path / "store"
    made = store.fill(path, PGHA)
    assert {"dc/gossip_key", "dc/management", "dc/agents/dcs1", "one/superuser", "two/agents/db3"} <= set(made)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    assert store.fill(path, PGHA) == []
    assert store.missing(path, PGHA) == []
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.glob("*.json")} == {0o600}


def test_a_new_host_gets_a_token_and_nothing_else_changes(store, tmp_path):
    store.fill(tmp_path, PGHA)
    before = json.loads((tmp_path / "cluster-one.json").read_text())
    hosts = {**PGHA["clusters"]["one"]["hosts"], "db4": "192.0.2.14"}
    grown = {**PGHA, "clusters": {**PGHA["clusters"], "one": {**PGHA["clusters"]["one"], "hosts": hosts}}}
    assert store.missing(tmp_path, grown) == ["one/agents/db4"]
    assert store.fill(tmp_path, grown) == ["one/agents/db4"]
    after = json.loads((tmp_path / "cluster-one.json").read_text())
    assert after["agents"].pop("db4")
    assert after == before


def test_a_damaged_store_is_never_replaced(store, tmp_path):
    store.fill(tmp_path, PGHA)
    damaged = tmp_path / "datacenter-dc.json"
    damaged.write_text('{"gossip_key": "ab')
    with pytest.raises(CommandExecutionError, match="restore it from a backup"):
        store.fill(tmp_path, PGHA)
    assert damaged.read_text() == '{"gossip_key": "ab'


def test_each_host_gets_its_own_and_no_others(store, tmp_path):
    store.fill(tmp_path, PGHA)
    stored = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    db1 = store.of_minion(tmp_path, PGHA, "db1")
    assert set(db1) == {"gossip_key", "agent", "patroni", "vip", "superuser", "replication", "rewind", "restapi"}
    assert db1["agent"] == stored["cluster-one"]["agents"]["db1"]
    foreign = [
        stored["datacenter-dc"]["management"]["secret"],
        stored["cluster-one"]["agents"]["db2"]["secret"],
        stored["cluster-two"]["superuser"],
        stored["cluster-two"]["patroni"]["secret"],
    ]
    assert not [secret for secret in foreign if secret in json.dumps(db1)]
    dcs1 = store.of_minion(tmp_path, PGHA, "dcs1")
    assert dcs1["management"] == stored["datacenter-dc"]["management"]
    assert "patroni-two" in dcs1["tokens"]
    assert stored["cluster-one"]["superuser"] not in json.dumps(dcs1)
    assert store.of_minion(tmp_path, PGHA, "somebody") is None


def test_ext_pillar_decides_by_the_id_and_not_by_what_the_pillar_claims(loader_module, store, tmp_path):
    store.fill(tmp_path, PGHA)
    ext = loader_module(
        "_pillar/pgha.py", opts={"pgha_store": str(tmp_path)}, grains={"id": "dcs1", "pgha": {"role": "dcs"}}
    )
    assert ext.ext_pillar("stranger", {"pgha": PGHA}, True) == {}
    assert ext.ext_pillar("db1", {}, True) == {}
    assert ext.ext_pillar("db3", {"pgha": PGHA}, True)["pgha_secrets"]["agent"]
    assert ext.ext_pillar("db3", {"pgha": {"datacenters": ["no", "mapping"], "clusters": 3}}, True) == {}
