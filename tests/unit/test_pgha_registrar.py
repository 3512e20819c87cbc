"""What the first server of Consul does for its datacenter, and what the others read of it."""

import pghalib.consul.client
import pghalib.consul.config
import pghalib.secrets.served
import pytest
from salt.exceptions import CommandExecutionError

FIRST = {"id": "dcs1.example.org", "name": "dcs1"}
FOUND = {"CleanupDeadServers": True, "MaxTrailingLogs": 250, "CreateIndex": 1, "ModifyIndex": 7}


@pytest.fixture
def registrar(loader_module, monkeypatch):
    """The module over a Consul that answers what ``answers`` says, by method and path; ``asked`` is what it was."""
    settings = {"datacenter": {"registrar": FIRST}}
    members = [{"name": "dcs1", "status": "alive"}, {"name": "dcs2", "status": "alive"}]
    salt = {"pgha.settings": lambda: settings, "pgha_consul.members": lambda: members}
    module = loader_module("_modules/pgha_consul_registrar.py", salt=salt)
    module.answers, module.asked, module.settings, module.members = {}, [], settings, members

    def ask(_settings, _secrets, method, path, **given):
        module.asked.append((method, path, given))
        return module.answers.get((method, path), {"status": 200, "body": True})

    monkeypatch.setattr(pghalib.consul.client, "ask", ask)
    monkeypatch.setattr(pghalib.secrets.served, "own", lambda *_: {})
    module.wanted = {"autopilot": {"cleanup_dead_servers": False}}
    monkeypatch.setattr(pghalib.consul.config, "config", lambda *_: module.wanted)
    module.answers["GET", "/v1/operator/autopilot/configuration"] = {"status": 200, "body": dict(FOUND)}
    return module


def test_only_what_differs_of_autopilot_is_written_and_nothing_if_somebody_else_was_faster(registrar):
    differing = {"CleanupDeadServers": {"old": True, "new": False}}
    assert registrar.autopilot_differences() == differing
    assert registrar.autopilot_apply() == differing
    method, path, given = registrar.asked[-1]
    assert (method, path) == ("PUT", "/v1/operator/autopilot/configuration")
    assert given == {"params": {"cas": "7"}, "payload": {**FOUND, "CleanupDeadServers": False}}
    registrar.answers["PUT", path] = {"status": 200, "body": False}
    with pytest.raises(CommandExecutionError, match="run this again"):
        registrar.autopilot_apply()


@pytest.mark.parametrize("wanted", [{}, {"autopilot": None}, {"autopilot": {"cleanup_dead_servers": True}}])
def test_autopilot_is_left_alone_where_nothing_differs(registrar, wanted):
    registrar.wanted = wanted
    assert registrar.autopilot_apply() == {}
    assert {method for method, _, _ in registrar.asked} == {"GET"}


def test_a_failure_is_noted_and_taken_back_where_it_was_noted(registrar):
    path = "/v1/kv/pgha/registration-failed"
    assert registrar.note("no quorum") is True
    assert registrar.asked == [("PUT", path, {"payload": {"why": "no quorum"}})]
    registrar.asked.clear()
    registrar.answers["GET", path] = {"status": 404, "body": ""}
    assert registrar.note() is True
    assert [method for method, _, _ in registrar.asked] == ["GET"]
    registrar.answers["GET", path] = {"status": 200, "body": []}
    registrar.note()
    assert registrar.asked[-1][:2] == ("DELETE", path)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "", None),
        (200, {"why": "no quorum\x1b[31m"}, "dcs1 could not register the policies and tokens: no quorum"),
        (200, "nonsense", "dcs1 could not register the policies and tokens: None"),
    ],
)
def test_the_others_read_why_the_first_one_failed(registrar, status, body, said):
    registrar.answers["GET", "/v1/kv/pgha/registration-failed"] = {"status": status, "body": body}
    found = registrar.failed()
    assert found is said is None or found.startswith(said)
    assert found is None or found.isprintable()


@pytest.mark.parametrize(("members", "state"), [([], "gone"), ([{"name": "dcs1", "status": "failed"}], "failed")])
def test_a_first_server_that_is_away_is_named_before_it_is_asked(registrar, members, state):
    registrar.members[:] = members
    assert registrar.failed().startswith(f"Consul on dcs1 is {state}:")
    assert registrar.asked == []


def test_what_others_set_in_the_dcs_is_named_and_what_is_declared_is_not(loader_module):
    settings = {
        "patroni": {"config": None, "synchronous_mode": "off"},
        "postgres": {"lc_messages": "C", "client_networks": [], "superuser_networks": []},
        "cluster": {"name": "one", "hosts": [], "vip": None},
        "backup": {"repositories": {}},
        "tls": {"enabled": False},
    }
    settings["patroni"] |= dict.fromkeys(loader_module("_utils/pghalib/patroni/config.py").DYNAMIC, 1)
    live = {"ttl": 5, "postgresql": {"parameters": {"work_mem": "1GB", "wal_level": "replica"}}}
    salt = {"pgha.settings": lambda: settings, "pgha_patroni.dynamic_config": lambda: live}
    module = loader_module("_modules/pgha_dynamic.py", salt=salt)
    assert module.undeclared() == ["postgresql.parameters.work_mem"]
