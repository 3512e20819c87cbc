"""The files of the store: what is in them is looked at before it is used, and a fault is said in one sentence."""

import json

import pghalib.secrets.contents
import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def store(loader_module):
    return loader_module("_utils/pghalib/secrets/store.py")


TOKEN = {"accessor": "5a6f0d5e-3c0c-4d7a-9f57-111111111111", "secret": "5a6f0d5e-3c0c-4d7a-9f57-222222222222"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"gossip_key": "ab', "cannot be read"),
        ("null", "it is no mapping"),
        ("[]", "it is no mapping"),
        ('"x"', "it is no mapping"),
        ("", "cannot be read"),
        ("[" * 9000, "cannot be read"),
        ('{"gossip_key": 3}', "gossip_key is not what it must be"),
        ('{"gossip_key": "c2hvcnQ="}', "gossip_key is not what it must be"),
        ('{"gossip_key": "no base64!"}', "gossip_key is not what it must be"),
        ('{"management": "text"}', "management has no accessor"),
        ('{"management": {"accessor": "5a6f0d5e-3c0c-4d7a-9f57-111111111111"}}', "management has no secret"),
        ('{"agents": {"dcs1": {"accessor": "no", "secret": "uuid"}}}', "agents/dcs1/accessor is not what it must be"),
        ('{"agents": []}', "agents is no mapping"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy_and_no_value(store, tmp_path, content, said):
    file = tmp_path / "datacenter-dc.json"
    file.write_text(content)
    with pytest.raises(CommandExecutionError, match="restore the store from its backup") as error:
        store.read(file, pghalib.secrets.contents.DATACENTER_SHAPE)
    assert said in str(error.value)
    assert str(file) in str(error.value)
    assert file.read_text() == content


def test_what_is_good_is_returned_and_unknown_keys_do_no_harm(store, tmp_path):
    file = tmp_path / "cluster-one.json"
    content = {"superuser": "a-b_c", "patroni": TOKEN, "agents": {"db1": TOKEN}, "noted by a person": [1]}
    store.write(file, content)
    assert store.read(file, pghalib.secrets.contents.CLUSTER_SHAPE) == content
    assert file.stat().st_mode & 0o777 == 0o600
    assert store.read(tmp_path / "cluster-two.json", pghalib.secrets.contents.CLUSTER_SHAPE) == {}


def test_a_link_or_a_directory_in_the_place_of_a_file_is_refused(store, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (tmp_path / "datacenter-a.json").symlink_to(tmp_path / "elsewhere.json")
    (tmp_path / "datacenter-b.json").symlink_to(tmp_path / "nowhere.json")
    (tmp_path / "datacenter-c.json").mkdir()
    for name in "abc":
        with pytest.raises(CommandExecutionError, match="cannot be read"):
            store.read(tmp_path / f"datacenter-{name}.json", pghalib.secrets.contents.DATACENTER_SHAPE)


@pytest.mark.root
def test_a_store_that_cannot_be_written_is_one_sentence_with_a_command(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandExecutionError, match="install -d -m 0700 -o root"):
        store.prepare(tmp_path / "file" / "store")
    with pytest.raises(CommandExecutionError, match="cannot be written"):
        store.write(tmp_path / "no" / "cluster-one.json", {})


def test_the_lock_is_private_and_waits_for_a_bounded_time(store, tmp_path):
    store.LOCKED = 0.1
    with store.locked(tmp_path):
        assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o600
        with pytest.raises(CommandExecutionError, match="Another process has had the lock"), store.locked(tmp_path):
            pass
    with store.locked(tmp_path):
        pass


def test_an_index_of_another_shape_is_refused(store, tmp_path):
    (tmp_path / "index.json").write_text(
        json.dumps({"hosts": {"db1": {"role": "root", "name": "a", "datacenter": "b"}}})
    )
    with pytest.raises(CommandExecutionError, match="hosts/db1/role"):
        store.index(tmp_path)


@pytest.mark.parametrize("name", ["Datacenter", "Cluster", "Tls", "Index"])
def test_the_type_of_a_file_has_the_keys_that_are_checked(name):
    kept = getattr(pghalib.secrets.contents, name).__annotations__
    assert kept.keys() == getattr(pghalib.secrets.contents, f"{name.upper()}_SHAPE").keys()


def test_a_store_that_others_could_read_is_made_private(store, tmp_path):
    tmp_path.chmod(0o755)
    store.prepare(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_store_of_another_user_is_told_with_the_command_for_this_one(store, tmp_path, monkeypatch):
    def nameless(_uid):
        raise KeyError

    monkeypatch.setattr(store.os, "access", lambda *_: False)
    monkeypatch.setattr(store.pwd, "getpwuid", nameless)
    monkeypatch.setattr(store.os, "geteuid", lambda: 4711)
    with pytest.raises(CommandExecutionError) as error:
        store.prepare(tmp_path)
    assert f"install -d -m 0700 -o 4711 -g 4711 {tmp_path} && chown -R 4711:4711 {tmp_path}" in str(error.value)
    assert "Permission denied" in str(error.value)
