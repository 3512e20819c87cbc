"""What a person does with the formula on the lab: the pillar, the main job, and what a run changed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field

from lab.tools import wait_for

STORE = "/var/lib/pgha"


class Pillar:
    """
    The lab's own pillar with something on top of it. Most tests have plain traffic, where an attacker has more to try;
    those of test_tls have the default, encryption.

    ``patroni`` is what that section has in addition.
    """

    def __init__(self, lab, **patroni):
        self.master, self.given, self.patroni = lab.master, None, patroni

    def put(self, pgha):
        """
        Merge ``pgha`` (a mapping) over the lab's pillar; what an earlier call put there is gone. Returns whether that
        was something else, as far as is known.
        """
        before, self.given = self.given, pgha
        over = {"tls": False, **pgha, "patroni": {**self.patroni, **pgha.get("patroni", {})}}
        # As in the example of a pillar: a database host knows its own cluster alone.
        of_first = {key: value for key, value in over.items() if key != "clusters"}
        if "test" in over.get("clusters", {}):
            of_first["clusters"] = {"test": over["clusters"]["test"]}
        self.master.write("/srv/pillar/over.sls", json.dumps({"pgha": over}))
        self.master.write("/srv/pillar/over_first.sls", json.dumps({"pgha": of_first}))
        others = ["pgha", "over", {"match": "compound"}]
        top = {"test-db*": ["pgha", "over_first"], "not test-db*": others}
        self.master.write("/srv/pillar/top.sls", json.dumps({"base": top}))
        return before != pgha


def confirmed(lab, asked, **pillar):
    """
    Ask for a restore without a confirmation, and return the words for it with the one that is shown.

    asked
        The value of pgha_restore.
    pillar
        What stands beside that in the pillar of the run.
    """
    refused = run(lab, f"pillar={json.dumps({**pillar, 'pgha_restore': asked})}", sls="pgha.restore")
    assert refused.code == 1
    # Shown by Salt with or without quotes of its own.
    shown = re.findall(r'"confirm": "([^"]*)"', refused.text.replace("\\", ""))
    assert shown, refused.text
    return f"pillar={json.dumps({**pillar, 'pgha_restore': {**asked, 'confirm': shown[-1]}})}"


@dataclass
class Run:
    """An orchestration, or another job of Salt, that has ended."""

    code: int
    out: str
    err: str
    states: dict = field(default_factory=dict)

    @property
    def text(self):
        """Everything it said."""
        return self.out + self.err

    def failed(self):
        """A line for each stage that did not succeed."""
        return [f"{name}: {state['comment']}" for name, state in self.states.items() if state["result"] is not True]

    def changed(self):
        """A line for everything that was changed, or in a dry run would be: on the master, and on each host."""
        # What crashed has told of no state, and that is not to be taken for no change.
        assert self.states, self.text
        lines = []
        for name, state in self.states.items():
            changes = state["changes"]
            if "ret" not in changes:
                lines += [f"master: {name}: {changes}"] if changes else []
                continue
            for host, states in changes["ret"].items():
                lines += changed_states(host, states)
        return lines


def changed_states(host, states):
    """The lines of Run.changed for one host; what is no mapping of states is an error, and a line too."""
    if not isinstance(states, dict):
        return [f"{host}: {states}"]
    return [
        f"{host}: {state.get('__id__')}: {state['changes']}"
        for state in states.values()
        if state["changes"] or state["result"] is not True
    ]


def run(lab, *arguments, sls="pgha", timeout=600):
    """Run an orchestration on the master, by default the main job, and return its Run."""
    command = ["salt-run", "state.orchestrate", sls, *arguments, "--out=json"]
    done = lab.salt(*command, check=False, timeout=timeout)
    return Run(done.returncode, done.stdout, done.stderr, _states(done.stdout))


def changes_nothing(lab, *arguments, sls="pgha"):
    """Run an orchestration, by default the main job, which has to succeed and to change nothing; return its Run."""
    done = run(lab, *arguments, sls=sls)
    assert (done.code, done.changed()) == (0, []), done.text
    return done


def _states(text):
    with contextlib.suppress(ValueError, KeyError, AttributeError):
        by_host = json.loads(text[text.index("{") :])["data"]
        return {state["__id__"]: state for states in by_host.values() for state in states.values()}
    return {}


def run_until(lab, reached, *arguments, what, sls="pgha", timeout=240):
    """
    Start an orchestration, by default the main job, and kill it with everything it forked, without a warning, as soon
    as ``reached()`` is true.

    Raises:
        AssertionError: when it ended before.
        LabError: when it is not reached within ``timeout`` seconds.
    """
    command = ["salt-run", "state.orchestrate", sls, *arguments]
    with tempfile.TemporaryFile("w+") as said:
        process = lab.master.popen(
            command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )

        def seen():
            if process.poll() is not None:
                said.seek(0)
                raise AssertionError(f"the run ended with {process.returncode} before: {what}\n{said.read()}")
            return reached()

        try:
            wait_for(seen, timeout=timeout, what=what, interval=0.05)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def working_on(host, sls):
    """Whether the minion of ``host`` is applying the state ``sls`` right now."""
    done = host.run(["grep", "-rqsF", sls, "/var/cache/salt/minion/proc"], check=False)
    return done.returncode == 0


def idle(hosts):
    """Whether no minion of ``hosts`` has a job left; a killed run leaves its jobs to the minions."""
    return not any(working_on(host, "pgha") for host in hosts)


def store(lab, name):
    """What the master's store holds in the file ``name``.json."""
    return json.loads(lab.master.read(f"{STORE}/{name}.json"))


def authorities(lab):
    """What the master gives to clients that verify the server, as PEM."""
    told = lab.salt("salt-run", "pgha.authority", "test-dcs-cluster", "form=pem", "--out=json", "-l", "quiet").stdout
    return json.loads(told)
