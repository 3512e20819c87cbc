"""Users of the services go for root by the files that root reads and writes; none of them gets anything."""

import json
import time

import jinja2
import pytest
from integration import formula
from lab.tools import wait_for
from salt.utils.jinja import SerializerExtension

SECRET = "the-word-that-only-root-knows"
TARGET = "/etc/pgha-attack-target"
# Waits for a draft of patroni.yml, and puts a link in its place before root gives it away by name.
RACER = """
import os, select, sys
place, target = "/etc/patroni", sys.argv[1]
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    for name in os.listdir(place):
        if name.startswith(".patroni.yml."):
            try:
                os.rename(f"{place}/{name}", f"{place}/grabbed")
                os.symlink(target, f"{place}/{name}")
                sys.exit("grabbed")
            except OSError:
                pass
"""


def shell(host, script, user=None, check=True):
    words = ["runuser", "-u", user, "--"] if user else []
    return host.run([*words, "sh", "-c", script], check=check).stdout


def apply(host, sls):
    """Apply an SLS to a host; returns its states, and all that was said."""
    done = host.lab.salt("salt", host.name, "state.apply", sls, "--out=json", "--static", check=False)
    states = json.loads(done.stdout[done.stdout.index("{") :])[host.name]
    assert isinstance(states, dict), states
    return states, done.stdout


def good(states):
    return all(state["result"] is True for state in states.values())


@pytest.fixture
def host(cluster):
    """A replica's host, with a file that only root may read."""
    cluster.wait_healthy()
    host = cluster.replicas()[0]
    host.run(["sh", "-c", f"umask 077; echo {SECRET} > {TARGET}"])
    try:
        yield host
        assert shell(host, f"stat -c %a:%U:%G {TARGET}") == "600:root:root\n"
        assert host.read(TARGET) == f"{SECRET}\n"
    finally:
        host.run(["rm", "-f", TARGET])


def test_postgres_gets_no_file_of_roots_by_swapping_a_draft(host):
    before = host.read("/etc/patroni/patroni.yml")
    racer = host.popen(
        ["runuser", "-u", "postgres", "--", "python3", "-u", "-c", RACER, TARGET],
        stdin=-1,
        stdout=-1,
        stderr=-1,
        text=True,
    )
    try:
        assert racer.stdout.readline() == "ready\n"
        # What makes the next run write: he cannot do that himself any more.
        host.run(["sh", "-c", "echo '# changed' >> /etc/patroni/patroni.yml"])
        states, _ = apply(host, "pgha.patroni.config")
        assert good(states), states
    finally:
        # It ends with its input.
        said = "".join(racer.communicate())
        host.run(["rm", "-f", "/etc/patroni/grabbed"])
    assert "grabbed" not in said
    assert host.read("/etc/patroni/patroni.yml") == before
    assert shell(host, "stat -c %a:%U:%G /etc/patroni/patroni.yml") == "640:root:postgres\n"
    for attack in ("echo >> patroni.yml", "mv patroni.yml x", "rm -f patroni.yml", "touch x", "ln -s /etc/shadow x"):
        assert host.run(
            ["runuser", "-u", "postgres", "--", "sh", "-c", f"cd /etc/patroni && {attack}"], check=False
        ).returncode


def test_consul_reads_no_file_of_roots_by_the_note_of_what_is_pending(host, pillar):
    note = "/run/pgha/consul.restart-pending"
    shell(host, f"ln -sf {TARGET} {note}", "consul", check=False)
    try:
        pillar.put({"consul": {"log_rotate_max_files": 29}})
        host.lab.salt("salt", host.name, "saltutil.refresh_pillar", "wait=True")
        states, said = apply(host, "pgha.consul.config")
        assert good(states), states
        assert "log_rotate_max_files" in said
        done = host.lab.salt("salt", host.name, "pgha_restart.pending")
        assert "changed settings: log_rotate_max_files" in done.stdout
        assert SECRET not in said + done.stdout
        assert SECRET not in shell(host, "runuser -u nobody -- cat /run/pgha/* 2>/dev/null", check=False)
    finally:
        pillar.put({})
        host.lab.salt("salt", host.name, "saltutil.refresh_pillar", "wait=True")
        apply(host, "pgha.consul.config")
        host.run(["rm", "-f", note])


def test_postgres_shows_root_no_file_and_no_note_that_breaks_the_report(host):
    log = "/var/log/patroni/patroni.log"
    shell(host, "echo oneword > /run/pgha/patroni.started-with", "postgres", check=False)
    shell(host, f"mv {log} {log}.away && ln -s {TARGET} {log}", "postgres")
    try:
        said = host.lab.salt("salt", host.name, "pgha_patroni.log_tail").stdout
        assert SECRET not in said
        assert "not read: it is a symbolic link" in said
        pending = host.lab.salt("salt", host.name, "pgha_restart.pending", "--out=json", "--static").stdout
        assert json.loads(pending[pending.index("{") :]) == {host.name: {}}
    finally:
        shell(host, f"mv {log}.away {log}")


def test_what_a_killed_run_left_is_gone_after_the_next_one(host):
    left = [
        "/etc/consul.d/.config.json.k1lled_1.json",
        "/etc/consul.d/.acl-bootstrap.json.k1lled_1.json",
        "/etc/consul.d/.config.json.pgha-0123456789abcdef",
        "/etc/patroni/.patroni.yml.k1lled_1.yml",
        "/etc/patroni/.pgpass.check.pgha-0123456789abcdef",
    ]
    for path in left:
        host.run(["sh", "-c", f"echo '{{}}' > {path}; chown root:consul {path}; chmod 640 {path}"])
    try:
        for sls in ("pgha.consul.config", "pgha.patroni.config"):
            states, _ = apply(host, sls)
            assert good(states), states
        assert shell(host, f"ls {' '.join(left)} 2>/dev/null", check=False) == ""
    finally:
        host.run(["rm", "-f", *left])


def test_nobody_holds_the_lock_of_the_virtual_ip(host):
    """The helper of Patroni's callback, for an address that nobody has."""
    environment = jinja2.Environment(extensions=[SerializerExtension])
    template = environment.from_string((host.lab.checkout / "salt/pgha/vip/files/pgha-vip.j2").read_text())
    vip = {"address": "198.51.100.250", "prefix": 24}
    helper = "/usr/local/sbin/pgha-vip-attacked"
    host.write(helper, template.render(vip=vip, interface=None, address=host.address), mode="0755")
    hold = (
        "import fcntl, os, sys\n"
        "held = []\n"
        "for path in ('/run/pgha-vip.lock', '/run/pgha/vip.lock'):\n"
        "    try:\n"
        "        held.append(os.open(path, os.O_RDONLY)); fcntl.flock(held[-1], fcntl.LOCK_EX)\n"
        "    except OSError: pass\n"
        "print(len(held), flush=True); sys.stdin.read()\n"
    )
    holder = None
    try:
        host.run([helper, "del"], timeout=8)
        holder = host.popen(["runuser", "-u", "nobody", "--", "python3", "-c", hold], stdin=-1, stdout=-1, text=True)
        assert holder.stdout.readline() == "0\n"
        begun = time.monotonic()
        assert "is not here" in host.run([helper, "del"], timeout=8).stdout
        assert time.monotonic() - begun < 5
    finally:
        if holder:
            # It ends with its input.
            holder.communicate()
        host.run(["rm", "-f", helper])


def test_the_cluster_is_as_it_was(cluster):
    wait_for(lambda: formula.idle(cluster.hosts), timeout=60, what="no minion works any more")
    formula.changes_nothing(cluster.lab)
