"""The virtual IP: vip-manager's configuration by version, who has it, who should, and who answers at it."""

import copy
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import listeners
import pghalib.host.arp
import pghalib.services
import pytest
import shipped
import yaml
from salt.exceptions import CommandExecutionError
from salt.utils.jinja import SerializerExtension

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "0f4e5dd1-6f0e-4c8a-9f5e-000000000001"
PILLAR = {
    "datacenters": {"dc": {"servers": {"test-dcs1": "198.51.100.11"}}},
    "clusters": {
        "test": {
            "vip": "198.51.100.40/24",
            "hosts": {"test-db1": "198.51.100.21", "test-db2.example.org": "198.51.100.22"},
        }
    },
}


@pytest.fixture
def settings_of():
    return shipped.settings_of(PILLAR)


def listing(**links):
    """What `ip -j addr show` prints for ``interface=[(address, prefix), …]``."""
    return json.dumps(
        [
            {"ifname": name, "addr_info": [{"local": address, "prefixlen": prefix} for address, prefix in rows]}
            for name, rows in links.items()
        ]
    )


HERE = {"lo": [("127.0.0.1", 8)], "eth0": [("198.51.100.21", 24)]}


class TestConfiguration:
    @pytest.mark.parametrize(
        ("version", "chosen", "wanted"),
        [
            ("3.0.0", None, "consul"),
            ("4.0.0", None, "consul"),
            ("4.2.1", None, "consul"),
            ("5.0.0", None, "patroni"),
            ("10.1", None, "patroni"),
            ("4.0.0", "patroni", "patroni"),
            ("5.0.0", "consul", "consul"),
        ],
    )
    def test_where_the_leader_is_looked_for(self, loader_module, version, chosen, wanted):
        assert loader_module("_utils/pghalib/vip/config.py").dcs_type(version, chosen) == wanted

    @pytest.mark.parametrize(
        ("namespace", "key"), [("/db/", "db/test/leader"), ("db", "db/test/leader"), ("/", "test/leader")]
    )
    def test_key_has_no_leading_slash(self, loader_module, settings_of, namespace, key):
        settings = settings_of(patroni={"namespace": namespace})
        assert loader_module("_utils/pghalib/vip/config.py").config(settings, "eth0", TOKEN)["trigger-key"] == key

    def test_consul_is_asked_with_the_token(self, loader_module, settings_of):
        settings = settings_of("test-db2.example.org", vip={"interval": 500})
        config = loader_module("_utils/pghalib/vip/config.py").config(settings, "eth1", TOKEN)
        assert config == {
            "ip": "198.51.100.40",
            "netmask": 24,
            "interface": "eth1",
            "manager-type": "basic",
            "interval": 500,
            "retry-num": 3,
            "retry-after": 250,
            "dcs-type": "consul",
            "dcs-endpoints": ["http://127.0.0.1:8500"],
            "trigger-key": "db/test/leader",
            "trigger-value": "test-db2",
            "consul-token": TOKEN,
        }

    def test_patroni_is_asked_at_the_hosts_own_address_without_a_token(self, loader_module, settings_of):
        module = loader_module("_utils/pghalib/vip/config.py")
        text = module.text(module.config(settings_of(vip={"version": "5.0.0"}), "eth0", TOKEN))
        config = yaml.safe_load(text)
        assert config["dcs-endpoints"] == ["http://198.51.100.21:8008"]
        assert (config["trigger-key"], config["trigger-value"]) == ("/leader", "200")
        assert TOKEN not in text

    def test_own_keys_go_over_it_and_null_takes_one_away(self, loader_module, settings_of):
        settings = settings_of(vip={"config": {"verbose": True, "retry-num": None, "interval": 100}})
        config = loader_module("_utils/pghalib/vip/config.py").config(settings, "eth0", TOKEN)
        assert (config["verbose"], config["interval"]) == (True, 100)
        assert "retry-num" not in config

    @pytest.mark.parametrize("settings", [{"cluster": None}, {"cluster": {"name": "test", "vip": None}}])
    def test_nothing_is_configured_without_a_virtual_ip(self, loader_module, settings_of, settings):
        config = loader_module("_utils/pghalib/vip/config.py").config
        with pytest.raises(CommandExecutionError, match="test-db1 is in no cluster with a virtual IP"):
            config(settings_of() | settings, "eth0", TOKEN)

    def test_api_with_a_certificate(self, loader_module, settings_of):
        patroni = {"config": {"restapi": {"certfile": "/x"}}, "restapi_port": 8009}
        settings = settings_of(patroni=patroni, vip={"version": "5.0.0"})
        found = loader_module("_utils/pghalib/vip/config.py").config(settings, "eth0", TOKEN)
        assert found["dcs-endpoints"] == ["https://198.51.100.21:8009"]


