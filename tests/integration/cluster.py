"""A cluster of the lab as its tests see it: members, leader, addresses, services, and connections to it."""

import contextlib
import http.client
import json
import ssl
import urllib.request

import psycopg
from integration import formula
from lab.tools import LabError, wait_for

UNITS = ("consul", "patroni", "vip-manager")


class Cluster:
    """
    One database cluster with the Consul servers that it uses.

    ``authorities``: a file with those that have signed its certificates; all is asked with TLS then, and verified.
    """

    def __init__(self, lab, name="test", vip="198.51.100.40", authorities=None, members=None):
        self.lab, self.name, self.vip, self.authorities = lab, name, vip, authorities
        self.db = [lab[host] for host in members or (f"{name}-db{n}" for n in (1, 2, 3))]
        self.dcs = [lab[f"test-dcs{n}"] for n in (1, 2, 3)]

    @property
    def hosts(self):
        """All its hosts, the servers of Consul first."""
        return [*self.dcs, *self.db]

    def members(self):
        """The list of members that the first Patroni which answers gives; [] when none does."""
        for host in self.db:
            # A Patroni that is killed while it answers gives half of an answer.
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                if host.pid() is not None:
                    return self.ask(host, "/cluster")["members"]
        return []

    def ask(self, host, path):
        """What the REST API of Patroni on ``host`` answers to a GET."""
        scheme, context = "http", None
        if self.authorities:
            scheme, context = "https", ssl.create_default_context(cafile=self.authorities)
        with urllib.request.urlopen(f"{scheme}://{host.address}:8008{path}", timeout=2, context=context) as answer:
            return json.load(answer)

    def leader(self):
        """The host that leads, waited for."""

        def found():
            return [member["name"] for member in self.members() if member["role"] == "leader"]

        return self.lab[wait_for(found, timeout=60, what=f"{self.name} has a leader")[0]]

    def replicas(self):
        """The hosts that do not lead."""
        leader = self.leader()
        return [host for host in self.db if host is not leader]

    def holders(self):
        """Names of the hosts that have the virtual IP."""
        return [host.name for host in self.db if self.vip in host.addresses()]

    def timeline(self):
        """The timeline of the leader."""
        return next(member["timeline"] for member in self.members() if member["role"] == "leader")

    def why_not_healthy(self):
        """What is missing to a whole cluster in words, or None: one leader with the address, and all others stream."""
        members = self.members()
        if len(members) != len(self.db):
            return f"members are {[member['name'] for member in members]}"
        leaders = [member["name"] for member in members if member["role"] == "leader"]
        states = {member["name"]: member["state"] for member in members}
        if len(leaders) != 1 or states.pop(leaders[0]) != "running" or set(states.values()) != {"streaming"}:
            return f"members are {[(m['name'], m['role'], m['state']) for m in members]}"
        if len({member.get("timeline") for member in members}) != 1:
            return f"timelines are {[(m['name'], m.get('timeline')) for m in members]}"
        if self.holders() != leaders:
            return f"the virtual IP is on {self.holders()}, the leader is {leaders}"
        return None

    def wait_healthy(self, timeout=150):
        """Wait until the cluster is whole; fails with what is missing."""
        try:
            wait_for(lambda: self.why_not_healthy() is None, timeout=timeout, what="whole", interval=0.2)
        except LabError:
            raise AssertionError(f"{self.name} is not whole after {timeout} s: {self.why_not_healthy()}") from None

    def switch_over(self, target=None):
        """Let another member lead, ``target`` where it is given, as a DBA does; return the leader of before."""
        leader = self.leader()
        candidate = f" --candidate {target.name}" if target else ""
        command = f"patronictl switchover {self.name} --leader {leader.name}{candidate} --force"
        leader.run(["su", "-", "postgres", "-c", command])
        return leader

    def survive_power_off(self, ledger):
        """Cut the power of the leader's host, wait until another one takes writes, and bring the host back."""
        leader = self.leader()
        leader.poweroff()
        try:
            ledger.wait_for_writes()
            assert self.leader() is not leader
        finally:
            leader.poweron()
        self.wait_healthy()

    def wait_synchronous(self):
        """Wait until commits wait for a replica: before, Patroni finds nobody to switch over to."""

        def found():
            return any(member["role"] in ("sync_standby", "quorum_standby") for member in self.members())

        wait_for(found, timeout=60, what=f"a replica of {self.name} is the synchronous standby")

    def diagnosis(self):
        """What to look at after a failed test: members, address, and the last words of every database host."""
        script = (
            "ip -br -4 addr show eth0; tail -n 25 /var/log/patroni/patroni.log;"
            " tail -qn 12 $(ls -t /pgdata/*/log/*.log | head -n 2);"
            " journalctl -n 8 --no-pager -o short-precise -u vip-manager"
        )
        said = [f"members: {self.members()}", f"the virtual IP is on {self.holders()}"]
        for host in self.db:
            with contextlib.suppress(LabError):
                said += [f"--- {host.name}", host.run(["sh", "-c", script], check=False, timeout=20).stdout]
        return "\n".join(said)

    def services(self, units=UNITS):
        """For each host and unit what changes with a restart: (state, main PID, the moment it became active)."""
        return {(host.name, unit): service(host, unit) for host in self.hosts for unit in units}

    def psql(self, host, sql, database="postgres"):
        """The result of ``sql`` on ``host``, asked through the socket as a DBA does there; text without a frame."""
        shell = 'psql -XAtq -v ON_ERROR_STOP=1 -d "$0" -c "$1"'
        words = [
            "/usr/sbin/runuser",
            "-u",
            "postgres",
            "--",
            "/usr/bin/env",
            "PGHOST=/run/postgresql",
            "sh",
            "-c",
            shell,
            database,
            sql,
        ]
        path = "/opt/pgpro/1c-18/bin:/usr/lib/postgresql/15/bin:/usr/bin:/bin"
        return host.run(words, env={"PATH": path}).stdout.strip()

    def client(self):
        """What libpq needs to know to connect from outside to the virtual IP as the superuser, a mapping."""
        secret = formula.store(self.lab, f"cluster-{self.name}")["superuser"]
        known = {"host": self.vip, "dbname": "postgres", "user": "postgres", "password": secret}
        return known | ({"sslmode": "verify-full", "sslrootcert": self.authorities} if self.authorities else {})

    def connect(self, address=None, **options):
        """A connection of a client outside to the virtual IP (or ``address``) as the superuser."""
        known = {**self.client(), "connect_timeout": 5, **({"host": address} if address else {}), **options}
        return psycopg.connect(autocommit=True, **known)

    def consul(self, *words, host=None):
        """The output of the command ``consul`` in root's login shell on a server of Consul."""
        for server in [host] if host else self.dcs:
            if server.pid() is not None:
                return server.run(["bash", "-lc", 'consul "$@"', "consul", *words]).stdout
        raise AssertionError("every server of Consul is off")

    def voters(self):
        """{name: role} of the voters in raft, as the leader sees them; {} while there is none to ask."""
        with contextlib.suppress(LabError):
            rows = [line.split() for line in self.consul("operator", "raft", "list-peers").splitlines()[1:]]
            return {row[0]: row[3] for row in rows if row[4] == "true"}
        return {}

    def dcs_leader(self):
        """The host that leads Consul, waited for."""

        def found():
            return [name for name, role in self.voters().items() if role == "leader"]

        return self.lab[wait_for(found, timeout=60, what="Consul has a leader")[0]]


def service(host, unit):
    """What changes with a restart of ``unit``: (state, main PID, the moment it became active)."""
    names = ("ActiveState", "MainPID", "ActiveEnterTimestampMonotonic")
    shown = host.run(["systemctl", "show", unit, *(f"-p{name}" for name in names)]).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines())
    return tuple(values[name] for name in names)


def main_pid(host, unit):
    """The main PID of a unit, in the host's own numbering."""
    return service(host, unit)[1]
