"""The HTTP client, and what is decided around it, with an API that does what a test says."""

import json
import os
import subprocess

import listeners
import pghalib.consul.client
import pghalib.consul.files
import pghalib.wait
import pytest
from salt.exceptions import CommandExecutionError

SECRET, OTHER = "11111111-aaaa-bbbb-cccc-222222222222", "33333333-aaaa-bbbb-cccc-444444444444"
LISTED = {"dcs1": "198.51.100.11", "dcs2": "198.51.100.12", "dcs3": "198.51.100.13"}


@pytest.fixture
def api(http_service):
    return http_service


@pytest.fixture
def util(loader_module):
    return loader_module("_utils/pghalib/consul/client.py")


@pytest.fixture
def call(util):
    """A function: ask the agent at a port of this host, whose process is root's."""

    def asking(port, method, path, token="", **kwargs):
        consul = {"client_addr": "127.0.0.1", "user": "root", "config": {"ports": {"http": port}}}
        return util.ask({"role": "dcs", "consul": consul}, dict, method, path, token=token, **kwargs)

    return asking


@pytest.fixture
def module(loader_module, clock):
    """A function: the ACL module of a host, over an API that is a function ``(method, path, token, payload)``."""

    def build(answer, version="1.22.3", host="dcs1", name="_modules/pgha_consul_acl.py", runs=True, **settings):
        secrets = {
            "agent": {"accessor": "a", "secret": OTHER},
            "management": {"accessor": "m", "secret": SECRET},
            "tokens": {"vip-test": {"accessor": "v", "secret": OTHER}},
        }
        listed = [{"id": one, "name": one, "address": address} for one, address in LISTED.items()]
        known = {
            "role": "dcs",
            "id": host,
            "name": host,
            "clusters": [],
            "datacenter": {
                "name": "dc",
                "servers": listed,
                "registrar": listed[0],
            },
            "without": [],
            "consul": {"version": version, "startup_timeout": 0.5, "data_dir": "/nonexistent", **settings},
        }

        def ask(_settings, _secrets, method, path, *, token=None, payload=None, params=None, allow=()):
            status, body = answer(method, path, token, payload)
            if status >= 400 and status not in allow:
                raise CommandExecutionError(f"answered {status}: {body}")
            return {"status": status, "body": body}

        salt = {
            "pgha.settings": lambda: known,
            "pgha_consul.pid": lambda: 17 if runs else None,
        }
        found = loader_module(
            name, salt=salt, utils={"pghalib.consul.client.ask": ask}, pillar={"pgha_secrets": secrets}
        )
        found.REFUSED_PATIENCE = found.PRESET_PATIENCE = 0
        found.time = clock
        return found

    return build


@pytest.mark.root
def test_token_is_in_the_header_alone(api, call):
    api.answers = [(200, '{"a": 1}'), (200, "text"), (200, "")]
    assert call(api.port, "GET", "/v1/x", token=SECRET, params={"stale": ""})["body"] == {"a": 1}
    assert call(api.port, "PUT", "/v1/y", payload={"b": 2})["body"] == "text"
    assert call(api.port, "DELETE", "/v1/z")["body"] == ""
    (_, path, headers, _), (_, _, without, body), _ = api.asked
    assert path == "/v1/x?stale="
    assert headers["X-Consul-Token"] == SECRET
    assert "X-Consul-Token" not in without
    assert json.loads(body) == {"b": 2}


@pytest.mark.root
@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (403, "ACL not found", "registers it again"),
        (404, "ACL not found", "registers it again"),
        (302, "elsewhere", "journalctl -u consul"),
        (500, "No cluster leader", "a majority"),
        (500, "Invalid Policy", "journalctl -u consul"),
        (429, "slow down", "limits"),
        (500, "x" * 5000, "journalctl"),
    ],
)
def test_error_names_place_code_answer_and_remedy(api, call, status, text, expected):
    api.answers = [(status, text)]
    with pytest.raises(CommandExecutionError) as caught:
        call(api.port, "PUT", "/v1/x", token=SECRET)
    message = str(caught.value)
    for part in (api.address, str(status), "PUT /v1/x", text[:300], expected):
        assert part in message
    assert len(message) < 600