@pytest.fixture
def execution(loader_module, settings_of, tmp_path):
    def make(links=None, show=None, **sections):
        host = SimpleNamespace(ran=[], retcode=0)

        def run_all(command, **_kwargs):
            host.ran.append(command)
            return {"retcode": host.retcode, "stdout": listing(**(links or HERE)), "stderr": "refused"}

        salt = {
            "pgha.settings": lambda: settings_of(**sections),
            "cmd.run_all": run_all,
            "service.show": lambda _unit: show or {},
        }
        module = loader_module("_modules/pgha_vip.py", salt=salt)
        module.CONFIG, module.HELPER = str(tmp_path / "vip-manager.yml"), str(tmp_path / "helper")
        module.host = host
        return module

    return make


class TestExecution:
    def test_who_has_it(self, execution):
        assert execution().holds() is False
        assert execution({**HERE, "eth1": [("198.51.100.40", 32)]}).holds() is True

    def test_interface_is_that_of_the_address_or_the_setting(self, execution):
        assert execution().interface() == "eth0"
        assert execution(vip={"interface": "bond0"}).interface() == "bond0"
        with pytest.raises(CommandExecutionError, match=r"198\.51\.100\.21.*set vip:interface"):
            execution({"eth0": [("10.0.0.1", 8)]}).interface()

    def test_failing_ip_is_an_error(self, execution):
        module = execution()
        module.host.retcode = 1
        with pytest.raises(CommandExecutionError, match="refused"):
            module.addresses()

    @pytest.fixture
    def asking(self, execution, settings_of):
        """A function: the module of a host whose Patroni is at a port of 127.0.0.1 and runs as ``user``."""

        def make(port, user="root"):
            module = execution()
            sections = {"patroni": {"restapi_port": port}, "postgres": {"user": user}}
            module.__salt__["pgha.settings"] = lambda: settings_of(**sections) | {"address": "127.0.0.1"}
            return module

        return make

    @pytest.mark.root
    @pytest.mark.parametrize(("status", "leads"), [(200, True), (503, False), (502, None), (404, None), (302, None)])
    def test_who_leads_is_what_patroni_says_and_nothing_else(self, asking, http_service, status, leads):
        http_service.answers = [(status, "{}")]
        assert asking(http_service.port).leads_by_patroni() is leads
        assert http_service.asked[0][:2] == ("GET", "/leader")

    def test_nobody_knows_who_leads_while_patroni_is_down_or_silent(self, asking, free_port):
        assert asking(free_port).leads_by_patroni() is None
        with socket.create_server(("127.0.0.1", 0)) as silent:
            module = asking(silent.getsockname()[1])
            module.ANSWER = 0.2
            assert module.leads_by_patroni() is None

    def test_a_proxy_is_not_asked_who_leads(self, asking, free_port, http_service, monkeypatch):
        monkeypatch.setenv("http_proxy", http_service.address)
        assert asking(free_port).leads_by_patroni() is None
        assert http_service.asked == []

    @pytest.mark.root
    @pytest.mark.parametrize("status", [200, 503])
    def test_another_user_does_not_tell_who_leads(self, asking, status):
        with listeners.listening(status=status) as other:
            assert asking(other.port).leads_by_patroni() is None
            assert other.heard() == []

    def test_restart_is_pending_after_any_change(self, execution, tmp_path, monkeypatch):
        monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path))
        monkeypatch.setattr(pghalib.services, "UNITS", str(tmp_path))
        unit, note = tmp_path / "vip-manager.service", tmp_path / "vip-manager.started-with"
        assert execution().restart_pending() is None
        module = execution(show={"ActiveState": "active", "MainPID": "4711"})
        Path(module.CONFIG).write_text("a")
        unit.write_text("b")
        digests = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (module.CONFIG, unit)}
        note.write_text("".join(f"{digest}  {path}\n" for path, digest in digests.items()))
        monkeypatch.setattr(module.os, "readlink", lambda _path: "/opt/vip-manager/4.0.0/vip-manager")
        monkeypatch.setattr(module.os.path, "realpath", lambda _path: "/opt/vip-manager/4.0.0/vip-manager")
        assert module.restart_pending() == []
        Path(module.CONFIG).write_text("changed")
        monkeypatch.setattr(module.os.path, "realpath", lambda _path: "/opt/vip-manager/4.0.1/vip-manager")
        assert module.restart_pending() == [module.CONFIG, "/usr/bin/vip-manager"]
        note.unlink()
        assert str(unit) in module.restart_pending()

    @pytest.mark.parametrize("refused", [None, "show"])
    def test_the_right_of_the_callback_is_proven_by_patronis_user(self, execution, refused):
        module, ran = execution(vip={"manager": "callback"}), []

        def run_all(command, **_options):
            ran.append(command)
            stderr = "sudo: a password is\nrequired" if command[-1] == refused else ""
            return {"retcode": int(command[-1] == refused), "stdout": "", "stderr": stderr}

        module.__salt__["cmd.run_all"] = run_all
        faults = module.callback_faults()
        assert all(command[:6] == ["setsid", "--wait", "runuser", "-u", "postgres", "--"] for command in ran)
        assert all(command[6:] == ["sudo", "-n", module.HELPER, "show"] for command in ran)
        assert ran
        assert len(faults) == (refused is not None)
        for fault in faults:
            assert "(sudo: a password is required)" in fault
            assert "'@includedir /etc/sudoers.d'" in fault

    @pytest.mark.parametrize("manager", ["vip-manager", "none"])
    def test_without_a_callback_nobody_is_asked_for_its_right(self, execution, manager):
        module = execution(vip={"manager": manager})
        assert (module.callback_faults(), module.host.ran) == ([], [])

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ({"ActiveState": "active", "SubState": "running"}, False),
            ({"ActiveState": "inactive", "SubState": "dead"}, True),
            ({"ActiveState": "failed", "SubState": "failed"}, True),
            ({"ActiveState": "activating", "SubState": "auto-restart"}, True),
            ({}, True),
        ],
    )
    @pytest.mark.parametrize("manager", ["vip-manager", "callback", "none"])
    def test_a_vip_manager_that_does_not_run_is_a_fault_of_a_replica_too(
        self, loader_module, settings_of, state, said, manager
    ):
        def faults(settings):
            salt = {"pgha.settings": lambda: settings, "service.show": lambda name: asked.append(name) or state}
            return loader_module("_modules/pgha_vip_manager.py", salt=salt).faults()

        asked = []
        settings = settings_of(vip={"manager": manager})
        found = faults(settings)
        assert ["systemctl start vip-manager" in one for one in found] == [True] * (said and manager == "vip-manager")
        assert asked == ["vip-manager.service"] * (manager == "vip-manager")
        # On hosts without one nobody looks for it.
        for other in ({"role": "dcs", "cluster": None}, {"cluster": {**settings["cluster"], "vip": None}}):
            assert faults(settings | other) == []

    def test_a_vip_manager_that_knows_another_address_is_named_with_the_remedy(self, execution):
        module = execution()
        for pending, named in (
            (None, False),
            ([], False),
            (["/usr/bin/vip-manager"], False),
            ([module.CONFIG], True),
            # All that is known without the note of its start, or with that of an older unit.
            ([f"{pghalib.services.UNITS}/vip-manager.service"], True),
        ):
            module.restart_pending = lambda pending=pending: pending
            assert bool(module.outdated()) is named
        assert "salt-run state.orchestrate pgha.restart, then the main job" in module.outdated()

    @pytest.mark.root
    def test_the_helper_tells_its_address_when_it_is_roots(self, execution):
        module = execution()
        helper = Path(module.HELPER)
        assert module.helper_address() is None
        template = (ROOT / "salt/pgha/vip/files/pgha-vip.j2").read_text()
        helper.write_text(template.replace("{{ vip.address | json }}", '"198.51.100.41"'))
        helper.chmod(0o755)
        assert module.helper_address() == "198.51.100.41"
        for mode, owner in ((0o757, 0), (0o755, 65534)):
            helper.chmod(mode)
            os.chown(helper, owner, 0)
            with pytest.raises(CommandExecutionError, match=r"can be changed by others than root.*and run the main"):
                module.helper_address()
        helper.write_bytes(b"\xff")
        os.chown(helper, 0, 0)
        assert module.helper_address() is None
        helper.unlink()
        helper.symlink_to("/dev/null")
        with pytest.raises(CommandExecutionError, match=f"{helper}: "):
            module.helper_address()
        assert module.host.ran == []

    def test_moving_needs_the_helper(self, execution):
        module = execution()
        with pytest.raises(CommandExecutionError, match="vip:manager set to callback"):
            module.move("add")
        Path(module.HELPER).touch()
        module.move("add")
        assert module.host.ran == [[module.HELPER, "add"]]
        module.host.retcode = 1
        with pytest.raises(CommandExecutionError, match="refused"):
            module.move("del")

    def test_host_without_a_virtual_ip(self, execution, settings_of):
        module = execution()
        module.__salt__["pgha.settings"] = lambda: settings_of("test-dcs1")
        with pytest.raises(CommandExecutionError, match="no virtual IP"):
            module.holds()


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Wire:
    """A raw socket on a network where some addresses are taken."""

    def __init__(self, taken):
        self.taken, self.waiting, self.sent = taken, [], []

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        pass

    def bind(self, _address):
        pass

    def getsockname(self):
        return ("eth0", 0x0806, 0, 1, b"\x02\0\0\0\0\x01")

    def send(self, frame):
        self.sent.append(frame)
        target = socket.inet_ntoa(frame[38:42])
        for mac in self.taken.get(target, ()):
            source = bytes.fromhex(mac.replace(":", ""))
            self.waiting.append(frame[6:12] + source + frame[12:20] + b"\0\x02" + source + frame[38:42] + frame[6:16])

    def settimeout(self, _seconds):
        pass

    def recv(self, _size):
        if not self.waiting:
            raise TimeoutError
        return self.waiting.pop(0)


