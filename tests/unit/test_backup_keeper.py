"""Repository hosts: their place in the inventory, what they are told and served, what they refuse."""

import copy
import grp
import json
import os
import pwd
from pathlib import Path

import pghalib.backup.config
import pghalib.backup.keeper
import pghalib.backup.repositories
import pghalib.inventory
import pghalib.pillar.validate
import pghalib.preflight.foreign
import pghalib.preflight.verdicts
import pghalib.secrets.minted
import pghalib.secrets.restores
import pghalib.secrets.served
import pghalib.secrets.store
import pghalib.services
import pghalib.tls
import pytest
import shipped
from salt.exceptions import CommandExecutionError

DEFAULTS = shipped.defaults()
FAR = {"type": "host", "host": "backup1", "path": "/backup/{cluster}"}
PGHA = {
    "consul": {"hashes": {"1.22.3": "0" * 64}},
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "backup": {"hashes": {"2.60.0": "0" * 64, "2.61.0": "0" * 64}},
    "tls": {"enabled": True},
    "datacenters": {
        "dc": {
            "servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3": "192.0.2.3"},
            "repository_hosts": {"backup1": "192.0.2.51", "backup2": "192.0.2.52"},
        }
    },
    "clusters": {
        "one": {
            "vip": "192.0.2.40/24",
            "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"},
            "backup": {"repositories": {"far": FAR}},
        },
        "two": {"vip": "192.0.2.50/24", "hosts": {"db3": "192.0.2.13"}},
    },
}


def changed(path, value):
    """PGHA with another value at a path of keys; None takes it away."""
    result = copy.deepcopy(PGHA)
    *above, last = path.split(":")
    place = result
    for key in above:
        place = place.setdefault(key, {})
    place[last] = value
    if value is None:
        del place[last]
    return result


def settings(minion_id, pgha=PGHA):
    return pghalib.inventory.settings(pgha, DEFAULTS, minion_id)


def test_a_repository_host_has_a_place_of_its_own_and_is_part_of_a_run():
    host = settings("backup1")
    assert (host["role"], host["address"], host["cluster"]) == ("repository", "192.0.2.51", None)
    assert [cluster["kept_on"] for cluster in host["clusters"]] == [[{"host": "backup1", "path": "/backup/one"}], []]
    plan = pghalib.inventory.plan(PGHA)
    assert plan["repositories"] == {"dc": ["backup1", "backup2"]}
    assert plan["hosts"].count("backup1") == 1
    assert "backup1" in pghalib.inventory.hosts_of(plan, "dc")
    assert pghalib.inventory.plan({**PGHA, "without": ["backup1"]})["repositories"] == {"dc": ["backup2"]}


def test_a_good_pillar_has_no_fault():
    assert pghalib.pillar.validate.faults(PGHA, DEFAULTS) == []
    assert pghalib.pillar.validate.faults({**PGHA, "without": ["backup2"]}, DEFAULTS) == []


FARS = "clusters:one:backup:repositories:far"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("datacenters:dc:repository_hosts", ["backup1"], "pgha:datacenters:dc:repository_hosts: must be a mapping"),
        ("datacenters:dc:repository_hosts:backup1", "x", "repository_hosts:backup1: 'x' is no IPv4 address"),
        ("datacenters:dc:repository_hosts:backup1", "fd00::1", "backup1: 'fd00::1' is an address of IPv6; give the"),
        ("datacenters:dc:repository_hosts:backup1", "192.0.2.11", "the address 192.0.2.11 stands in"),
        ("datacenters:dc:repository_hosts:db1", "192.0.2.53", "the minion id db1 stands in"),
        ("backup:hashes", {}, "backup:hashes: no SHA-256 of pgBackRest 2.60.0 is listed"),
        (f"{FARS}:host", "backup", "far:host: there is no repository host 'backup'; did you mean backup"),
        (f"{FARS}:host", "db1", "far:host: there is no repository host 'db1'"),
        (f"{FARS}:host", None, "far: has no host, without which"),
        (f"{FARS}:path", None, "far: has no path, without which"),
        (f"{FARS}:path", "backup", "far:path: must be an absolute path"),
        (f"{FARS}:key", "x", "far:key: unknown setting"),
        (f"{FARS}:encrypted", False, "far:encrypted: a repository host gives each of its clusters all that lies there"),
        ("tls:enabled", False, "far:type: a repository host is reached by TLS alone, and tls:enabled is false"),
        ("clusters:one:backup:version", "2.61.0", "the repository host backup1 has pgBackRest 2.60.0, and the cluster"),
        ("without", ["backup3"], "pgha:without: there is no minion 'backup3'; did you mean backup"),
    ],
)
def test_a_fault_is_named_with_its_path_and_what_would_be_right(path, value, said):
    found = pghalib.pillar.validate.faults(changed(path, value), DEFAULTS)
    assert [fault for fault in found if said in fault], found


