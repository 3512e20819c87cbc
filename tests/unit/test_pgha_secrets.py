"""What the master makes and stores, and what it hands to whom."""

import copy
import json
from types import SimpleNamespace

import pghalib.secrets.store
import pytest
import shipped
from salt.exceptions import CommandExecutionError

DEFAULTS = shipped.defaults()
PGHA = {
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3": "192.0.2.3"}}},
    "clusters": {
        "one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}},
        "two": {"vip": "192.0.2.50/24", "hosts": {"db3": "192.0.2.13"}},
    },
    "tls": False,
}


@pytest.fixture
def secrets(loader_module):
    return loader_module("_utils/pghalib/secrets/minted.py")


def changed(path, value):
    """PGHA with another value at a path of keys; None takes it away."""
    result = copy.deepcopy(PGHA)
    *above, last = path.split("/")
    place = result
    for key in above:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return result


def files(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def stored(path, name):
    return json.loads((path / f"{name}.json").read_text())


def test_everything_is_made_once_and_private(secrets, tmp_path):
    path = tmp_path / "store"
    made = secrets.mint(path, PGHA, DEFAULTS)
    assert {"dc/gossip_key", "dc/management", "dc/agents/dcs1", "one/superuser", "two/agents/db3", "index"} <= set(made)
    before = files(path)
    assert secrets.mint(path, PGHA, DEFAULTS) == []
    assert secrets.missing(path, PGHA, DEFAULTS) == []
    assert files(path) == before
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}


def test_a_new_host_gets_a_token_and_nothing_else_changes(secrets, tmp_path):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    before = stored(tmp_path, "cluster-one")
    grown = changed("clusters/one/hosts/db4", "192.0.2.14")
    assert secrets.missing(tmp_path, grown, DEFAULTS) == ["index", "one/agents/db4"]
    assert secrets.mint(tmp_path, grown, DEFAULTS) == ["index", "one/agents/db4"]
    after = stored(tmp_path, "cluster-one")
    assert after["agents"].pop("db4")
    assert after == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.unlink(),
        lambda file: file.write_text("{}"),
        lambda file: file.write_text(
            json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "rewind"})
        ),
    ],
    ids=["removed", "emptied", "one secret less"],
)
def test_a_store_that_lacks_what_it_had_makes_nothing_anew(secrets, tmp_path, harm):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    harm(tmp_path / "cluster-one.json")
    before = files(tmp_path)
    for function in (secrets.mint, secrets.missing):
        with pytest.raises(CommandExecutionError, match="lacks what it once had") as error:
            function(tmp_path, PGHA, DEFAULTS)
        assert "one/rewind, made 20" in str(error.value)
        assert "restore the store from its backup" in str(error.value)
    assert files(tmp_path) == before


def test_new_secrets_are_made_for_what_is_named_and_nothing_else(secrets, tmp_path):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    before = stored(tmp_path, "cluster-two")
    for name in ("one", "two"):
        (tmp_path / f"cluster-{name}.json").unlink()
    with pytest.raises(CommandExecutionError, match="two/superuser") as error:
        secrets.mint(tmp_path, {**PGHA, "new_secrets": ["one"]}, DEFAULTS)
    assert "one/superuser" not in str(error.value)
    made = secrets.mint(tmp_path, {**PGHA, "new_secrets": ["one", "two"]}, DEFAULTS)
    assert {"one/superuser", "two/superuser"} <= set(made)
    assert stored(tmp_path, "cluster-two")["superuser"] != before["superuser"]


def test_a_restored_copy_of_a_file_is_taken_as_it_is(secrets, tmp_path):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    copy_of = (tmp_path / "cluster-one.json").read_bytes()
    (tmp_path / "cluster-one.json").unlink()
    secrets.mint(tmp_path, {**PGHA, "new_secrets": ["one"]}, DEFAULTS)
    (tmp_path / "cluster-one.json").write_bytes(copy_of)
    assert secrets.mint(tmp_path, PGHA, DEFAULTS) == []
    assert (tmp_path / "cluster-one.json").read_bytes() == copy_of


def test_a_store_without_an_index_is_taken_over(secrets, tmp_path):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    before = {name: content for name, content in files(tmp_path).items() if name != "index.json"}
    (tmp_path / "index.json").unlink()
    assert secrets.mint(tmp_path, PGHA, DEFAULTS) == ["index"]
    assert {name: content for name, content in files(tmp_path).items() if name != "index.json"} == before
    (tmp_path / "cluster-one.json").unlink()
    with pytest.raises(CommandExecutionError, match="lacks what it once had"):
        secrets.mint(tmp_path, PGHA, DEFAULTS)


