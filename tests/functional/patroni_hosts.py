"""Real members of a Patroni cluster on loopback addresses, each with the formula's modules as on a host of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import shipped
from lab import mirror, postgrespro

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "salt/pgha/patroni/files/requirements.txt"
USER = "postgres"
SECRETS = {"superuser": "su:per'word", "replication": "rep li", "rewind": "re:wi\\nd", "restapi": "api-word"}
MODULES = (
    "pgha_parameters",
    "pgha_postgres",
    "pgha_locales",
    "pgha_patroni",
    "pgha_patroni_env",
    "pgha_dynamic",
    "pgha_member",
    "pgha_founding",
)


@contextlib.contextmanager
def traversable():
    """A directory that the user of PostgreSQL can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="pgha-functional-") as place:
        os.chmod(place, 0o755)
        yield Path(place)


def server(place):
    """The server of the lab's stand-in package, unpacked; returns its directory of binaries."""
    deb = next(postgrespro.repository().rglob("postgrespro-1c-18_*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(deb), str(place)], check=True)
    if subprocess.run(["getent", "passwd", USER], capture_output=True).returncode:
        subprocess.run(["useradd", "--system", USER], check=True)
    return place / "opt/pgpro/1c-18/bin"


def settings(place, loader, bin_dir, number=1, net="127.77.0", **over):
    """The resolved settings of member ``number`` of three, whose files are all under ``place``."""
    pillar = {
        "datacenters": {"dc-1": {"servers": {"dcs1": f"{net}.11"}}},
        "clusters": {
            "test": {
                "hosts": {f"db{each}": f"{net}.{30 + each}" for each in (1, 2, 3)},
                "postgres": {
                    "bin_dir": str(bin_dir),
                    "package_data_dir": None,
                    "data_dir": f"{place}/data",
                    "socket_dir": f"{place}/run",
                    "locale": "C.UTF-8",
                    "lc_messages": "C.UTF-8",
                    "parameters": {"shared_buffers": "32MB"},
                    **over.get("postgres", {}),
                },
                "patroni": {
                    "venv": f"{place.parent}/venv",
                    "config_dir": f"{place}/etc",
                    "log_dir": f"{place}/log",
                    "requirements": str(REQUIREMENTS),
                    "find_links": str(mirror.patroni()),
                    **over.get("patroni", {}),
                },
            }
        },
    }
    defaults = shipped.defaults()
    return loader("_utils/pghalib/inventory.py").settings(pillar, defaults, f"db{number}")


class Member:
    """One member: its modules in ``salt`` (as in ``__salt__``), its Patroni process."""

    def __init__(self, place, loader, found, consul=None, token=None):
        self.place, self.loader, self.settings, self.process = place, loader, found, None
        if consul:
            self.settings["consul"].update(client_addr=consul.rpartition(":")[0], user="root")
        self.secrets = {**SECRETS, "patroni": token or {"accessor": "-", "secret": "-"}}
        for name, mode in (("data", 0o700), ("log", 0o750), ("run", 0o755)):
            (place / name).mkdir(mode=mode, parents=True, exist_ok=True)
            shutil.chown(place / name, USER, USER)
        (place / "etc").mkdir(mode=0o750, exist_ok=True)
        shutil.chown(place / "etc", "root", USER)
        self.salt = {
            "pgha.settings": lambda: self.settings,
            "pgha_tls.stays": lambda: True,
            "cmd.run_all": run_all,
            "service.status": lambda _name: self.process is not None,
            "service.reload": lambda _name: self.process.send_signal(signal.SIGHUP) is None,
        }
        for name in MODULES:
            module = loader(f"_modules/{name}.py", salt=self.salt, pillar={"pgha_secrets": self.secrets})
            module.__grains__ = {"mem_total": 1024, "num_cpus": 1}
            public = [key for key, value in vars(module).items() if key[0] != "_" and callable(value)]
            self.salt.update({f"{name}.{key}": getattr(module, key) for key in public})

    def call(self, function, *args):
        return self.salt[function](*args)

    def state(self, name, *args, test=False, kind="pgha_patroni", **kwargs):
        return getattr(
            self.loader(
                f"_states/{kind}.py", salt=self.salt, opts={"test": test}, pillar={"pgha_secrets": self.secrets}
            ),
            name,
        )(*args, **kwargs)

    def must(self, name, *args, **kwargs):
        """Apply a state that must succeed."""
        ret = self.state(name, *args, **kwargs)
        assert ret["result"] is True, ret
        return ret

    @property
    def yml(self):
        return f"{self.place}/etc/patroni.yml"

    def start(self):
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
        with (self.place / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*command, f"{self.place.parent}/venv/bin/patroni", self.yml], stdout=output, stderr=output, cwd="/"
            )

    def stop(self):
        """End Patroni and its server at once, as tests do not care for a last checkpoint."""
        if self.process:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((self.place / "data/postmaster.pid").read_text().split()[0]), signal.SIGQUIT)

    def log(self):
        return (self.place / "log/patroni.log").read_text()


def run_all(command, env=None, clean_env=False, umask="022", cwd=None, timeout=None, stdin=None, **_kwargs):
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        umask=int(umask, 8),
        timeout=timeout,
        input=stdin,
        env={**({} if clean_env else os.environ), **(env or {})},
    )
    return {"retcode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def listening(address, port):
    """A socket that listens, and says so to whoever asks the kernel."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen()
    return sock


def eventually(condition, seconds=20):
    """Wait until a condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)
    return found