class TestArp:
    @pytest.fixture
    def ask(self, execution, monkeypatch):
        def asking(taken, function, *args, **kwargs):
            module = execution()
            wire = Wire(taken)
            monkeypatch.setattr(pghalib.host.arp.socket, "socket", lambda *_args: wire)
            return getattr(module, function)(*args, timeout=0.05, **kwargs), wire

        return asking

    def test_nobody_answers(self, ask):
        answers, wire = ask({}, "answers")
        assert answers == []
        frame = wire.sent[0]
        assert frame[:6] == b"\xff" * 6
        # A probe claims nothing: the sender's protocol address is zero (RFC 5227).
        assert frame[28:32] == b"\0" * 4
        assert socket.inet_ntoa(frame[38:42]) == "198.51.100.40"

    def test_everyone_who_answers_is_named_and_not_this_host(self, ask):
        taken = {"198.51.100.40": ["02:00:00:00:00:22", "02:00:00:00:00:11", "02:00:00:00:00:01"]}
        assert ask(taken, "answers")[0] == ["02:00:00:00:00:11", "02:00:00:00:00:22"]

    def test_several_are_asked_at_once(self, ask):
        taken = {"198.51.100.22": ["02:00:00:00:00:22"]}
        found, _ = ask(taken, "neighbours", ["198.51.100.22", "198.51.100.23"])
        assert found == {"198.51.100.22": ["02:00:00:00:00:22"], "198.51.100.23": []}

    def test_without_the_right_to_it(self, execution, monkeypatch):
        module = execution()

        def denied(*_args):
            raise PermissionError

        monkeypatch.setattr(pghalib.host.arp.socket, "socket", denied)
        with pytest.raises(CommandExecutionError, match="CAP_NET_RAW"):
            module.answers()

    def test_other_frames_are_passed_over(self):
        assert pghalib.host.arp.sender(b"short") is None
        assert pghalib.host.arp.sender(b"\0" * 60) is None


