"""The states of Consul in both modes, over execution modules that say what a test wants."""

import json
import stat
from types import SimpleNamespace

import pghalib.consul.access
import pghalib.consul.registration
import pghalib.secrets.served
import pghalib.services
import pghalib.services.owed
import pytest
import shipped
from salt.exceptions import CommandExecutionError

DEFAULTS = shipped.defaults()
MANAGEMENT = "management-secret-of-the-test"
ALL = [
    "configured",
    "quorum_formed",
    "acl_bootstrapped",
    "policies_and_tokens",
    "tokens_visible",
    "agent_token_set",
    "joined",
    "admin_access",
]


@pytest.fixture
def host(tmp_path, loader_module, monkeypatch):
    """A host: ``salt`` (its functions), ``apply(state, test=…)``, ``conf`` (its configuration directory), ``done``."""
    conf = tmp_path / "conf"
    conf.mkdir()
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr(pghalib.consul.access, "TOKEN_FILE", str(tmp_path / ".consul-token"))
    monkeypatch.setattr(pghalib.consul.access, "PROFILE", str(tmp_path / "pgha-consul.sh"))
    servers = [
        {"id": f"dcs{number}", "name": f"dcs{number}", "address": f"198.51.100.1{number}"} for number in (1, 2, 3)
    ]
    consul = {
        **DEFAULTS["consul"],
        "version": "1.8.7",
        "config_dir": str(conf),
        "data_dir": "/nonexistent",
        "startup_timeout": 0.3,
        "user": "root",
        "group": "root",
    }
    settings = {
        "role": "dcs",
        **servers[0],
        "datacenter": {"name": "dc", "servers": servers, "registrar": servers[0]},
        "without": [],
        "clusters": [
            {
                "name": "test",
                "namespace": "/db/",
                "hosts": [],
                "vip_settings": {"manager": "vip-manager", "version": "4.0.0", "dcs_type": None},
            }
        ],
        "consul": consul,
    }
    secrets = {
        "gossip_key": "gossip-key-of-the-test",
        "management": {"accessor": "a", "secret": MANAGEMENT},
        "agent": {"accessor": "b", "secret": "agent-secret-of-the-test"},
        "tokens": {
            "vip-test": {"accessor": "c", "secret": "vip-secret-of-the-test"},
            # Of a host that is not in the inventory any more.
            "agent-gone": {"accessor": "d", "secret": "gone-secret-of-the-test"},
        },
    }
    done, noted, told = [], [], []
    salt = {
        "pgha.settings": lambda: settings,
        "pgha_tls.stays": lambda: True,
        "pgha_consul.validate": lambda *_paths: None,
        "pgha_consul.pid": lambda: None,
        "pgha_consul.reload": lambda: done.append("reload"),
        "pgha_consul.note": lambda *keys: noted.extend(keys),
        "pgha_consul.restart_pending": list,
        "pgha_consul.leader": lambda: "198.51.100.12:8300",
        "pgha_consul.raft_peers": lambda: [{"address": one["address"], "voter": True} for one in servers],
        "pgha_consul.registered": lambda: True,
        "pgha_consul_acl.preset_wanted": lambda: False,
        "pgha_consul_acl.registrar": lambda: True,
        "pgha_consul_acl.token_works": lambda _name: True,
        "pgha_consul_acl.bootstrap": lambda: done.append("bootstrap"),
        "pgha_consul_acl.differences": dict,
        "pgha_consul_acl.apply": dict,
        "pgha_consul_acl.foreign_tokens": list,
        "pgha_consul_registrar.note": lambda text=None: told.append(text),
        "pgha_consul_registrar.failed": lambda: None,
        "pgha_consul_acl.agent_token_known": lambda: True,
        "pgha_consul_acl.agent_token_set": lambda: done.append("agent token"),
    }

    def apply(name, test=False, pillar=None):
        pillar = {"pgha_secrets": secrets} if pillar is None else pillar
        module = loader_module("_states/pgha_consul.py", salt=salt, opts={"test": test}, pillar=pillar)
        ret = getattr(module, name)("a sentence")
        assert ret["name"] == "a sentence"
        text = json.dumps(ret)
        assert not any(secret in text for secret in ("-of-the-test",)), text
        return ret

    return SimpleNamespace(
        salt=salt,
        apply=apply,
        told=told,
        conf=conf,
        noted=noted,
        done=done,
        settings=settings,
        secrets=secrets,
        place=tmp_path,
    )


