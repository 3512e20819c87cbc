"""What may not be passed through names the setting that does it; everything else may be passed through."""

import copy

import pytest
import shipped

DEFAULTS = shipped.defaults()
PGHA = {
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3": "192.0.2.3"}}},
    "clusters": {"one": {"vip": {"address": "192.0.2.40/24"}, "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}}},
}


@pytest.fixture
def faults(loader_module):
    validate = loader_module("_utils/pghalib/pillar/validate.py")

    def of(path, value, **sections):
        pgha = copy.deepcopy({**PGHA, **sections})
        holder = pgha
        *keys, last = path.split(":")
        for key in keys:
            holder = holder.setdefault(key, {})
        holder[last] = value
        return validate.faults(pgha, DEFAULTS)

    return of


@pytest.mark.parametrize("place", ["", "datacenters:dc:", "clusters:one:"])
@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("port", 5433, "set postgres:port"),
        ("PORT", None, "set postgres:port"),
        ("listen_addresses", "*", "set postgres:client_networks"),
        ("cluster_name", "x", "under pgha:clusters"),
        ("data_directory", "/x", "set postgres:data_dir"),
        ("hba_file", "/x", "set postgres:pg_hba"),
        ("unix_socket_directories", "/x", "set postgres:socket_dir"),
        ("lc_messages", "C", "set postgres:lc_messages"),
        ("synchronous_standby_names", "*", "set patroni:synchronous_mode"),
        ("primary_conninfo", "host=x", "Patroni decides"),
        ("ssl_cert_file", "/x", "set pgha:tls"),
        ("hot_standby", False, "always on"),
        ("max_connections", 24, "24 is less than 25, and Patroni would take a value of its own"),
        ("max_wal_senders", "0", "is less than 3"),
        ("wal_keep_size", 0, "0 is less than 16MB"),
        ("wal_keep_size", "16383kB", "is less than 16MB"),
        ("Work_Mem", "4MB", "write work_mem"),
        ("work mem", "4MB", "no name of a parameter"),
        ("log_line_prefix", "a\nb", "one line"),
        ("work_mem", ["4MB"], "should be text, a number"),
    ],
)
def test_a_parameter_that_is_set_by_other_means_names_them(faults, place, name, value, remedy):
    (fault,) = faults(f"{place}postgres:parameters", {name: value})
    assert fault.startswith(f"pgha:{place}postgres:parameters:")
    assert remedy in fault


def test_a_parameter_that_is_written_twice_is_refused(faults):
    found = faults("clusters:one:postgres:parameters", {"TimeZone": "UTC"}, postgres={"parameters": {"timezone": "x"}})
    assert len(found) == 1
    assert "write it once" in found[0]