@pytest.fixture
def state(loader_module, settings_of):
    """The states over a host: ``leads``, ``holds``, ``pending``; ``done`` is what they did to it."""

    def make(test=False, leads=False, holds=False, pending=None, secrets=None, **sections):
        host = SimpleNamespace(leads=leads, holds=holds, pending=pending, done=[], patroni="active")
        host.outdated, host.helper, host.addresses = None, None, ["198.51.100.21"]

        def move(verb):
            host.done.append(verb)
            host.holds = verb == "add"
            return {"add": "198.51.100.40/24 added to eth0", "del": "198.51.100.40/24 removed from eth0"}[verb]

        def restart(unit):
            host.done.append(f"restart {unit}")
            return True

        salt = {
            "pgha.settings": lambda: settings_of(**sections),
            "pgha_tls.stays": lambda: True,
            "pgha_vip.interface": lambda: "eth0",
            "pgha_vip.leads_by_patroni": lambda: host.leads,
            "pgha_vip.holds": lambda: host.holds,
            "pgha_vip.restart_pending": lambda: host.pending,
            "pgha_vip.outdated": lambda: host.outdated,
            "pgha_vip.addresses": lambda: [{"address": one} for one in host.addresses],
            "pgha_vip.helper_address": lambda: host.helper,
            "pgha_vip.move": move,
            "service.restart": restart,
            "service.show": lambda _unit: {"ActiveState": host.patroni},
            "file.file_exists": lambda path: Path(path).exists(),
        }
        module = loader_module("_states/pgha_vip.py", salt=salt, opts={"test": test}, pillar={"pgha_secrets": secrets})
        module.host = host
        return module

    return make