def refuse(*_):
    raise CommandExecutionError("Consul does not answer")


def unserved(*_):
    pghalib.secrets.served.own({}, {"id": "dcs1"})


@pytest.mark.parametrize("name", ALL)
def test_first_dry_run_of_all_has_no_secrets_and_is_no_failure(host, name):
    shows_a_token = (
        "leader",
        "raft_peers",
        "registered",
        "token_works",
        "differences",
        "foreign_tokens",
        "token_known",
    )
    host.salt.update({function: unserved for function in host.salt if function.endswith(shows_a_token)})
    ret = host.apply(name, test=True, pillar={"pgha": {}})
    assert ret["result"] is None
    assert "would" in ret["comment"].lower()
    assert host.done == []


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("configured", "admin_access")])
@pytest.mark.parametrize("test", [True, False])
def test_what_is_right_is_left_alone(host, name, test):
    ret = host.apply(name, test=test)
    assert (ret["result"], ret["changes"]) == (True, {})
    assert ret["comment"]
    assert host.done == []


@pytest.mark.parametrize("name", ["quorum_formed", "tokens_visible", "joined"])
def test_gates_wait_and_in_a_dry_run_look_once(host, name):
    for key in ("pgha_consul.raft_peers", "pgha_consul_acl.token_works", "pgha_consul.registered"):
        host.salt[key] = refuse
    ret = host.apply(name, test=True)
    assert (ret["result"], ret["changes"]) == (None, {})
    assert ret["comment"].startswith("Would wait for")
    ret = host.apply(name)
    assert ret["result"] is False
    assert "Consul does not answer" in ret["comment"]


def test_quorum_names_the_servers_that_are_missing(host):
    host.salt["pgha_consul.raft_peers"] = lambda: [
        {"address": "198.51.100.11", "voter": True},
        {"address": "198.51.100.12", "voter": False},
    ]
    assert "not among the voting servers: 198.51.100.12, 198.51.100.13" in host.apply("quorum_formed")["comment"]


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(
    "extra",
    [
        {"address": "198.51.100.23", "raft_address": "198.51.100.23:8300"},
        {"address": "198.51.100.23", "raft_address": "198.51.100.23:8300", "name": "db3", "voter": True},
        {"address": "198.51.100.23", "raft_address": "198.51.100.23:8300", "name": "db3", "voter": False},
    ],
)
def test_a_server_that_nobody_knows_stops_the_run_at_once_and_is_named(host, extra, test):
    known, asked = host.salt["pgha_consul.raft_peers"](), []
    host.settings["consul"]["startup_timeout"] = 60
    host.salt["pgha_consul.raft_peers"] = lambda: asked.append(1) or [*known, extra]
    ret = host.apply("quorum_formed", test=test)
    assert (ret["result"], len(asked)) == (False, 1)
    assert "198.51.100.23) is a server in raft and not in the inventory" in ret["comment"]
    assert "consul operator raft remove-peer -address=198.51.100.23:8300" in ret["comment"]
    assert ("consul force-leave -prune db3" in ret["comment"]) is ("name" in extra)


def test_a_new_machine_in_the_place_of_a_lost_server_is_no_stranger(host):
    peers = [{"address": f"198.51.100.1{number}", "name": f"new{number}", "voter": True} for number in (1, 2, 3)]
    host.salt["pgha_consul.raft_peers"] = lambda: peers
    assert host.apply("quorum_formed")["result"] is True


def test_quorum_without_a_leader_is_none(host):
    host.salt["pgha_consul.leader"] = lambda: None
    assert host.apply("quorum_formed")["result"] is False


@pytest.mark.root
def test_configuration_is_written_once_and_for_consul_alone(host):
    dry = host.apply("configured", test=True)
    assert dry["result"] is None
    assert list(host.conf.iterdir()) == []
    ret = host.apply("configured")
    assert ret["result"] is True
    assert ret["changes"].keys() == dry["changes"].keys() == {str(host.conf / "config.json")}
    path = host.conf / "config.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert json.loads(path.read_text())["encrypt"] == "gossip-key-of-the-test"
    for test in (True, False):
        again = host.apply("configured", test=test)
        assert (again["result"], again["changes"]) == (True, {})
    assert host.done == []