def test_error_shows_no_secret_that_consul_quotes(api, call):
    api.answers = [(500, f"token {SECRET} with {OTHER} is refused")]
    with pytest.raises(CommandExecutionError) as caught:
        call(api.port, "PUT", "/v1/acl/token", token=SECRET, payload={"SecretID": OTHER})
    assert SECRET not in str(caught.value)
    assert OTHER not in str(caught.value)


@pytest.mark.root
def test_status_that_is_an_answer_is_not_an_error(api, call):
    api.answers = [(404, "nothing")]
    assert call(api.port, "GET", "/v1/x", allow=(404,))["status"] == 404


def test_nobody_there_is_an_error_with_a_remedy(call):
    with pytest.raises(CommandExecutionError, match="systemctl status consul") as caught:
        call(1, "GET", "/v1/x", token=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.root
def test_token_is_not_sent_to_whoever_listens_in_consuls_place(util):
    with listeners.listening() as thief:
        settings = {
            "role": "dcs",
            "consul": {"client_addr": "127.0.0.1", "user": "root", "config": {"ports": {"http": thief.port}}},
        }
        secrets = {"management": {"secret": SECRET}}
        with pytest.raises(
            CommandExecutionError, match=rf"uid 65534 \(nobody\), process {thief.pid},.*nothing was sent"
        ):
            util.ask(settings, lambda: secrets, "GET", "/v1/acl/token/self")
        assert thief.heard() == []


@pytest.mark.parametrize(
    ("consul", "expected"),
    [
        ({"client_addr": "127.0.0.1"}, "http://127.0.0.1:8500"),
        ({"client_addr": "0.0.0.0"}, "http://127.0.0.1:8500"),
        ({"client_addr": "198.51.100.11 127.0.0.1"}, "http://127.0.0.1:8500"),
        ({"client_addr": "198.51.100.11"}, "http://198.51.100.11:8500"),
        ({"client_addr": "::1"}, "http://[::1]:8500"),
        ({"client_addr": "127.0.0.1", "config": {"ports": {"http": 80}}}, "http://127.0.0.1:80"),
        ({"client_addr": "127.0.0.1", "config": {"client_addr": "127.1.2.3"}}, "http://127.1.2.3:8500"),
    ],
)
def test_address_is_that_of_the_own_agent(util, consul, expected):
    assert util.api({"consul": {**consul, "user": "consul"}})["address"] == expected


def test_waiting_ends_with_the_last_thing_that_went_wrong(util):
    answers = iter([CommandExecutionError("first"), None, "there"])

    def condition():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert pghalib.wait.until(condition, 5, "x", interval=0) == "there"

    def never():
        raise CommandExecutionError("no leader")

    with pytest.raises(CommandExecutionError, match=r"Not within 0 s: a quorum\. Last answer: no leader"):
        pghalib.wait.until(never, 0, "a quorum")


def test_preset_token_needs_no_call_that_anybody_could_make(module):
    """A leader installs it a moment after its election; the patience is for that."""
    answers = iter([(404, ""), (404, ""), (200, {})])

    def answer(_method, path, _token, _payload):
        assert path == "/v1/acl/token/self"
        return next(answers)

    acl = module(answer, startup_timeout=5)
    acl.PRESET_PATIENCE = 20
    assert acl.bootstrap() is True


def test_servers_started_without_the_preset_are_bootstrapped_in_the_end(module):
    """However short the time-out is, the call comes before its end."""
    calls = []

    def answer(_method, path, _token, _payload):
        calls.append(path)
        return (200, {"SecretID": SECRET}) if "/v1/acl/bootstrap" in path or "/v1/acl/bootstrap" in calls else (404, "")

    acl = module(answer)
    acl.PRESET_PATIENCE = 20
    assert acl.bootstrap() is True
    assert calls.count("/v1/acl/bootstrap") == 1
    assert calls.index("/v1/acl/bootstrap") > 1


def test_new_consul_without_the_preset_gets_the_chosen_secret(module):
    calls = []

    def answer(method, path, token, payload):
        calls.append((method, path, token, payload))
        if path == "/v1/acl/bootstrap":
            return 200, {"SecretID": SECRET, "AccessorID": "made"}
        return (200, {}) if any("bootstrap" in call[1] for call in calls) else (404, "")

    acl = module(answer)
    assert acl.bootstrap() is True
    assert ("PUT", "/v1/acl/bootstrap", "", {"BootstrapSecret": SECRET}) in calls
    assert acl.bootstrap() is False


def test_bootstrap_that_timed_out_and_worked_is_found_by_its_token(module):
    done = []

    def answer(method, path, _token, _payload):
        if path == "/v1/acl/bootstrap":
            done.append(1)
            raise CommandExecutionError("does not answer")
        return (200, {}) if done else (403, "ACL not found")

    assert module(answer).bootstrap() is True
    assert done == [1]


def test_other_servers_wait_and_do_not_bootstrap(module):
    calls = []

    def answer(method, path, _token, _payload):
        calls.append(path)
        return (200, {}) if len(calls) > 2 else (403, "ACL not found")

    assert module(answer, host="dcs2").bootstrap() is True
    assert "/v1/acl/bootstrap" not in calls

    with pytest.raises(CommandExecutionError, match="dcs1 bootstraps the ACLs"):
        module(lambda *_: (403, "ACL not found"), host="dcs2").bootstrap()


def test_foreign_bootstrap_is_an_error_with_the_way_out(module):
    def answer(_method, path, _token, _payload):
        if path == "/v1/acl/bootstrap":
            return 403, "Permission denied: ACL bootstrap no longer allowed (reset index: 17)"
        return 403, "ACL not found"

    with pytest.raises(CommandExecutionError, match="write 17 to /nonexistent/acl-bootstrap-reset") as caught:
        module(answer).bootstrap()
    assert SECRET not in str(caught.value)


def test_no_leader_yet_is_waited_for_and_named(module):
    def answer(_method, path, _token, _payload):
        return (500, "The ACL system is currently in legacy mode.") if "bootstrap" in path else (403, "")

    with pytest.raises(CommandExecutionError, match="legacy mode"):
        module(answer).bootstrap()


@pytest.mark.parametrize(
    ("version", "status", "wanted"),
    [("1.22.3", 404, True), ("1.22.3", 200, False), ("1.8.7", 403, True), ("1.8.7", 200, False)],
)
def test_preset_is_wanted_until_the_token_works(module, version, status, wanted):
    assert module(lambda *_: (status, {}), version=version).preset_wanted() is wanted


def test_preset_is_for_servers(module):
    acl = module(lambda *_: (403, ""))
    acl.__salt__["pgha.settings"]()["role"] = "db"
    assert acl.preset_wanted() is False


def test_nothing_is_asked_while_consul_does_not_run(module):
    """Whoever answers then has taken its place."""
    asked = []
    acl = module(lambda *said: asked.append(said) or (200, {}), runs=False)
    assert acl.preset_wanted() is True
    for function in (acl.token_works, acl.bootstrap, acl.differences, acl.apply, acl.agent_token_set):
        with pytest.raises(CommandExecutionError, match="Consul does not run on this host: systemctl start consul"):
            function()
    assert asked == []


def test_systemd_is_asked_again_when_the_process_has_ended(module):
    acl, pids = module(lambda *_: (200, {})), []
    acl.__salt__["pgha_consul.pid"] = lambda: pids.pop(0)
    with subprocess.Popen(["sleep", "60"]) as process:
        pids[:] = [process.pid]
        assert acl.token_works()
        assert acl.token_works()
        process.kill()
    pids[:] = [os.getpid(), None]
    assert acl.token_works()
    assert pids == [None]


def test_preset_is_wanted_while_nobody_answers_unless_the_server_keeps_an_agent_token(module, tmp_path):
    def nobody(*_):
        raise CommandExecutionError("does not answer")

    acl = module(nobody, version="1.8.7", data_dir=str(tmp_path))
    assert acl.preset_wanted() is True
    (tmp_path / "acl-tokens.json").write_text(json.dumps({"agent": OTHER}))
    assert acl.preset_wanted() is False
    (tmp_path / "acl-tokens.json").write_text("{")
    with pytest.raises(CommandExecutionError, match="is not JSON: remove it"):
        acl.preset_wanted()


def test_agent_token_that_is_not_kept_is_an_error(module, tmp_path):
    calls = []

    def answer(method, path, token, payload):
        calls.append((method, path, payload))
        return 200, None

    acl = module(answer, data_dir=str(tmp_path))
    with pytest.raises(CommandExecutionError, match="enable_token_persistence"):
        acl.agent_token_set()
    assert calls == [("PUT", "/v1/agent/token/agent", {"Token": OTHER})]
    (tmp_path / "acl-tokens.json").write_text(json.dumps({"agent": OTHER}))
    assert acl.agent_token_set() is True


def drift(listed=(), roles=(), policies=(), anonymous=()):
    """An API of a datacenter in which somebody has been."""
    rules = {one["ID"]: one.pop("Rules") for one in policies}

    def answer(_method, path, token, _payload):
        kind, _, identifier = path.removeprefix("/v1/acl/").partition("/")
        if path == "/v1/acl/token/self":
            return 200, {"AccessorID": "chosen-by-consul", "Description": "", "Policies": []}
        if kind == "token" and identifier.endswith("0002"):
            return (200, {"Description": "Anonymous Token", **dict(anonymous)}) if anonymous is not None else (404, "")
        return 200, {"tokens": listed, "roles": roles, "policies": policies}.get(kind, {"Rules": rules.get(identifier)})

    return answer


def linked(accessor, description="", policies=(), roles=()):
    links = {"Policies": [{"ID": one} for one in policies], "Roles": [{"ID": one} for one in roles]}
    return {"AccessorID": accessor, "Description": description, **links}


MANAGEMENT = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("token", "management"),
    [
        (linked("x", "mine", [MANAGEMENT]), True),
        (linked("x", "by a role", roles=["strong"]), True),
        (linked("x", "by another policy", ["writes-acl"]), True),
        (linked("x", "Patroni of the database cluster test"), False),
        (linked("x", "Consul agent on db9"), False),
        (linked("x", "Virtual IP of the database cluster test", ["weak"]), False),
        (linked("x", "Management token of the formula", [MANAGEMENT]), True),
        (linked("x", "something else", ["weak"], ["plain"]), None),
        (linked("chosen-by-consul", "Bootstrap Token (Global Management)", [MANAGEMENT]), None),
    ],
)
def test_tokens_of_nobody_we_know_are_found(module, token, management):
    policies = [
        {"ID": MANAGEMENT, "Name": "global-management", "Rules": "not asked"},
        {"ID": "writes-acl", "Name": "a", "Rules": 'key_prefix "" { policy = "read" }\nacl = "write"'},
        {"ID": "weak", "Name": "b", "Rules": 'acl = "read"\nkey_prefix "" { policy = "write" }'},
    ]
    roles = [{"ID": "strong", "Policies": [{"ID": MANAGEMENT}]}, {"ID": "plain", "Policies": [{"ID": "weak"}]}]
    listed = [linked("00000000-0000-0000-0000-000000000002", "Anonymous Token"), token]
    found = module(drift(listed, roles, policies)).foreign_tokens()
    expected = {"accessor": token["AccessorID"], "description": token["Description"], "management": management}
    assert found == ([] if management is None else [expected])


