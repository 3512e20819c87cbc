"""A run over a healthy cluster changes nothing and restarts nothing; so do highstate and a dry run."""

import json

from integration import formula


def test_a_second_run_changes_and_restarts_nothing(cluster):
    before = cluster.services()
    run = formula.changes_nothing(cluster.lab)
    assert not run.failed()
    assert cluster.services() == before


def test_the_run_waits_for_what_an_earlier_one_left_to_a_host(cluster):
    gate = "Every host answers, and none is busy with an earlier run"
    idle = formula.run(cluster.lab, "test=True")
    cluster.lab.salt("salt", "--async", cluster.db[0].name, "state.single", "cmd.run", "sleep 15")
    busy = formula.run(cluster.lab, "test=True")
    assert (idle.code, busy.code) == (0, 0), busy.text
    # Milliseconds.
    assert idle.states[gate]["duration"] < 4000 < busy.states[gate]["duration"]


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
    assert "Everything is as it should be." in lab.salt("salt-run", "pgha.status", check=False).stdout