SECRETS = {"vip": {"accessor": "x", "secret": TOKEN}}


class TestConfigured:
    @pytest.mark.root
    def test_file_is_private_and_the_token_is_not_shown(self, state, tmp_path):
        path = tmp_path / "vip-manager.yml"
        result = state(secrets=SECRETS).configured(str(path))
        assert result["result"] is True
        assert path.stat().st_mode & 0o777 == 0o600
        assert yaml.safe_load(path.read_text())["consul-token"] == TOKEN
        assert TOKEN not in json.dumps(result)
        assert state(secrets=SECRETS).configured(str(path))["changes"] == {}

    def test_dry_run(self, state, tmp_path):
        path = tmp_path / "vip-manager.yml"
        result = state(test=True, secrets=SECRETS).configured(str(path))
        assert result["result"] is None
        assert "198.51.100.40" in result["changes"]["diff"]
        assert TOKEN not in json.dumps(result)
        assert not path.exists()

    @pytest.mark.root
    def test_running_one_is_left_alone_and_told(self, state, tmp_path):
        module = state(secrets=SECRETS, pending=["/etc/vip-manager/vip-manager.yml"])
        result = module.configured(str(tmp_path / "vip-manager.yml"))
        assert "restart of vip-manager is pending" in result["comment"]
        assert module.host.done == []

    def test_nothing_is_written_for_a_switch_of_tls_that_is_refused(self, state, tmp_path):
        module = state(secrets=SECRETS)

        def refuse():
            raise CommandExecutionError("the pillar switches TLS off on a living cluster")

        module.__salt__["pgha_tls.stays"] = refuse
        result = module.configured(str(tmp_path / "vip-manager.yml"))
        assert (result["result"], result["comment"]) == (False, "the pillar switches TLS off on a living cluster")
        assert list(tmp_path.iterdir()) == []

    def test_missing_secret_is_told(self, state, tmp_path):
        result = state().configured(str(tmp_path / "vip-manager.yml"))
        assert result["result"] is False
        assert "The master serves no secrets to a-host" in result["comment"]

    def test_missing_secret_does_not_fail_the_first_dry_run(self, state, tmp_path):
        result = state(test=True).configured(str(tmp_path / "vip-manager.yml"))
        assert (result["result"], result["changes"]) == (None, {})

    @pytest.mark.root
    def test_patroni_needs_no_secret(self, state, tmp_path):
        assert state(vip={"version": "5.0.0"}).configured(str(tmp_path / "vip-manager.yml"))["result"] is True


class TestRestarted:
    @pytest.mark.parametrize(
        ("pending", "said"), [(None, "vip-manager does not run."), ([], "vip-manager runs what is there.")]
    )
    def test_nothing_to_do(self, state, pending, said):
        module = state(pending=pending)
        result = module.restarted("x")
        assert (result["result"], result["changes"], module.host.done) == (True, {}, [])
        assert result["comment"] == said

    def test_only_what_is_pending(self, state):
        module = state(pending=["/usr/bin/vip-manager"])
        assert "/usr/bin/vip-manager" in module.restarted("x")["changes"]["vip-manager"]["old"]
        assert module.host.done == ["restart vip-manager.service"]

    def test_dry_run(self, state):
        module = state(test=True, pending=["/usr/bin/vip-manager"])
        assert module.restarted("x")["result"] is None
        assert module.host.done == []

    def test_failure(self, state):
        module = state(pending=["x"])
        module.__salt__["service.restart"] = lambda _unit: False
        result = module.restarted("x")
        assert (result["result"], result["changes"]) == (False, {})
        assert result["comment"] == "vip-manager did not restart: see journalctl -u vip-manager"


