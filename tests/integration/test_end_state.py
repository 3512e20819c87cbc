"""What each host is, after the main job: every step of the by-hand procedure, looked at on the real hosts."""

import json

import pytest
from integration import formula


def shell(host, script, check=True):
    return host.run(["bash", "-lc", script], check=check).stdout.strip()


def test_names_are_in_etc_hosts_and_other_lines_are_untouched(cluster):
    for host in cluster.hosts:
        lines = host.read("/etc/hosts").splitlines()
        assert any(line.startswith("127.0.0.1") and "localhost" in line for line in lines)
        for other in cluster.hosts:
            assert shell(host, f"getent ahostsv4 {other.name}").split()[0] == other.address
        assert shell(host, "getent ahostsv4 test-db-cl").split()[0] == cluster.vip


def test_consul_is_private_and_denies_by_default(cluster):
    for host in cluster.hosts:
        assert "v1.8.7" in shell(host, "consul version")
        assert shell(host, "stat -c %a:%U:%G /etc/consul.d/config.json") == "640:root:consul"
        config = json.loads(host.read("/etc/consul.d/config.json"))
        assert config["acl"]["default_policy"] == "deny"
        assert (config["leave_on_terminate"], config["skip_leave_on_interrupt"]) == (False, True)
        code = "import urllib.request as u\ntry:\n print(u.urlopen('http://127.0.0.1:8500/v1/agent/self').status)\n"
        code += "except u.HTTPError as e: print(e.code)"
        assert host.run(["python3", "-c", code]).stdout.strip() == "403"
        assert not shell(host, "ls /etc/consul.d | grep acl-bootstrap", check=False)


def test_consul_has_three_voters_and_a_leader_and_six_living_members(cluster):
    voters = cluster.voters()
    assert sorted(voters) == [host.name for host in cluster.dcs]
    assert list(voters.values()).count("leader") == 1
    members = [line.split() for line in cluster.consul("members").splitlines()[1:]]
    assert sorted(row[0] for row in members) == sorted(host.name for host in cluster.hosts)
    assert {row[2] for row in members} == {"alive"}


def test_the_user_interface_answers_on_loopback_of_a_server(cluster):
    page = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8500/ui/').status)"
    assert shell(cluster.dcs[0], f'python3 -c "{page}"') == "200"


def test_tokens_may_do_no_more_than_they_must(cluster):
    tokens = formula.store(cluster.lab, "cluster-test")
    host = cluster.db[0]

    def allowed(token, resource, segment, access):
        body = json.dumps([{"Resource": resource, "Segment": segment, "Access": access}])
        script = (
            "import json,sys,urllib.request\n"
            "r=urllib.request.Request('http://127.0.0.1:8500/v1/internal/acl/authorize',data=sys.argv[2].encode(),"
            "headers={'X-Consul-Token':sys.argv[1]},method='POST')\n"
            "print(json.load(urllib.request.urlopen(r))[0]['Allow'])"
        )
        return host.run(["python3", "-c", script, tokens[token]["secret"], body]).stdout.strip() == "True"

    assert allowed("patroni", "key", "db/test/leader", "write")
    assert not allowed("patroni", "key", "db/other/leader", "write")
    assert not allowed("patroni", "node", "test-dcs1", "write")
    # This vip-manager asks Patroni: nobody needs a token for it.
    assert "vip" not in tokens


def test_only_patronis_server_runs_and_the_packages_own_is_off(cluster):
    for host in cluster.db:
        assert shell(host, "systemctl is-enabled postgrespro-1c-18", check=False) in ("disabled", "masked")
        assert shell(host, "systemctl is-active postgrespro-1c-18", check=False) != "active"
        listening = shell(host, "ss -Hltnp 'sport = :5432'")
        assert "postgres" in listening
        assert {"ru_RU.utf8", "en_US.utf8"} <= set(shell(host, "locale -a").split())


def test_patroni_is_private_pinned_and_always_restarted(cluster):
    for host in cluster.db:
        assert shell(host, "stat -c %a:%U:%G /etc/patroni /etc/patroni/patroni.yml").split() == [
            "750:root:postgres",
            "640:root:postgres",
        ]
        assert shell(host, "/opt/patroni/bin/patroni --version") == "patroni 4.1.5"
        assert "Restart=always" in host.read("/etc/systemd/system/patroni.service")
        assert cluster.name in shell(host, "su - postgres -c 'patronictl list'")
        code = "import urllib.request as u\ntry:\n u.urlopen(u.Request('http://%s:8008/restart',data=b'{}'))\n"
        code += "except u.HTTPError as e: print(e.code)"
        assert host.run(["python3", "-c", code % host.address]).stdout.strip() == "401"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("lc_messages", "en_US.UTF-8"),
        ("password_encryption", "scram-sha-256"),
        ("unix_socket_directories", "/run/postgresql"),
        ("shared_buffers", "128MB"),
        ("standard_conforming_strings", "off"),
        # From the block that the package's tuning left in its own configuration.
        ("default_toast_compression", "lz4"),
    ],
)
def test_the_server_is_set_up_as_declared(cluster, setting, value):
    for host in cluster.db:
        assert cluster.psql(host, f"SHOW {setting}") == value


def test_the_database_has_the_locale_and_strangers_are_turned_away(cluster):
    leader = cluster.leader()
    assert cluster.psql(leader, "SELECT datcollate FROM pg_database WHERE datname='postgres'") == "ru_RU.UTF-8"
    with pytest.raises(Exception, match="password authentication failed"):
        cluster.connect(password="wrong")


def test_status_is_a_table_and_its_exit_code_is_true(cluster):
    done = cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout
    for word in ("streaming", "virtual IP 198.51.100.40 on", "leader", "Everything is as it should be."):
        assert word in done.stdout


def test_astra_linux_counts_as_debian(cluster):
    done = cluster.lab.salt("salt", "test-db3", "grains.item", "os", "os_family", "--out=json", "--static")
    grains = json.loads(done.stdout[done.stdout.index("{") :])["test-db3"]
    assert "astra" in grains["os"].lower()
    assert grains["os_family"] == "Debian"
