"""Real Consul agents on loopback addresses, each with the formula's modules loaded as on a host of its own."""

import base64
import contextlib
import functools
import hashlib
import inspect
import json
import os
import random
import subprocess
import time
import uuid

import pghalib.consul.client
import pghalib.services
import pghalib.services.owed
import shipped
from lab import mirror
from salt.exceptions import CommandExecutionError

DEFAULTS = shipped.defaults()["consul"]
VERSION = "1.8.7"
MODULES = ("pgha_consul", "pgha_consul_acl", "pgha_consul_registrar")
ACL_STATES = ("quorum_formed", "acl_bootstrapped", "policies_and_tokens", "tokens_visible", "agent_token_set")


def token():
    return {"accessor": str(uuid.uuid4()), "secret": str(uuid.uuid4())}


def released():
    """Path and SHA-256 of the released archive of Consul, the one that the lab's hosts download."""
    place = mirror.released("consul")
    hashes = json.loads((place / "hashes.json").read_text())
    return place / f"consul_{VERSION}_linux_amd64.zip", hashes[VERSION]


class Datacenter:
    """
    Consul hosts with an inventory and secrets of their own: ``servers`` (1 or 3) servers and one database host.

    All have the standard ports, on addresses of 127.0.0.0/8 that are drawn for each datacenter.
    """

    def __init__(self, place, loader, binary, servers=1, version=VERSION, **consul):
        net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        hosts = [(f"dcs{number}", f"{net}.{10 + number}") for number in range(1, servers + 1)]
        self.inventory = [{"id": name, "name": name, "address": address} for name, address in hosts]
        self.database = {"id": "db1", "name": "db1", "address": f"{net}.21"}
        moved = {"manager": "vip-manager", "version": "4.0.0", "dcs_type": None}
        self.clusters = [
            {"name": "test", "namespace": "/db/", "hosts": [self.database], "vip": None, "vip_settings": moved}
        ]
        self.consul = {
            **DEFAULTS,
            "version": version,
            "startup_timeout": 30,
            "user": "root",
            "group": "root",
            **consul,
        }
        names = ["agent-db1", "patroni-test", "vip-test", *(f"agent-{name}" for name, _ in hosts)]
        self.tokens = {name: token() for name in names}
        self.management = token()
        self.gossip_key = base64.b64encode(os.urandom(32)).decode()
        self.servers = [Host(self, one, place / one["name"], loader, binary) for one in self.inventory]
        self.db = Host(self, self.database, place / "db1", loader, binary)

    @property
    def secrets(self):
        """Every secret of the datacenter."""
        chosen = [one["secret"] for one in (self.management, *self.tokens.values())]
        return [*chosen, self.gossip_key]

    def up(self):
        """Configure, start and set up everything, the way the orchestration does it."""
        for host in self.servers:
            host.state("configured")
            host.start()
        for name in ACL_STATES:
            for host in self.servers:
                host.state(name)
        self.db.state("configured")
        self.db.start()
        self.db.state("joined")
        return self

    def down(self):
        for host in (*self.servers, self.db):
            host.stop(9)


class Host:
    """One host: its modules in ``salt`` (as in ``__salt__``), its Consul process."""

    def __init__(self, datacenter, entry, place, loader, binary):
        self.datacenter, self.place, self.binary, self.loader = datacenter, place, str(binary), loader
        self.name, self.address = entry["name"], entry["address"]
        self.process = None
        for name in ("data", "conf", "log", "run"):
            (place / name).mkdir(parents=True)
        self.settings = {
            "role": "db" if entry is datacenter.database else "dcs",
            **entry,
            "datacenter": {"name": "dc-1", "servers": datacenter.inventory, "registrar": datacenter.inventory[0]},
            "without": [],
            "cluster": None,
            "clusters": datacenter.clusters,
            "consul": {
                **datacenter.consul,
                "client_addr": self.address,
                "data_dir": str(place / "data"),
                "config_dir": str(place / "conf"),
                "log_dir": str(place / "log"),
            },
        }
        self.salt = {
            "pgha.settings": lambda: self.settings,
            "pgha_tls.stays": lambda: True,
            "cmd.run_all": self._run_all,
            "service.show": self._show,
            "service.reload": self._reload,
        }
        for name in MODULES:
            module = loader(f"_modules/{name}.py", salt=self.salt, pillar={"pgha_secrets": self.secrets()})
            module.BINARY = self.binary
            for key in [key for key, value in vars(module).items() if inspect.isfunction(value) and key[0] != "_"]:
                setattr(module, key, self._here(getattr(module, key)))
                self.salt[f"{name}.{key}"] = getattr(module, key)
            setattr(self, name.removeprefix("pgha_"), module)

    def secrets(self):
        own = {"gossip_key": self.datacenter.gossip_key, "agent": self.datacenter.tokens[f"agent-{self.name}"]}
        if self.settings["role"] == "dcs":
            return {**own, "management": self.datacenter.management, "tokens": self.datacenter.tokens}
        return {**own, "patroni": self.datacenter.tokens["patroni-test"], "vip": self.datacenter.tokens["vip-test"]}

    def _here(self, function):
        """A function of a module with the notes and the units of this host, and not of another one."""

        @functools.wraps(function)
        def wrapped(*given, **named):
            pghalib.services.DIRECTORY = pghalib.services.UNITS = str(self.place / "run")
            return function(*given, **named)

        return wrapped

    def run_state(self, name, test=False, kind="pgha_consul"):
        module = self.loader(
            f"_states/{kind}.py", salt=self.salt, opts={"test": test}, pillar={"pgha_secrets": self.secrets()}
        )
        return self._here(getattr(module, name))(name)

    def state(self, name):
        """Apply a state that must succeed."""
        ret = self.run_state(name)
        assert ret["result"] is True, ret
        return ret

    def start(self):
        # What the unit notes.
        unit, note = self.place / "run/consul.service", self.place / "run/consul.started-with"
        unit.touch()
        note.write_text(f"{hashlib.sha256().hexdigest()}  {unit}\n")
        with open(self.place / "output", "ab") as output:
            command = [self.binary, "agent", f"-config-dir={self.place}/conf"]
            self.process = subprocess.Popen(command, stdout=output, stderr=output)

    def stop(self, signal=2):
        """Stop with SIGINT as the unit does, or with another signal; returns the exit code."""
        if self.process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal)
        code = self.process.wait(20)
        self.process = None
        return code

    def restart(self):
        self.stop()
        self.start()

    def call(self, method, path, secret=None, **kwargs):
        """A request to this host's agent with any token; returns the status code."""
        return self.ask(method, path, secret, allow=(400, 401, 403, 404, 405, 500), **kwargs)["status"]

    def ask(self, method, path, secret, **kwargs):
        """A request to this host's agent with any token; returns its answer."""
        return pghalib.consul.client.ask(self.settings, dict, method, path, token=secret or "", **kwargs)

    def eventually(self, condition, seconds=20):
        """Wait until a condition holds; a request that fails counts as not yet."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(CommandExecutionError):
                if condition():
                    return
            assert time.monotonic() < deadline, (self.place / "output").read_text()[-3000:]
            time.sleep(0.1)

    def _run_all(self, command, **_kwargs):
        done = subprocess.run(command, capture_output=True, text=True)
        return {"retcode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def _show(self, _name):
        number = self.process.pid if self.process else 0
        return {"MainPID": str(number), "ActiveState": "active" if number else "inactive"}

    def _reload(self, _name):
        self.process.send_signal(1)
        return True
