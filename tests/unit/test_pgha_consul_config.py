"""The configuration of Consul over the versions, its policies and tokens."""

import copy
import json

import pytest
import shipped

SERVERS = [{"id": f"dcs{number}", "name": f"dcs{number}", "address": f"198.51.100.1{number}"} for number in (1, 2, 3)]
HOSTS = [{"id": f"db{number}", "name": f"db{number}", "address": f"198.51.100.2{number}"} for number in (1, 2)]
CONSUL = shipped.defaults()["consul"]
VIP = {"manager": "vip-manager", "version": "4.0.0", "dcs_type": None}
SECRETS = {
    "gossip_key": "the-gossip-key",
    "agent": {"accessor": "agent-accessor", "secret": "agent-secret"},
    "management": {"accessor": "management-accessor", "secret": "management-secret"},
}
VERSIONS = ["1.8.7", "1.9.0", "1.10.12", "1.11.0", "1.14.11", "1.15.0", "1.17.0", "1.22.3"]


def settings(role="dcs", **consul):
    host = (SERVERS if role == "dcs" else HOSTS)[0]
    return {
        "role": role,
        **host,
        "datacenter": {"name": "dc-1", "servers": SERVERS},
        "clusters": [{"name": "test", "namespace": "/db/", "hosts": HOSTS, "vip": None, "vip_settings": VIP}],
        "consul": {**CONSUL, **consul},
    }


@pytest.fixture
def util(loader_module):
    return loader_module("_utils/pghalib/consul/config.py")


@pytest.mark.parametrize("version", VERSIONS)
def test_server_has_what_the_procedure_has_or_its_better(util, version):
    assert util.config(settings(version=version), SECRETS) == {
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "down_policy": "extend-cache",
            "enable_token_persistence": True,
        },
        "advertise_addr": "198.51.100.11",
        "autopilot": {"min_quorum": 3},
        "bind_addr": "198.51.100.11",
        "bootstrap_expect": 3,
        "client_addr": "127.0.0.1",
        "data_dir": "/var/lib/consul/data",
        "datacenter": "dc-1",
        "disable_update_check": True,
        "dns_config": {"enable_truncate": True, "only_passing": True},
        "domain": "consul",
        "enable_local_script_checks": True,
        "enable_syslog": False,
        "encrypt": "the-gossip-key",
        "gossip_lan": {"suspicion_mult": 3},
        "leave_on_terminate": False,
        "log_file": "/var/log/consul/",
        "log_level": "INFO",
        "log_rotate_duration": "24h",
        "log_rotate_max_files": 30,
        "node_name": "dcs1",
        "performance": {"raft_multiplier": 1},
        "ports": {"serf_wan": -1, **({"grpc_tls": -1} if version in ("1.14.11", "1.15.0", "1.17.0", "1.22.3") else {})},
        "primary_datacenter": "dc-1",
        "rejoin_after_leave": True,
        "retry_join": ["198.51.100.11", "198.51.100.12", "198.51.100.13"],
        "server": True,
        "skip_leave_on_interrupt": True,
        **({"ui": True} if version == "1.8.7" else {"ui_config": {"enabled": True}}),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_agent_has_its_own_token_and_nothing_of_a_server(util, version):
    found = util.config(settings("db", version=version), SECRETS)
    assert found["acl"] == {
        "enabled": True,
        "default_policy": "deny",
        "down_policy": "extend-cache",
        "tokens": {"agent": "agent-secret"},
    }
    assert found["server"] is False
    assert (found["leave_on_terminate"], found["skip_leave_on_interrupt"]) == (False, True)
    assert (found["bind_addr"], found["node_name"], found["log_level"]) == ("198.51.100.21", "db1", "WARN")
    servers_only = {"autopilot", "bootstrap_expect", "performance", "ports", "primary_datacenter", "ui", "ui_config"}
    assert not servers_only & set(found)
    assert "management-secret" not in json.dumps(found)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.8.7", {"acl": {"tokens": {"master": "management-secret"}}}),
        ("1.10.12", {"acl": {"tokens": {"master": "management-secret"}}}),
        ("1.11.0", {"acl": {"tokens": {"initial_management": "management-secret"}}}),
        ("1.14.11", {"acl": {"tokens": {"initial_management": "management-secret"}}}),
        ("1.15.0", {"acl": {"tokens": {"initial_management": "management-secret"}}}),
        ("1.22.3", {"acl": {"tokens": {"initial_management": "management-secret"}}}),
    ],
)
def test_management_token_is_preset_on_servers_of_every_version(util, version, expected):
    assert util.preset(settings(version=version), SECRETS) == expected
    assert util.preset(settings("db", version=version), SECRETS) is None


def test_what_consul_accepts_can_be_passed_through(util):
    own = {"acl": {"tokens": {"dns": "x"}}, "ports": {"dns": 53}, "retry_join": ["a"], "leave_on_terminate": True}
    found = util.config(settings(config=copy.deepcopy(own)), SECRETS)
    assert found["acl"]["tokens"] == {"dns": "x"}
    assert found["acl"]["default_policy"] == "deny"
    assert (found["retry_join"], found["leave_on_terminate"]) == (["a"], True)
    assert found["ports"] == {"dns": 53, "serf_wan": -1, "grpc_tls": -1}


def test_encryption_closes_the_plain_port_and_opens_none_of_the_closed_ones(util):
    found = util.config({**settings(), "tls": {"enabled": True}}, SECRETS)
    assert found["ports"] == {"http": -1, "https": 8501, "serf_wan": -1, "grpc_tls": -1}


def test_a_port_that_closes_waits_for_a_restart(util):
    new = util.config(settings(), SECRETS)
    old = {key: value for key, value in new.items() if key != "ports"}
    assert util.restart_keys(old, new) == ["ports"]


