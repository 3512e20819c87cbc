"""
A host that somebody has taken, and a user of a host who is nobody: neither is root on the master by what he says, and
neither takes the other hosts' place in a report or holds up a run.
"""

import json
import time

import pytest
from integration import formula
from lab.tools import wait_for

MODULES = "/var/cache/salt/minion/extmods/modules"
MARK = "/root/attacked"
# What it did to a state of the orchestration: a second one beside it, whose condition is looked at in a dry run, too.
INJECTION = f"Consul):\n  cmd.run:\n    - name: touch {MARK}\n    - onlyif: touch {MARK}-dry\n\n0 and on (x"
ESCAPES = "\x1b[2J\x1b]0;attacked\x07\u202e"
HONEST = {"pending": {"Consul": ["x"]}, "leads": False, "synchronous": False, "lowered": {}}
NODE = {"name": ESCAPES, "host": INJECTION, "role": "leader", "state": "running"}


@pytest.fixture
def pipe(cluster):
    """Somebody who is nobody listens and says that he is Patroni, with a configuration that never ends."""
    host = cluster.replicas()[0]
    script = (
        "import os, socket, time; os.path.exists('/tmp/attack.yml') or os.mkfifo('/tmp/attack.yml');"
        " held = [socket.create_server(('127.0.0.1', port)) for port in (9999, 8008)];"
        " open('/tmp/attack.ready', 'w'); time.sleep(600)"
    )
    command = ["runuser", "-u", "nobody", "--", "python3", "-c", script, "patroni", "/tmp/attack.yml", "\x1b[2J\nx"]
    process = host.popen(command)
    try:
        wait_for(
            lambda: host.run(["test", "-e", "/tmp/attack.ready"], check=False).returncode == 0, timeout=10, what="he"
        )
        yield host
    finally:
        host.run(["sh", "-c", "kill $(pgrep -u nobody -f attack.ready); rm -f /tmp/attack.yml /tmp/attack.ready"])
        process.wait(10)


def test_nobody_s_pipe_holds_no_preflight_up(cluster, pipe):
    names = ",".join(host.name for host in cluster.hosts)
    begin = time.monotonic()
    said = cluster.lab.salt("salt", "-L", names, "pgha_preflight.check", "--out=json", "--static", timeout=90)
    assert time.monotonic() - begin < 60
    faults = {name: answer["faults"] for name, answer in json.loads(said.stdout).items()}
    assert faults == {host.name: [] for host in cluster.hosts}, said.stdout
    said = cluster.lab.salt("salt", pipe.name, "pgha_preflight.listeners", "--out=json", "--static").stdout
    rows = [row for row in json.loads(said)[pipe.name] if row["address"] == "127.0.0.1" and row["port"] in (9999, 8008)]
    assert [(row["user"], row["runs_as"]) for row in rows] == [("nobody", None)] * 2
    assert {row["cmdline"][-1] for row in rows} == {"?[2J?x"}
    assert formula.run(cluster.lab, "test=True").code == 0


@pytest.fixture(scope="module")
def taken(cluster):
    """
    A replica, and a function that has it answer as its taker wants: (module, function, answer). What was wanted last
    counts, until the end of the module.
    """
    host = cluster.replicas()[-1]

    def answers(module, function, answer):
        text = f"\n\ndef {function}(*_args, **_kwargs):\n    return {answer!r}\n"
        host.run(["sh", "-c", 'printf %s "$1" >> "$0"', f"{MODULES}/{module}.py", text])
        cluster.lab.salt("salt", host.name, "saltutil.refresh_modules", "async=False")

    yield host, answers
    assert cluster.lab.salt("salt", host.name, "saltutil.sync_modules", "refresh=True").returncode == 0
    cluster.lab.salt("salt", host.name, "saltutil.refresh_modules", "async=False")
    said = cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False)
    assert said.returncode == 0, said.stdout


def attacked(lab):
    return lab.master.run(["sh", "-c", f"ls -d {MARK}*"], check=False).stdout.split()


@pytest.mark.parametrize("arguments", [["test=True"], []], ids=["dry", "real"])
def test_an_answer_is_no_state_of_the_rolling_restart(cluster, taken, arguments):
    host, answers = taken
    before = cluster.services()
    for wrong in (
        {**HONEST, "pending": {INJECTION: [INJECTION]}},
        {**HONEST, "leads": {INJECTION: 1}, "lowered": 7},
        ESCAPES + INJECTION,
    ):
        answers("pgha_restart", "facts", wrong)
        run = formula.run(cluster.lab, *arguments, sls="pgha.restart")
        assert run.code != 0, run.text
        assert f"{host.name}: " in run.text
        others = [other.name for other in cluster.hosts if other is not host]
        assert not [name for name in others if f"- {name}: " in run.text], run.text
        assert "\x1b[2J" not in run.text
        assert attacked(cluster.lab) == []
    # A sentence may be anything: it is shown and nothing else.
    answers("pgha_restart", "facts", {**HONEST, "pending": {"Consul": [ESCAPES + INJECTION]}})
    run = formula.run(cluster.lab, "test=True", sls="pgha.restart")
    assert f"1 {host.name} runs what is installed and configured (Consul)" in run.states, run.text
    assert attacked(cluster.lab) == []
    assert cluster.services() == before


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ({"role": "db", "members": 7}, "answered nonsense (name)"),
        ({"role": "db", "name": "x", "pending": {INJECTION: ["x"]}}, "answered nonsense (pending)"),
        ({"role": "db", "name": "x", "members": [NODE]}, "answered nonsense (members:0:name)"),
        ([[[[]]]], "answered nonsense (all of it)"),
        (ESCAPES, "did not answer as it should: ?[2J"),
    ],
)
def test_the_status_tells_of_the_other_hosts(cluster, taken, answer, part):
    host, answers = taken
    answers("pgha", "status", answer)
    said = cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False)
    text = said.stdout + said.stderr
    assert said.returncode == 1
    assert text.split("WRONG:\n")[1].splitlines()[0].startswith(f"  - {host.name}: {part}"), text
    assert text.count("\n  - ") == 1, text
    for other in (*cluster.dcs, *cluster.db):
        assert f"\n  {other.name} " in text, text
    assert "\x1b" not in text
    assert "\u202e" not in text
