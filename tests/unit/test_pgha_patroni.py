"""patroni.yml and the dynamic configuration, over a matrix of settings; what is compared, masked and asked."""

import itertools
import json
import os
import socket

import listeners
import pghalib.patroni.dynamic
import pghalib.patroni.member
import pghalib.postgres.settings
import pytest
import shipped
import yaml
from salt.exceptions import CommandExecutionError

SECRETS = {
    "superuser": "su:per",
    "replication": "rep'li",
    "rewind": "re:wi\\nd",
    "restapi": "api-secret",
    "patroni": {"accessor": "id", "secret": "consul-token"},
}
PILLAR = {
    "datacenters": {"dc": {"servers": {"dcs1": "198.51.100.11"}}},
    "clusters": {
        "test": {
            "vip": "198.51.100.40/24",
            "hosts": {"db1": "198.51.100.21", "db2.example.org": "198.51.100.22", "db3": "198.51.100.23"},
        }
    },
}


@pytest.fixture
def utils(loader_module):
    return loader_module("_utils/pghalib/patroni/config.py")


@pytest.fixture
def settings(loader_module):
    """A function (**sections of the cluster) -> the resolved settings of db2."""
    inventory = loader_module("_utils/pghalib/inventory.py")
    defaults = shipped.defaults()

    def build(**sections):
        vip = sections.pop("vip", PILLAR["clusters"]["test"]["vip"])
        cluster = {**PILLAR["clusters"]["test"], **sections, "vip": vip}
        return inventory.settings({**PILLAR, "clusters": {"test": cluster}}, defaults, "db2.example.org")

    return build


@pytest.fixture
def document(utils, settings):
    return lambda **sections: utils.document(settings(**sections), SECRETS, {"wal_level": "replica"}, {"jit": "off"})


def test_names_and_addresses_are_the_hosts_own(document):
    config = document()
    assert (config["scope"], config["namespace"], config["name"]) == ("test", "/db/", "db2")
    assert config["restapi"]["listen"] == config["restapi"]["connect_address"] == "198.51.100.22:8008"
    assert config["postgresql"]["connect_address"] == "198.51.100.22:5432"
    assert config["postgresql"]["listen"] == "0.0.0.0:5432"
    assert config["postgresql"]["data_dir"] == "/pgdata/test"
    consul = {
        "host": "127.0.0.1:8500",
        "consistency": "consistent",
        "register_service": True,
        "token": "consul-token",
    }
    assert config["consul"] == consul
    assert document(patroni={"serf_health": True})["consul"] == {**consul, "checks": ["serfHealth"]}
    assert config["bootstrap"]["initdb"] == [{"encoding": "UTF8"}, "data-checksums", {"locale": "ru_RU.UTF-8"}]
    assert config["postgresql"]["pgpass"] == "/run/patroni/pgpass"
    assert config["postgresql"]["parameters"] == {"unix_socket_directories": "/run/postgresql", "jit": "off"}


def test_every_member_may_lead_and_take_part_unless_its_tags_say_otherwise(document):
    tags = document()["tags"]
    assert set(tags) == {"nofailover", "noloadbalance", "clonefrom", "nosync"}
    assert not any(tags.values())
    assert document(patroni={"tags": {"nosync": True}})["tags"] == {**tags, "nosync": True}


def test_patroni_comes_through_the_socket_and_its_log_is_private_and_bounded(document):
    config = document()
    # Its own connections need no password that a stranger on the host could be asked for.
    assert config["postgresql"]["use_unix_socket"] is config["postgresql"]["use_unix_socket_repl"] is True
    log = config["log"]
    assert log["mode"] == 0o640
    assert log["file_num"] * log["file_size"] <= 100_000_000


def test_every_role_has_its_own_password(document):
    roles = document()["postgresql"]["authentication"]
    assert {role: entry["username"] for role, entry in roles.items()} == {
        "superuser": "postgres",
        "replication": "replicator",
        "rewind": "rewind",
    }
    assert all(roles[role]["password"] == SECRETS[role] for role in roles)


def test_data_is_never_removed_by_default(document):
    assert not [key for key in document()["postgresql"] if key.startswith("remove_data")]