@pytest.mark.root
@pytest.mark.parametrize("text", ["", "{", "[" * 9000, "[7]", '"x"'])
def test_a_damaged_configuration_is_written_anew_and_nothing_is_pending_for_it(host, text):
    host.apply("configured")
    path = host.conf / "config.json"
    good = path.read_text()
    path.write_text(text)
    assert host.apply("configured")["result"] is True
    assert (path.read_text(), host.noted) == (good, [])


@pytest.mark.root
def test_refused_configuration_changes_nothing(host):
    host.salt["pgha_consul.validate"] = lambda *_: "unknown key, encrypt is gossip-key-of-the-test"
    ret = host.apply("configured")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "unknown key" in ret["comment"]
    assert list(host.conf.iterdir()) == []


@pytest.mark.root
def test_running_agent_is_reloaded_and_what_waits_is_noted(host):
    host.apply("configured")
    host.salt["pgha_consul.pid"] = lambda: 1
    host.settings["consul"]["log_level"] = "DEBUG"
    assert host.apply("configured", test=True)["result"] is None
    assert host.done == []
    host.apply("configured")
    assert host.done == ["reload"]
    assert host.noted == []
    host.settings["consul"]["raft_multiplier"] = 3
    host.apply("configured")
    host.settings["consul"]["domain"] = "other"
    host.apply("configured")
    assert host.noted == ["performance.raft_multiplier", "domain"]
    host.salt["pgha_consul.restart_pending"] = lambda: ["changed settings: domain"]
    ret = host.apply("configured")
    assert (ret["result"], ret["changes"]) == (True, {})
    assert "Restart pending: changed settings: domain." in ret["comment"]


@pytest.mark.root
def test_a_reload_that_failed_is_made_up_for_by_the_next_run(host):
    host.apply("configured")
    host.salt["pgha_consul.pid"] = lambda: 1
    host.settings["consul"]["domain"] = "other"
    reload, host.salt["pgha_consul.reload"] = host.salt["pgha_consul.reload"], refuse
    ret = host.apply("configured")
    assert (ret["result"], list(ret["changes"])) == (False, [str(host.conf / "config.json")])
    owed = {"reload": {"old": "owed", "new": "done"}}
    dry = host.apply("configured", test=True)
    assert (dry["result"], dry["changes"]) == (None, owed)
    assert host.apply("configured")["result"] is False
    host.salt["pgha_consul.reload"] = reload
    ret = host.apply("configured")
    assert (ret["result"], ret["changes"], host.done, host.noted) == (True, owed, ["reload"], ["domain"])
    assert (host.apply("configured")["changes"], host.done) == ({}, ["reload"])


@pytest.mark.root
@pytest.mark.parametrize("killed_by", ["rename", "reload"])
def test_a_run_that_is_killed_leaves_the_reload_and_what_is_pending_to_the_next(host, monkeypatch, killed_by):
    def kill(*_args, **_kwargs):
        raise KeyboardInterrupt

    host.apply("configured")
    host.salt["pgha_consul.pid"] = lambda: 1
    host.settings["consul"]["domain"] = "other"
    with monkeypatch.context() as patched:
        if killed_by == "rename":
            patched.setattr("os.rename", kill)
        else:
            patched.setitem(host.salt, "pgha_consul.reload", kill)
        with pytest.raises(KeyboardInterrupt):
            host.apply("configured")
    # Both were noted before the file was there.
    assert host.noted == ["domain"]
    ret = host.apply("configured")
    assert (ret["result"], host.done) == (True, ["reload"])
    assert host.apply("configured")["changes"] == {}


def test_a_refused_configuration_owes_nothing(host):
    host.apply("configured")
    host.salt["pgha_consul.pid"] = lambda: 1
    host.settings["consul"]["domain"] = "other"
    host.salt["pgha_consul.validate"] = lambda *_: "unknown key"
    assert host.apply("configured")["result"] is False
    host.settings["consul"]["domain"] = "consul"
    assert (host.apply("configured")["changes"], host.done, host.noted) == ({}, [], [])


def test_an_agent_that_has_ended_owes_no_reload(host):
    host.apply("configured")
    pghalib.services.owed.owe("consul.reload-owed")
    assert (host.apply("configured")["changes"], host.done) == ({}, [])
    host.salt["pgha_consul.pid"] = lambda: 1
    assert (host.apply("configured")["changes"], host.done) == ({}, [])


