"""
Encryption on the wire, which is the default: a deployment on hosts that are new, what is refused without it, faults
under a client that verifies whom it writes to, and a renewal that restarts nothing.
"""

import base64
import contextlib
import http.client
import json
import socket
import ssl
import struct

import pghalib.secrets.x509
import psycopg
import pytest
from integration import formula, ground
from integration.cluster import Cluster
from lab.tools import wait_for

GROUND = "encrypted"

# A pillar that says nothing of encryption: the default. (The other tests say no.)
DEFAULT = {"tls": {"enabled": None}}
# The first byte on a connection to Consul's RPC port says what follows.
RPC_PLAIN, RAFT_PLAIN, RPC_TLS = b"\x00", b"\x01", b"\x03"


@pytest.fixture(scope="module")
def deployed(lab, pillar):
    """The main job's Run on new hosts, with nothing of encryption said or prepared."""
    pillar.put(DEFAULT)
    ground.bare(lab)
    run = formula.run(lab)
    assert run.code == 0, run.text
    return run


@pytest.fixture(scope="module")
def cluster(lab, deployed, tmp_path_factory):
    """The cluster, asked with TLS alone and verified by what the master gives to clients."""
    file = tmp_path_factory.mktemp("client") / "ca.pem"
    file.write_text(formula.authorities(lab))
    cluster = Cluster(lab, authorities=str(file))
    cluster.wait_healthy()
    return cluster


def certificate(cluster, name):
    """A file with key and certificate of a host of the inventory, as only a test may have it."""
    own = formula.store(cluster.lab, "tls-test-dcs-cluster")["hosts"][name]
    file = f"{cluster.authorities}.{name}"
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(own["key"] + own["certificate"])
    return file


def context(cluster, name=None):
    """A TLS context that verifies, with the certificate of a host or without one."""
    found = ssl.create_default_context(cafile=cluster.authorities)
    if name:
        found.load_cert_chain(certificate(cluster, name))
    return found


def api(cluster, method, path, *, password=None, name=None):
    """The status that Patroni's REST API of the first host answers over HTTPS."""
    connection = http.client.HTTPSConnection(cluster.db[0].address, 8008, timeout=5, context=context(cluster, name))
    headers = {}
    if password:
        headers["Authorization"] = "Basic " + base64.b64encode(f"patroni:{password}".encode()).decode()
    with contextlib.closing(connection):
        # A key that is not there is taken away: a change that Patroni accepts, and that changes nothing.
        connection.request(method, path, body=None if method == "GET" else b'{"nothing": null}', headers=headers)
        return connection.getresponse().status


def shown(cluster, host, port, starttls=False):
    """The serial number of the certificate that a port shows, verified for the address of its host."""
    with socket.create_connection((host.address, port), timeout=5) as raw:
        if starttls:
            raw.sendall(struct.pack("!II", 8, 80877103))
            assert raw.recv(1) == b"S"
        with context(cluster).wrap_socket(raw, server_hostname=host.address) as wrapped:
            return wrapped.getpeercert()["serialNumber"]


def rpc(cluster, host, name):
    """What a TLS client is answered on Consul's RPC port; with the certificate of a host or without one."""
    with socket.create_connection((host.address, 8300), timeout=5) as raw:
        raw.sendall(RPC_TLS)
        with context(cluster, name).wrap_socket(raw, server_hostname="server.test-dcs-cluster.consul") as wrapped:
            wrapped.settimeout(2)
            # A stream of RPC, so that a server that takes us waits for a request.
            wrapped.sendall(RPC_PLAIN)
            try:
                return wrapped.recv(1)
            except TimeoutError:
                return "waits for a request"


def test_everything_runs_and_a_second_run_changes_and_restarts_nothing(cluster):
    before = cluster.services()
    formula.changes_nothing(cluster.lab)
    assert cluster.services() == before
    done = cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout
    assert "Everything is as it should be." in done.stdout