@pytest.mark.parametrize(
    ("mode", "strict", "count", "failsafe"),
    list(itertools.product(["off", "on", "quorum", False, True], [False, True], [1, 2], [False, True])),
)
def test_dynamic_configuration_follows_the_settings(utils, settings, mode, strict, count, failsafe):
    given = {
        "ttl": 20,
        "loop_wait": 5,
        "retry_timeout": 7,
        "synchronous_mode": mode,
        "synchronous_mode_strict": strict,
        "synchronous_node_count": count,
        "failsafe_mode": failsafe,
    }
    dynamic = utils.dynamic(settings(patroni=given), {"wal_level": "replica"})
    assert (dynamic["ttl"], dynamic["loop_wait"], dynamic["retry_timeout"]) == (20, 5, 7)
    assert dynamic["synchronous_mode"] == {"off": False, "on": True}.get(mode, mode)
    assert dynamic["synchronous_mode_strict"] is strict
    assert dynamic["synchronous_node_count"] == count
    assert dynamic["failsafe_mode"] is failsafe
    assert dynamic["postgresql"]["use_pg_rewind"] is dynamic["postgresql"]["use_slots"] is True
    assert dynamic["postgresql"]["parameters"] == {"wal_level": "replica"}


@pytest.mark.parametrize("vip", ["198.51.100.40/24", None])
@pytest.mark.parametrize("networks", [["samenet"], ["192.0.2.0/24", "2001:db8::/64"], []])
def test_pg_hba_lets_in_whom_it_should(utils, settings, vip, networks):
    lines = utils.pg_hba(settings(vip=vip, postgres={"client_networks": networks, "pg_hba": ["local mine all trust"]}))
    assert lines[:2] == ["local mine all trust", "local all postgres peer"]
    replication = [line.split()[3] for line in lines if line.startswith("host replication")]
    assert replication == ["198.51.100.21/32", "198.51.100.22/32", "198.51.100.23/32"]
    rewind = [line.split()[3] for line in lines if line.startswith("host postgres rewind")]
    assert rewind == [*replication, *(["198.51.100.40/32"] if vip else [])]
    # Whoever is not a member is turned away before the clients' lines are reached.
    clients = lines.index("host all all 127.0.0.1/32 scram-sha-256")
    for role in ("replicator", "rewind", "postgres"):
        assert lines.index(f"host all {role} all reject") < clients
    assert lines[clients + 1 :] == [f"host all all {network} scram-sha-256" for network in networks]
    assert all(line.split()[-1] in ("peer", "scram-sha-256", "reject") for line in lines[1:])


@pytest.mark.parametrize(("tls", "host"), [(False, "host"), (True, "hostssl")])
def test_the_superuser_comes_through_the_network_from_where_it_is_named_alone(utils, settings, tls, host):
    asked = {
        **settings(postgres={"superuser_networks": ["198.51.100.1/32", "127.0.0.1/32"]}),
        "tls": {"enabled": tls, "clients": "off"},
    }
    lines = utils.pg_hba(asked)
    reject = lines.index("host all postgres all reject")
    before = [line for line in lines[:reject] if " postgres " in line and not line.startswith("local")]
    assert [line for line in before if line.split()[2] == "postgres"] == [
        f"{host} all postgres 198.51.100.1/32 scram-sha-256",
        f"{host} all postgres 127.0.0.1/32 scram-sha-256",
    ]
    # By default from nowhere: nothing that is no socket comes before the refusal.
    lines = utils.pg_hba(settings())
    before = lines[: lines.index("host all postgres all reject")]
    assert not [line for line in before if line.split()[2] in ("all", "postgres") and not line.startswith("local")]


@pytest.mark.parametrize(
    ("tls", "members", "clients"),
    [
        ({"enabled": False, "clients": "required"}, "host", "host"),
        ({"enabled": True, "clients": "offered"}, "hostssl", "host"),
        ({"enabled": True, "clients": "required"}, "hostssl", "hostssl"),
        ({"enabled": True, "clients": "off"}, "hostssl", "hostnossl"),
    ],
)
def test_members_are_encrypted_and_clients_as_the_pillar_says(utils, settings, tls, members, clients):
    lines = [line.split() for line in utils.pg_hba({**settings(), "tls": tls})]
    assert {line[0] for line in lines if line[1:3] == ["replication", "replicator"]} == {"local", members}
    assert [line[0] for line in lines if line[3] == "samenet"] == [clients]


def encrypted(settings, **sections):
    """The settings of db2 in a datacenter with TLS."""
    found = settings(**sections)
    return {**found, "tls": {**found["tls"], "enabled": True}}