def test_a_run_that_is_interrupted_after_each_write_is_completed_by_the_next(secrets, tmp_path):
    written = pghalib.secrets.store.write
    with_tls = {**PGHA, "tls": True}
    for last in range(5):
        path, left = tmp_path / str(last), [last]

        def write(where, content, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            written(where, content)

        pghalib.secrets.store.write = write
        try:
            with pytest.raises(KeyboardInterrupt):
                secrets.mint(path, with_tls, DEFAULTS)
        finally:
            pghalib.secrets.store.write = written
        secrets.mint(path, with_tls, DEFAULTS)
        assert secrets.mint(path, with_tls, DEFAULTS) == []
        assert set(stored(path, "index")["made"]) >= {
            "dc/gossip_key",
            "one/superuser",
            "two/rewind",
            "dc/tls/authority",
        }


def test_each_host_gets_its_own_and_no_others(secrets, tmp_path):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    held = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    db1 = secrets.of_minion(tmp_path, "db1")
    assert set(db1) == {"gossip_key", "agent", "patroni", "vip", "superuser", "replication", "rewind", "restapi"}
    assert db1["agent"] == held["cluster-one"]["agents"]["db1"]
    foreign = [
        held["datacenter-dc"]["management"]["secret"],
        held["cluster-one"]["agents"]["db2"]["secret"],
        held["cluster-two"]["superuser"],
        held["cluster-two"]["patroni"]["secret"],
    ]
    assert not [secret for secret in foreign if secret in json.dumps(db1)]
    dcs1 = secrets.of_minion(tmp_path, "dcs1")
    assert dcs1["management"] == held["datacenter-dc"]["management"]
    assert "patroni-two" in dcs1["tokens"]
    assert held["cluster-one"]["superuser"] not in json.dumps(dcs1)
    assert secrets.of_minion(tmp_path, "somebody") is None


def test_the_token_of_the_virtual_ip_is_for_a_vip_manager_that_asks_consul(secrets, tmp_path):
    secrets.mint(tmp_path, changed("clusters/two/vip", {"address": "192.0.2.50/24", "manager": "callback"}), DEFAULTS)
    assert "vip" not in secrets.of_minion(tmp_path, "db3")
    assert set(secrets.of_minion(tmp_path, "dcs1")["tokens"]) >= {"vip-one", "patroni-two"}
    assert "vip-two" not in secrets.of_minion(tmp_path, "dcs1")["tokens"]


def test_a_host_that_was_taken_out_of_the_inventory_gets_nothing_and_holds_nobody_up(secrets, tmp_path):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    assert "agent-db3" in secrets.of_minion(tmp_path, "dcs1")["tokens"]
    secrets.mint(tmp_path, changed("clusters/two", None), DEFAULTS)
    assert secrets.of_minion(tmp_path, "db3") is None
    tokens = secrets.of_minion(tmp_path, "dcs1")["tokens"]
    assert not {"agent-db3", "patroni-two", "vip-two"} & set(tokens)
    assert "agent-db1" in tokens


def test_where_the_pillar_is_silent_a_new_datacenter_is_encrypted_and_a_living_one_stays_as_it_was(secrets, tmp_path):
    silent = changed("tls", {"enabled": None})
    secrets.mint(tmp_path / "new", silent, DEFAULTS)
    assert secrets.of_minion(tmp_path / "new", "db1")["tls"]["ca"]
    secrets.mint(tmp_path / "living", PGHA, DEFAULTS)
    for _ in range(2):
        secrets.mint(tmp_path / "living", silent, DEFAULTS)
        assert "tls" not in secrets.of_minion(tmp_path / "living", "db1")
    # Built by a version that kept no index.
    (tmp_path / "living/index.json").unlink()
    secrets.mint(tmp_path / "living", silent, DEFAULTS)
    assert "tls" not in secrets.of_minion(tmp_path / "living", "db1")


def test_a_new_datacenter_whose_name_no_certificate_can_have_gets_no_secrets(secrets, tmp_path):
    silent = {**changed("tls", {"enabled": None}), "datacenters": {"my_dc": PGHA["datacenters"]["dc"]}}
    for function in (secrets.mint, secrets.missing):
        with pytest.raises(CommandExecutionError, match="^pgha:datacenters:my_dc: a new datacenter is encrypted"):
            function(tmp_path, silent, DEFAULTS)
    assert not list(tmp_path.glob("*.json"))
    # One that lives without encryption goes on.
    secrets.mint(tmp_path, {**silent, "tls": {"enabled": False}}, DEFAULTS)
    secrets.mint(tmp_path, silent, DEFAULTS)
    assert "tls" not in secrets.of_minion(tmp_path, "db1")


@pytest.mark.parametrize("built", [True, False])
def test_a_setting_that_the_hosts_refuse_is_not_what_a_living_datacenter_was_built_as(secrets, tmp_path, built):
    """The preflight refuses it, so nothing is settled; what comes after it finds the datacenter as it is."""
    silent, refused = changed("tls", {"enabled": None}), changed("tls", {"enabled": not built})
    secrets.mint(tmp_path, changed("tls", {"enabled": built}), DEFAULTS)
    assert secrets.settle(tmp_path, ["dc"], test=True) == ["dc"]
    assert secrets.settle(tmp_path, ["dc"]) == ["dc"]
    assert secrets.settle(tmp_path, ["dc", "unknown"]) == []
    secrets.mint(tmp_path, refused, DEFAULTS)
    secrets.mint(tmp_path, silent, DEFAULTS)
    assert ("tls" in secrets.of_minion(tmp_path, "db1")) is built
    # Nothing was built yet, and no host refused it.
    secrets.mint(tmp_path, refused, DEFAULTS)
    secrets.settle(tmp_path, ["dc"])
    secrets.mint(tmp_path, silent, DEFAULTS)
    assert ("tls" in secrets.of_minion(tmp_path, "db1")) is not built


def test_before_there_is_a_store_nothing_is_settled_by_a_dry_run(secrets, tmp_path):
    assert secrets.settle(tmp_path / "store", ["dc"], test=True) == []
    assert not (tmp_path / "store").exists()


def test_a_host_without_a_stored_certificate_is_served_none(secrets, tmp_path):
    secrets.mint(tmp_path, {**PGHA, "tls": True}, DEFAULTS)
    (tmp_path / "tls-dc.json").unlink()
    assert "tls" not in secrets.of_minion(tmp_path, "db1")


def test_a_lost_authority_is_not_made_anew(secrets, tmp_path):
    with_tls = {**PGHA, "tls": True}
    secrets.mint(tmp_path, with_tls, DEFAULTS)
    (tmp_path / "tls-dc.json").unlink()
    with pytest.raises(CommandExecutionError, match="dc/tls/authority"):
        secrets.mint(tmp_path, with_tls, DEFAULTS)
    assert "dc/tls/authority" in secrets.mint(tmp_path, {**with_tls, "new_secrets": ["dc/tls"]}, DEFAULTS)


@pytest.mark.parametrize("file", ["index", "cluster-one", "datacenter-dc"])
def test_a_damaged_store_costs_other_minions_of_the_master_nothing(loader_module, secrets, tmp_path, file):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    (tmp_path / f"{file}.json").write_text("[]")
    ext, said = loader_module("_pillar/pgha.py", opts={"pgha_store": str(tmp_path)}), []
    ext.log = SimpleNamespace(error=lambda text, *words: said.append(text % words))
    assert ext.ext_pillar("db1", {}, True) == {}
    assert ext.ext_pillar("a web server", {}, True) == {}
    assert f"pgha serves no secrets to db1: The store of secrets {tmp_path}/{file}.json is damaged" in said[0]


def test_what_a_minion_sends_along_decides_nothing(loader_module, secrets, tmp_path):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    ext = loader_module(
        "_pillar/pgha.py", opts={"pgha_store": str(tmp_path)}, grains={"id": "dcs1", "pgha": {"role": "dcs"}}
    )
    override = {"pgha": {"datacenters": {"dc": {"servers": {"db1": "1.1.1.1", "stranger": "1.1.1.1"}}}}}
    assert ext.ext_pillar("stranger", override, True) == {}
    assert "management" not in ext.ext_pillar("db1", override, True)["pgha_secrets"]
    theirs = {"pgha": {"clusters": {"two": {"hosts": {"db1": "1.1.1.1"}}}, "datacenters": {}}}
    assert ext.ext_pillar("db1", theirs, True) == ext.ext_pillar("db1", {}, True)
    for nonsense in ({}, {"pgha": 3}, {"pgha": {"datacenters": ["no", "mapping"], "clusters": 3}}, None):
        assert ext.ext_pillar("db3", nonsense, True)["pgha_secrets"]["agent"]


TWO = {
    "datacenters": {
        "dc": {"servers": {"dcs1": "192.0.2.1"}},
        "far": {"servers": {"far1": "198.51.100.1", "far2": "198.51.100.2"}},
    },
    "clusters": {
        "one": {"datacenter": "dc", "vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}},
        "away": {"datacenter": "far", "vip": "198.51.100.40/24", "hosts": {"db9": "198.51.100.11"}},
    },
    "tls": False,
}


@pytest.mark.parametrize(
    ("server", "wanted"),
    [
        ("dcs1", {"agent-dcs1", "agent-db1", "agent-db2", "patroni-one", "vip-one"}),
        ("far1", {"agent-far1", "agent-far2", "agent-db9", "patroni-away", "vip-away"}),
    ],
)
def test_a_server_registers_every_token_of_its_own_datacenter_and_none_of_another(secrets, tmp_path, server, wanted):
    secrets.mint(tmp_path, TWO, DEFAULTS)
    held = secrets.of_minion(tmp_path, server)
    assert set(held["tokens"]) == wanted
    name = "one" if server == "dcs1" else "away"
    cluster = stored(tmp_path, f"cluster-{name}")
    assert held["tokens"][f"patroni-{name}"] == cluster["patroni"]
    assert held["tokens"][f"vip-{name}"] == cluster["vip"]
    for host, token in cluster["agents"].items():
        assert held["tokens"][f"agent-{host}"] == token
    datacenter = stored(tmp_path, f"datacenter-{'dc' if server == 'dcs1' else 'far'}")
    assert held["agent"] == held["tokens"][f"agent-{server}"] == datacenter["agents"][server]


@pytest.mark.parametrize(
    ("file", "lost", "minion"),
    [
        ("datacenter-dc", "gossip_key", "db1"),
        ("datacenter-dc", "management", "dcs1"),
        ("cluster-one", "rewind", "db1"),
        ("cluster-one", "agents", "db1"),
    ],
)
def test_a_host_is_served_all_of_its_secrets_or_none(secrets, tmp_path, file, lost, minion):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    content = stored(tmp_path, file)
    del content[lost]
    (tmp_path / f"{file}.json").write_text(json.dumps(content))
    assert secrets.of_minion(tmp_path, minion) is None
    # A server registers the tokens that are there, and its own secrets are complete.
    if file == "cluster-one":
        tokens = secrets.of_minion(tmp_path, "dcs1")["tokens"]
        assert ("agent-db1" in tokens) is (lost != "agents")


def test_nothing_of_the_store_changes_while_another_process_has_its_lock(secrets, tmp_path, monkeypatch):
    secrets.mint(tmp_path, PGHA, DEFAULTS)
    before = files(tmp_path)
    monkeypatch.setattr(pghalib.secrets.store, "LOCKED", 0.02)
    with pghalib.secrets.store.locked(tmp_path):
        for change in (
            lambda: secrets.mint(tmp_path, changed("clusters/one/hosts/db4", "192.0.2.14"), DEFAULTS),
            lambda: secrets.settle(tmp_path, ["dc"]),
        ):
            with pytest.raises(CommandExecutionError, match="Another process has had the lock"):
                change()
        assert secrets.settle(tmp_path, ["dc"], test=True) == ["dc"]
    assert files(tmp_path) == before


def test_the_secrets_of_backups_that_are_copied_are_served_to_one_host_and_for_as_long(secrets, tmp_path):
    pgha = changed("clusters/one/backup", {"repositories": {"main": {"type": "posix", "path": "/x"}}})
    secrets.mint(tmp_path, pgha, DEFAULTS)
    note = {"id": "1", "cluster": "two", "host": "db3", "target": {}, "source": "one"}
    pghalib.secrets.store.write(tmp_path / "restore-two.json", note)
    passphrase = stored(tmp_path, "cluster-one")["backup"]["main"]["passphrase"]
    assert secrets.of_minion(tmp_path, "db3")["copied"] == {"main": {"passphrase": passphrase}}
    others = [host for host in ("dcs1", "db2") if "copied" in secrets.of_minion(tmp_path, host)]
    assert others == []
    (tmp_path / "restore-two.json").unlink()
    assert "copied" not in secrets.of_minion(tmp_path, "db3")