def test_settings_have_their_say(util):
    found = util.config(settings(ui=False, log_level="DEBUG", raft_multiplier=5, client_addr="0.0.0.0"), SECRETS)
    assert found["ui_config"] == {"enabled": False}
    assert (found["log_level"], found["performance"], found["client_addr"]) == (
        "DEBUG",
        {"raft_multiplier": 5},
        "0.0.0.0",
    )


def test_same_mapping_gives_the_same_text(util):
    assert util.render({"b": 1, "a": {"d": 1, "c": 2}}) == util.render({"a": {"c": 2, "d": 1}, "b": 1})
    assert util.render({}).endswith("\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, {"bind_addr": "a"}, []),
        ({"bind_addr": "a"}, {"bind_addr": "a"}, []),
        ({"bind_addr": "a"}, {"bind_addr": "b"}, ["bind_addr"]),
        ({"bind_addr": "a"}, {}, ["bind_addr"]),
        ({}, {"log_level": "DEBUG", "services": [1]}, []),
        (
            {"acl": {"enabled": True, "tokens": {"agent": "a"}}},
            {"acl": {"enabled": True, "tokens": {"agent": "b"}}},
            [],
        ),
        ({"acl": {"enabled": True}}, {"acl": {"enabled": False}}, ["acl.enabled"]),
        ({"limits": {"rpc_rate": 1, "x": 1}}, {"limits": {"rpc_rate": 2, "x": 2}}, ["limits.x"]),
        ({"z": 1, "a": 1}, {"z": 2, "a": 2}, ["a", "z"]),
        # Neither a reload nor a restart does that.
        ({"autopilot": {"min_quorum": 3}}, {"autopilot": {"min_quorum": 5}}, []),
    ],
)
def test_what_a_reload_does_not_apply_is_named(util, old, new, expected):
    assert util.restart_keys(old, new) == expected


def test_policies_hold_the_least_rights(util):
    found = util.policies(settings())
    assert found == {
        "patroni-test": {
            "description": "Patroni of the database cluster test",
            "rules": 'key_prefix "db/test/" {\n  policy = "write"\n}\n'
            'service "test" {\n  policy = "write"\n}\n'
            'session "db1" {\n  policy = "write"\n}\n'
            'session "db2" {\n  policy = "write"\n}\n'
            'agent "db1" {\n  policy = "read"\n}\n'
            'agent "db2" {\n  policy = "read"\n}\n',
        },
        "vip-test": {
            "description": "Reads who leads the database cluster test",
            "rules": 'key "db/test/leader" {\n  policy = "read"\n}\n',
        },
    }
    # A misspelt kind is accepted by Consul and gives nothing.
    kinds = {line.split()[0] for one in found.values() for line in one["rules"].splitlines() if line.endswith("{")}
    assert kinds <= {"key_prefix", "key", "service", "session", "agent"}


def test_tokens_link_to_policies_and_identities(util):
    assert util.tokens(settings()) == {
        **{
            f"agent-{node}": {
                "description": f"Consul agent on {node}",
                "policies": [],
                "node_identities": [{"NodeName": node, "Datacenter": "dc-1"}],
            }
            for node in ("dcs1", "dcs2", "dcs3", "db1", "db2")
        },
        "patroni-test": {
            "description": "Patroni of the database cluster test",
            "policies": ["patroni-test"],
            "node_identities": [],
        },
        "vip-test": {
            "description": "Virtual IP of the database cluster test",
            "policies": ["vip-test"],
            "node_identities": [],
        },
    }


@pytest.mark.parametrize(
    ("moved", "asks"),
    [
        ({}, True),
        ({"version": "5.0.0"}, False),
        ({"version": "5.0.0", "dcs_type": "consul"}, True),
        ({"dcs_type": "patroni"}, False),
        ({"manager": "callback"}, False),
        ({"manager": "none"}, False),
    ],
)
def test_who_does_not_ask_consul_for_the_leader_has_no_token_for_it(util, moved, asks):
    host = settings()
    host["clusters"] = [{**host["clusters"][0], "vip_settings": {**VIP, **moved}}]
    assert ("vip-test" in util.tokens(host), "vip-test" in util.policies(host)) == (asks, asks)
    assert "patroni-test" in util.tokens(host)


def test_descriptions_of_tokens_are_those_by_which_strangers_are_told(util, loader_module):
    ours = loader_module("_utils/pghalib/consul/drift.py").OURS
    assert all(token["description"].startswith(ours) for token in util.tokens(settings()).values())


def test_agents_have_policies_where_there_are_no_node_identities(util):
    old = settings(version="1.8.0")
    assert util.policies(old)["agent-db1"]["rules"] == (
        'node "db1" {\n  policy = "write"\n}\nservice_prefix "" {\n  policy = "read"\n}\n'
    )
    assert util.tokens(old)["agent-db1"]["policies"] == ["agent-db1"]
    assert util.tokens(old)["agent-db1"]["node_identities"] == []


@pytest.mark.parametrize(
    ("namespace", "prefix"),
    [("/db/", "db/test/"), ("/service/pg/", "service/pg/test/"), ("/", "test/"), ("db", "db/test/")],
)
def test_keys_have_no_leading_slash(util, namespace, prefix):
    assert util.key_prefix({"namespace": namespace, "name": "test"}) == prefix


@pytest.mark.parametrize(
    ("scope", "name"),
    [("test", "test"), ("My_Cluster", "my-cluster"), ("a.b c", "a-b-c"), ("x+y", "xu0043y"), ("a" * 70, "a" * 63)],
)
def test_service_is_called_as_patroni_calls_it(util, scope, name):
    assert util.service_name(scope) == name