@pytest.mark.root
def test_preset_comes_and_goes(host):
    checked = []
    host.salt["pgha_consul.validate"] = lambda *paths: checked.append(paths)
    host.salt["pgha_consul_acl.preset_wanted"] = lambda: True
    preset = host.conf / "acl-bootstrap.json"
    assert set(host.apply("configured")["changes"]) == {str(host.conf / "config.json"), str(preset)}
    assert json.loads(preset.read_text()) == {"acl": {"tokens": {"master": MANAGEMENT}}}
    # It is no configuration by itself, so it is checked together with the other file.
    assert checked[1][0] == str(host.conf / "config.json")
    assert host.apply("configured")["changes"] == {}

    removed = {str(preset): {"old": "there", "new": "removed"}}
    for name in ("acl_bootstrapped", "configured"):
        host.salt["pgha_consul_acl.preset_wanted"] = lambda: False
        dry = host.apply(name, test=True)
        assert (dry["result"], dry["changes"]) == (None, removed)
        assert preset.exists()
    # A draft that a killed run left: it holds the token as well.
    draft = host.conf / ".acl-bootstrap.json.abcd_123.json"
    draft.touch()
    ret = host.apply("acl_bootstrapped")
    assert (ret["result"], ret["changes"]) == (True, removed)
    assert [path.name for path in host.conf.iterdir()] == ["config.json"]
    draft.touch()
    assert host.apply("configured")["changes"] == removed
    assert not draft.exists()


@pytest.mark.parametrize("works", [lambda _name: False, refuse])
def test_acls_are_bootstrapped_when_the_token_does_not_work(host, works):
    host.salt["pgha_consul_acl.token_works"] = works
    changes = {"management token": {"old": None, "new": "works"}}
    dry = host.apply("acl_bootstrapped", test=True)
    assert (dry["result"], dry["changes"], host.done) == (None, changes, [])
    ret = host.apply("acl_bootstrapped")
    assert (ret["result"], ret["changes"], host.done) == (True, changes, ["bootstrap"])


def test_failed_bootstrap_keeps_the_preset_and_reports_no_change(host):
    (host.conf / "acl-bootstrap.json").write_text("{}")
    host.salt["pgha_consul_acl.token_works"] = lambda _name: False
    host.salt["pgha_consul_acl.bootstrap"] = refuse
    ret = host.apply("acl_bootstrapped")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert (host.conf / "acl-bootstrap.json").exists()


def test_policies_are_registered_by_one_server(host):
    difference = {"policy vip-test": {"old": None, "new": {"rules": "x"}}}
    host.salt["pgha_consul_acl.differences"] = host.salt["pgha_consul_acl.apply"] = lambda: difference
    dry = host.apply("policies_and_tokens", test=True)
    assert (dry["result"], dry["changes"], dry["comment"]) == (None, difference, "policy vip-test would be written.")
    ret = host.apply("policies_and_tokens")
    assert (ret["result"], ret["changes"], ret["comment"]) == (True, difference, "policy vip-test written.")
    host.salt["pgha_consul_acl.token_works"] = refuse
    dry = host.apply("policies_and_tokens", test=True)
    assert (dry["result"], list(dry["changes"])) == (None, ["policies and tokens"])
    host.salt["pgha_consul_acl.registrar"] = lambda: False
    assert host.apply("policies_and_tokens")["changes"] == {}


def test_failed_registration_is_told_to_the_servers_that_wait_for_it(host):
    host.apply("policies_and_tokens", test=True)
    assert host.told == []
    host.apply("policies_and_tokens")
    assert host.told == [None]
    host.salt["pgha_consul_acl.apply"] = refuse
    ret = host.apply("policies_and_tokens")
    assert (ret["result"], ret["changes"], host.told) == (False, {}, [None, None, "Consul does not answer"])