@pytest.mark.parametrize(
    "rights",
    [
        {"Policies": [{"ID": MANAGEMENT, "Name": "global-management"}]},
        {"Roles": [{"Name": "any"}]},
        {"ServiceIdentities": [{"ServiceName": "x"}]},
        {"NodeIdentities": [{"NodeName": "x"}]},
        {"TemplatedPolicies": [{"TemplateName": "builtin/dns"}]},
    ],
)
def test_the_anonymous_token_loses_its_rights(module, monkeypatch, rights):
    acl = module(drift(anonymous=rights))
    for name in ("tokens", "policies"):
        monkeypatch.setattr(f"pghalib.consul.config.{name}", lambda _settings: {})
    assert acl.differences() == {"anonymous token": {"old": rights, "new": {}}}
    written, inner = [], pghalib.consul.client.ask

    def ask(settings, secrets, method, path, **kwargs):
        written.append((path, kwargs["payload"])) if method == "PUT" else None
        return inner(settings, secrets, method, path, **kwargs)

    monkeypatch.setattr("pghalib.consul.client.ask", ask)
    assert acl.apply() == acl.differences()
    ((path, payload),) = written
    assert path.endswith("/00000000-0000-0000-0000-000000000002")
    assert payload == {"AccessorID": path.rpartition("/")[2], "Description": "Anonymous Token"}