def test_a_user_with_certificates_of_his_own_is_told_that_they_do_not_serve_here():
    own = {"ca": "/x/ca", "certificate": "/x/{id}", "key": "/x/{id}.key"}
    found = pghalib.pillar.validate.faults({**PGHA, "tls": own}, DEFAULTS)
    assert [fault for fault in found if "far:type: a repository host knows its clients by certificates" in fault]


def test_an_old_pgbackrest_makes_no_backup_on_another_host():
    old = {**PGHA, "backup": {"version": "2.54.0", "hashes": {"2.54.0": "0" * 64}}, "postgres": {"version": 15}}
    found = pghalib.pillar.validate.faults(old, DEFAULTS)
    assert [fault for fault in found if "2.54.0 makes no backup on a repository host; give 2.55 or later" in fault]


def test_a_member_encrypts_what_it_sends_and_asks_by_the_name_in_the_certificate():
    document = pghalib.backup.config.document(settings("db1"), {"far": {"passphrase": "secret"}}, 1800)["global"]
    assert {key.removeprefix("repo1-"): value for key, value in document.items() if key.startswith("repo1-")} == {
        "type": "posix",
        "path": "/backup/one",
        "host": "backup1",
        "host-type": "tls",
        "host-port": 8432,
        "host-ca-file": "/etc/pgha/tls/ca.pem",
        "host-cert-file": "/etc/pgha/tls/postgres.pem",
        "host-key-file": "/etc/pgha/tls/postgres.pem",
        "cipher-type": "aes-256-cbc",
        "cipher-pass": "secret",
        "bundle": "y",
        "block": "y",
        "retention-full-type": "time",
        "retention-full": 14,
    }


def test_the_server_lets_each_member_work_for_its_own_cluster():
    text = pghalib.backup.config.render(pghalib.backup.keeper.document(settings("backup1"), {}))
    assert [line for line in text.splitlines() if "auth" in line] == [
        "tls-server-auth=db1=one",
        "tls-server-auth=db2=one",
    ]
    assert "auth" not in pghalib.backup.config.render(pghalib.backup.keeper.document(settings("backup2"), {}))


def test_a_host_that_gets_a_copy_may_work_for_the_source_too_where_that_is_kept():
    both = changed("clusters:two:backup", {"repositories": {"far": {**FAR, "path": "/backup/two"}}})
    readers = {"one": ["db3"], "nowhere": ["db2"]}
    document = pghalib.backup.keeper.document(settings("backup1", both), readers)["global"]
    assert document["tls-server-auth"] == ["db1=one", "db2=one", "db3=one,two"]
    assert pghalib.backup.keeper.document(settings("backup2", both), readers)["global"]["tls-server-auth"] == []


def test_directories_within_each_other_are_faults():
    two = changed("clusters:two:backup", {"repositories": {"far": {**FAR, "path": "/backup/one/two"}}})
    (fault,) = pghalib.backup.keeper.overlapping(settings("backup1", two))
    assert fault == "/backup/one/two, of two, lies in /backup/one, of one: give each a directory of its own"
    same = changed("clusters:two:backup", {"repositories": {"far": {**FAR, "path": "/backup/one"}}})
    assert len(pghalib.backup.keeper.overlapping(settings("backup1", same))) == 2
    beside = changed("clusters:two:backup", {"repositories": {"far": {**FAR, "path": "/backup/one-two"}}})
    assert pghalib.backup.keeper.overlapping(settings("backup1", beside)) == []