class TestFollowsLeader:
    @pytest.mark.parametrize("both", [True, False])
    def test_in_line(self, state, both):
        result = state(leads=both, holds=both).follows_leader("x")
        word = "is" if both else "is not"
        assert result["result"] is True
        assert result["comment"] == f"Patroni here {word} the leader, the virtual IP {word} here."

    def test_waits_for_it(self, state):
        module = state(leads=True)
        looks = iter([False, False, True])
        module.__salt__["pgha_vip.holds"] = lambda: next(looks)
        assert module.follows_leader("x", timeout=5)["result"] is True

    @pytest.mark.parametrize(("leads", "holds"), [(True, False), (False, True)])
    def test_gives_up_and_says_how_it_is(self, state, leads, holds):
        result = state(leads=leads, holds=holds).follows_leader("x", timeout=0.05)
        assert result["result"] is False
        assert f"Patroni here {'is' if leads else 'is not'} the leader" in result["comment"]

    def test_dry_run_does_not_wait(self, state):
        assert state(test=True, leads=True).follows_leader("x", timeout=60)["result"] is None

    def test_a_vip_manager_with_another_address_is_given_a_moment_and_no_more(self, state, clock):
        module = state(leads=True)
        module.host.outdated = "a sentence."
        began = clock.monotonic()
        result = module.follows_leader("x", timeout=60)
        assert (result["result"], result["changes"]) == (False, {})
        assert result["comment"] == "Patroni here is the leader, the virtual IP is not here. a sentence."
        assert clock.monotonic() - began < 10
        module.__opts__["test"] = True
        assert module.follows_leader("x", timeout=60)["result"] is None

    @pytest.mark.parametrize(("leads", "holds"), [(True, True), (False, False)])
    def test_a_restart_of_vip_manager_that_is_pending_for_another_reason_is_no_fault(self, state, leads, holds):
        module = state(leads=leads, holds=not holds)
        module.host.outdated = "a sentence."
        looks = iter([not holds, holds, holds])
        module.__salt__["pgha_vip.holds"] = lambda: next(looks)
        assert module.follows_leader("x", timeout=60)["result"] is True

    @pytest.mark.parametrize("holds", [True, False])
    def test_a_patroni_that_does_not_tell_is_waited_for(self, state, holds):
        module = state(leads=None, holds=holds)
        result = module.follows_leader("x", timeout=0.05)
        assert result["result"] is False
        assert "Patroni here does not tell whether it is the leader" in result["comment"]
        looks = iter([None, None, holds])
        module.__salt__["pgha_vip.leads_by_patroni"] = lambda: next(looks)
        assert module.follows_leader("x", timeout=5)["result"] is True


class TestHeldByLeader:
    @pytest.mark.parametrize(("leads", "holds", "done"), [(True, False, "add"), (False, True, "del")])
    def test_put_right(self, state, leads, holds, done):
        module = state(leads=leads, holds=holds)
        result = module.held_by_leader("x")
        assert module.host.done == [done]
        assert result["changes"]["virtual IP"]["new"] == ("here" if leads else "not here")
        word = "is" if leads else "is not"
        again = module.held_by_leader("x")
        assert (again["changes"], module.host.done) == ({}, [done])
        for ret in (result, again):
            assert ret["comment"] == f"Patroni here {word} the leader, the virtual IP {word} here."

    def test_dry_run(self, state):
        for leads in (True, None):
            module = state(test=True, leads=leads)
            result = module.held_by_leader("x", timeout=60)
            assert (result["result"], module.host.done) == (None, [])
            assert result["comment"].startswith("The virtual IP would be moved." if leads else "Patroni here does not")

    @pytest.mark.parametrize("holds", [True, False])
    def test_silence_moves_nothing_and_is_an_error_in_the_end(self, state, holds):
        """The leader whose REST API is slow keeps its address: nothing would give it back."""
        module = state(leads=None, holds=holds)
        result = module.held_by_leader("x", timeout=0.05)
        assert (result["result"], result["changes"], module.host.done) == (False, {}, [])
        assert "does not tell whether it is the leader" in result["comment"]
        assert "after 0.05 s: see systemctl status patroni" in result["comment"]

    @pytest.mark.parametrize("patroni", ["inactive", "failed"])
    @pytest.mark.parametrize("function", ["held_by_leader", "follows_leader"])
    def test_a_patroni_that_was_not_started_is_not_waited_for(self, state, function, patroni):
        for test in (True, False):
            module = state(test=test, leads=None)
            module.host.patroni = patroni
            began = time.monotonic()
            result = getattr(module, function)("x", timeout=60)
            assert (result["result"], result["changes"], module.host.done) == (None if test else False, {}, [])
            assert "Patroni does not run: journalctl -u patroni" in result["comment"]
            assert time.monotonic() - began < 5

    def test_an_answer_is_waited_for(self, state):
        module = state(holds=False)
        looks = iter([None, None, True])
        module.__salt__["pgha_vip.leads_by_patroni"] = lambda: next(looks)
        assert module.held_by_leader("x", timeout=5)["result"] is True
        assert module.host.done == ["add"]

    def test_failure_is_told(self, state):
        module = state(leads=True)

        def move(_verb):
            raise CommandExecutionError("no helper")

        module.__salt__["pgha_vip.move"] = move
        result = module.held_by_leader("x")
        assert (result["result"], result["changes"], result["comment"]) == (False, {}, "no helper")