def test_consuls_api_speaks_https_on_loopback_and_nothing_else(cluster):
    for host in cluster.hosts:
        listening = host.run(["ss", "-Hltn"]).stdout.split()
        assert "127.0.0.1:8501" in listening
        assert not [word for word in listening if word.endswith(":8500")]
    script = "import urllib.request as u\ntry:\n print(u.urlopen('http://127.0.0.1:8501/v1/status/leader').status)\n"
    script += "except u.HTTPError as e: print(e.code)"
    assert cluster.dcs[0].run(["python3", "-c", script]).stdout.strip() == "400"


def test_consuls_servers_want_a_certificate_of_the_datacenter(cluster):
    server = cluster.dcs[0]
    # By raft whoever is heard is a leader, with no token at all.
    for kind in (RPC_PLAIN, RAFT_PLAIN):
        with socket.create_connection((server.address, 8300), timeout=5) as raw:
            raw.sendall(kind)
            raw.settimeout(5)
            assert raw.recv(1) == b"", f"plain {kind} was not refused"
    with pytest.raises(ssl.SSLError, match="(?i)certificate"):
        rpc(cluster, server, None)
    assert rpc(cluster, server, "test-db1") == "waits for a request"


def test_only_servers_of_consul_have_the_name_of_one(cluster):
    told = cluster.lab.salt(
        "salt", "-L", ",".join(h.name for h in cluster.hosts), "pgha_tls.certificate", "--out=json", "--static"
    )
    names = {host: about["names"] for host, about in json.loads(told.stdout[told.stdout.index("{") :]).items()}
    servers = {host for host, known in names.items() if "server.test-dcs-cluster.consul" in known}
    assert servers == {host.name for host in cluster.dcs}


def test_patronis_api_changes_nothing_without_certificate_and_password(cluster):
    password = formula.store(cluster.lab, "cluster-test")["restapi"]
    plain = Cluster(cluster.lab)
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.ask(cluster.db[0], "/cluster")
    assert api(cluster, "GET", "/cluster") == 200
    assert api(cluster, "PATCH", "/config", password=password) == 403
    assert api(cluster, "PATCH", "/config", name="test-db2") == 401
    assert api(cluster, "PATCH", "/config", name="test-db2", password=password) == 200


def test_consul_checks_patroni_over_https(cluster):
    said = cluster.consul("watch", "-type=service", "-service=test", "-passingonly=true")
    passing = {entry["Node"]["Node"] for entry in json.loads(said)}
    assert passing == {host.name for host in cluster.db}


def test_postgresql_refuses_what_is_plain_and_clients_refuse_what_they_do_not_trust(cluster, tmp_path):
    for address in (cluster.vip, *(host.address for host in cluster.db)):
        with cluster.connect(address) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            cluster.connect(address, sslmode="disable", sslrootcert="")
    other = tmp_path / "other.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=other",
        "-keyout",
        tmp_path / "key",
    ]
    cluster.lab.client([*made, "-out", other])
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        cluster.connect(sslrootcert=str(other))


def test_replicas_stream_encrypted_and_verify_their_leader(cluster):
    question = "SELECT count(*), bool_and(ssl) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)"
    assert cluster.psql(cluster.leader(), question) == "2|t"
    for replica in cluster.replicas():
        assert "sslmode=verify-full" in cluster.psql(replica, "SHOW primary_conninfo")