def test_a_repository_host_is_served_its_certificate_and_no_secret(tmp_path):
    pghalib.secrets.minted.mint(tmp_path, PGHA, DEFAULTS)
    own = pghalib.secrets.minted.of_minion(tmp_path, "backup1")
    assert list(own) == ["tls"]
    assert sorted(own["tls"]) == ["ca", "repository", "revision"]
    stored = json.loads((tmp_path / "tls-dc.json").read_text())["hosts"]["backup1"]
    assert list(stored) == ["services"]
    server = pghalib.secrets.minted.of_minion(tmp_path, "dcs1")
    assert [name for name in server["tokens"] if "backup" in name] == []
    assert pghalib.secrets.minted.missing(tmp_path, PGHA, DEFAULTS) == []


def test_a_repository_host_is_told_who_gets_a_copy_for_as_long_as_it_takes(tmp_path):
    far = copy.deepcopy(PGHA)
    far["datacenters"]["away"] = {"servers": {"dcs9": "192.0.2.9"}, "repository_hosts": {"backup9": "192.0.2.59"}}
    far["clusters"]["one"]["datacenter"] = far["clusters"]["two"]["datacenter"] = "dc"
    pghalib.secrets.minted.mint(tmp_path, far, DEFAULTS)
    note = {"id": "20261130-120000", "cluster": "two", "host": "db3", "target": {"type": "default"}, "source": "one"}
    file = pghalib.secrets.restores.file(tmp_path, "two")

    def readers(minion_id):
        return pghalib.secrets.minted.of_minion(tmp_path, minion_id).get("readers")

    assert readers("backup1") is None
    pghalib.secrets.store.write(file, note)
    assert [readers(name) for name in ("backup1", "backup9", "dcs1", "db1")] == [{"one": ["db3"]}, None, None, None]
    # A host that has left the inventory meanwhile, and a restore of a cluster's own backups.
    pghalib.secrets.store.write(file, {**note, "host": "db9"})
    assert readers("backup1") is None
    pghalib.secrets.store.write(file, {key: value for key, value in note.items() if key != "source"})
    assert readers("backup1") is None


def test_who_may_read_is_no_secret_that_a_host_notes():
    assert pghalib.secrets.served.fingerprints(settings("backup1"), {"readers": {"one": ["db3"]}}) == {}


def test_a_certificate_that_is_gone_from_the_store_is_named(tmp_path):
    pghalib.secrets.minted.mint(tmp_path, PGHA, DEFAULTS)
    file = tmp_path / "tls-dc.json"
    stored = json.loads(file.read_text())
    stored["hosts"]["backup1"] = {"services": {}}
    file.write_text(json.dumps(stored))
    with pytest.raises(CommandExecutionError, match="hosts/backup1 is not what it must be"):
        pghalib.secrets.minted.of_minion(tmp_path, "backup1")


def test_members_and_their_repository_host_meet_and_nobody_else_does():
    plans = {}
    for name in ("dcs1", "db1", "db3", "backup1", "backup2"):
        plans[name] = pghalib.preflight.verdicts.plan(settings(name), pghalib.inventory.plan(PGHA)["hosts"])
    assert ("192.0.2.51", 8432) in plans["db1"]["links"]
    assert plans["backup1"]["links"] == []
    assert plans["backup1"]["expect"] == {8432: ["192.0.2.11", "192.0.2.12"]}
    assert (plans["backup2"]["links"], plans["backup2"]["expect"]) == ([], {})
    others = [peer for name in ("dcs1", "db3") for peer, _port in plans[name]["links"]]
    assert [peer for peer in others if peer in ("192.0.2.51", "192.0.2.52")] == []