def test_other_parameters_arrive_as_they_are(faults):
    given = {
        "work_mem": "4MB", "DateStyle": "iso, dmy", "pg_stat_statements.track": "all",
        "restore_command": "cp '%f' \\%p", "log_line_prefix": "%m {{ x }} ", "hot_standby": True, "jit": None,
        "max_connections": 25, "max_worker_processes": None, "wal_keep_size": "16384kB",
        "max_locks_per_transaction": "x", "application_name": "", "seq_page_cost": 0.5,
    }  # fmt: skip
    assert faults("postgres:parameters", given) == []
    own = {"ssl": "on", "ssl_cert_file": "/etc/ssl/own.pem"}
    assert faults("postgres:parameters", own, tls=False) == []


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        ("patroni:config:postgresql:authentication:replication:password", "x", "the master makes"),
        ("patroni:config:postgresql:authentication", {"superuser": {"username": "me"}}, "the master makes"),
        ("patroni:config:restapi:authentication", {"username": "x", "password": "y"}, "the master makes"),
        ("patroni:config:consul:token", "x", "the master makes"),
        ("patroni:config:watchdog:mode", "required", "set patroni:watchdog"),
        ("patroni:config:scope", "x", "under pgha:clusters"),
        ("patroni:config:namespace", "/x/", "set patroni:namespace"),
        ("patroni:config:name", "x", "set the name of the host"),
        ("patroni:config:postgresql:data_dir", "/x", "set postgres:data_dir"),
        ("patroni:config:postgresql:listen", "*:1", "set postgres:port"),
        ("patroni:config:postgresql:pg_hba", [], "set postgres:pg_hba"),
        ("patroni:config:postgresql:parameters:max_connections", 5, "set it in postgres:parameters"),
        ("patroni:config:postgresql:parameters:port", 5, "set postgres:port"),
        ("patroni:config:bootstrap:dcs:postgresql:parameters:port", 5, "set postgres:port"),
        ("patroni:config:bootstrap:dcs:postgresql:pg_hba", [], "set postgres:pg_hba"),
        ("patroni:config:bootstrap:dcs:ttl", 5, "set patroni:ttl"),
        ("patroni:config:loop_wait", 5, "set patroni:loop_wait"),
        ("patroni:config:restapi:listen", "0.0.0.0:1", "set patroni:restapi_port"),
        ("patroni:config:etcd3", {"host": "x"}, "kept in Consul"),
        ("patroni:config:postgresql", None, "must be a mapping"),
        ("patroni:config:bootstrap", ["x"], "must be a mapping"),
        ("consul:config:acl", {"tokens": {"agent": "x"}}, "the master makes"),
        ("consul:config:acl:tokens", None, "must be a mapping"),
        ("consul:config:encrypt", "x", "the master makes"),
        ("consul:config:acl:default_policy", "allow", "needs a token"),
        ("consul:config:node_name", "x", "set the name of the host"),
        ("consul:config:datacenter", "x", "under pgha:datacenters"),
        ("consul:config:data_dir", "/x", "set consul:data_dir"),
        ("consul:config:server", True, "name the servers"),
        ("consul:config:bootstrap_expect", 1, "name the servers"),
        ("consul:config:ports:serf_lan", -1, "from 1 to 65535"),
        ("consul:config:tls", {}, "set pgha:tls"),
        # Of the agents of one cluster.
        ("clusters:one:consul:config:node_name", "x", "set the name of the host"),
        ("clusters:one:consul:config:encrypt", "x", "the master makes"),
        ("vip:config:ip", "192.0.2.1", "pgha:clusters:NAME:vip"),
        ("vip:config:consul-token", None, "the master makes"),
    ],
)
def test_what_is_the_formulas_is_refused_with_the_way_that_leads_there(faults, path, value, remedy):
    found = faults(path, value)
    assert any(fault.startswith(f"pgha:{path}") and remedy in fault for fault in found), found
    assert "\n" not in "".join(found)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("version", "1.21.0", "pgha:consul:hashes: no SHA-256 of consul 1.21.0"),
        ("config:ports:serf_lan", 5432, "pgha:clusters:one: Consul (consul:config:ports:serf_lan) and PostgreSQL"),
    ],
)
def test_what_a_cluster_says_of_its_agents_is_checked_as_well(faults, path, value, fault):
    (found,) = faults(f"clusters:one:consul:{path}", value)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("patroni:config:watchdog:safety_margin", 3),
        ("patroni:config:postgresql", {"parameters": {"jit": "on"}, "basebackup": ["no-verify"], "callbacks": {}}),
        ("patroni:config:postgresql:authentication:superuser:sslmode", "require"),
        (
            "patroni:config:bootstrap:dcs",
            {"standby_cluster": {"host": "x"}, "postgresql": {"parameters": {"jit": None}}},
        ),
        ("patroni:config:restapi", {"listen": "0.0.0.0:8008", "certfile": "/x", "cafile": "/y", "allowlist": ["a"]}),
        ("consul:config", {"acl": {"tokens": {"dns": "x", "default": "y"}}, "ports": {"dns": 53}, "retry_join": ["a"]}),
        ("consul:config", {"leave_on_terminate": True, "limits": {"rpc_rate": 10}, "client_addr": "127.1.2.3"}),
        ("vip:config", {"verbose": True, "retry-num": None, "interval": 100}),
        ("vip:config", {"verbose": None, "retry-after": 0, "manager-type": "hetzner", "of-a-newer-one": ["x"]}),
    ],
)
def test_everything_else_may_be_passed_through(faults, path, value):
    assert faults(path, value) == []


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("interval", "fast", "'fast' should be a whole number from 1 on"),
        ("interval", "1000", "should be a whole number from 1 on"),
        ("interval", 0, "0 should be a whole number from 1 on"),
        ("retry-num", 2.5, "2.5 should be a whole number from 1 on"),
        ("retry-num", 2**63, "should be a whole number from 1 on"),
        ("retry-after", True, "True should be a whole number from 0 on"),
        ("retry-after", -1, "-1 should be a whole number from 0 on"),
        ("verbose", "yes", "'yes' should be true or false"),
        ("manager-type", ["basic"], "should be text"),
        ("etcd-password", 123, "should be text"),
    ],
)
def test_what_vip_manager_would_not_start_with_is_refused(faults, key, value, remedy):
    (fault,) = faults("clusters:one:vip:config", {key: value})
    assert fault.startswith(f"pgha:clusters:one:vip:config:{key}: ")
    assert remedy in fault


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("iface", "interface, which is the formula's: set vip:interface"),
        ("Interface", "interface, which is the formula's: set vip:interface"),
        ("hosting_type", "manager-type: write that"),
        ("retry_num", "retry-num: write that"),
        ("Interval", "interval: write that"),
    ],
)
def test_another_name_of_a_key_of_vip_manager_is_refused(faults, key, said):
    """With two names of one key, and two values, it does not start."""
    (fault,) = faults("clusters:one:vip:config", {key: 1})
    assert fault == f"pgha:clusters:one:vip:config:{key}: is another name of {said}"


def test_a_password_of_a_wrong_type_is_not_shown(faults):
    assert faults("vip:config:etcd-password", 12345678) == [
        "pgha:vip:config:etcd-password: should be text; put it in quotes"
    ]


def test_some_of_it_depends_on_other_settings(faults):
    assert faults("consul:config:verify_incoming", True, tls=False) == []
    for given in ({"callbacks": {"on_start": "/x"}}, {"before_stop": "/x"}):
        assert faults("patroni:config:postgresql", given) == []
        (fault,) = faults("patroni:config:postgresql", given, vip={"manager": "callback"})
        assert "vip:manager is callback" in fault
    assert len(faults("patroni:config:restapi:certfile", "/x", tls=True)) == 1
