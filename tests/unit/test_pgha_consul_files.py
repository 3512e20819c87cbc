"""Files of others that an agent of Consul would read with ours, and what a package of Consul leaves on a host."""

import copy
import json
import os
from pathlib import Path

import pghalib.inventory
import pytest
import shipped
import yaml
from pghalib.consul import files

ROOT = Path(__file__).resolve().parents[2]
PILLAR = yaml.safe_load((ROOT / "pillar/pgha/test-dcs.sls").read_text())["pgha"]
PILLAR["clusters"] = yaml.safe_load((ROOT / "pillar/pgha/test.sls").read_text())["pgha"]["clusters"]
PILLAR["tls"] = {"enabled": False}
# As HashiCorp's package leaves it.
PACKAGED = """
# Full configuration options can be found at https://developer.hashicorp.com/consul/docs/agent/config
#datacenter = "my-dc-1"
data_dir = "/opt/consul"
//client_addr = "0.0.0.0"
/* ui_config{
  enabled = true
} */
"""


@pytest.fixture
def settings():
    """A function (minion id, **settings of Consul) -> the settings of a host."""
    defaults = shipped.defaults()

    def make(minion_id="test-dcs1", **consul):
        return pghalib.inventory.settings({**copy.deepcopy(PILLAR), "consul": consul}, defaults, minion_id)

    return make


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PACKAGED, {"data_dir": "/opt/consul"}),
        ('ports { http = 8600 grpc = -1 }\n"ports" { dns = 53 }', {"ports": {"http": 8600, "grpc": -1, "dns": 53}}),
        ('retry_join = ["a", "b",]\nserver=true # "x"', {"retry_join": ["a", "b"], "server": True}),
        ('service "web" {\n port = 80, check = { http = "http://x/#a" }\n}', None),
        ("node_meta = {\n  rack: 1.5\n}", {"node_meta": {"rack": 1.5}}),
        ('text = <<EOF\n} not = [read\nEOF\nlog_level = "DEBUG"', {"text": None, "log_level": "DEBUG"}),
        ('{"data_dir": "/x"}', {"data_dir": "/x"}),
        ("", {}),
    ],
)
def test_plain_configuration_is_understood(text, found):
    expected = {"service": {"web": {"port": 80, "check": {"http": "http://x/#a"}}}} if found is None else found
    assert files.understood(text) == expected


@pytest.mark.parametrize(
    "text",
    ["[1]", "x", "x =", "x = {", "x = [1", 'x = "open', "x = }", "= 1", "x = y z", "x { y", "$", "\x00", "[" * 50000]
    + ["x = " + "{ x = " * 50000, '{"a": ' * 5000],
)
def test_what_is_no_configuration_is_not_understood(text):
    assert files.understood(text) is None


@pytest.mark.parametrize(
    ("found", "keys"),
    [
        ({"data_dir": "/opt/consul"}, ["data_dir"]),
        ({"data_dir": "/var/lib/consul/data", "server": True}, []),
        ({"server": False}, ["server"]),
        ({"service": {"web": {"port": 80}}, "telemetry": {"prefix": "x"}, "node_meta": {"rack": "1"}}, []),
        ({"ports": [{"http": 8600}, {"dns": 53}], "addresses": {"http": "192.0.2.1"}}, None),
        ({"acl": {"enabled": True, "default_policy": "allow", "tokens": {"default": "s"}}}, None),
        ({"dns_config": {"allow_stale": True, "only_passing": False}}, ["dns_config.only_passing"]),
        ({"verify_incoming": True, "bootstrap": True, "encrypt": "k"}, ["bootstrap", "encrypt", "verify_incoming"]),
        ({"acl": False}, ["acl"]),
        ({}, []),
    ],
)
def test_keys_that_say_otherwise_than_ours_are_found(settings, found, keys):
    if keys is None:
        expected = {"ports": ["addresses.http", "ports.dns", "ports.http"], "acl": ["acl.default_policy", "acl.tokens"]}
        keys = expected["ports" if "ports" in found else "acl"]
        keys = [key + ".default" if key == "acl.tokens" else key for key in keys]
    assert files.contradictions(found, settings()) == keys


def test_what_the_pillar_says_too_is_no_contradiction(settings):
    found = {"log_level": "DEBUG", "ports": {"dns": 53}}
    assert files.contradictions(found, settings("test-db1")) == ["log_level", "ports.dns"]
    assert files.contradictions(found, settings("test-db1", config=found)) == []


def test_verdict_names_file_keys_and_remedy(settings):
    said = {"datacenter": None, "contradicts": [], "understood": True}
    faults, warnings = files.verdict(
        {
            "/etc/consul.d/a.json": {**said, "datacenter": settings()["datacenter"]["name"]},
            "/etc/consul.d/b.hcl": {**said, "contradicts": ["data_dir", "ports.http"]},
            "/etc/consul.d/c.hcl": {**said, "datacenter": "other", "contradicts": ["datacenter"]},
            "/etc/consul.d/d.hcl": {**said, "understood": False},
        },
        settings(),
    )
    assert [text.split()[0] for text in faults] == ["/etc/consul.d/b.hcl", "/etc/consul.d/c.hcl"]
    assert "(data_dir, ports.http)" in faults[0]
    assert "set them under consul:config" in faults[0]
    assert "is of the datacenter other" in faults[1]
    assert [text.split()[0] for text in warnings] == ["/etc/consul.d/d.hcl"]


def test_ours_and_what_is_left_of_ours_is_ours():
    for name in ("config.json", "acl-bootstrap.json", ".config.json.abcd_123.json"):
        assert files.is_ours(name)
    for name in ("consul.hcl", "config.hcl", "config.json.json", "my-config.json"):
        assert not files.is_ours(name)


@pytest.mark.root
def test_a_data_directory_of_the_package_s_is_named_before_programs_are_put_there(monkeypatch, tmp_path):
    home = tmp_path / "consul"
    monkeypatch.setattr(files, "HOME", str(home))
    assert files.home() == []
    home.mkdir()
    assert files.home() == []
    os.chown(home, 65534, 65534)
    (fault,) = files.home()
    assert f"others than root may change {home}" in fault
    assert f"mv {home} {home}.old" in fault


def test_our_own_configuration_contradicts_nothing(settings):
    import pghalib.consul.config

    for minion_id in ("test-dcs1", "test-db1"):
        one = settings(minion_id)
        text = json.dumps(pghalib.consul.config.config(one, {"gossip_key": None, "agent": {"secret": None}}))
        assert files.contradictions(files.understood(text), one) == []