class TestFormerReleased:
    @pytest.mark.parametrize("helper", [None, "198.51.100.40"])
    def test_nothing_goes_without_a_helper_or_with_one_of_this_address(self, state, helper):
        module = state(holds=True)
        module.host.helper, module.host.addresses = helper, ["198.51.100.40"]
        result = module.former_released("x")
        assert (result["result"], result["changes"], module.host.done) == (True, {}, [])

    @pytest.mark.parametrize("here", [True, False])
    def test_the_former_address_goes_by_the_former_helper(self, state, here):
        addresses = ["198.51.100.21", *(["198.51.100.41"] if here else [])]
        changes = {"former virtual IP": {"old": "198.51.100.41", "new": "not here"}} if here else {}
        for test in (True, False):
            module = state(test=test)
            module.host.helper, module.host.addresses = "198.51.100.41", addresses
            result = module.former_released("x")
            assert (result["result"], result["changes"]) == (None if test and here else True, changes)
            assert module.host.done == ([] if test else ["del"])

    def test_it_goes_when_the_cluster_has_no_virtual_ip_any_more(self, state, settings_of):
        module = state()
        settings = settings_of()
        settings["cluster"]["vip"] = None
        module.__salt__["pgha.settings"] = lambda: settings
        module.host.helper = "198.51.100.40"
        module.former_released("x")
        assert module.host.done == ["del"]


class TestCallbackReleased:
    def test_a_missing_right_fails_before_patroni_is_told(self, state, tmp_path):
        module = state()
        module.HELPER = str(tmp_path / "helper")
        module.__salt__["pgha_vip.callback_faults"] = list
        assert module.callback_allowed("n")["result"] is True
        module.__salt__["pgha_vip.callback_faults"] = lambda: ["a sentence"]
        module.__salt__["file.file_exists"] = lambda path: Path(path).exists()
        assert (module.callback_allowed("n")["result"], module.callback_allowed("n")["comment"]) == (
            False,
            "a sentence",
        )
        module.__opts__["test"] = True
        assert module.callback_allowed("n")["result"] is None
        Path(module.HELPER).touch()
        assert module.callback_allowed("n")["result"] is False

    def test_without_a_callback_the_address_is_not_ours(self, state, tmp_path):
        module = state(holds=True)
        assert module.callback_released(str(tmp_path / "helper"))["changes"] == {}
        assert module.host.done == []

    def test_released(self, state, tmp_path):
        (tmp_path / "helper").touch()
        module = state(holds=True)
        assert module.callback_released(str(tmp_path / "helper"))["changes"]["virtual IP"]["new"] == "not here"
        assert module.host.done == ["del"]

    def test_dry_run(self, state, tmp_path):
        (tmp_path / "helper").touch()
        module = state(test=True, holds=True)
        assert module.callback_released(str(tmp_path / "helper"))["result"] is None
        assert module.host.done == []


