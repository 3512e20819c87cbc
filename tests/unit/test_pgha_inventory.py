"""The inventory: what a host is told, and every fault of a pillar named at once."""

import copy
from pathlib import Path

import pghalib.inventory
import pytest
import shipped
import yaml
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = shipped.defaults()
PGHA = {
    "consul": {"hashes": {"1.22.3": "0" * 64}},
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3.example.org": "192.0.2.3"}}},
    "clusters": {"one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}}},
}


OTHER = {"vip": "192.0.2.50/24", "hosts": {"db8": "192.0.2.18", "db9": "192.0.2.19"}}


@pytest.fixture
def inventory(loader_module):
    return loader_module("_utils/pghalib/inventory.py")


@pytest.fixture
def faults(loader_module):
    validate = loader_module("_utils/pghalib/pillar/validate.py")
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


@pytest.mark.parametrize(("without", "first"), [([], "dcs1"), ("dcs1", "dcs2"), (["dcs2", "dcs1"], "dcs3")])
def test_the_first_server_that_the_run_does_not_leave_out_registers(inventory, without, first):
    host = inventory.settings({**PGHA, "without": without}, DEFAULTS, "db1")
    assert host["datacenter"]["registrar"]["name"] == first


def test_the_most_specific_setting_wins_and_mappings_are_merged(inventory):
    pgha = changed("clusters:one:postgres", {"distribution": "debian", "version": 15, "parameters": {"jit": "off"}})
    pgha["postgres"] = {"port": 5433, "parameters": {"jit": "on", "work_mem": "4MB"}}
    postgres = inventory.settings(pgha, DEFAULTS, "db1")["postgres"]
    assert postgres["bin_dir"] == "/usr/lib/postgresql/15/bin"
    assert postgres["packages"] == ["postgresql-15"]
    assert (postgres["port"], postgres["parameters"]) == (5433, {"jit": "off", "work_mem": "4MB"})


def test_in_every_profile_a_replica_is_told_when_the_key_of_the_leader_is_free(inventory):
    # Patroni waits for the key only with a second or more to its next loop, and a loop takes a part of its second.
    for profile in DEFAULTS["profiles"]:
        pgha = changed("clusters:one:patroni", {"rto": profile})
        assert inventory.settings(pgha, DEFAULTS, "db1")["patroni"]["loop_wait"] > 1, profile


def test_a_profile_changes_the_times_of_its_cluster_alone_and_every_setting_of_the_pillar_wins(inventory):
    pgha = changed("clusters:one:patroni", {"rto": "fast", "loop_wait": 6})
    pgha["postgres"] = {"parameters": {"wal_sender_timeout": "9s", "tcp_keepalives_idle": None}}
    pgha["clusters"]["two"] = OTHER
    host = inventory.settings(pgha, DEFAULTS, "db1")
    fast, patroni, parameters = DEFAULTS["profiles"]["fast"], host["patroni"], host["postgres"]["parameters"]
    assert (patroni["ttl"], patroni["loop_wait"], patroni["serf_health"]) == (fast["patroni"]["ttl"], 6, True)
    assert host["vip"]["interval"] == fast["vip"]["interval"]
    changed_ones = {"wal_sender_timeout": "9s", "tcp_keepalives_idle": None}
    assert parameters == {**fast["postgres"]["parameters"], **changed_ones}
    other = inventory.settings(pgha, DEFAULTS, "db8")
    assert (other["patroni"], other["vip"]["interval"]) == (DEFAULTS["patroni"], DEFAULTS["vip"]["interval"])
    assert other["postgres"]["parameters"] == changed_ones


@pytest.mark.parametrize("rto", DEFAULTS["profiles"])
def test_every_profile_is_sound(faults, rto):
    assert faults(changed("patroni", {"rto": rto})) == []


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
        ("datacenters:dc:servers:dcs1", "2001:db8::1", "'2001:db8::1' is an address of IPv6; give the IPv4 address of"),
        ("clusters:one:hosts:db1", {"address": "fe80::1%eth0"}, "hosts:db1: 'fe80::1%eth0' is an address of IPv6"),
        ("clusters:one:hosts:db1", "192.0.2.11/24", "hosts:db1: '192.0.2.11/24' is no IPv4 address"),
        ("clusters:one:hosts:db1", 3221225995, "hosts:db1: 3221225995 is no IPv4 address"),
        ("datacenters:dc:servers:dcs1", "192.0.2.11", "the address 192.0.2.11 stands in"),
        ("datacenters:dc:servers:db1", "192.0.2.9", "the minion id db1 stands in"),
        ("datacenters:DC2", {"servers": {"a1": "192.0.2.4"}}, "lower case letters"),
        ("clusters:one:vip", "192.0.3.40/24", "outside the subnet of db1"),
        ("clusters:one:vip", "192.0.2.12/24", "the address 192.0.2.12 stands in"),
        ("clusters:one:vip", "192.0.2.255/24", "broadcast"),
        ("clusters:one:vip", "192.0.2.40", "ADDRESS/PREFIX"),
        ("clusters:one:vip", "2001:db8::40/64", "'2001:db8::40/64' is an address of IPv6; give a virtual IP of IPv4"),
        ("clusters:one:vip", {"address": "2001:db8::40"}, "vip: '2001:db8::40' is an address of IPv6; give a virtual"),
        ("clusters:one:vip", None, "is no virtual IP"),
        ("clusters:one:datacenter", "dc1", "there is no datacenter 'dc1'; did you mean dc?"),
        ("clusters:one:patroni", {"ttl": 25}, "less than loop_wait + 2 * retry_timeout (10 + 2 * 10); give 30"),
        ("clusters:one:patroni", {"ttl": 15, "loop_wait": 5, "retry_timeout": 5}, "too low"),
        ("clusters:one:patroni", {"tttl": 30}, "patroni:tttl: unknown setting; did you mean ttl?"),
        ("clusters:one:patroni", {"synchronous_mode": "sometimes"}, "none of off, on, quorum"),
        ("clusters:one:patroni", {"synchronous_mode": True, "synchronous_node_count": 2}, "cannot be had from 2 hosts"),
        ("clusters:one:postgres", {"distribution": "oracle"}, "is none of debian, postgrespro-1c"),
        ("clusters:one:postgres", {"client_networks": ["10.0.0.0/33"]}, "client_networks"),
        ("clusters:one:postgres", {"client_networks": ["2001:db8::/32"]}, "listens on IPv4 alone"),
        ("clusters:one:postgres", {"superuser_networks": ["10.0.0.5"]}, "'10.0.0.5' has no length"),
        ("clusters:one:postgres", {"superuser_networks": ["10.0.0.0/33"]}, "superuser_networks"),
        ("clusters:one:hots", {}, "did you mean hosts?"),
        ("clusters:ONE", OTHER, "pgha:clusters:one: pgha:clusters:ONE has the same service 'one'"),
        ("clusters:leader", {**OTHER, "patroni": {"namespace": "/db/one/"}}, "lie within each other"),
        ("clusters:two\n", OTHER, "the name of a cluster"),
        ("clusters:on", OTHER, "pgha:clusters:on: YAML makes no text of the word 'on', so no command could name it"),
        ("clusters:null", OTHER, "pgha:clusters:null: YAML makes no text"),
        ("clusters:007", OTHER, "pgha:clusters:007: YAML makes no text"),
        ("clusters:1_000", OTHER, "pgha:clusters:1_000: YAML makes no text"),
        ("clusters:2024-13-45", OTHER, "pgha:clusters:2024-13-45: YAML makes no text"),
        ("clusters:None", OTHER, "pgha:clusters:None: YAML makes no text"),
        ("datacenters:yes", {"servers": {"a1": "192.0.2.4"}}, "pgha:datacenters:yes: YAML makes no text"),
        ("backup:repositories:off", {"type": "posix", "path": "/srv/b"}, "repositories:off: YAML makes no text"),
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
        ("new_data", ["tow-db1"], "new_data: there is no database host 'tow-db1'"),
        ("new_data", {"one": 1}, "new_data: {'one': 1} should be text"),
        ("only", "tow", "there is no cluster 'tow'"),
        ("clusters:one:postgres", {"data_dir": "/pg data/one"}, "one:postgres:data_dir: must be an absolute path of"),
        ("postgres:data_dir", "pgdata", "pgha:postgres:data_dir: must be an absolute path of"),
        ("postgres:data_dir", "/a\n", "not '/a\\n'"),
        ("postgres:bin_dir", '/opt/"x"', "postgres:bin_dir: must be"),
        ("postgres:socket_dir", "/run/$(id)", "postgres:socket_dir: must be"),
        ("postgres:user", "postgres ALL=(ALL) NOPASSWD: ALL\n#", "postgres:user: must be a name of"),
        ("postgres:user", "pg", "pgha:postgres:user: 'pg' cannot come in: PostgreSQL takes its superuser postgres"),
        ("clusters:one:postgres", {"user": "pg"}, "pgha:clusters:one:postgres:user: 'pg' cannot come in"),
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


def test_a_caller_that_changes_the_settings_changes_them_for_itself(module):
    loaded = module(PGHA, "db1")
    loaded.settings()["patroni"]["ttl"] = 999
    loaded.defaults()["patroni"]["ttl"] = 999
    assert (loaded.settings()["patroni"]["ttl"], loaded.defaults()["patroni"]["ttl"]) == (30, 30)


def test_a_pillar_that_is_missing_is_asked_for_by_the_id(module, faults):
    with pytest.raises(CommandExecutionError, match="there is no such pillar for the id 'mymaster_master'"):
        module(None, "mymaster_master").plan()
    assert "for the master's own id;" in faults({})[0]


@pytest.mark.parametrize("place", ["socket_dir", "data_dir", "bin_dir"])
def test_a_path_is_written_in_one_way(inventory, faults, place):
    pgha = changed("postgres", {place: "//var/run//postgresql/"})
    assert faults(pgha) == []
    assert inventory.settings(pgha, DEFAULTS, "db1")["postgres"][place] == "/run/postgresql"


@pytest.mark.parametrize("value", ["/", "/a/../b", "/a/./b", "relative", "/var/runny{x}", f"/run/{'x' * 90}", 5])
def test_a_path_that_is_none_is_refused(faults, value):
    assert any(
        fault.startswith("pgha:postgres:socket_dir: ") for fault in faults(changed("postgres:socket_dir", value))
    )


def test_a_path_that_only_begins_like_another_is_left_alone(inventory):
    pgha = changed("postgres:socket_dir", "/var/running/x")
    assert inventory.settings(pgha, DEFAULTS, "db1")["postgres"]["socket_dir"] == "/var/running/x"


def test_a_list_that_is_null_is_empty(inventory, faults):
    pgha = {**PGHA, "postgres": {"pg_hba": None}, "tls": {"names": None}}
    assert faults(pgha) == []
    host = inventory.settings(pgha, DEFAULTS, "db1")
    assert (host["postgres"]["pg_hba"], host["tls"]["names"]) == ([], [])


@pytest.mark.parametrize("entry", [{"Test-DB3": "192.0.2.13"}, {"x": {"address": "192.0.2.13", "name": "Test-DB3"}}])
def test_capitals_in_the_name_of_a_host_are_refused_where_consul_refuses_them(faults, entry):
    pgha = copy.deepcopy(PGHA)
    pgha["clusters"]["one"]["hosts"].update(entry)
    (found,) = faults(pgha)
    assert found.startswith(f"pgha:clusters:one:hosts:{next(iter(entry))}: ")
    assert "name: test-db3" in found
    # Before node identities the name of a living host is not to be changed.
    pgha["consul"] = {"version": "1.8.0", "hashes": {"1.8.0": "0" * 64}}
    assert faults(pgha) == []
    pgha = changed("datacenters:dc:servers:DCS1.example.org", "192.0.2.9")
    pgha["datacenters"]["dc"]["servers"].pop("dcs1")
    assert "name: dcs1" in faults(pgha)[0]


@pytest.mark.parametrize("enabled", [True, False, None])
def test_a_datacenter_that_is_no_name_in_dns_is_refused_for_certificates(faults, enabled):
    pgha = copy.deepcopy(PGHA)
    pgha["datacenters"]["my_dc-"] = pgha["datacenters"].pop("dc")
    pgha["tls"] = {"enabled": enabled}
    assert bool(faults(pgha)) is (enabled is True)


@pytest.mark.parametrize("namespace", ["/../", "/d b/", "db%2f", "a//b", "/a/./b", "", "dбв"])
def test_a_namespace_is_a_plain_path(faults, namespace):
    assert any("pgha:patroni:namespace: must " in one for one in faults(changed("patroni:namespace", namespace)))


@pytest.mark.parametrize("namespace", ["/", "db", "/db", "/db/", "/service/prod.1/x_y-z/"])
def test_a_namespace_that_is_one_has_no_fault(faults, namespace):
    assert faults(changed("patroni:namespace", namespace)) == []


def test_the_name_of_a_cluster_has_no_more_letters_than_that_of_its_service(faults):
    for length in (63, 64):
        pgha = copy.deepcopy(PGHA)
        pgha["clusters"]["c" * length] = pgha["clusters"].pop("one")
        assert any("63 at most" in fault for fault in faults(pgha)) is (length > 63)


def test_a_fault_of_the_whole_pillar_is_named_once_and_where_it_stands(faults):
    pgha = changed("clusters:more", OTHER)
    pgha["patroni"] = {"ttl": 25}
    assert [fault.partition(": ")[0] for fault in faults(pgha)] == ["pgha:patroni:ttl"]
    pgha["patroni"] = {"retry_timeout": 20}
    assert [fault.partition(": ")[0] for fault in faults(pgha)] == ["pgha:patroni:retry_timeout"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tls:days", "a year"), ("patroni:synchronous_node_count", "two"), ("consul:hashes", "x"),
        ("postgres:distribution", [1]), ("patroni:synchronous_mode", [1]), ("distributions", 3), ("only", {"a": 1}),
        ("consul:log_level", 3), ("tls:ca", ["x"]), ("tls:authority_days", 10**9), ("patroni:config", {1: "x"}),
        ("consul:version", 1.1), ("postgres:packages", ["name=1"]), ("distributions:own", {"packages": ["x"], "no": 1}),
        ("patroni:index_url", "two\nlines"), ("vip:version", "four"), ("clusters:one:datacenter", ["dc"]),
        ("postgres:repo", {"name": "deb"}), ("preflight:port_timeout", float("inf")),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_kind_is_a_fault_at_its_place(faults, path, value):
    found = faults(changed(path, value))
    assert any(fault.startswith(f"pgha:{path}") for fault in found), found


def test_a_datacenter_that_has_no_cluster_yet_is_worked_on_unless_others_are_named():
    pgha = {
        "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1"}}, "new": {"servers": {"dcs9": "192.0.2.9"}}},
        "clusters": {"one": {"datacenter": "dc", "hosts": {"db1": "192.0.2.11"}}},
    }
    plan = pghalib.inventory.plan(pgha)
    assert (plan["datacenters"], plan["hosts"]) == ({"dc": ["dcs1"], "new": ["dcs9"]}, ["dcs1", "dcs9", "db1"])
    assert pghalib.inventory.plan({**pgha, "only": "one"})["datacenters"] == {"dc": ["dcs1"]}
