"""
Whoever has become postgres on a database host does not become root by it, neither in the next main job nor when root
calls Salt there. A host that was set up when Patroni's environment belonged to postgres is taken over.
"""

import json
import subprocess

import pytest
from integration import formula

VENV = "/opt/patroni"
MARK = "/root/pgha-attack"
# A file that only root may read, as /etc/shadow is.
PRIZE = "/etc/pgha-attack"
# Pushes a command of its own into the terminal that it was started in, and says how that went.
PUSHES = f"""\
#!/usr/bin/python3
import fcntl, os, sys, termios
for place in ("/dev/tty", 0, 1, 2):
    try:
        handle = os.open(place, os.O_RDWR) if isinstance(place, str) else place
        for letter in b"touch {MARK}\\n":
            fcntl.ioctl(handle, termios.TIOCSTI, bytes([letter]))
        print("pushed")
    except OSError as error:
        print("refused")
sys.exit(1)
"""
# A person at a terminal: the shell takes what is typed, or pushed, while Salt works.
PERSON = f"""\
salt-call -l quiet pgha_patroni.validate {VENV}/pyvenv.cfg
while read -r -t 2 line; do eval "$line"; done
"""


@pytest.fixture(scope="module")
def host(cluster):
    """A replica's host, which postgres is taken on."""
    cluster.wait_healthy()
    return cluster.replicas()[0]


def as_postgres(host, script):
    """Whether a script of the attacker's succeeds."""
    return host.run(["runuser", "-u", "postgres", "--", "sh", "-c", f"cd; {script}"], check=False).returncode == 0


def root(host, script, check=True):
    return host.run(["sh", "-c", script], check=check).stdout.strip()


def pending(host):
    """What waits for a restart on a host."""
    done = host.lab.salt("salt", host.name, "pgha_restart.pending", "--out=json", "--static")
    return json.loads(done.stdout[done.stdout.index("{") :])[host.name]


def test_environment_is_out_of_reach(host):
    assert root(host, f"stat -c %a:%U:%G {VENV}") == "755:root:root"
    found = ["runuser", "-u", "postgres", "--", "find", VENV, "!", "-type", "l", "("]
    assert host.run([*found, "-writable", "-o", "!", "-readable", ")"]).stdout == ""
    for script in (
        f"rm -f {VENV}/.pgha-requirements",
        f"echo x >> {VENV}/.pgha-requirements",
        f"echo x >> {VENV}/bin/patroni",
        f"touch {VENV}/lib/python3.11/site-packages/evil.pth",
        f"mkdir {VENV}/.build",
        f"mv {VENV} {VENV}.old",
        "mkdir /opt/.patroni.build",
        "echo x > /etc/profile.d/pgha-patroni.sh",
    ):
        assert not as_postgres(host, script), script


def test_links_of_postgres_are_not_followed_and_an_older_host_is_taken_over(cluster, host):
    """As an older main job has left it: the environment, and the file that its shell reads, are postgres's."""
    before = cluster.services(), host.read(f"{VENV}/.pgha-requirements")
    root(host, f"umask 077; echo secret > {PRIZE}; chown -R postgres: {VENV}; mv ~postgres/.profile ~postgres/.kept")
    try:
        root(host, f"ln -sf {PRIZE} /etc/patroni/environment.sh")
        assert as_postgres(host, f"ln -s {PRIZE} ~/.profile")
        run = formula.run(cluster.lab)
        assert run.code == 0, run.text
        assert root(host, f"stat -c %a:%U:%G {PRIZE}; cat {PRIZE}") == "600:root:root\nsecret"
        assert not as_postgres(host, f"cat {PRIZE}")
    finally:
        root(host, f"rm {PRIZE}; mv -f ~postgres/.kept ~postgres/.profile", check=False)
    assert root(host, f"find {VENV} /opt/.patroni.build -not -user root", check=False) == ""
    assert (cluster.services(), host.read(f"{VENV}/.pgha-requirements")) == before
    assert "Patroni" not in pending(host)
    formula.changes_nothing(cluster.lab)
    assert cluster.services() == before[0]


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash"])
def test_login_shell_of_postgres_finds_its_programs(cluster, host, shell):
    login = ["su", "-", "postgres", "-s", shell, "-c"]
    assert cluster.name in host.run([*login, "patronictl list"]).stdout
    assert host.run([*login, "psql -XAtc 'SELECT 1'"]).stdout == "1\n"
    assert host.run(["bash", "-lc", "echo $PATRONICTL_CONFIG_FILE"]).stdout == "\n"


def test_program_of_postgres_gets_no_terminal_of_roots(host):
    """In place of Patroni, as if its environment could be changed all the same."""
    program = f"{VENV}/bin/patroni"
    root(host, f"mv {program} {program}.kept")
    try:
        host.write(program, PUSHES, "0755")
        words = ["timeout", "120", "script", "-qec", f"bash -c '{PERSON}'", "/dev/null"]
        # Its input stays open, as a person's does.
        with host.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as terminal:
            said = terminal.stdout.read()
    finally:
        root(host, f"mv -f {program}.kept {program}")
        pushed = root(host, f"rm {MARK} 2>/dev/null && echo pushed", check=False)
    assert "refused" in said, said
    assert "pushed" not in said + pushed