def test_a_member_is_copied_and_rewound_over_a_connection_that_is_verified(cluster):
    passwords = formula.store(cluster.lab, "cluster-test")
    leader, replica, copy = cluster.leader(), cluster.replicas()[0], "/var/lib/postgresql/copy"

    def programs(script, role="replication", authorities="/etc/pgha/tls/ca.pem"):
        words = ["runuser", "-u", "postgres", "--", "/usr/bin/env", f"PGPASSWORD={passwords[role]}"]
        words += ["PGSSLMODE=verify-full", f"PGSSLROOTCERT={authorities}", f"PGHOST={leader.address}"]
        path = {"PATH": "/opt/pgpro/1c-18/bin:/usr/sbin:/usr/bin:/bin"}
        return replica.run([*words, "sh", "-ec", script, copy], env=path, check=False)

    backup = 'cd /; pg_basebackup -D "$0" -U replicator -c fast'
    try:
        done = programs(backup, authorities="/etc/ssl/certs/ca-certificates.crt")
        assert "certificate verify failed" in done.stderr, done.stdout + done.stderr
        done = programs(backup)
        assert done.returncode == 0, done.stderr
        # A timeline of its own, as a former leader has one that went on by itself.
        alone = "-p 5433 -c listen_addresses= -c unix_socket_directories=/tmp -c primary_conninfo="
        done = programs(
            f'cd /; touch "$0/standby.signal"; pg_ctl -D "$0" -w -l "$0/alone.log" -o "{alone}" start;'
            'pg_ctl -D "$0" -w promote; pg_ctl -D "$0" -w -m fast stop'
        )
        assert done.returncode == 0, done.stdout + done.stderr
        source = f"host={leader.address} user=rewind dbname=postgres"
        done = programs(f'cd /; pg_rewind -D "$0" --source-server "{source}"', role="rewind")
        assert "Done!" in done.stderr, done.stdout + done.stderr
    finally:
        programs('pg_ctl -D "$0" -m immediate stop')
        replica.run(["rm", "-rf", copy])


def test_keys_are_nowhere_but_where_they_belong(cluster, deployed):
    held = formula.store(cluster.lab, "tls-test-dcs-cluster")
    keys = {(name, "consul"): own["key"].splitlines()[1] for name, own in held["hosts"].items()}
    for host in cluster.db:
        own = held["hosts"][host.name]["services"]["postgres"]
        keys[host.name, "postgres"] = own["key"].splitlines()[1]
    keys["authority", None] = held["authorities"]["current"]["key"].splitlines()[1]
    assert not [name for name, key in keys.items() if key in deployed.text]
    everywhere = ["grep", "-rlsF", "--exclude-dir=proc", "--exclude-dir=sys", "--exclude-dir=dev"]
    for host in cluster.db[0], cluster.dcs[0]:
        for (name, service), key in keys.items():
            found = host.run([*everywhere, key, "/etc", "/var", "/run", "/tmp", "/root"], check=False).stdout.split()
            wanted = [f"/etc/pgha/tls/{service}.pem"] if name == host.name else []
            assert found == wanted, f"the key of {name} ({service}) on {host.name}"
    jobs = cluster.lab.master.run(
        [*everywhere, keys["test-db1", "postgres"], "/var/cache/salt/master/jobs", "/var/log"], check=False
    )
    assert jobs.stdout == ""


def test_a_switchover(cluster, ledger, measured):
    leader = cluster.switch_over()
    cluster.wait_healthy()
    ledger.wait_for_writes()
    assert cluster.leader() is not leader
    measured("switchover, encrypted", 20)


def test_postgresql_of_the_leader_is_killed(cluster, ledger, measured):
    leader = cluster.leader()
    leader.run(["kill", "-9", leader.read("/pgdata/test/postmaster.pid").split()[0]])
    cluster.wait_healthy()
    ledger.wait_for_writes()
    measured("kill -9 of the leader's PostgreSQL, encrypted", 40)