@pytest.mark.parametrize(
    ("process", "said"),
    [
        ({"name": "pgbackrest", "user": "pgbackrest"}, None),
        ({"name": "pgbackrest", "user": "mallory"}, "pgbackrest, process 7 of mallory, has the port of pgBackRest"),
        ({"name": "python3", "user": "root"}, "python3, process 7 of root, has the port of pgBackRest"),
    ],
)
def test_somebody_else_at_its_port_is_a_fault(process, said):
    one = {"address": "0.0.0.0", "port": 8432, "protocol": "tcp", "pid": 7, "cmdline": [], "cwd": None, "runs_as": None}
    host = settings("backup1")
    ports = pghalib.preflight.verdicts.ports(host)
    faults, warnings = pghalib.preflight.foreign.listeners([{**one, **process}], host, ports)
    assert warnings == []
    assert bool(faults) is bool(said)
    assert not said or said in faults[0]
    assert pghalib.preflight.foreign.listeners([{**one, **process}], settings("db1"), ports) == ([], [])


def test_where_the_traffic_is_not_encrypted_it_is_refused_on_the_hosts_concerned():
    plain = changed("tls:enabled", False)
    found = {
        name: pghalib.backup.keeper.unencrypted(settings(name, plain)) for name in ("dcs1", "db1", "db3", "backup1")
    }
    assert [name for name, faults in found.items() if faults] == ["db1", "backup1"]
    assert "a repository host is reached by TLS alone, and dc is not encrypted" in found["db1"][0]
    assert pghalib.backup.keeper.unencrypted(settings("db1")) == []


@pytest.fixture
def module(loader_module, monkeypatch):
    """A function: the execution module on a host with other repositories."""

    def build(*paths, active="active"):
        host = settings("backup1")
        host["clusters"][0]["kept_on"] = [{"host": "backup1", "path": str(path)} for path in paths]
        shown = {"ActiveState": active}
        salt = {"pgha.settings": lambda: host, "service.show": lambda _unit: shown}
        found = loader_module("_modules/pgha_repository.py", salt=salt)
        me = pwd.getpwuid(os.getuid()).pw_name
        monkeypatch.setattr(found.pghalib.tls, "KEEPER", me)
        return found

    return build