@pytest.mark.parametrize(("version", "mode"), [(15, "verify-full"), (14, "verify-ca")])
def test_with_tls_patroni_shows_the_hosts_certificate_and_verifies_those_of_others(utils, settings, version, mode):
    ca, own = "/etc/pgha/tls/ca.pem", "/etc/pgha/tls/postgres.pem"
    asked = encrypted(settings, postgres={"version": version})
    config = utils.document(asked, SECRETS, {}, {"jit": "off"})
    rest = config["restapi"]
    assert (rest["certfile"], rest["cafile"], rest["verify_client"]) == (own, ca, "optional")
    assert rest["authentication"]["password"] == "api-secret"
    assert config["ctl"] == {"certfile": own, "cacert": ca}
    consul = config["consul"]
    assert (consul["scheme"], consul["cacert"], consul["verify"]) == ("https", ca, True)
    assert (consul["host"], consul["token"]) == (utils.pghalib.consul.client.api(asked)["address"][8:], "consul-token")
    for role in ("superuser", "replication", "rewind"):
        account = config["postgresql"]["authentication"][role]
        assert (account["sslmode"], account["sslrootcert"], account["password"]) == (mode, ca, SECRETS[role])
    parameters = config["postgresql"]["parameters"]
    assert {key: value for key, value in parameters.items() if key.startswith("ssl")} == {
        "ssl": "on",
        "ssl_ca_file": ca,
        "ssl_cert_file": own,
        "ssl_key_file": own,
    }
    assert parameters["jit"] == "off"


def test_patronis_api_reads_its_authorities_anew_when_they_have_changed(utils, settings):
    """Patroni 4.1 reads them when the certificate or the path is another one, not when the file is."""
    paths = []
    for revision in range(4):
        config = utils.document(encrypted(settings), {**SECRETS, "tls": {"revision": revision}}, {}, {})
        paths.append(config["restapi"]["cafile"])
    assert {os.path.normpath(path) for path in paths} == {"/etc/pgha/tls/ca.pem"}
    assert all(one != other for one, other in itertools.pairwise(paths))


def test_without_tls_patroni_knows_no_certificate(document):
    config = document()
    assert "ctl" not in config
    assert "/etc/pgha/tls" not in json.dumps(config)
    assert not [key for key in config["postgresql"]["parameters"] if key.startswith("ssl")]


def test_what_the_user_says_of_certificates_goes_over_the_formulas(utils, settings):
    given = {"restapi": {"verify_client": "required"}, "postgresql": {"parameters": {"ssl_ciphers": "HIGH"}}}
    config = utils.document(encrypted(settings, patroni={"config": given}), SECRETS, {}, {})
    assert (config["restapi"]["verify_client"], config["restapi"]["cafile"]) == ("required", "/etc/pgha/tls/ca.pem")
    assert config["postgresql"]["parameters"]["ssl_ciphers"] == "HIGH"
    assert config["postgresql"]["parameters"]["ssl"] == "on"


def test_the_rest_api_is_asked_as_its_certificate_wants_it(utils, settings):
    ca = "/etc/pgha/tls/ca.pem"
    plain = utils.api(settings(), "198.51.100.21")
    assert plain == {"url": "http://198.51.100.21:8008", "verify": True, "cert": None, "user": None}
    assert utils.api(encrypted(settings)) == {
        "url": "https://198.51.100.22:8008",
        "verify": ca,
        "cert": "/etc/pgha/tls/postgres.pem",
        "user": "postgres",
    }
    # A certificate of the user's own: for Patroni alone, or in the place of the formula's.
    own = {"config": {"restapi": {"certfile": "/own.pem", "cafile": "/own-ca.pem"}}}
    theirs = utils.api(settings(patroni=own), "198.51.100.21")
    assert theirs == {"url": "https://198.51.100.21:8008", "verify": "/own-ca.pem", "cert": None, "user": None}
    assert utils.api(encrypted(settings, patroni=own))["verify"] == "/own-ca.pem"
    assert utils.api(settings(patroni={"config": {"restapi": {"certfile": "/own.pem"}}}))["verify"] is True


@pytest.mark.parametrize("manager", ["vip-manager", "callback", "none"])
def test_callbacks_only_when_they_move_the_address(document, manager):
    section = document(vip={"address": "198.51.100.40/24", "manager": manager})["postgresql"]
    script = "/usr/local/sbin/pgha-vip-callback"
    moves = manager == "callback"
    actions = ("on_start", "on_stop", "on_restart", "on_role_change")
    assert section.get("callbacks") == (dict.fromkeys(actions, script) if moves else None)
    assert section.get("before_stop") == (f"{script} before_stop" if moves else None)


