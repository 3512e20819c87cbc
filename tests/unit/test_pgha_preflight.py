"""What the preflight finds, and what it must not find on a healthy or half-built cluster."""

import json
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pghalib.preflight.identity
import pghalib.preflight.listening
import pghalib.preflight.meeting
import pghalib.preflight.verdicts
import pghalib.secrets.served
import pytest
import shipped
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
SERVERS = {f"test-dcs{n}": f"198.51.100.1{n}" for n in (1, 2, 3)}
HOSTS = {f"test-db{n}": f"198.51.100.2{n}" for n in (1, 2, 3)}
PILLAR = {
    "datacenters": {"dc": {"servers": SERVERS}},
    "clusters": {
        "test": {"vip": "198.51.100.40/24", "hosts": HOSTS},
        "other": {"vip": "198.51.100.41/24", "hosts": {"other-db1": "198.51.100.31"}},
    },
}
ALL = [*SERVERS, *HOSTS, "other-db1"]


@pytest.fixture
def settings_of():
    return shipped.settings_of(PILLAR)


@pytest.fixture
def verdict(loader_module):
    return loader_module("_utils/pghalib/preflight/verdicts.py")


@pytest.fixture
def foreign(loader_module):
    return loader_module("_utils/pghalib/preflight/foreign.py")