@pytest.mark.parametrize("anonymous", [None, {}, {"Policies": None}, {"Policies": [], "Roles": []}])
def test_an_anonymous_token_without_rights_is_no_difference(module, monkeypatch, anonymous):
    acl = module(drift(anonymous=anonymous))
    for name in ("tokens", "policies"):
        monkeypatch.setattr(f"pghalib.consul.config.{name}", lambda _settings: {})
    assert acl.differences() == {}


def test_only_what_differs_is_written(module, monkeypatch):
    """A token's own secret tells whether Consul knows it; a right that somebody added is a difference too."""
    wanted = {"description": "Virtual IP of test", "policies": ["vip-test"], "node_identities": []}
    rules = {"description": "mine", "rules": "acl"}
    monkeypatch.setattr("pghalib.consul.config.tokens", lambda _settings: {"vip-test": wanted})
    monkeypatch.setattr("pghalib.consul.config.policies", lambda _settings: {"vip-test": rules, "other": rules})
    consul = {"Description": "Virtual IP of test", "Policies": [{"Name": "vip-test"}], "AccessorID": "of-consul"}
    token, written = dict(consul), []

    def answer(method, path, _token, payload):
        if method == "PUT":
            written.append((path, payload))
        if path == "/v1/acl/token/self":
            return (200, token) if token else (404, "")
        if path == "/v1/acl/policies":
            return 200, [{"Name": "vip-test", "ID": "p1"}, {"Name": "strange", "ID": "p2"}]
        return 200, {"Description": "mine", "Rules": "acl"}

    acl = module(answer)
    other = {"Name": "other", "Description": "mine", "Rules": "acl"}
    assert acl.differences() == acl.apply() == {"policy other": {"old": None, "new": rules}}
    assert written == [("/v1/acl/policy", other)]

    token["Roles"] = [{"Name": "strong"}]
    written.clear()
    assert acl.apply()["token vip-test"] == {"old": {**wanted, "Roles": [{"Name": "strong"}]}, "new": wanted}
    payload = {"Description": "Virtual IP of test", "Policies": [{"Name": "vip-test"}], "NodeIdentities": []}
    assert written[1] == ("/v1/acl/token/of-consul", {**payload, "AccessorID": "of-consul"})

    token.clear()
    written.clear()
    assert acl.apply()["token vip-test"] == {"old": None, "new": wanted}
    assert written[1] == ("/v1/acl/token", {**payload, "AccessorID": "v", "SecretID": OTHER})