def test_nobody_waits_for_a_first_server_that_has_failed(host, clock, monkeypatch):
    monkeypatch.setattr(pghalib.consul.registration, "time", clock)
    host.settings["consul"]["startup_timeout"] = 60
    host.salt["pgha_consul_acl.token_works"] = lambda _name: False
    # What it said in an earlier run it takes back when it starts over.
    host.salt["pgha_consul_registrar.failed"] = lambda: "dcs1 could not" if clock.now < 8 else None
    assert host.apply("tokens_visible")["result"] is False
    assert clock.now >= 60
    clock.now = 100.0
    host.salt["pgha_consul_registrar.failed"] = lambda: "dcs1 could not register"
    ret = host.apply("tokens_visible")
    assert (ret["result"], 110 <= clock.now < 112) == (False, True)
    assert ret["comment"].startswith("dcs1 could not register. Not known to this server: agent-dcs1")
    ret = host.apply("tokens_visible", test=True)
    assert ret["result"] is None


def test_rights_of_anybody_are_taken_away_and_it_is_said(host):
    difference = {"anonymous token": {"old": {"Policies": [{"Name": "global-management"}]}, "new": {}}}
    host.salt["pgha_consul_acl.differences"] = host.salt["pgha_consul_acl.apply"] = lambda: difference
    dry = host.apply("policies_and_tokens", test=True)
    assert (dry["result"], dry["changes"]) == (None, difference)
    assert "would be taken away" in dry["comment"]
    ret = host.apply("policies_and_tokens")
    assert (ret["result"], ret["changes"]) == (True, difference)
    assert "The anonymous token gave rights to anybody; these rights were taken away." in ret["comment"]


@pytest.mark.parametrize("test", [True, False])
def test_tokens_of_nobody_we_know_are_named_and_no_change(host, test):
    found = [{"accessor": "1234-acc", "description": "Mine\x1b[2J", "management": True}]
    host.salt["pgha_consul_acl.foreign_tokens"] = lambda: found
    ret = host.apply("policies_and_tokens", test=test)
    assert (ret["result"], ret["changes"]) == (True, {})
    assert 'WARNING: the token 1234-acc "Mine?[2J", which may do everything' in ret["comment"]
    assert "consul acl token delete -id 1234-acc" in ret["comment"]


def test_agent_token_is_set_once(host):
    host.salt["pgha_consul_acl.agent_token_known"] = lambda: False
    changes = {"agent token": {"old": None, "new": "set"}}
    dry = host.apply("agent_token_set", test=True)
    assert (dry["result"], dry["changes"], host.done) == (None, changes, [])
    ret = host.apply("agent_token_set")
    assert (ret["result"], ret["changes"], host.done) == (True, changes, ["agent token"])


def test_tokens_that_are_missing_are_named(host):
    host.salt["pgha_consul_acl.token_works"] = lambda _name: False
    missing = "not known to this server: agent-dcs1, agent-dcs2, agent-dcs3, patroni-test, vip-test"
    assert missing in host.apply("tokens_visible")["comment"]


def test_a_token_that_the_inventory_does_not_want_is_not_waited_for(host):
    host.salt["pgha_consul_acl.token_works"] = lambda name: name != "agent-gone"
    ret = host.apply("tokens_visible")
    assert (ret["result"], ret["comment"]) == (True, "5 tokens are known.")


@pytest.mark.root
def test_root_gets_a_token_file_that_is_his_alone(host):
    assert host.apply("admin_access", test=True)["result"] is None
    assert not (host.place / ".consul-token").exists()
    assert host.apply("admin_access")["result"] is True
    assert (host.place / ".consul-token").read_text() == MANAGEMENT + "\n"
    assert stat.S_IMODE((host.place / ".consul-token").stat().st_mode) == 0o600
    profile = host.place / "pgha-consul.sh"
    assert stat.S_IMODE(profile.stat().st_mode) == 0o644
    assert MANAGEMENT not in profile.read_text()
    assert f"export CONSUL_HTTP_TOKEN_FILE={host.place}/.consul-token" in profile.read_text()
    assert "CONSUL_HTTP_ADDR" not in profile.read_text()
    assert host.apply("admin_access")["changes"] == {}
    host.settings["consul"]["client_addr"] = "198.51.100.11"
    host.apply("admin_access")
    assert "export CONSUL_HTTP_ADDR=http://198.51.100.11:8500" in profile.read_text()


def test_states_take_a_name_as_salt_reads_it(loader_module):
    from salt.utils.args import get_function_argspec

    module = loader_module("_states/pgha_consul.py")
    for name in ALL:
        assert get_function_argspec(getattr(module, name)).args == ["name"]
        assert getattr(module, name).__doc__