def test_whatever_patroni_accepts_is_merged(document):
    given = {
        "watchdog": {"safety_margin": 3},
        "postgresql": {"parameters": {"jit": "on"}, "basebackup": ["no-verify"]},
        "bootstrap": {"dcs": {"ttl": 60, "postgresql": {"parameters": {"wal_level": None}}}},
    }
    config = document(patroni={"config": given, "tags": {"nofailover": True}})
    assert config["watchdog"]["safety_margin"] == 3
    assert config["postgresql"]["parameters"]["jit"] == "on"
    assert config["postgresql"]["parameters"]["unix_socket_directories"] == "/run/postgresql"
    assert config["postgresql"]["basebackup"] == ["no-verify"]
    assert config["bootstrap"]["dcs"]["ttl"] == 60
    assert config["bootstrap"]["dcs"]["postgresql"]["parameters"] == {}
    assert config["tags"]["nofailover"] is True


@pytest.mark.parametrize(
    ("postgres", "options"),
    [
        ({}, []),
        ({"tune": False}, ["no-tune"]),
        ({"tune": False, "untuned_initdb": []}, []),
        ({"tune": False, "distribution": "debian", "version": 15}, []),
        ({"distribution": "debian", "version": 15}, []),
    ],
)
def test_initdb_tunes_nothing_where_nothing_is_to_be_tuned(document, postgres, options):
    assert document(postgres=postgres)["bootstrap"]["initdb"][3:] == options


TEXTS = [
    "%t [%p]: user=%u,db=%d ",
    "  ",
    "",
    "it's",
    '"',
    "a\\b",
    "%%",
    "# x",
    "äю🙂 ",
    "on",
    "0x10",
    "a: b",
    "x " * 150,
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_a_parameter_arrives_as_it_is_written(utils, settings, text):
    given = settings(
        postgres={"parameters": {"log_line_prefix": text}},
        patroni={"config": {"postgresql": {"parameters": {"log_line_prefix": text}}}},
    )
    shared = pghalib.postgres.settings.shared(given["postgres"])
    declared = utils.dynamic(given, shared)
    assert json.loads(json.dumps(declared))["postgresql"]["parameters"]["log_line_prefix"] == text
    read = yaml.safe_load(utils.render(utils.document(given, SECRETS, shared, {})))
    assert read["postgresql"]["parameters"]["log_line_prefix"] == text
    assert read["bootstrap"]["dcs"]["postgresql"]["parameters"]["log_line_prefix"] == text
    assert pghalib.patroni.dynamic.patch(declared, read["bootstrap"]["dcs"]) == {}
    for other in {text + " ", " " + text, text.strip()} - {text}:
        live = {
            **declared,
            "postgresql": {**declared["postgresql"], "parameters": {**shared, "log_line_prefix": other}},
        }
        assert pghalib.patroni.dynamic.patch(declared, live) == {
            "postgresql": {"parameters": {"log_line_prefix": text}}
        }


def test_yaml_is_stable_and_reads_back_as_the_same(utils, document):
    config = document()
    text = utils.render(config)
    assert yaml.safe_load(text) == config
    assert text == utils.render(document())
    assert list(yaml.safe_load(text)) == list(config)


def test_no_secret_is_seen_in_any_spelling(utils, document, settings, loader_module):
    diff = loader_module("_utils/pghalib/host/diff.py")
    secrets = utils.secret_values(SECRETS)
    for text in (utils.render(document()), utils.pgpass(settings(), SECRETS)):
        masked = diff.mask(text, secrets)
        for secret in ("su:per", "rep'li", "rep''li", "re:wi", "re\\:wi", "api-secret", "consul-token"):
            assert secret not in masked


def test_password_file_escapes_what_it_must(utils, settings):
    assert utils.pgpass(settings(), SECRETS) == "*:5432:*:rewind:re\\:wi\\\\nd\n"


def answered(status, body):
    """What ``pghalib.http.request`` returns."""
    return {"status": status, "body": body, "text": body if isinstance(body, str) else json.dumps(body)}


@pytest.fixture
def module(loader_module, settings):
    """
    A function (answer, run) -> the execution module; ``answer`` gets (method, address or path, kwargs) of every request
    to Patroni and to Consul, and returns what ``pghalib.http.request`` does.
    """

    def build(answer=None, run=None, **sections):
        names = {"pgha.settings": lambda: settings(**sections), "cmd.run_all": run}
        utils = {
            "pghalib.http.request": lambda method, url, **kwargs: answer(method, url, kwargs),
            "pghalib.consul.client.ask": lambda _settings, _secrets, method, path, **kwargs: answer(
                method, path, kwargs
            ),
        }
        return loader_module("_modules/pgha_patroni.py", salt=names, utils=utils, pillar={"pgha_secrets": SECRETS})

    return build


def consul(rights=True, prefix="db/test/", **keys):
    def answer(_method, path, kwargs):
        assert kwargs["token"] == "consul-token"
        if path == "/v1/internal/acl/authorize":
            keys_asked = {asked["Segment"] for asked in kwargs["payload"] if asked["Resource"] == "key"}
            assert keys_asked == {f"{prefix}leader"}
            return answered(200, [{**asked, "Allow": rights} for asked in kwargs["payload"]])
        key = path.removeprefix(f"/v1/kv/{prefix}")
        return answered(200, keys[key]) if key in keys else answered(404, "")

    return answer


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, {"initialize": None, "leader": None}),
        ({"initialize": ""}, {"initialize": None, "leader": None}),
        ({"initialize": "76", "leader": "db1"}, {"initialize": "76", "leader": "db1"}),
    ],
)
def test_dcs_tells_whether_the_cluster_is_founded(module, keys, found):
    assert module(consul(**keys)).dcs() == found