class TestCallback:
    """The script itself, with a sudo that only writes down what it is asked."""

    @pytest.mark.parametrize(
        ("action", "role", "verb"),
        [
            ("on_start", "primary", "add"),
            ("on_start", "master", "add"),
            ("on_start", "replica", "del"),
            ("on_role_change", "primary", "add"),
            ("on_role_change", "standby_leader", "add"),
            ("on_role_change", "replica", "del"),
            ("on_stop", "primary", "del"),
            ("on_stop", "replica", "del"),
            ("on_reload", "primary", None),
            ("on_restart", "primary", "add"),
            ("on_restart", "replica", "del"),
            ("before_stop", "", "release"),
        ],
    )
    def test_what_it_does(self, tmp_path, action, role, verb):
        sudo = tmp_path / "sudo"
        sudo.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
        sudo.chmod(0o755)
        script = ROOT / "salt/pgha/vip/files/pgha-vip-callback"
        ran = subprocess.run(
            ["/bin/sh", script, action, role, "test"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ran.stdout.strip() == (f"-n /usr/local/sbin/pgha-vip {verb}" if verb else "")

    def test_a_sudo_that_hangs_does_not_hold_up_the_stop(self, tmp_path):
        # A second takes a tenth of one here.
        for name, text in {
            "sudo": "trap '' TERM\nexec >/dev/null 2>&1\nsleep 8\n",
            "timeout": f'echo "$1" >{tmp_path}/seconds\nbound=0.$1\nshift\nexec /usr/bin/timeout "$bound" "$@"\n',
        }.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
            (tmp_path / name).chmod(0o755)
        script = ROOT / "salt/pgha/vip/files/pgha-vip-callback"
        begun = time.monotonic()
        subprocess.run(
            ["/bin/sh", script, "before_stop"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert time.monotonic() - begun < 7
        assert (tmp_path / "seconds").read_text() == "3\n"


class TestHelper:
    """The helper, with an `ip` and a network that are not there."""

    @pytest.fixture
    def helper(self, tmp_path):
        import jinja2

        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, extensions=[SerializerExtension])
        template = environment.from_string((ROOT / "salt/pgha/vip/files/pgha-vip.j2").read_text())

        def make(interface=None, links=None, address="198.51.100.40"):
            text = template.render(vip={"address": address, "prefix": 24}, interface=interface, address="198.51.100.21")
            module = SimpleNamespace(ran=[], announced=[])
            names = {"__name__": "pgha_vip_helper"}
            exec(compile(text, "pgha-vip", "exec"), names)
            links = copy.deepcopy(links or HERE)

            def ip(*words):
                if words[0] == "-j":
                    return listing(**links)
                module.ran.append(" ".join(words))
                if words[1] == "add":
                    links[words[4]].append((address, 24))
                elif words[1] == "del":
                    if (address, 24) not in links[words[4]]:
                        raise RuntimeError("no such address")
                    links[words[4]].remove((address, 24))
                else:
                    for rows in links.values():
                        rows[:] = [row for row in rows if row[0] != address]
                return ""

            names.update(ip=ip, announce=module.announced.append)
            names.update(GRACE=0, LOCK=str(tmp_path / "pgha/lock"))
            module.add, module.remove, module.show = names["add"], names["remove"], names["show"]
            module.names, module.lock = names, names["lock"]
            return module

        return make

    def test_added_where_the_host_is_and_announced(self, helper):
        module = helper()
        assert module.add() == "added to eth0"
        assert module.ran == ["addr add 198.51.100.40/24 dev eth0"]
        assert module.announced == ["eth0"]
        assert module.add() == "is here already"
        assert len(module.ran) == 1

    def test_added_to_the_named_interface(self, helper):
        module = helper(interface="eth1", links={**HERE, "eth1": []})
        assert module.add() == "added to eth1"

    def test_removed_from_wherever_it_is(self, helper):
        module = helper(links={**HERE, "eth1": [("198.51.100.40", 24)]})
        assert module.remove() == "removed from eth1"
        assert module.remove() == "is not here"

    def test_removed_with_another_prefix(self, helper):
        module = helper(links={"eth0": [("198.51.100.21", 24), ("198.51.100.40", 32)]})
        assert module.remove() == "removed from eth0"
        assert module.ran[-1] == "addr flush to 198.51.100.40"

    @pytest.mark.parametrize("between", [False, True])
    def test_it_goes_in_a_moment_unless_another_order_comes(self, helper, between):
        module = helper(links={"eth0": [("198.51.100.21", 24), ("198.51.100.40", 24)]})
        held = module.lock()
        order = module.names["ordered"](held)
        if between:
            module.names["ordered"](held)
        os.close(held)
        module.names["remove_later"](order)
        assert module.show() == ("is on eth0" if between else "is not here")
        assert bool(module.ran) is not between

    def test_to_show_where_it_is_changes_nothing(self, helper):
        module = helper()
        assert (module.show(), module.ran) == ("is not here", [])

    def test_host_without_its_address(self, helper):
        with pytest.raises(RuntimeError, match=r"198\.51\.100\.21"):
            helper(links={"eth0": []}).add()

    def test_wrong_words_do_nothing(self, tmp_path):
        import jinja2

        environment = jinja2.Environment(extensions=[SerializerExtension])
        text = environment.from_string((ROOT / "salt/pgha/vip/files/pgha-vip.j2").read_text()).render(
            vip={"address": "198.51.100.40", "prefix": 24}, interface=None, address="198.51.100.21"
        )
        (tmp_path / "pgha-vip").write_text(text)
        for words in ([], ["up"], ["add", "x"]):
            ran = subprocess.run(
                [sys.executable, tmp_path / "pgha-vip", *words], capture_output=True, text=True, check=False
            )
            assert (ran.returncode, ran.stderr.strip()) == (1, "usage: pgha-vip add|del|release|show")