def test_an_old_consul_s_own_management_token_is_given_up_for_the_chosen_one(module):
    calls = []

    def answer(method, path, token, payload):
        calls.append((method, path, token))
        if path == "/v1/acl/bootstrap":
            return 200, {"SecretID": "of-consul", "AccessorID": "made"}
        if path == "/v1/acl/token/self":
            return (200, {}) if ("PUT", "/v1/acl/token", "of-consul") in calls else (403, "")
        return 200, {}

    assert module(answer, version="1.8.7").bootstrap() is True
    assert [one for one in calls if one[0] != "GET"] == [
        ("PUT", "/v1/acl/bootstrap", ""),
        ("PUT", "/v1/acl/token", "of-consul"),
        ("DELETE", "/v1/acl/token/made", SECRET),
    ]


def test_token_that_the_master_did_not_make_is_an_error(module):
    with pytest.raises(CommandExecutionError, match=r"no token patroni-x: salt-run pgha\.secrets"):
        module(lambda *_: (200, {})).token_works("patroni-x")


@pytest.mark.parametrize("state", ["active", "reloading"])
def test_an_agent_runs_while_it_is_told_to_read_its_configuration(module, monkeypatch, state):
    """The next run would owe it no reload for a file that is replaced in this moment, and it would never read that."""
    consul = module(lambda *_: (200, []), name="_modules/pgha_consul.py")
    consul.__salt__["service.show"] = lambda _name: {"MainPID": "17", "ActiveState": state}
    assert consul.pid() == 17
    monkeypatch.setattr("pghalib.consul.pending.sentences", lambda _keys, number, *_: [f"of {number}"])
    assert consul.restart_pending() == ["of 17"]