def test_a_directory_with_something_of_others_is_not_taken(module, monkeypatch, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    (tmp_path / "new/lost+found").mkdir(parents=True)
    (tmp_path / "file").touch()
    found = module()
    assert found.foreign(str(tmp_path / "full")) is None, "what is there may be the repository"
    monkeypatch.setattr(found.pghalib.tls, "KEEPER", "pgbackrest")
    assert f"{tmp_path}/full has something in it and is " in found.foreign(str(tmp_path / "full"))
    assert found.foreign(str(tmp_path / "new")) is None
    assert found.foreign(str(tmp_path / "missing")) is None
    assert "file is no directory" in found.foreign(str(tmp_path / "file"))


def test_before_anything_is_installed_all_faults_are_named(module, monkeypatch, tmp_path):
    found = module(tmp_path, tmp_path / "inner", tmp_path / "inner")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").touch()
    monkeypatch.setattr(found.pghalib.tls, "KEEPER", "pgbackrest")
    monkeypatch.setattr(found.pghalib.backup.config, "PATH", str(tmp_path / "conf"))
    (tmp_path / "conf").write_text("[global]\n")
    faults = found.early_faults()
    assert len([one for one in faults if " lies in " in one]) == 4
    assert len([one for one in faults if "has something in it" in one]) == 2
    assert len([one for one in faults if "conf is not the formula's" in one]) == 1


def test_the_status_names_a_server_that_does_not_run_and_a_directory_that_is_gone(module, tmp_path):
    assert module(tmp_path).faults() == []
    assert module(tmp_path / "gone").faults() == [f"{tmp_path}/gone, a repository, is not there"]
    (fault,) = module(tmp_path, active="failed").faults()
    assert "pgha-repository.service does not run" in fault
    other = module(tmp_path)
    other.__salt__["pgha.settings"] = lambda: settings("db1")
    assert other.faults() == []


@pytest.mark.root
def test_the_directory_of_a_repository_is_made_once_and_never_taken_from_others(loader_module, monkeypatch, tmp_path):
    # A user that every Debian has, and whose group has the same name.
    monkeypatch.setattr(pghalib.tls, "KEEPER", "daemon")
    found = loader_module("_modules/pgha_repository.py", salt={})
    state = loader_module(
        "_states/pgha_repository.py", salt={"pgha_repository.foreign": found.foreign}, opts={"test": False}
    )
    place = tmp_path / "a/b"
    dry = loader_module(
        "_states/pgha_repository.py", salt={"pgha_repository.foreign": found.foreign}, opts={"test": True}
    )
    assert (dry.directory(str(place))["result"], place.exists()) == (None, False)
    ret = state.directory(str(place))
    assert ret["result"] is True, ret
    assert (place.owner(), place.group(), place.stat().st_mode & 0o777) == ("daemon", "daemon", 0o750)
    assert state.directory(str(place))["changes"] == {}
    (place / "file").touch()
    os.chown(place, 2, 2)
    ret = state.directory(str(place))
    assert (ret["result"], place.stat().st_uid) == (False, 2)
    assert "has something in it" in ret["comment"]


def test_hosts_know_the_names_of_whom_they_speak_to(loader_module):
    def names(minion_id):
        module = loader_module("_modules/pgha_hosts.py", salt={"pgha.settings": lambda: settings(minion_id)})
        return [name for row in module.entries() for name in row["names"]]

    assert names("db1") == ["dcs1", "dcs2", "dcs3", "backup1", "backup2", "db1", "db2", "one-db-cl"]
    # Another cluster's, whose backups may be copied to it.
    assert names("db3") == ["dcs1", "dcs2", "dcs3", "backup1", "backup2", "db3", "two-db-cl"]
    assert names("backup2") == [
        *("dcs1", "dcs2", "dcs3", "backup1", "backup2", "db1", "db2", "db3", "one-db-cl", "two-db-cl"),
    ]


@pytest.fixture
def server(loader_module, monkeypatch, tmp_path):
    """A function: the state module, after what the host is served; the reloads are in ``reloads``."""
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr(pghalib.tls, "KEEPER", grp.getgrgid(os.getgid()).gr_name)
    reloads = []

    def build(readers=None, test=False, fails=False):
        secrets = {"tls": {}, **({"readers": readers} if readers else {})}
        salt = {
            "pgha.settings": lambda: settings("backup1"),
            "service.reload": lambda unit: reloads.append(unit) or not fails,
        }
        opts, pillar = {"test": test, "id": "backup1"}, {"pgha_secrets": secrets}
        found = loader_module("_states/pgha_repository.py", salt=salt, pillar=pillar, opts=opts)
        found.reloads = reloads
        return found

    return build


@pytest.mark.root
def test_the_server_is_told_to_read_what_has_changed_also_by_the_run_after_an_interrupted_one(server, tmp_path):
    path = str(tmp_path / "pgbackrest.conf")
    assert server().configured(path)["changes"]
    assert server().configuration_read("read")["changes"]
    assert (server().configured(path)["changes"], server().configuration_read("read")["changes"]) == ({}, {})
    opened = {"one": ["db3"]}
    assert server(opened, test=True).configured(path)["result"] is None
    assert server(opened, test=True).configuration_read("read")["changes"] == {}
    # The run ends between the two.
    assert server(opened).configured(path)["changes"]
    assert "tls-server-auth=db3=one\n" in Path(path).read_text()
    assert server(opened, test=True).configuration_read("read")["result"] is None
    ret = server(opened, fails=True).configuration_read("read")
    assert (ret["result"], "systemctl status pgha-repository.service says why" in ret["comment"]) == (False, True)
    again = server(opened)
    assert again.configured(path)["changes"] == {}
    assert again.configuration_read("read")["result"] is True
    assert again.reloads == ["pgha-repository.service"] * 3
    assert again.configuration_read("read")["changes"] == {}