@pytest.mark.parametrize(("namespace", "prefix"), [("/", "test/"), ("x", "x/test/"), ("/a/b/", "a/b/test/")])
def test_keys_are_where_the_token_may_write(module, namespace, prefix):
    answer = consul(prefix=prefix, leader="db1")
    assert module(answer, patroni={"namespace": namespace}).dcs()["leader"] == "db1"


def test_token_without_rights_is_not_an_empty_cluster(module):
    with pytest.raises(CommandExecutionError, match=r"may not write key db/test/leader.*pgha\.dcs"):
        module(consul(rights=False)).dcs()


def test_unknown_token_is_not_an_empty_cluster(module):
    with pytest.raises(CommandExecutionError, match="does not know Patroni's token"):
        module(lambda *_args: answered(404, "ACL not found")).dcs()


def test_password_goes_along_only_where_it_must(module):
    seen = []

    def answer(method, url, kwargs):
        seen.append((method, url, kwargs.get("auth"), kwargs["payload"]))
        return answered(200, {"members": [], "ttl": 30})

    loaded = module(answer)
    loaded.cluster("198.51.100.21")
    loaded.dynamic_config()
    loaded.wake("198.51.100.21")
    assert seen == [
        ("GET", "http://198.51.100.21:8008/cluster", None, None),
        ("GET", "http://198.51.100.22:8008/config", None, None),
        ("PATCH", "http://198.51.100.21:8008/config", ("patroni", "api-secret"), {"pgha_wake": None}),
    ]


def test_tls_of_the_api_is_followed(module):
    def answer(_method, url, kwargs):
        assert url.startswith("https://")
        assert kwargs["verify"] == "/ca.pem"
        return answered(200, {"members": []})

    given = {"restapi": {"certfile": "/cert.pem", "cafile": "/ca.pem"}}
    assert module(answer, patroni={"config": given}).cluster() == []


def test_silent_member_is_none_and_a_silent_cluster_an_error(module):
    def answer(_method, url, _kwargs):
        raise CommandExecutionError(f"{url} does not answer")

    assert module(answer).member() is None
    with pytest.raises(CommandExecutionError, match="198.51.100.22:8008"):
        module(answer).cluster()


@pytest.mark.parametrize("body", ["", "text", [], 7, {"members": None}, {}])
def test_odd_answers_are_no_member_and_an_error(module, body):
    loaded = module(lambda *_args: answered(200, body))
    assert loaded.member() == (body if isinstance(body, dict) else None)
    with pytest.raises(CommandExecutionError, match="Patroni lists no members: 200"):
        loaded.cluster()


@pytest.mark.parametrize(
    ("address", "user"), [(None, "postgres"), ("198.51.100.22", "postgres"), ("198.51.100.21", None)]
)
def test_on_this_host_it_has_to_be_patronis_user_that_listens(utils, settings, address, user):
    assert utils.api(settings(), address)["user"] == user


@pytest.fixture
def host(loader_module, settings, free_port):
    """A function: the execution module of a host whose own address is on loopback, with the real HTTP client."""

    def build(port=free_port, **secrets):
        found = settings(patroni={"restapi_port": port}, postgres={"user": "root"}) | {"address": "127.0.0.1"}
        found["consul"].update(user="root", config={"ports": {"http": port}})
        names = {"pgha.settings": lambda: found}
        return loader_module("_modules/pgha_patroni.py", salt=names, pillar={"pgha_secrets": SECRETS})

    return build