def test_certificates_are_renewed_under_a_client_that_writes_and_nothing_is_restarted(cluster, ledger, measured):
    ports = [(host, *port) for host in cluster.db for port in ((8008, False), (5432, True))]
    before, started = [shown(cluster, *port) for port in ports], postmasters(cluster)
    services = cluster.services()
    done = cluster.lab.salt("salt-run", "pgha.renew", "-l", "quiet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    after = [shown(cluster, *port) for port in ports]
    assert not set(before) & set(after)
    # One certificate for the databases of a host, on both ports.
    assert after[::2] == after[1::2]
    assert (cluster.services(), postmasters(cluster)) == (services, started)
    cluster.wait_healthy()
    ledger.wait_for_writes()
    measured("renewal of all certificates", 3)


def test_the_main_job_renews_certificates_that_have_ended_and_restarts_nothing(cluster):
    """As after a year without the main job: all of them have ended, and the services were started with them."""
    held = formula.store(cluster.lab, "tls-test-dcs-cluster")
    for host in cluster.hosts:
        own = held["hosts"][host.name]
        for service, pair in {"consul": own, **own.get("services", {})}.items():
            names = set(pghalib.secrets.x509.describe(pair["certificate"])["names"])
            made = pghalib.secrets.x509.issue(host.name, names, held["authorities"]["current"], 0)
            # Into the file that is there: it stays its owner's.
            write = ["sh", "-c", 'cat > "$0"', f"/etc/pgha/tls/{service}.pem"]
            host.run(write, input=made["key"] + made["certificate"])
    leader = cluster.leader()
    # While Consul is good: without it Patroni opens no port.
    for host in (*cluster.replicas(), leader):
        host.run(["systemctl", "restart", "patroni"])
    for host in cluster.db:
        wait_for(
            lambda host=host: _ended(cluster, host), timeout=60, what=f"Patroni of {host.name} shows one that ended"
        )
    for host in cluster.hosts:
        host.run(["systemctl", "restart", "consul"])
    units = ("consul", "patroni")
    before = cluster.services(units)
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    assert cluster.services(units) == before
    for host in cluster.db:
        assert shown(cluster, host, 8008) == shown(cluster, host, 5432, True)
    cluster.wait_healthy()
    formula.changes_nothing(cluster.lab)


def _ended(cluster, host):
    """Whether the REST API of a host shows a certificate that has ended; False while it does not answer."""
    try:
        shown(cluster, host, 8008)
    except ssl.SSLCertVerificationError as error:
        return error.verify_code == 10
    except OSError:
        pass
    return False


def postmasters(cluster):
    """When each server was started."""
    return [cluster.psql(host, "SELECT pg_postmaster_start_time()") for host in cluster.db]


def test_clients_may_come_without_encryption_until_the_pillar_requires_it(cluster, pillar):
    secret = "made-for-this-test"
    cluster.psql(cluster.leader(), f"CREATE ROLE app LOGIN PASSWORD '{secret}'")
    plain = {"user": "app", "password": secret, "sslmode": "disable", "sslrootcert": ""}
    with cluster.connect(**plain) as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (False,)
    services = cluster.services()
    try:
        pillar.put({"tls": {"enabled": None, "clients": "required"}})
        assert formula.run(cluster.lab).code == 0
        for host in cluster.db:
            wait_for(lambda host=host: _refused(cluster, host, plain), timeout=30, what=f"{host.name} requires it")
        with cluster.connect(user="app", password=secret) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        pillar.put(DEFAULT)
    assert formula.run(cluster.lab).code == 0
    assert cluster.services() == services


def _refused(cluster, host, options):
    try:
        cluster.connect(host.address, **options).close()
    except psycopg.OperationalError as error:
        return "no encryption" in str(error)
    return False


@pytest.mark.parametrize("by", ["the main job", "the states of a host"])
def test_a_living_cluster_is_not_switched_and_nothing_is_touched(cluster, pillar, by):
    before, files = cluster.services(), configurations(cluster)
    pillar.put({"tls": False})
    try:
        if by == "the main job":
            run = formula.run(cluster.lab)
            assert run.code == 1
            said = run.text
        else:
            hosts = ",".join(host.name for host in (cluster.dcs[0], cluster.replicas()[0]))
            said = cluster.lab.salt("salt", "-L", hosts, "state.highstate", "-t", "120", check=False).stdout
            assert said.count("living cluster whose traffic is encrypted") >= 2, said
    finally:
        pillar.put(DEFAULT)
    assert "living cluster whose traffic is encrypted" in said
    assert (cluster.services(), configurations(cluster)) == (before, files)
    assert cluster.why_not_healthy() is None


def configurations(cluster):
    """What a service would read at its next start, as digests."""
    paths = ["/etc/consul.d/config.json", "/etc/patroni/patroni.yml", "/etc/pgha/tls/consul.pem"]
    paths += [f"/etc/systemd/system/{unit}.service" for unit in ("consul", "patroni", "vip-manager")]
    return {host.name: host.run(["sha256sum", *paths], check=False).stdout for host in cluster.hosts}


def test_the_users_authority_takes_the_formulas_place_under_a_client_that_verifies(cluster, pillar, ledger, measured):
    """The last test: the datacenter has the user's certificates after it."""
    started, place = postmasters(cluster), "/root/certificates"
    signer = pghalib.secrets.x509.authority("a company", 100)
    cluster.lab.master.run(["mkdir", "-p", "-m", "0700", place])
    cluster.lab.master.write(f"{place}/ca.pem", signer["certificate"])
    stored = "/var/lib/pgha/tls-test-dcs-cluster.json"
    cluster.lab.master.run(["cp", "-p", stored, f"{place}/before.json"])
    for name, own in formula.store(cluster.lab, "tls-test-dcs-cluster")["hosts"].items():
        for service, pair in {"consul": own, **own.get("services", {})}.items():
            names = set(pghalib.secrets.x509.describe(pair["certificate"])["names"])
            made = pghalib.secrets.x509.issue(name, names, signer, 90)
            cluster.lab.master.write(f"{place}/{name}-{service}.pem", made["certificate"])
            cluster.lab.master.write(f"{place}/{name}-{service}.key", made["key"])
    files = {kind: f"{place}/{{id}}-{{service}}.{end}" for kind, end in (("certificate", "pem"), ("key", "key"))}
    pillar.put({"tls": {"enabled": None, "ca": f"{place}/ca.pem", **files}})
    assert step(cluster, "use") == (1, "The next step for the authority of test-dcs-cluster is add, not use\n")
    assert formula.run(cluster.lab).code == 0
    assert formula.authorities(cluster.lab).count("BEGIN") == 2
    for one in ("use", "drop"):
        assert "vip-manager was started with others" in step(cluster, one)[1]
        assert formula.run(cluster.lab, sls="pgha.restart").code == 0
        if one == "use":
            # As a client gets it in time.
            with open(cluster.authorities, "w", encoding="utf-8") as file:
                file.write(formula.authorities(cluster.lab))
        assert step(cluster, one)[0] == 0
    assert formula.run(cluster.lab, sls="pgha.restart").code == 0
    assert formula.authorities(cluster.lab).strip() == signer["certificate"].strip()
    assert postmasters(cluster) == started
    cluster.wait_healthy()
    ledger.wait_for_writes()
    measured("change of the authority", 5)
    # A copy of the store from before that: no host would trust another host's certificate.
    cluster.lab.master.run(["sh", "-c", 'mv "$0" "$1/now.json"; cp -p "$1/before.json" "$0"', stored, place])
    try:
        refused = formula.run(cluster.lab, "test=True")
    finally:
        cluster.lab.master.run(["mv", f"{place}/now.json", stored])
    assert refused.code == 1
    assert "other secrets than the master's store has (test-dcs-cluster/tls/authority)" in refused.text


def step(cluster, name):
    """Take a step: the exit code, and what a refusal says."""
    done = cluster.lab.salt(
        "salt-run", "pgha.authority", "test-dcs-cluster", f"step={name}", "-l", "quiet", check=False
    )
    said = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith("unclosed")]
    return done.returncode, "".join(said)
