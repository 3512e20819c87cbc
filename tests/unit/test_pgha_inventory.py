"""The inventory: what a host is told, and every fault of a pillar named at once."""

import copy
from pathlib import Path

import pytest
import yaml
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = yaml.safe_load((ROOT / "salt/pgha/defaults.yaml").read_text())
PGHA = {
    "consul": {"hashes": {"1.22.3": "0" * 64}},
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3.example.org": "192.0.2.3"}}},
    "clusters": {"one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}}},
}


OTHER = {"vip": "192.0.2.50/24", "hosts": {"db8": "192.0.2.18", "db9": "192.0.2.19"}}


@pytest.fixture
def inventory(loader_module):
    return loader_module("_utils/pgha_inventory.py")


@pytest.fixture
def faults(loader_module):
    validate = loader_module("_utils/pgha_validate.py")
    return lambda pgha: validate.faults(pgha, DEFAULTS)


def changed(path, value):
    pgha = copy.deepcopy(PGHA)
    holder = pgha
    *keys, last = path.split(":")
    for key in keys:
        holder = holder.setdefault(key, {})
    if value is None:
        holder.pop(last)
    else:
        holder[last] = value
    return pgha


def test_a_database_host_knows_its_place(inventory):
    host = inventory.settings(PGHA, DEFAULTS, "db2")
    assert (host["role"], host["name"], host["address"]) == ("db", "db2", "192.0.2.12")
    assert [server["name"] for server in host["datacenter"]["servers"]] == ["dcs1", "dcs2", "dcs3"]
    assert host["cluster"]["vip"] == {"address": "192.0.2.40", "prefix": 24, "name": "one-db-cl"}
    assert host["postgres"]["bin_dir"] == "/opt/pgpro/1c-18/bin"
    assert host["postgres"]["data_dir"] == "/pgdata/one"
    assert "1.22.3" in host["consul"]["url"]


def test_a_consul_server_knows_the_clusters_of_its_datacenter(inventory):
    host = inventory.settings(PGHA, DEFAULTS, "dcs3.example.org")
    assert (host["role"], host["name"], host["cluster"]) == ("dcs", "dcs3", None)
    assert [cluster["name"] for cluster in host["clusters"]] == ["one"]


def test_the_most_specific_setting_wins_and_mappings_are_merged(inventory):
    pgha = changed("clusters:one:postgres", {"distribution": "debian", "version": 15, "parameters": {"jit": "off"}})
    pgha["postgres"] = {"port": 5433, "parameters": {"jit": "on", "work_mem": "4MB"}}
    postgres = inventory.settings(pgha, DEFAULTS, "db1")["postgres"]
    assert postgres["bin_dir"] == "/usr/lib/postgresql/15/bin"
    assert postgres["packages"] == ["postgresql-15"]
    assert (postgres["port"], postgres["parameters"]) == (5433, {"jit": "off", "work_mem": "4MB"})


def test_bare_on_and_off_of_yaml_are_understood(inventory):
    pgha = changed("clusters:one:patroni", yaml.safe_load("synchronous_mode: on"))
    assert inventory.settings(pgha, DEFAULTS, "db1")["patroni"]["synchronous_mode"] == "on"


def test_a_good_pillar_has_no_fault(faults):
    assert faults(PGHA) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("datacenters:dc:servers", {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2"}, "allow_weak_quorum"),
        ("datacenters:dc:servers", {"dcs1": "192.0.2.1"}, "allow_weak_quorum"),
        ("datacenters:dc:servers:dcs1", "192.0.2.300", "dcs1: '192.0.2.300' is no IPv4 address"),
        ("datacenters:dc:servers:dcs1", "192.0.2.11", "the address 192.0.2.11 stands in"),
        ("datacenters:dc:servers:db1", "192.0.2.9", "the minion id db1 stands in"),
        ("datacenters:DC2", {"servers": {"a1": "192.0.2.4"}}, "lower case letters"),
        ("clusters:one:vip", "192.0.3.40/24", "outside the subnet of db1"),
        ("clusters:one:vip", "192.0.2.12/24", "the address 192.0.2.12 stands in"),
        ("clusters:one:vip", "192.0.2.255/24", "broadcast"),
        ("clusters:one:vip", "192.0.2.40", "ADDRESS/PREFIX"),
        ("clusters:one:vip", None, "is no virtual IP"),
        ("clusters:one:datacenter", "dc1", "there is no datacenter 'dc1'; did you mean dc?"),
        ("clusters:one:patroni", {"ttl": 25}, "less than loop_wait + 2 * retry_timeout (10 + 2 * 10); give 30"),
        ("clusters:one:patroni", {"ttl": 15, "loop_wait": 5, "retry_timeout": 5}, "too low"),
        ("clusters:one:patroni", {"tttl": 30}, "patroni:tttl: unknown setting; did you mean ttl?"),
        ("clusters:one:patroni", {"synchronous_mode": "sometimes"}, "none of off, on, quorum"),
        ("clusters:one:patroni", {"synchronous_mode": True, "synchronous_node_count": 2}, "cannot be had from 2 hosts"),
        ("clusters:one:postgres", {"distribution": "oracle"}, "is none of debian, postgrespro-1c"),
        ("clusters:one:postgres", {"client_networks": ["10.0.0.0/33"]}, "client_networks"),
        ("clusters:one:postgres", {"superuser_networks": ["10.0.0.0/33"]}, "superuser_networks"),
        ("clusters:one:hots", {}, "did you mean hosts?"),
        ("clusters:ONE", OTHER, "pgha:clusters:one: pgha:clusters:ONE has the same service 'one'"),
        ("clusters:leader", {**OTHER, "patroni": {"namespace": "/db/one/"}}, "lie within each other"),
        ("clusters:two\n", OTHER, "the name of a cluster"),
        ("datacenters:dc2\n", {"servers": {"a1": "192.0.2.4"}}, "lower case letters"),
        ("datacenters:dc:servers", {"dcs1\n": "192.0.2.1"}, "is no minion id"),
        ("clusters:one:vip", {"address": "192.0.2.40/24", "name": "vip\n"}, "is no host name"),
        ("tls", {"names": ["db.example.org", "server.dc.consul"]}, "knows its servers"),
        ("tls", {"names": ["SERVER.dc.Consul."]}, "knows its servers"),
        ("tls", {"names": ["*.dc.consul"]}, "knows its servers"),
        ("tls", {"names": ["db.example.org\n"]}, "pgha:tls:names: must be one line"),
        ("consul:version", "1.21.0", "no SHA-256 of consul 1.21.0"),
        ("consul:ui", "yes please", "should be true or false"),
        ("clusters", None, "one database cluster at least"),
        ("only", ["tow"], "there is no cluster 'tow'"),
        ("only", "tow", "there is no cluster 'tow'"),
        ("clusters:one:postgres", {"data_dir": "/pg data/one"}, "one:postgres:data_dir: must be an absolute path of"),
        ("postgres:data_dir", "pgdata", "pgha:postgres:data_dir: must be an absolute path of"),
        ("postgres:data_dir", "/a\n", "not '/a\\n'"),
        ("postgres:bin_dir", '/opt/"x"', "postgres:bin_dir: must be"),
        ("postgres:socket_dir", "/run/$(id)", "postgres:socket_dir: must be"),
        ("postgres:user", "postgres ALL=(ALL) NOPASSWD: ALL\n#", "postgres:user: must be a name of"),
        ("postgres:services", ["a b", "good@1.service"], "postgres:services: must be the name of a unit"),
        ("postgres:locales", ["x\ny"], "postgres:locales: must be the name of a locale"),
        ("patroni:venv", "/opt/pat'roni", "patroni:venv: must be"),
        ("patroni:config_dir", "/etc/%h", "patroni:config_dir: must be"),
        ("patroni:python", "", "patroni:python: must be"),
        ("consul:config_dir", "/etc/consul.d\nExecStart=/bin/sh", "pgha:consul:config_dir: must be"),
        ("consul:user", "root;", "pgha:consul:user: must be"),
        ("consul:version", "1.22.3/../x", "pgha:consul:version: must be"),
        ("vip:interface", "eth0 x", "pgha:vip:interface: must be"),
        ("hosts:domain", "example.org\n192.0.2.1 x", "pgha:hosts:domain: must be a domain"),
    ],
)
def test_a_fault_is_named_with_its_path_and_what_would_be_right(faults, path, value, said):
    found = faults(changed(path, value))
    assert any(said in fault for fault in found), found


@pytest.mark.parametrize(
    ("name", "ours"), [("hosts", {"db3": {"address": "192.0.2.13", "name": "Server"}}), ("vip", "server")]
)
@pytest.mark.parametrize("domain", ["dc.consul", "dc.example", "other.consul", None])
def test_no_database_has_the_name_of_a_server_of_consul(faults, name, ours, domain):
    pgha = changed("hosts", {"domain": domain})
    if name == "hosts":
        pgha["clusters"]["one"]["hosts"].update(ours)
    else:
        pgha["clusters"]["one"]["vip"] = {"address": "192.0.2.40/24", "name": ours}
    found = [fault for fault in faults(pgha) if "knows its servers" in fault]
    assert bool(found) is (domain == "dc.consul"), found
    pgha["datacenters"]["dc"]["consul"] = {"domain": "example"}
    found = [fault for fault in faults(pgha) if "knows its servers" in fault]
    assert bool(found) is (domain == "dc.example"), found


def test_names_for_certificates_and_clusters_that_do_not_meet_have_no_fault(faults):
    pgha = changed("tls", {"names": ["db.example.org", "*.example.org", "192.0.2.99", "fe80::1", "server"]})
    pgha["clusters"]["one-more"] = OTHER
    # Another Consul: nothing of it is shared.
    pgha["datacenters"]["dc2"] = {"servers": {f"b{number}": f"192.0.2.6{number}" for number in (1, 2, 3)}}
    pgha["clusters"]["one"]["datacenter"] = "dc"
    pgha["clusters"]["one-more"] = {**OTHER, "datacenter": "dc"}
    pgha["clusters"]["ONE"] = {
        "datacenter": "dc2", "vip": "192.0.2.70/24", "hosts": {"c1": "192.0.2.71", "c2": "192.0.2.72"},
    }  # fmt: skip
    found = [fault for fault in faults(pgha) if "ONE-db-cl" not in fault and "one-db-cl" not in fault]
    assert found == []


def test_all_faults_are_named_at_once(faults):
    pgha = changed("clusters:one:vip", "10.0.0.1/24")
    pgha["clusters"]["one"]["patroni"] = {"ttl": 5}
    pgha["datacenters"]["dc"]["servers"].pop("dcs2")
    pgha["colour"] = "blue"
    found = "\n".join(faults(pgha))
    for said in ("outside the subnet", "less than loop_wait", "allow_weak_quorum", "pgha:colour: unknown"):
        assert said in found


@pytest.mark.parametrize(
    "pgha", [None, {}, [], "text", {"clusters": [1]}, {"datacenters": {"dc": 3}, "clusters": {"a": None}}]
)
def test_nonsense_is_a_fault_and_no_crash(faults, pgha):
    assert faults(pgha)


@pytest.fixture
def module(loader_module):
    def build(pgha, minion_id="salt_master"):
        return loader_module(
            "_modules/pgha.py",
            salt={"cp.cache_file": lambda _path: str(ROOT / "salt/pgha/defaults.yaml")},
            opts={"id": minion_id},
            pillar={"pgha": pgha},
        )

    return build


def test_the_plan_lists_every_host_once(module):
    plan = module(PGHA).plan()
    assert plan["hosts"] == ["dcs1", "dcs2", "dcs3.example.org", "db1", "db2"]
    assert plan["clusters"] == {"one": ["db1", "db2"]}


def test_the_plan_refuses_a_pillar_that_cannot_work(module):
    with pytest.raises(CommandExecutionError, match=r"nothing was touched:\n  - .*\n  - "):
        module({"clusters": {}, "datacenters": {}}).plan()


def test_a_host_outside_the_inventory_is_told_so(module):
    with pytest.raises(CommandExecutionError, match="db9 is neither among"):
        module(PGHA, "db9").settings()
