"""The ports that the services of a host open, and a pillar that gives two of them the same."""

import copy

import pytest
import shipped

DEFAULTS = shipped.defaults()
SECRETS = {"gossip_key": "x", "agent": {"secret": "x"}}
PGHA = {
    "consul": {"hashes": {"1.22.3": "0" * 64}},
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "datacenters": {"dc": {"servers": {f"dcs{n}": f"192.0.2.{n}" for n in (1, 2, 3)}}},
    "clusters": {"one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}}},
}


@pytest.fixture
def faults(loader_module):
    validate = loader_module("_utils/pghalib/pillar/validate.py")
    return lambda **over: validate.faults({**copy.deepcopy(PGHA), **over}, DEFAULTS)


@pytest.fixture
def ports(loader_module):
    return loader_module("_utils/pghalib/pillar/ports.py")


def opened(ports, server=False, encrypted=False, **over):
    consul = {**DEFAULTS["consul"], **over}
    return {(one["name"], one["port"], one["protocol"]) for one in ports.of_consul(consul, server, encrypted)}


def test_an_agent_opens_what_its_configuration_leaves_open(ports):
    agent = {("dns", 8600, "tcp"), ("dns", 8600, "udp"), ("http", 8500, "tcp")}
    agent |= {("serf_lan", 8301, "tcp"), ("serf_lan", 8301, "udp")}
    assert opened(ports) == agent
    assert opened(ports, server=True) == agent | {("server", 8300, "tcp")}
    assert opened(ports, encrypted=True) == agent - {("http", 8500, "tcp")} | {("https", 8501, "tcp")}
    odd = {"ports": {"dns": -1, "grpc": 8502, "serf_wan": 8302, "serf_lan": "x", "nothing": 7}}
    assert opened(ports, config=odd) == {("grpc", 8502, "tcp"), ("http", 8500, "tcp")}


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("role", ["dcs", "db"])
def test_the_ports_are_those_of_the_configuration(ports, loader_module, role, encrypted):
    inventory = loader_module("_utils/pghalib/inventory.py")
    settings = inventory.settings({**PGHA, "tls": encrypted}, DEFAULTS, "dcs1" if role == "dcs" else "db1")
    configured = loader_module("_utils/pghalib/consul/config.py").config(settings, SECRETS).get("ports", {})
    found = {name: port for name, port, _ in opened(ports, role == "dcs", encrypted)}
    for name, port in configured.items():
        assert found.get(name, -1) == port, name


def test_other_ports_than_the_usual_are_no_fault(faults):
    assert faults(postgres={"port": 6432}, consul={**PGHA["consul"], "config": {"ports": {"dns": 53, "grpc": 9}}}) == []


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (
            {"postgres": {"port": 8008}},
            "pgha:clusters:one: PostgreSQL (postgres:port) and Patroni's REST API (patroni:restapi_port) have the same"
            " port 8008; give each its own",
        ),
        (
            {"postgres": {"port": 8600}},
            "pgha:clusters:one: Consul (consul:config:ports:dns) and PostgreSQL (postgres:port) have the same port"
            " 8600; give each its own",
        ),
        ({"postgres": {"port": 8501}}, "consul:config:ports:https) and PostgreSQL (postgres:port)"),
        ({"postgres": {"port": 8500}, "tls": False}, "consul:config:ports:http) and PostgreSQL (postgres:port)"),
        ({"patroni": {"restapi_port": 8301}}, "serf_lan) and Patroni's REST API (patroni:restapi_port)"),
        (
            {"consul": {**PGHA["consul"], "config": {"ports": {"dns": 8300}}}},
            "pgha:datacenters:dc: Consul (consul:config:ports:dns) and Consul (consul:config:ports:server) have",
        ),
    ],
)
def test_two_services_with_one_port_are_a_fault_of_the_pillar(faults, over, said):
    found = faults(**over)
    assert any(said in fault for fault in found), found
    assert len(found) == 1


@pytest.mark.parametrize("ports", [7, [1], {"dns": [8300], "http": {}, "serf_lan": True, "server": None}])
def test_nonsense_is_no_crash(faults, ports):
    faults(consul={**PGHA["consul"], "config": {"ports": ports, "addresses": 7}}, postgres={"port": [1]})
    faults(consul={"config": [1]}, patroni={"restapi_port": None}, clusters={"one": 7, "two": {"datacenter": "x"}})