@pytest.mark.parametrize("state", ["activating", "deactivating", "inactive", "failed"])
def test_an_agent_that_starts_or_stops_reads_its_configuration_at_its_next_start(module, state):
    consul = module(lambda *_: (200, []), name="_modules/pgha_consul.py")
    consul.__salt__["service.show"] = lambda _name: {"MainPID": "17", "ActiveState": state}
    assert (consul.pid(), consul.restart_pending()) == (None, [])


@pytest.mark.parametrize(
    ("file", "now"),
    [
        ({}, None),
        ({"ports": {"http": 8500}, "client_addr": "127.0.0.1 192.0.2.1"}, None),
        ({"ports": {"http": 9500}}, "http://127.0.0.1:9500"),
        ({"client_addr": "127.0.0.2"}, "http://127.0.0.2:8500"),
        ([], None),
        (None, None),
    ],
)
def test_the_api_of_an_agent_that_runs_stays_where_it_is(tmp_path, file, now):
    if file is not None:
        (tmp_path / "config.json").write_text(json.dumps(file))
    consul = {"config_dir": str(tmp_path), "config": {}, "client_addr": "127.0.0.1", "user": "consul"}
    found = pghalib.consul.files.moved({"consul": consul, "tls": {"enabled": False}})
    assert len(found) == (now is not None)
    assert all(f"Consul runs here with its API at {now}, and the pillar moves it to http" in one for one in found)


def test_health_tells_what_it_could_not_find_out(module):
    def answer(_method, path, _token, _payload):
        if path == "/v1/status/leader":
            return 200, "198.51.100.12:8300"
        if path == "/v1/agent/members":
            tags = {"role": "consul", "build": "1.22.3:abc"}
            return 200, [{"Name": "dcs1", "Addr": "198.51.100.11", "Status": 4, "Tags": tags}]
        return 500, "broken"

    consul = module(answer, name="_modules/pgha_consul.py")
    consul.BINARY = "/nonexistent"
    consul.__salt__["service.show"] = lambda _name: {"MainPID": "0", "ActiveState": "failed"}
    found = consul.health()
    assert found["leader"] == "dcs2"
    assert found["members"] == [
        {"name": "dcs1", "address": "198.51.100.11", "status": "failed", "type": "server", "build": "1.22.3"}
    ]
    assert (found["version"], found["voters"], found["autopilot"], found["restart_pending"]) == (None, None, None, [])
    assert len(found["errors"]) == 2


def test_health_names_servers_that_are_in_no_inventory(module):
    def answer(_method, path, _token, _payload):
        if path == "/v1/status/leader":
            return 200, "198.51.100.12:8300"
        if path == "/v1/operator/raft/configuration":
            peers = [(name, address, True) for name, address in LISTED.items()] + [("db3", "198.51.100.23", False)]
            shown = [
                {"Node": name, "Address": f"{address}:8300", "Voter": voter, "Leader": False}
                for name, address, voter in peers
            ]
            return 200, {"Servers": shown}
        return 500, "broken"

    consul = module(answer, name="_modules/pgha_consul.py")
    consul.BINARY = "/nonexistent"
    consul.__salt__["service.show"] = lambda _name: {"MainPID": "0", "ActiveState": "failed"}
    found = consul.health()
    assert found["voters"] == list(LISTED)
    (foreign,) = found["foreign_servers"]
    assert (foreign["name"], foreign["raft_address"], foreign["voter"]) == ("db3", "198.51.100.23:8300", False)