@pytest.fixture
def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.root
def test_token_and_password_go_to_no_proxy(host, monkeypatch):
    with listeners.listening() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for function in (host().dcs, host().wake, lambda: host().wake("127.0.0.1"), lambda: host().patch_config({})):
            with pytest.raises(CommandExecutionError, match="127.0.0.1"):
                function()
        with pytest.raises(CommandExecutionError, match=r"127\.0\.0\.2:\d+/config does not answer PATCH"):
            host().wake("127.0.0.2")
        assert proxy.heard() == []


@pytest.mark.root
def test_token_and_password_do_not_go_to_another_user(host):
    with listeners.listening() as thief:
        loaded = host(thief.port)
        for function in (
            loaded.dcs,
            loaded.wake,
            lambda: loaded.post("restart", 1),
            lambda: loaded.patch_config({}),
        ):
            with pytest.raises(CommandExecutionError, match=f"nobody.*process {thief.pid}"):
                function()
        assert loaded.member() is None
        assert thief.heard() == []


def test_refused_change_says_why(module):
    with pytest.raises(CommandExecutionError, match="400 bad"):
        module(lambda *_args: answered(400, "bad")).patch_config({"ttl": 1})


def test_a_change_that_somebody_else_forestalled_is_none(module):
    assert module(lambda *_args: answered(409, "conflict")).patch_config({"ttl": 1}) is None


@pytest.mark.parametrize(("code", "error"), [(0, None), (2, "could not connect")])
def test_write_goes_to_the_virtual_ip_without_a_password_in_sight(module, code, error):
    seen = []

    def run(command, **kwargs):
        seen.append((command, kwargs["env"]))
        return {"retcode": code, "stdout": "", "stderr": "could not connect\n"}

    assert module(run=run).write_error() == error
    command, env = seen[0]
    assert env["PGHOST"] == "198.51.100.40"
    assert env["PGPASSFILE"] == "/etc/patroni/pgpass.check"
    assert not any(secret in json.dumps([command, env]) for secret in ("su:per", "rep'li", "re:wi", "api-secret"))


@pytest.mark.parametrize(("code", "found"), [(0, None), (1, "ttl must be >= 20")])
def test_validation_returns_what_patroni_says(module, code, found):
    def run(command, **_kwargs):
        assert command[6:] == ["/opt/patroni/bin/patroni", "--validate-config", "--ignore-listen-port", "/tmp/x.yml"]
        return {"retcode": code, "stdout": "ttl must be >= 20", "stderr": ""}

    assert module(run=run).validate("/tmp/x.yml") == found


def test_a_replica_fetches_from_the_repository_only_where_it_is_told_so_and_never_for_long(document):
    repositories = {"main": {"type": "posix", "path": "/srv/share"}}
    assert "recovery_conf" not in document(backup={"repositories": repositories})["postgresql"]
    assert "recovery_conf" not in document(backup={"catch_up": True})["postgresql"]
    told = document(backup={"repositories": repositories, "catch_up": True})["postgresql"]["recovery_conf"]
    command = 'timeout 10 /usr/bin/pgbackrest --stanza=test archive-get %f "%p" || exit 1'
    assert told == {"restore_command": command}


def test_a_new_replica_comes_from_the_repository_where_it_is_told_so_and_from_the_leader_otherwise(document):
    backup = {"repositories": {"main": {"type": "posix", "path": "/srv/share"}}, "catch_up": True}
    assert "create_replica_methods" not in document(backup=backup)["postgresql"]
    told = document(backup={**backup, "new_replicas": True})["postgresql"]
    assert told["create_replica_methods"] == ["pgbackrest", "basebackup"]
    command = "/usr/bin/python3 -I /usr/local/lib/pgha-backup replica"
    assert told["pgbackrest"] == {"command": command, "keep_data": True}


@pytest.mark.parametrize(
    ("role", "leads", "writes"),
    [
        ("primary", True, True),
        ("master", True, True),
        # As the list of members has it, and the leader of a cluster that follows another one.
        ("leader", True, False),
        ("standby_leader", True, False),
        ("replica", False, False),
        (None, False, False),
    ],
)
def test_who_leads_and_who_takes_writes_by_its_own_answer(role, leads, writes):
    member = {"role": role}
    assert (pghalib.patroni.member.leads(member), pghalib.patroni.member.writes(member)) == (leads, writes)
