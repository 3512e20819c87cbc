"""A run over a healthy cluster changes nothing and restarts nothing; so do highstate and a dry run."""

import json

from integration import formula
from lab.tools import wait_for


def test_a_second_run_changes_and_restarts_nothing(cluster):
    before = cluster.services()
    run = formula.changes_nothing(cluster.lab)
    assert not run.failed()
    assert cluster.services() == before


def test_the_run_waits_for_what_an_earlier_one_left_to_a_host(cluster):
    host, slept = cluster.db[0], "/run/pgha-test-slept"
    cluster.lab.salt("salt", "--async", host.name, "state.single", "cmd.run", f"sleep 15; touch {slept}")
    try:
        wait_for(lambda: formula.working_on(host, slept), timeout=30, what="the host is busy")
        formula.run_until(
            cluster.lab,
            lambda: formula.working_on(cluster.dcs[0], "pgha.stages.preflight"),
            "test=True",
            what="the preflight has begun",
        )
        assert host.run(["test", "-e", slept], check=False).returncode == 0, "it did not wait"
    finally:
        wait_for(lambda: formula.idle(cluster.hosts), timeout=120, what="no minion works any more")
        host.run(["rm", "-f", slept])


def test_a_dry_run_finds_nothing_to_do(cluster):
    before = cluster.services()
    formula.changes_nothing(cluster.lab, "test=True")
    assert cluster.services() == before


def test_highstate_by_role_changes_nothing_either(cluster):
    names = ",".join(host.name for host in cluster.hosts)
    done = cluster.lab.salt("salt", "-L", names, "state.highstate", "--out=json", "--static", "-t", "120", check=False)
    answers = json.loads(done.stdout[done.stdout.index("{") :])
    assert sorted(answers) == sorted(host.name for host in cluster.hosts)
    assert done.returncode == 0, done.stdout
    for host, states in answers.items():
        assert len(states) > 15, f"{host} applied only {list(states)}"
        assert formula.changed_states(host, states) == []


def test_a_host_that_is_off_is_named_and_the_rest_is_done_without_it(cluster):
    lab, off = cluster.lab, cluster.replicas()[0]
    off.poweroff()
    try:
        said = lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False)
        assert said.returncode == 1
        assert f"{off.name}: did not answer; is the host on, and its salt-minion running?" in said.stdout
        words = "pillar=" + json.dumps({"pgha": {"without": [off.name]}})
        run = formula.changes_nothing(lab, words)
        assert f"{off.name}: left out of this run; run the main job again when it answers" in run.text
    finally:
        off.poweron()
        lab.wait_ready()
    cluster.wait_healthy()
    whole = "Everything is as it should be."
    # Consul's servers hear of the host's return by gossip.
    wait_for(lambda: whole in lab.salt("salt-run", "pgha.status", check=False).stdout, timeout=60, what=whole)