def facts(**over):
    found = {
        "release": {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12"},
        "machine": "x86_64",
        "systemd": True,
        "hostname": "test-db1",
        "watchdog": False,
        "memory_mb": 2048,
        "disks": [{"path": "/pgdata/test", "free_mb": 9999, "in_use": False}],
        "addresses": [
            {"interface": "lo", "address": "127.0.0.1", "prefix": 8},
            {"interface": "eth0", "address": "198.51.100.21", "prefix": 24},
            {"interface": "eth1", "address": "10.0.0.1", "prefix": 8},
        ],
        "interfaces": {"lo": {"loopback": True}, "eth0": {"loopback": False}, "eth1": {"loopback": False}},
    }
    return {**found, **over}


class TestPlan:
    def test_database_host(self, verdict, settings_of):
        plan = verdict.plan(settings_of("test-db1"), ALL)
        to = {address: sorted(port for peer, port in plan["links"] if peer == address) for address, _ in plan["links"]}
        assert to["198.51.100.11"] == [8300, 8301]
        assert to["198.51.100.22"] == [5432, 8008, 8301]
        # Of another cluster: they only gossip.
        assert to["198.51.100.31"] == [8301]
        assert plan["listen"] == [5432, 8008, 8301]
        everyone = {*SERVERS.values(), *HOSTS.values(), "198.51.100.31"}
        assert set(plan["expect"][8301]) == everyone - {"198.51.100.21"}
        assert plan["expect"][5432] == ["198.51.100.22", "198.51.100.23"]

    def test_server(self, verdict, settings_of):
        plan = verdict.plan(settings_of("test-dcs2"), ALL)
        assert plan["listen"] == [8300, 8301]
        assert ("198.51.100.21", 8301) in plan["links"]
        assert ("198.51.100.21", 8300) not in plan["links"]
        assert len(plan["expect"][8300]) == 6

    def test_what_one_connects_to_the_other_expects(self, verdict, settings_of):
        plans = {name: verdict.plan(settings_of(name), ALL) for name in ALL}
        address = {**SERVERS, **HOSTS, "other-db1": "198.51.100.31"}
        for name, plan in plans.items():
            for peer, port in plan["links"]:
                other = next(known for known, own in address.items() if own == peer)
                assert address[name] in plans[other]["expect"][port]

    def test_only_hosts_of_this_run(self, verdict, settings_of):
        plan = verdict.plan(settings_of("test-db1"), ["test-db1", "test-db2"])
        assert {peer for peer, _ in plan["links"]} == {"198.51.100.22"}

    def test_other_ports(self, verdict, settings_of):
        settings = settings_of(
            consul={"config": {"ports": {"server": 1, "serf_lan": 2, "http": 3}}},
            postgres={"port": 4},
            patroni={"restapi_port": 5},
        )
        ports = {"rpc": 1, "gossip": 2, "http": 3, "postgres": 4, "rest": 5, "repository": 8432}
        assert verdict.ports(settings) == ports


class TestSystem:
    def test_good(self, verdict, settings_of):
        assert verdict.system(facts(), settings_of()) == ([], [])

    @pytest.mark.parametrize(
        ("release", "told"),
        [
            ({"ID": "astra", "VERSION_ID": "1.8_x86-64"}, False),
            ({"ID": "astra", "VERSION_ID": "1.8.1"}, False),
            ({"ID": "astra", "VERSION_ID": "1.7_x86-64"}, True),
            ({"ID": "debian", "VERSION_ID": "13"}, True),
            ({}, True),
        ],
    )
    def test_systems_that_were_not_tried_are_a_warning(self, verdict, settings_of, release, told):
        faults, warnings = verdict.system(facts(release=release), settings_of())
        assert faults == []
        assert bool(warnings) is told

    def test_everything_at_once(self, verdict, settings_of):
        bad = facts(
            machine="aarch64", systemd=False, memory_mb=100, disks=[{"path": "/x", "free_mb": 10, "in_use": False}]
        )
        faults, _ = verdict.system(bad, settings_of())
        text = "\n".join(faults)
        assert len(faults) == 5
        assert "consul:url" in text
        assert "vip:url" in text
        assert "preflight:min_memory_mb" in text
        assert "10 MB are free for /x" in text

    def test_full_disk_in_use_does_not_stop_a_run(self, verdict, settings_of):
        disks = [{"path": "/pgdata/test", "free_mb": 10, "in_use": True}]
        faults, warnings = verdict.system(facts(disks=disks), settings_of())
        assert (faults, len(warnings)) == ([], 1)

    @pytest.mark.parametrize(
        ("wanted", "there", "faulty", "warned"),
        [
            ("off", False, False, False),
            ("automatic", False, False, True),
            ("required", False, True, False),
            ("automatic", True, False, False),
            ("required", True, False, False),
        ],
    )
    def test_a_watchdog_that_is_required_has_to_be_there(self, verdict, settings_of, wanted, there, faulty, warned):
        settings = settings_of(patroni={"watchdog": wanted})
        faults, warnings = verdict.system(facts(watchdog=there), settings)
        assert (["/dev/watchdog" in one for one in faults], ["/dev/watchdog" in one for one in warnings]) == (
            [True] * faulty,
            [True] * warned,
        )
        server = settings_of("test-dcs1", patroni={"watchdog": wanted})
        assert verdict.system(facts(hostname="test-dcs1"), server) == ([], [])

    def test_other_host_name_is_a_warning(self, verdict, settings_of):
        assert verdict.system(facts(hostname="debian"), settings_of())[1] == [
            "the host calls itself debian, the pillar test-db1"
        ]
        assert verdict.system(facts(hostname="test-db1.example.org"), settings_of())[1] == []


class TestAstra:
    DIGSIG, NOW, BOOT = "/etc/digsig/digsig_initramfs.conf", "/parsecfs/nochmodx", "/etc/parsec/nochmodx"

    @pytest.fixture
    def astra(self, loader_module):
        return loader_module("_utils/pghalib/host/astra.py")

    @pytest.mark.parametrize(
        ("texts", "said"),
        [
            ({}, []),
            ({DIGSIG: None, NOW: None, BOOT: None}, []),
            ({DIGSIG: "DIGSIG_ELF_MODE=0\n", NOW: "0\n", BOOT: ""}, []),
            ({DIGSIG: "# DIGSIG_ELF_MODE=1\nDIGSIG_ELF_MODE=2\nDIGSIG_XATTR_MODE=1\n"}, []),
            ({DIGSIG: "DIGSIG_ELF_MODE=0\nDIGSIG_ELF_MODE=1\n"}, ["astra-digsig-control disable"]),
            ({DIGSIG: ' DIGSIG_ELF_MODE = "1"\n'}, ["astra-digsig-control disable"]),
            ({NOW: "1\n"}, ["(/parsecfs/nochmodx is 1)"]),
            ({BOOT: "1"}, ["(/etc/parsec/nochmodx is 1)"]),
            (
                {DIGSIG: "DIGSIG_ELF_MODE=1", NOW: "1", BOOT: "1"},
                ["sign them", "astra-nochmodx-lock disable, and after the main job astra-nochmodx-lock enable"],
            ),
        ],
    )
    def test_a_lock_is_a_fault_with_its_remedy_until_consul_runs(self, astra, texts, said):
        faults, warnings = astra.faults(texts, False)
        assert (len(faults), warnings) == (len(said), [])
        assert all(part in fault for part, fault in zip(said, faults, strict=True))
        assert astra.faults(texts, True) == ([], faults)

    def test_the_preflight_reads_them_whatever_they_hold(self, execution, monkeypatch, tmp_path):
        paths = [str(tmp_path / name) for name in ("digsig", "nochmodx", "none")]
        Path(paths[0]).write_bytes(b"# \xff\xfe\nDIGSIG_ELF_MODE=1\n")
        Path(paths[1]).write_text("1\n")
        module = execution()
        monkeypatch.setattr("pghalib.host.astra.files", lambda: paths)
        assert module.locks() == {paths[0]: "# \ufffd\ufffd\nDIGSIG_ELF_MODE=1\n", paths[1]: "1\n", paths[2]: None}
        monkeypatch.setattr("pghalib.host.astra.files", lambda: [self.NOW])
        monkeypatch.setattr("pghalib.host.files.read_foreign", lambda path, *_: "1" if path == self.NOW else None)
        assert any("nochmodx" in fault for fault in module.check()["faults"])


class TestNetwork:
    def test_good(self, verdict, settings_of):
        assert verdict.network(facts(), settings_of()) == ([], [])

    def test_good_while_this_host_holds_it(self, verdict, settings_of):
        rows = [*facts()["addresses"], {"interface": "eth0", "address": "198.51.100.40", "prefix": 32}]
        assert verdict.network(facts(addresses=rows), settings_of()) == ([], [])

    def test_address_of_another(self, verdict, settings_of):
        faults, _ = verdict.network(facts(), settings_of("test-db2"))
        assert "the pillar says 198.51.100.22, this host has 127.0.0.1 on lo, 198.51.100.21 on eth0" in faults[0]

    @pytest.mark.parametrize(
        ("interface", "fault"), [("eth7", "this host has eth0, eth1, lo"), ("lo", "loopback"), ("eth1", "10.0.0.0/8")]
    )
    def test_interface_of_the_virtual_ip(self, verdict, settings_of, interface, fault):
        faults, _ = verdict.network(facts(), settings_of(vip={"interface": interface}))
        assert fault in faults[0]

    def test_nobody_moves_it(self, verdict, settings_of):
        settings = settings_of(vip={"interface": "eth7", "manager": "none"})
        assert verdict.network(facts(), settings) == ([], [])

    def test_other_prefix_is_a_warning(self, verdict, settings_of):
        settings = settings_of()
        settings["cluster"]["vip"]["prefix"] = 32
        faults, warnings = verdict.network(facts(), settings)
        assert (faults, len(warnings)) == ([], 1)

    def test_server_has_none(self, verdict, settings_of):
        rows = [{"interface": "eth0", "address": "198.51.100.11", "prefix": 24}]
        assert verdict.network(facts(addresses=rows), settings_of("test-dcs1")) == ([], [])


class TestVirtualIp:
    MEMBERS = {"198.51.100.22": ["02:22"], "198.51.100.23": ["02:23", "02:24"]}

    @pytest.mark.parametrize("answering", [[], ["02:23"], ["02:23", "02:24"]])
    def test_free_or_on_a_member(self, verdict, settings_of, answering):
        assert verdict.virtual_ip(answering, self.MEMBERS, True, False, settings_of()) == ([], [])

    def test_stranger_is_a_fault_even_beside_a_member(self, verdict, settings_of):
        faults, _ = verdict.virtual_ip(["02:23", "02:99"], self.MEMBERS, True, True, settings_of())
        assert "02:99 answers for it" in faults[0]
        assert "02:23" not in faults[0]

    def test_two_members_are_a_warning_as_the_run_may_put_it_right(self, verdict, settings_of):
        faults, warnings = verdict.virtual_ip(["02:22", "02:23"], self.MEMBERS, True, True, settings_of())
        assert faults == []
        assert "198.51.100.22, 198.51.100.23" in warnings[0]

    @pytest.mark.parametrize(("runs", "fatal"), [(True, False), (False, True)])
    def test_on_another_network_than_the_members(self, verdict, settings_of, runs, fatal):
        faults, _ = verdict.virtual_ip(["02:99"], {}, False, runs, settings_of())
        assert bool(faults) is fatal


def link(ok=True, error=None, id=None, offset=None, margin=None, **more):
    return {"ok": ok, "error": error, "id": id, "offset": offset, "margin": margin, **more}


class TestMeeting:
    NAMES = {"198.51.100.22": "test-db2", "198.51.100.23": "test-db3"}

    def test_unreachable_ports_are_told_a_host_at_a_time(self, verdict):
        found = {
            ("198.51.100.22", 8301, "tcp"): link(False, "timed out"),
            ("198.51.100.22", 8008, "tcp"): link(False, "timed out"),
            ("198.51.100.22", 5432, "tcp"): link(),
            ("198.51.100.23", 8301, "udp"): link(False, "refused"),
            ("198.51.100.29", 8301, "tcp"): link(False, "no route"),
            ("198.51.100.29", 8300, "tcp"): link(False, "unreachable"),
            ("198.51.100.29", 8301, "udp"): link(False, "not permitted"),
            ("198.51.100.29", 8008, "tcp"): link(False, "small packets arrive, large ones do not"),
            ("198.51.100.29", 5432, "tcp"): link(False, "ENOBUFS"),
        }
        assert verdict.reachability(found, self.NAMES) == [
            "cannot reach test-db2 (198.51.100.22) at 8301/tcp, 8008/tcp: timed out"
            " (a firewall here, there or in between, or the host is off)",
            "cannot reach test-db3 (198.51.100.23) at 8301/udp: refused"
            " (its preflight did not run at the same time, or a firewall rejects it)",
            "cannot reach 198.51.100.29 (198.51.100.29) at 8301/tcp: no route"
            " (no route of this host leads there, or a firewall rejects what is sent to it)",
            "cannot reach 198.51.100.29 (198.51.100.29) at 8300/tcp: unreachable"
            " (the host is off, or a firewall rejects what is sent to it)",
            "cannot reach 198.51.100.29 (198.51.100.29) at 8301/udp: not permitted"
            " (a firewall of this host forbids it)",
            "cannot reach 198.51.100.29 (198.51.100.29) at 8008/tcp: small packets arrive, large ones do not"
            " (compare the MTU of both hosts' interfaces with that of the network between them)",
            "cannot reach 198.51.100.29 (198.51.100.29) at 5432/tcp: ENOBUFS",
        ]

    def test_host_at_the_address_of_another(self, verdict):
        found = {("198.51.100.22", port, "tcp"): link(id="test-db9") for port in (8301, 8008)}
        assert verdict.identity(found, {"198.51.100.22": "test-db2"}) == [
            "at 198.51.100.22, the address of test-db2, answers test-db9"
        ]

    @pytest.mark.parametrize(
        ("offset", "margin", "faults", "warnings"),
        [
            (0.4, 0.0, 0, 0),
            (None, None, 0, 0),
            (1.0, 0.1, 0, 1),
            (1.0, 0.6, 0, 0),
            (-7.0, 0.1, 1, 0),
            (5.3, 0.5, 0, 1),
        ],
    )
    def test_clocks(self, verdict, settings_of, offset, margin, faults, warnings):
        found = {("198.51.100.22", 8301, "tcp"): link(offset=offset, margin=margin)}
        result = verdict.clocks(found, self.NAMES, settings_of())
        assert [len(rows) for rows in result] == [faults, warnings]

    def test_the_best_measurement_counts(self, verdict, settings_of):
        found = {
            ("198.51.100.22", 8301, "tcp"): link(offset=9.0, margin=2.0),
            ("198.51.100.22", 8008, "tcp"): link(offset=0.0, margin=0.01),
        }
        assert verdict.clocks(found, self.NAMES, settings_of()) == ([], [])

    def test_the_skew_is_told_with_its_sign(self, verdict, settings_of):
        found = {("198.51.100.22", 8301, "tcp"): link(offset=-7.04, margin=0.01)}
        assert "test-db2 -7.0 s" in verdict.clocks(found, self.NAMES, settings_of())[0][0]


class TestRoutes:
    """PostgreSQL lets the members in by address, and the kernel chooses the one that a connection leaves with."""

    OWN, OTHER = "198.51.100.21", "198.51.100.121"

    @pytest.fixture
    def routes(self, loader_module):
        return loader_module("_utils/pghalib/host/routes.py")

    @pytest.fixture
    def two_addresses(self):
        """A network of its own with two addresses on one interface: the first of them is the kernel's choice."""
        name = f"pgha-{os.getpid()}"
        commands = [f"netns add {name}", f"-n {name} link add d0 type veth peer name d1", f"-n {name} link set d0 up"]
        commands += [f"-n {name} address add {one}/24 dev d0" for one in (self.OTHER, self.OWN)]
        try:
            for command in commands:
                done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
                if done.returncode:
                    pytest.skip(done.stderr)
            yield name
        finally:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)

    @pytest.mark.root
    def test_the_source_is_the_kernel_s(self, routes, two_addresses):
        script = (
            f"import runpy; m = runpy.run_path({str(ROOT / '_utils/pghalib/host/routes.py')!r});"
            " print(m['sources'](['198.51.100.22', '203.0.113.1']))"
        )
        command = ["ip", "netns", "exec", two_addresses, sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str({"198.51.100.22": self.OTHER, "203.0.113.1": None})

    def test_members_are_asked_and_nobody_else(self, routes, settings_of):
        assert routes.peers(settings_of()) == ["198.51.100.22", "198.51.100.23"]
        assert routes.peers(settings_of("test-dcs1")) == []

    def test_another_source_than_the_inventory_s_is_a_fault_with_its_remedy(self, routes, settings_of):
        found = {"198.51.100.22": self.OTHER, "198.51.100.23": self.OTHER}
        faults, warnings = routes.faults(found, settings_of())
        assert (len(faults), warnings) == (1, [])
        assert f"connect to test-db2, test-db3 from {self.OTHER}, where only {self.OWN} is let in" in faults[0]
        assert f"write {self.OTHER} into the inventory, or make {self.OWN} the source" in faults[0]

    def test_where_lines_of_one_s_own_may_let_it_in_it_is_a_warning(self, routes, settings_of):
        settings = settings_of(postgres={"pg_hba": ["host replication all 198.51.100.0/24 scram-sha-256"]})
        faults, warnings = routes.faults({"198.51.100.22": self.OTHER}, settings)
        assert (faults, len(warnings)) == ([], 1)

    @pytest.mark.parametrize("source", [None, "198.51.100.21", "198.51.100.40"])
    def test_its_own_address_and_the_virtual_one_are_let_in(self, routes, settings_of, source):
        assert routes.faults({"198.51.100.22": source}, settings_of()) == ([], [])

    def test_a_translated_address_is_a_fault_between_members_alone(self, routes, settings_of):
        found = {
            ("198.51.100.22", 8301, "tcp"): link(seen_as="203.0.113.9"),
            ("198.51.100.22", 5432, "tcp"): link(seen_as="203.0.113.9"),
            ("198.51.100.23", 5432, "tcp"): link(seen_as=self.OWN),
            ("198.51.100.11", 8300, "tcp"): link(seen_as="203.0.113.9"),
            ("198.51.100.31", 8301, "tcp"): link(),
        }
        faults, warnings = routes.translated(found, settings_of())
        assert (len(faults), warnings) == (1, [])
        assert faults[0].startswith(f"test-db2 sees 203.0.113.9 when this host connects from {self.OWN}:")
        assert routes.translated(found, settings_of("test-dcs1")) == ([], [])

    def test_the_preflight_tells_it(self, execution, monkeypatch):
        module = execution()
        monkeypatch.setattr("pghalib.host.routes.sources", lambda addresses: dict.fromkeys(addresses, self.OTHER))
        assert any(f"from {self.OTHER}" in fault for fault in module.check()["faults"])


class TestDataDirectory:
    def data(self, **over):
        found = {"path": "/pgdata/test", "entries": [], "version": None, "link": False, "root": False, "settled": False}
        return {**found, "strangers": None, **over}

    @pytest.mark.parametrize(
        ("entries", "version", "fault", "warning"),
        [
            ([], None, None, None),
            (["PG_VERSION", "base", "anything"], "18", None, None),
            (["PG_VERSION"], "15", "holds data of PostgreSQL 15, the pillar says 18", None),
            (["notes.txt", "base"], None, "(notes.txt)", None),
            (["base", "global", "pg_wal"], None, None, "interrupted"),
            (["base", "backup.manifest", "pg_hba.conf.backup", "PG_VERSION.pgbackrest.tmp"], None, None, "interrupted"),
            (["backup.manifest", "mine.conf"], None, "(mine.conf)", None),
        ],
    )
    def test_verdict(self, foreign, settings_of, entries, version, fault, warning):
        data = self.data(entries=entries, version=version)
        faults, warnings = foreign.data_directory(data, settings_of(postgres={"version": 18}))
        assert (len(faults), len(warnings)) == (bool(fault), bool(warning))
        assert all(fault in text for text in faults)
        assert all(warning in text for text in warnings)

    def test_data_of_another_user_are_a_fault_wherever_they_are(self, foreign, settings_of):
        data = self.data(entries=["PG_VERSION"], version="18", settled=True, strangers="the data belong to 109")
        assert foreign.data_directory(data, settings_of()) == (["the data belong to 109"], [])

    def test_a_link_that_patroni_cannot_replace_is_a_warning(self, foreign, settings_of):
        faults, warnings = foreign.data_directory(self.data(link=True), settings_of())
        assert (faults, len(warnings)) == ([], 1)
        assert "patronictl reinit cannot replace" in warnings[0]

    @pytest.mark.parametrize(
        ("entries", "version", "settled", "fatal"),
        [
            ([], None, False, True),
            (["lost+found"], None, False, True),
            (["PG_VERSION", "base"], "18", True, False),
            (["PG_VERSION", "base", "lost+found"], "18", True, False),
            # Its data are lost, and pgha:new_data allows a new copy.
            (["lost+found"], None, True, False),
        ],
    )
    def test_the_root_of_a_file_system_is_a_fault_until_data_are_there(
        self, foreign, settings_of, entries, version, settled, fatal
    ):
        data = self.data(entries=entries, version=version, root=True, settled=settled)
        found = foreign.data_directory(data, settings_of(postgres={"version": 18}))
        assert [len(texts) for texts in found] == ([1, 0] if fatal else [0, 1])
        (text,) = found[0] + found[1]
        assert "/pgdata/test is the root of a file system: proofs of backups write to the disk of /pgdata," in text
        assert "a restore cannot keep the data of now, Patroni cannot remove" in text
        assert "mount the disk at a directory above, or set postgres:data_dir to a directory in it" in text

    def test_the_root_of_a_file_system_hides_no_other_fault(self, foreign, settings_of):
        data = self.data(entries=["lost+found", "notes.txt"], root=True)
        assert [text.split(" ", 2)[1] for text in foreign.data_directory(data, settings_of())[0]] == ["holds", "is"]

    def test_a_real_data_directory_without_its_version_is_known_as_one(self, foreign):
        assert {"base", "global", "pg_wal", "postgresql.conf", "pg_hba.conf", "PG_VERSION"} - foreign.PGDATA == {
            "PG_VERSION"
        }


def listener(port, name, *cmdline, address="198.51.100.21", cwd=None, scope=None, pid=7, user=None, **more):
    protocol, namespace = more.get("protocol", "tcp"), more.get("namespace", "/db/")
    user = user or {8301: "consul", 8500: "consul", 8300: "consul"}.get(port, "postgres")
    runs_as = {"scope": scope, "namespace": namespace, "name": more.get("member", "test-db1")} if scope else None
    process = {"pid": pid, "name": name, "user": user, "cmdline": list(cmdline), "cwd": cwd, "runs_as": runs_as}
    return {"address": address, "port": port, "protocol": protocol, **process}


CONSUL = ("/usr/bin/consul", "agent", "-config-dir=/etc/consul.d")
PATRONI = ("/opt/patroni/bin/python3", "/opt/patroni/bin/patroni", "/etc/patroni/patroni.yml")


class TestListeners:
    def judge(self, foreign, verdict, settings, *found):
        return foreign.listeners(list(found), settings, verdict.ports(settings))

    def test_ours_are_good(self, foreign, verdict, settings_of):
        found = [
            listener(8301, "consul", *CONSUL),
            listener(8500, "consul", *CONSUL, address="127.0.0.1"),
            listener(5432, "postgres", cwd="/pgdata/test", address="0.0.0.0"),
            listener(8008, "patroni", *PATRONI, scope="test"),
            listener(8008, "patroni", *PATRONI, scope="test", namespace="db", member=None),
            listener(8008, "patroni", *PATRONI, scope="test", namespace=None),
            listener(22, "sshd", address="0.0.0.0"),
            listener(5432, "postgres", cwd="/var/lib/pgpro/1c-18/data", address="127.0.0.1"),
        ]
        assert self.judge(foreign, verdict, settings_of(), *found) == ([], [])

    @pytest.mark.parametrize(
        ("found", "told"),
        [
            (listener(8301, "nginx"), "nginx, process 7 of consul, has the port of Consul"),
            (listener(8301, "consul", *CONSUL, user="nobody"), "consul, process 7 of nobody, has the port of Consul"),
            (listener(5432, "postgres", cwd="/pgdata/test", user="nobody"), "7 of nobody, has the port of PostgreSQL"),
            (listener(8008, "patroni", *PATRONI, scope="test", user="nobody"), "of nobody, has the port of Patroni"),
            (listener(8500, "", address="0.0.0.0", pid=None), "a process that cannot be seen has the port of Consul"),
            (listener(8301, "consul", "consul", "agent", "-dev"), "no configuration directory"),
            (listener(8301, "consul", "consul", "agent", "-config-dir", "/etc/consul"), "runs with /etc/consul,"),
            (listener(5432, "postgres", cwd="/var/lib/postgresql/15/main"), "runs on /var/lib/postgresql/15/main"),
            (listener(5432, "pgbouncer", address="127.0.0.1"), "has the port of PostgreSQL"),
            (listener(8008, "python3", "python3", "-m", "http.server"), "has the port of Patroni"),
            (listener(8008, "patroni", *PATRONI, scope="prod"), "a Patroni of the cluster prod runs"),
            (
                listener(8008, "patroni", *PATRONI, scope="test", namespace="/prod/"),
                "has its cluster in the DCS below /prod/, the pillar says /db/: put patroni:namespace back",
            ),
            (
                listener(8008, "patroni", *PATRONI, scope="test", member="pg1"),
                "runs as the member pg1, the pillar says test-db1: put the name back",
            ),
            (listener(8600, "dnsmasq", address="0.0.0.0"), "has the port of Consul: stop it, or set another port (con"),
            (listener(8600, "dnsmasq", address="127.0.0.1", protocol="udp"), "7 of postgres, has the port of Consul"),
            (listener(8301, "nginx", protocol="udp"), "nginx, process 7 of consul, has the port of Consul"),
        ],
    )
    def test_others_are_faults(self, foreign, verdict, settings_of, found, told):
        faults, warnings = self.judge(foreign, verdict, settings_of(), found)
        assert (len(faults), warnings) == (1, [])
        assert told in faults[0]
        assert f"it listens at {found['address']}:{found['port']}" in faults[0]

    def test_one_process_is_told_once(self, foreign, verdict, settings_of):
        found = [listener(port, "consul", "consul", "agent", "-dev") for port in (8301, 8500)]
        found[1]["address"] = "127.0.0.1"
        faults, _ = self.judge(foreign, verdict, settings_of(), *found)
        assert len(faults) == 1
        assert "198.51.100.21:8301, 127.0.0.1:8500" in faults[0]

    def test_paths_are_compared_by_where_they_lead(self, foreign, verdict, settings_of):
        found = [
            listener(8301, "consul", "consul", "agent", "-config-dir", "/srv/consul/"),
            listener(5432, "postgres", cwd="/mnt/data/test", address="0.0.0.0"),
            listener(8008, "patroni", *PATRONI[:2], "/srv/patroni/patroni.yml", scope="test"),
        ]
        settings, ports = settings_of(), verdict.ports(settings_of())
        assert set(foreign.paths(settings)) == {
            "/etc/consul.d",
            "/etc/patroni",
            "/pgdata/test",
            "/var/lib/pgpro/1c-18/data",
        }
        assert [foreign.named(one) for one in found] == [["/srv/consul/"], [], ["/srv/patroni/patroni.yml"]]
        places = {"/etc/consul.d": "/srv/consul", "/pgdata/test": "/mnt/data/test", "/etc/patroni": "/srv/patroni"}
        assert foreign.listeners(found, settings, ports, places) == ([], [])
        faults, warnings = foreign.listeners(found, settings, ports)
        assert (len(faults), len(warnings)) == (2, 1)

    def test_addresses_that_do_not_meet(self, foreign, verdict, settings_of):
        found = [
            listener(8500, "nginx", address="10.0.0.1"),
            listener(8008, "nginx", address="127.0.0.1"),
            listener(8300, "nginx"),
            listener(8600, "dnsmasq", address="10.0.0.1", protocol="udp"),
            listener(5432, "x", address="0.0.0.0", protocol="udp"),
            *(listener(port, "nginx", address="0.0.0.0") for port in (8302, 8501, 8502, 8503)),
        ]
        assert self.judge(foreign, verdict, settings_of(tls=False), *found) == ([], [])

    def test_ports_of_consul_are_those_of_its_settings(self, foreign, verdict, settings_of):
        ports = {"dns": -1, "grpc": 8502, "serf_wan": 8302, "http": 9500}
        server = {"config": {"ports": ports, "addresses": {"http": "10.0.0.1"}}, "client_addr": "127.0.0.1 10.0.0.2"}
        there = {"address": "10.0.0.1", "cwd": None}
        for port, taken in ((8600, False), (8502, False), (9500, True), (8500, False)):
            faults, _ = self.judge(
                foreign, verdict, settings_of("test-dcs1", consul=server, tls=False), listener(port, "nginx", **there)
            )
            assert bool(faults) is taken, port
        there["address"] = "10.0.0.2"
        faults, _ = self.judge(foreign, verdict, settings_of(consul=server, tls=False), listener(8502, "x", **there))
        assert len(faults) == 1

    def test_by_hand_patroni_of_the_same_cluster_is_adopted(self, foreign, verdict, settings_of):
        found = listener(8008, "patroni", *PATRONI[:2], "/opt/patroni/patroni.yml", scope="test", address="0.0.0.0")
        faults, warnings = self.judge(foreign, verdict, settings_of(), found)
        assert faults == []
        assert "/opt/patroni/patroni.yml" in warnings[0]

    def test_served(self, foreign):
        found = [
            listener(8301, "consul"),
            listener(5432, "x", address="0.0.0.0"),
            listener(8008, "x", address="127.0.0.1"),
            listener(8300, "x", protocol="udp"),
        ]
        assert foreign.served(found, "198.51.100.21") == {8301, 5432}


def named(module):
    """The datacenters that the files in Consul's directory name."""
    return {said["datacenter"] for said in module.consul_files().values()}


@pytest.fixture
def execution(loader_module, settings_of, tmp_path):
    """The module on this machine, as test-db1 with an address of the loopback and ports of its own."""

    def make(minion_id="test-db1", units=None, neighbours=None, begun=False, **over):
        settings = settings_of(
            minion_id,
            consul={"config_dir": str(tmp_path / "consul.d"), "data_dir": str(tmp_path / "consul")},
            preflight={"port_timeout": 0.3, "min_disk_mb": 0, "probe_vip": neighbours is not None},
        )
        settings["postgres"]["data_dir"] = str(tmp_path / "pgdata")
        settings.update(over)
        salt = {
            "pgha.settings": lambda: settings,
            "pgha.plan": lambda: {"hosts": [minion_id]},
            "pgha_tls.speaks": lambda: None,
            "pgha_consul.pid": lambda: 17,
            "pgha_tls.bundle": lambda: None,
            "pgha_tls.not_yet": lambda: ["its clock is behind"],
            "pgha_postgres.tls_fault": lambda: "built without TLS",
            "pgha_backup.early_faults": list,
            "pgha_founding.faults": list,
            "pgha_founding.founding_state": lambda: {"begun": begun},
            "pgha_member.verdict": lambda: {"faults": ["its data are gone"], "warnings": []},
            "pgha_member.strangers": list,
            "pgha_locales.faults": lambda: ["its locale is unknown"],
            "pgha_server_user.verdict": lambda: {"faults": ["its user is odd"], "warnings": ["its user is far"]},
            "pgha_vip.addresses": lambda: facts()["addresses"],
            "pgha_vip.interface": lambda: "eth0",
            "pgha_vip.neighbours": neighbours,
            "service.show": lambda unit: {"ActiveState": (units or {}).get(unit, "inactive")},
            "cmd.run_all": lambda *_args, **_kwargs: {"stdout": "C\nru_RU.utf8\nen_US.utf8\n", "retcode": 0},
        }
        module = loader_module("_modules/pgha_preflight.py", salt=salt)
        module.settings = settings
        return module

    return make


class TestExecution:
    def test_listeners_are_named_with_their_process(self, execution):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            found = [row for row in execution().listeners() if row["port"] == port]
        assert found[0]["address"] == "127.0.0.1"
        assert "python" in found[0]["name"] or "pytest" in found[0]["name"]
        assert found[0]["user"] == pwd.getpwuid(os.getuid()).pw_name
        assert found[0]["cwd"] == str(Path.cwd())

    def test_listeners_by_udp_are_those_without_a_peer(self, execution):
        with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
            server.bind(("127.0.0.1", 0))
            client.connect(server.getsockname())
            ports = [one.getsockname()[1] for one in (server, client)]
            found = [(row["port"], row["protocol"]) for row in execution().listeners() if row["port"] in ports]
        assert found == [(ports[0], "udp")]

    def test_data_directory(self, execution, tmp_path):
        module = execution()
        module.settings["postgres"]["user"] = pwd.getpwuid(os.geteuid()).pw_name
        assert module.data_directory()["entries"] == []
        (tmp_path / "pgdata").mkdir()
        (tmp_path / "pgdata/PG_VERSION").write_text("18\n")
        assert module.data_directory() == {
            "path": str(tmp_path / "pgdata"), "entries": ["PG_VERSION"], "version": "18", "link": False, "root": False,
            "settled": True, "strangers": None,
        }  # fmt: skip
        # The system was installed anew, and its user of PostgreSQL has another number than the one of before.
        module.settings["postgres"]["user"] = "nobody"
        assert f"chown -R nobody: {tmp_path}/pgdata" in module.data_directory()["strangers"]

    def test_a_host_with_data_or_a_note_of_them_is_no_new_one(self, execution, tmp_path, monkeypatch):
        monkeypatch.setattr("pghalib.postgres.member_note.NOTE", str(tmp_path / "member.json"))
        (tmp_path / "pgdata").mkdir()
        module = execution()
        assert module.data_directory()["settled"] is False
        (tmp_path / "member.json").touch()
        assert module.data_directory()["settled"] is True

    @pytest.mark.parametrize("link", [False, True])
    @pytest.mark.parametrize("way", ["lost+found", "another disk", "a directory of the same disk"])
    def test_a_data_directory_that_is_a_mount_point(self, execution, tmp_path, monkeypatch, way, link):
        place = tmp_path / ("disk" if link else "pgdata")
        place.mkdir()
        if link:
            (tmp_path / "pgdata").symlink_to("disk")
        module = execution()
        assert module.data_directory()["root"] is False
        if way == "lost+found":
            (place / "lost+found").mkdir()
        elif way == "another disk":
            monkeypatch.setattr("os.path.ismount", lambda path: path == str(place))
        else:
            mounted = [SimpleNamespace(mountpoint=str(place))]
            monkeypatch.setattr("psutil.disk_partitions", lambda all: mounted if all else [])  # noqa: A002
        assert module.data_directory()["root"] is True

    def test_data_directory_that_is_a_file(self, execution, tmp_path):
        (tmp_path / "pgdata").touch()
        with pytest.raises(CommandExecutionError, match="not a directory"):
            execution().data_directory()

    def test_links_of_roots_on_the_way_to_ours_are_followed(self, execution, tmp_path):
        (tmp_path / "disk").mkdir()
        (tmp_path / "pgdata").symlink_to("disk")
        (tmp_path / "again").symlink_to("consul.d")
        (tmp_path / "consul.d").mkdir()
        module = execution()
        named = [listener(8301, "consul", "consul", "agent", f"-config-dir={tmp_path}/again")]
        strange = [listener(8301, "consul", "consul", "-config-dir=/x", user="nobody")]
        places = pghalib.preflight.listening.places([*named, *strange], module.settings)
        assert places[f"{tmp_path}/pgdata"] == f"{tmp_path}/disk"
        assert places[f"{tmp_path}/again"] == f"{tmp_path}/consul.d"
        assert "/x" not in places

    def test_data_directory_behind_a_link_to_a_disk_that_is_not_mounted(self, execution, tmp_path):
        (tmp_path / "pgdata").symlink_to("disk/test")
        with pytest.raises(CommandExecutionError, match="pgdata is a link to disk/test, which is not there: mount"):
            execution().data_directory()

    def test_consul_files(self, execution, tmp_path):
        home = tmp_path / "consul.d"
        home.mkdir()
        (home / "a.json").write_text('{"datacenter": "dc"}')
        (home / "b.json").write_text("[]")
        (home / "c.hcl").write_text('# datacenter = "no"\n  datacenter = "dc1"\n')
        (home / "d.hcl").write_text('server = true\nencrypt = "a secret"')
        (home / "config.json").write_text('{"datacenter": "mine", "server": true}')
        found = {os.path.basename(path): said for path, said in execution().consul_files().items()}
        assert {name: said["datacenter"] for name, said in found.items()} == {
            "a.json": "dc",
            "b.json": None,
            "c.hcl": "dc1",
            "d.hcl": None,
            "config.json": "mine",
        }
        assert found["d.hcl"] == {"datacenter": None, "contradicts": ["encrypt", "server"], "understood": True}
        assert [found[name]["understood"] for name in ("b.json", "config.json")] == [False, True]
        assert found["config.json"]["contradicts"] == []
        assert "a secret" not in str(found)

    def test_a_file_that_is_none_is_not_read(self, execution, tmp_path):
        """A pipe would never end, a link shows what its maker may not read, and a text may be anything."""
        (tmp_path / "secret").write_text("18\n")
        (tmp_path / "secret.json").write_text('{"datacenter": "prod"}')
        for name, at in (("pgdata", "PG_VERSION"), ("consul.d", "a.json"), ("consul.d", "b.json")):
            (tmp_path / name).mkdir(exist_ok=True)
            os.mkfifo(tmp_path / name / at)
        (tmp_path / "consul.d/directory.json").mkdir()
        module = execution()
        with pytest.raises(CommandExecutionError, match="PG_VERSION is not read: it is a pipe"):
            module.data_directory()
        assert named(module) == {None}
        # Consul reads the pipes, and passes over a directory.
        assert [said["understood"] for said in module.consul_files().values()] == [False, False]
        (tmp_path / "pgdata/PG_VERSION").unlink()
        (tmp_path / "consul.d/a.json").unlink()
        (tmp_path / "pgdata/PG_VERSION").symlink_to(tmp_path / "secret")
        (tmp_path / "consul.d/a.json").symlink_to(tmp_path / "secret.json")
        with pytest.raises(CommandExecutionError, match="PG_VERSION is not read: it is a symbolic link"):
            module.data_directory()
        assert named(module) == {None}
        assert module.consul_files()[str(tmp_path / "consul.d/a.json")]["understood"] is False
        (tmp_path / "pgdata/PG_VERSION").unlink()
        (tmp_path / "pgdata/PG_VERSION").write_text("root:*:19000:0\n")
        assert module.data_directory()["version"] is None
        for wrong in ("[" * 5000, '{"a": ' * 5000, '{"datacenter": ["dc"]}', '{"datacenter": 7}', "\x00" * 2**21):
            (tmp_path / "consul.d/c.json").write_text(wrong)
            assert named(module) == {None}
        assert module.consul_files()[str(tmp_path / "consul.d/c.json")]["understood"] is False, "over 1 MiB"
        (tmp_path / "consul.d/c.json").write_text('{"datacenter": "dc\\n\\u001b[2J"}')
        assert "dc??[2J" in named(module)

    def test_host(self, execution, tmp_path):
        (tmp_path / "consul").mkdir()
        (tmp_path / "consul/raft").mkdir()
        found = execution().host()
        assert found["interfaces"]["lo"] == {"loopback": True}
        assert found["memory_mb"] > 0
        assert [disk["in_use"] for disk in found["disks"]] == [True, False]
        assert all(disk["free_mb"] > 0 for disk in found["disks"])

    def test_scope_of_a_running_patroni(self, tmp_path):
        file = tmp_path / "patroni.yml"
        file.write_text("scope: test\n")
        scope = pghalib.preflight.identity.of
        words = ["python3", "/opt/patroni/bin/patroni", str(file)]
        assert scope(words) == {"scope": "test", "namespace": "service", "name": None}
        file.write_text("scope: test\nnamespace: /db/\nname: pg1\n")
        assert scope(words) == {"scope": "test", "namespace": "/db/", "name": "pg1"}
        assert scope(["vi", str(file)]) is None
        assert scope(["patroni", str(tmp_path / "none.yml")]) is None
        assert scope(["patroni", "patroni.yml"]) is None
        for wrong in (
            "scope: [1]",
            "scope: 7",
            "- scope",
            "{" * 5000,
            "\x1b",
            "a: !!bool x",
            "a: &a\n  <<: *a",
            "x" * (2**20 + 1),
        ):
            file.write_text(wrong)
            assert scope(["patroni", str(file)]) is None
        file.write_text('scope: "a\\n\\e[2J"')
        assert scope(["patroni", str(file)])["scope"] == "a??[2J"
        link, pipe = tmp_path / "link.yml", tmp_path / "pipe.yml"
        link.symlink_to(file)
        os.mkfifo(pipe)
        assert [scope(["patroni", str(path)]) for path in (link, pipe, Path("/dev/zero"))] == [None] * 3

    def test_only_a_listener_of_root_or_the_server_s_user_at_its_port_is_asked_for_its_scope(
        self, execution, monkeypatch
    ):
        module, asked = execution(), []
        monkeypatch.setattr("pghalib.preflight.identity.of", lambda cmdline: asked.append(cmdline[0]))
        users = {1: "nobody", 2: "postgres", 3: "root", 4: "root"}
        ports = {1: 8008, 2: 8008, 3: 8008, 4: 22}
        address = SimpleNamespace
        monkeypatch.setattr(
            "psutil.net_connections",
            lambda kind: [
                SimpleNamespace(status="LISTEN", type=1, laddr=address(ip="::", port=ports[pid]), raddr=(), pid=pid)
                for pid in users
            ],
        )
        process = {"name": "patroni", "cwd": "/"}
        monkeypatch.setattr(
            "pghalib.preflight.listening._process",
            lambda pid: {**process, "user": users[pid], "cmdline": [f"{pid}", "patroni", "x.yml"]},
        )
        module.listeners()
        assert asked == ["2", "3"]
        assert all(row["runs_as"] is None for row in module.listeners())

    def test_a_process_may_call_itself_anything(self, execution):
        """Its command line is shown on the master's terminal, and goes there in a job's result."""
        script = (
            "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
        )
        command = [sys.executable, "-c", script + "; time.sleep(60)", b"patroni\n\x1b[2J\xff" + b"x" * 5000]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                port = int(process.stdout.readline())
                row = next(row for row in execution().listeners() if row["port"] == port)
            finally:
                process.kill()
        assert row["cmdline"][3] == "patroni??[2J?" + "x" * 186 + "…"
        json.dumps(row).encode()

    def test_check_gathers_everything(self, execution, tmp_path):
        (tmp_path / "pgdata").mkdir()
        (tmp_path / "pgdata/holiday.jpg").touch()
        (tmp_path / "consul.d").mkdir()
        (tmp_path / "consul.d/x.json").write_text('{"datacenter": "prod"}')
        (tmp_path / "consul.d/config.json").write_text('{"ports": {"http": 9500}}')
        module = execution(address="198.51.100.77")
        found = module.check()
        assert "its user is far" in found["warnings"]
        text = "\n".join(found["faults"])
        assert "its user is odd" in text
        assert "its locale is unknown" in text
        assert "its clock is behind" in text
        assert "Consul runs here with its API at http://127.0.0.1:9500" in text
        assert "holiday.jpg" in text
        assert "built without TLS" in text
        assert "its data are gone" in text
        assert "datacenter prod" in text
        assert "the pillar says 198.51.100.77" in text

    def test_what_an_interrupted_restore_has_left_is_nobody_elses(self, execution, tmp_path):
        (tmp_path / "pgdata").mkdir()
        (tmp_path / "pgdata/mine.conf").touch()
        assert any("mine.conf" in fault for fault in execution().check()["faults"])
        assert not any("mine.conf" in fault for fault in execution(begun=True).check()["faults"])

    def test_a_salt_that_is_too_old_is_all_that_is_told(self, execution, monkeypatch):
        module = execution(address="198.51.100.77")
        monkeypatch.setattr(module.salt.version, "__version__", "3005.4")
        monkeypatch.delitem(module.__salt__, "pgha.settings")
        assert module.check() == {
            "faults": ["Salt of this minion is 3005.4: 3006.27 or newer is needed; update salt-minion"],
            "warnings": [],
        }

    def test_a_package_that_has_a_program_of_ours_is_a_warning(self, execution):
        module = execution(address="198.51.100.77")
        assert "the package" not in "\n".join(module.check()["warnings"])
        ran = {"stdout": "vip-manager2: /usr/bin/vip-manager\npgbackrest: /usr/bin/pgbackrest\n", "retcode": 1}
        module.__salt__["cmd.run_all"] = lambda *_args, **_kwargs: ran
        warnings = "\n".join(module.check()["warnings"])
        assert "the package vip-manager2 is installed" in warnings
        # No repository is named, so the formula installs no pgBackRest.
        assert "the package pgbackrest" not in warnings

    def test_virtual_ip_is_asked_beside_the_meeting(self, execution):
        asked = []

        def neighbours(addresses):
            asked.append(addresses)
            return {addresses[0]: ["02:99"], **dict.fromkeys(addresses[1:], [])}

        faults = execution(neighbours=neighbours).check()["faults"]
        assert asked == [["198.51.100.40", "198.51.100.21", "198.51.100.22", "198.51.100.23"]]
        assert any("02:99" in text for text in faults)

    def test_virtual_ip_that_cannot_be_asked_is_a_warning(self, execution):
        def neighbours(_addresses):
            raise CommandExecutionError("raw sockets need root")

        found = execution(neighbours=neighbours).check()
        assert any("raw sockets need root" in text for text in found["warnings"])
        assert not any("virtual IP" in text for text in found["faults"])

    @pytest.mark.parametrize(
        ("units", "listening", "listen", "later", "hold"),
        [
            ({}, [], {5432, 8008, 8301}, {}, set()),
            ({"consul.service": "active", "patroni.service": "active"}, [5432, 8008, 8301], set(), {}, set()),
            ({"patroni.service": "active"}, [8008, 8301], {5432}, {8008: 2}, {5432}),
            ({"patroni.service": "activating"}, [8301], {5432, 8008}, {8008: 2}, {5432}),
            ({"consul.service": "activating"}, [], {5432, 8008, 8301}, {8300: 2, 8301: 2}, set()),
        ],
    )
    def test_ports_of_services_that_start_are_left_to_them(
        self, execution, monkeypatch, units, listening, listen, later, hold
    ):
        module = execution(units=units)
        called = SimpleNamespace()

        def meet(me, address, links, ports, expect, **kwargs):
            called.listen, called.kwargs = ports, kwargs
            return {}

        monkeypatch.setattr("pghalib.preflight.rendezvous.meet", meet)
        plan = pghalib.preflight.verdicts.plan(module.settings, ALL)
        found = [listener(port, "x") for port in listening]
        pghalib.preflight.meeting.meet(module.settings, plan, found, None, module._starts)
        assert (called.listen, called.kwargs["later"], called.kwargs["hold"]) == (listen, later, hold)
        assert (called.kwargs["udp"], called.kwargs["http"], called.kwargs["excuse"]) == (8301, 8008, {5432: 8008})


class TestState:
    def state(self, loader_module, check, test=False):
        salt = {"pgha_preflight.check": check}
        return loader_module("_states/pgha_preflight.py", salt=salt, opts={"test": test})

    @pytest.mark.parametrize("test", [True, False])
    def test_nothing_in_the_way(self, loader_module, test):
        result = self.state(loader_module, lambda: {"faults": [], "warnings": []}, test).passed("x")
        assert (result["result"], result["changes"]) == (True, {})

    @pytest.mark.parametrize("test", [True, False])
    def test_every_fault_and_warning_is_named(self, loader_module, test):
        found = {"faults": ["one", "two"], "warnings": ["three"]}
        result = self.state(loader_module, lambda: found, test).passed("x")
        assert result["result"] is False
        assert result["comment"] == "fault: one\nfault: two\nwarning: three"

    def test_warnings_alone_stop_nothing(self, loader_module):
        result = self.state(loader_module, lambda: {"faults": [], "warnings": ["three"]}).passed("x")
        assert (result["result"], result["comment"]) == (True, "warning: three")

    def test_wrong_pillar(self, loader_module):
        def check():
            raise CommandExecutionError("the pillar cannot work")

        assert self.state(loader_module, check).passed("x")["comment"] == "the pillar cannot work"

    @pytest.mark.parametrize("test", [True, False])
    def test_a_host_with_data_and_without_secrets_fails_in_a_dry_run_too(self, loader_module, test):
        def check():
            pghalib.secrets.served.own({}, {"id": "test-db1"})

        result = self.state(loader_module, check, test).passed("x")
        assert (result["result"], result["changes"]) == (False, {})
        assert "serves no secrets to test-db1" in result["comment"]
