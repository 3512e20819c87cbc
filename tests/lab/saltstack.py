"""Salt on the lab's hosts: the master serves the checkout as it is, the minions know their keys before they start."""

import concurrent.futures
import json
import shutil
from pathlib import Path

from .tools import LabError, run, wait_for, write
from .topology import MASTER, MIRROR

PILLAR = Path(__file__).parent / "pillar"
# As README.md says, and what two cores need.
MASTER_CONFIG = """\
file_roots:
  base: [/srv/pgha/salt]
pillar_roots:
  base: [/srv/pillar]
ext_pillar:
  - pgha: true
minion_data_cache: False
# Two cores: more workers only wait for each other.
worker_threads: 5
"""
MINION_CONFIG = """\
master: {master}
id: {name}
# Salt spreads thousands of minions over time; six need not wait for each other.
acceptance_wait_time: 1
random_startup_delay: 0
random_reauth_delay: 1
recon_default: 100
recon_max: 1000
recon_randomize: False
"""
# `salt … test.ping` would wait the whole gather_job_timeout for a minion that was late by a moment.
PING = """\
import json, sys, salt.client
client = salt.client.LocalClient()
print(json.dumps(client.cmd(sys.argv[1:], "test.ping", tgt_type="list", timeout=3, gather_job_timeout=1)))
"""


def make_keys(lab):
    """Make the key pairs of the master and of every minion, all at once, in ``keys/`` of the lab's directory."""
    place = lab.state / "keys"
    place.mkdir(mode=0o700)

    def make(name):
        pem = place / f"{name}.pem"
        run(["openssl", "genrsa", "-out", pem, "2048"])
        write(place / f"{name}.pub", run(["openssl", "rsa", "-in", pem, "-pubout"]).stdout)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(make, ["master", *lab.hosts]))


def configure(host):
    """Write configuration and keys of the host's minion, or of the master, into its layer, and enable it."""
    etc, keys = host.upper / "etc/salt", host.lab.state / "keys"
    if host.spec.role == "master":
        service, pki = "salt-master", etc / "pki/master"
        write(etc / "master.d/pgha.conf", MASTER_CONFIG)
        _install(keys / "master.pem", pki / "master.pem", 0o400)
        _install(keys / "master.pub", pki / "master.pub", 0o644)
        for name in host.lab.hosts:
            if name != MASTER:
                _install(keys / f"{name}.pub", pki / "minions" / name, 0o644)
        pki.chmod(0o700)
    else:
        service, pki = "salt-minion", etc / "pki/minion"
        master = host.lab.hosts[MASTER].address
        write(etc / "minion.d/lab.conf", MINION_CONFIG.format(name=host.name, master=master))
        _install(keys / f"{host.name}.pem", pki / "minion.pem", 0o400)
        _install(keys / f"{host.name}.pub", pki / "minion.pub", 0o644)
        _install(keys / "master.pub", pki / "minion_master.pub", 0o644)
        pki.chmod(0o700)
    wants = host.upper / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / f"{service}.service").symlink_to(f"/etc/systemd/system/{service}.service")


def _install(source, target, mode):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def binds(host):
    """
    What of this machine the host sees: the master has the checkout, read-only, as /srv/pgha; database hosts have one
    directory together, as /srv/share, as if they had mounted it from a file server.
    """
    if host.spec.role == "db":
        return [f"--bind={host.lab.share}:/srv/share"]
    return [f"--bind-ro={host.lab.checkout}:/srv/pgha"] if host.spec.role == "master" else []


def write_pillar(lab):
    """Put the pillar of tests/lab/pillar, and what the mirror offers, into the master's /srv/pillar."""
    place = lab.master.place / "root/srv/pillar"
    parts = json.loads((lab.state / "mirror/parts.json").read_text(encoding="utf-8"))
    files = {path.name: path.read_text(encoding="utf-8") for path in PILLAR.iterdir() if path.is_file()}
    files["parts.json"] = json.dumps({"mirror": MIRROR, **parts}, indent=2) + "\n"
    if lab.master.pid() is None:
        # Not booted yet: what is written to the layer now is there when it starts.
        for name, text in files.items():
            write(lab.master.upper / "srv/pillar" / name, text)
        return place
    lab.master.run(["sh", "-c", "rm -rf /srv/pillar && mkdir -p /srv/pillar"])
    for name, text in files.items():
        lab.master.write(f"/srv/pillar/{name}", text)
    return place


def wait_for_minions(lab, timeout=120):
    """
    Wait until the minion of every host that is on is connected to the master and answers it.

    Raises:
        LabError: when some do not within ``timeout`` seconds; it names them.
    """
    hosts = [host for host in lab.hosts.values() if host.spec.role != "master" and host.pid() is not None]
    missing = {host.name for host in hosts}

    def connected():
        # Seen from the minion: the master does not notice at once that a powered-off minion's connection is dead.
        missing.clear()
        for host in hosts:
            listing = host.run(["ss", "-Htn", "state", "established", "dport = :4505"], check=False).stdout
            if not listing.strip():
                missing.add(host.name)
                return False
        return True

    def answered():
        done = lab.master.run(["/opt/salt/bin/python", "-c", PING, *sorted(missing)], check=False)
        answers = json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else {}
        missing.difference_update(name for name, answer in answers.items() if answer is True)
        return not missing

    try:
        wait_for(connected, timeout=timeout, what="minions are connected")
        missing.update(host.name for host in hosts)
        wait_for(answered, timeout=timeout, what="minions answer")
    except LabError:
        names = ", ".join(sorted(missing)) or MASTER
        raise LabError(f"no answer within {timeout} s from: {names} (`lab exec NAME -- journalctl -b`)") from None
