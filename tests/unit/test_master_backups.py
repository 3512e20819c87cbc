"""The commands about backups on the master: what hosts answer is data, and a failure is told with its lines."""

import pghalib.master.asking
import pghalib.master.backups
import pytest
from salt.exceptions import CommandExecutionError

MEMBERS = ["db1", "db2"]


@pytest.fixture
def hosts(monkeypatch):
    """A function ({(host, function): answers in turn}): in place of the hosts; returns who was asked what."""

    def build(answers):
        asked = []

        def call(_opts, _timeout, host, function, *arguments):
            asked.append((host, function, *arguments))
            answer = answers.get((host, function))
            if isinstance(answer, list):
                answer = answer.pop(0)
            if answer is None:
                raise CommandExecutionError(f"{host} did not answer to {function}")
            return answer

        monkeypatch.setattr(pghalib.master.asking, "call", call)
        monkeypatch.setattr(pghalib.master.backups, "PAUSE", 0)
        return asked

    return build


def begun(*progress):
    leader = {"role": "primary", "state": "running"}
    return {
        ("db1", "pgha_patroni.member"): {"role": "replica", "state": "running"},
        ("db2", "pgha_patroni.member"): leader,
        ("db2", "pgha_backup.begin"): True,
        ("db2", "pgha_backup.progress"): list(progress),
    }


def running(percent):
    return {"state": "running", "percent": percent}


def test_the_leader_makes_it_and_its_progress_is_seen(hosts, capsys):
    asked = hosts(begun(running(None), running(10), running(10), running(80), {"state": "done"}))
    text, good = pghalib.master.backups.make({}, MEMBERS, "full")
    assert good
    assert text.startswith("The backup is made")
    assert ("db2", "pgha_backup.begin", "full") in asked
    assert [line.split()[-2] for line in capsys.readouterr().out.splitlines()[1:]] == ["10", "80"]


def test_a_backup_that_fails_is_told_with_its_last_lines(hosts):
    lines = [f"line {n}\x1b[31m" for n in range(30)]
    hosts(begun({"state": "failed", "lines": lines}))
    text, good = pghalib.master.backups.make({}, MEMBERS, "incr")
    assert not good
    assert text.splitlines()[0] == "The backup has failed on db2:"
    assert text.splitlines()[-1] == "  line 29?[31m"
    assert len(text.splitlines()) == 21


@pytest.mark.parametrize("strange", ["text", 7, [], {"percent": "x"}, {"state": ["running"]}])
def test_an_answer_of_another_shape_ends_it(hosts, strange):
    hosts(begun(strange))
    _, good = pghalib.master.backups.make({}, MEMBERS, "incr")
    assert not good


def test_without_a_leader_nothing_begins_and_silent_hosts_are_named(hosts):
    asked = hosts({("db1", "pgha_patroni.member"): {"role": "replica", "state": "running"}})
    with pytest.raises(CommandExecutionError, match="No member leads the cluster.*db2 did not answer"):
        pghalib.master.backups.make({}, MEMBERS, "incr")
    assert all(function == "pgha_patroni.member" for _, function, *_ in asked)


def test_the_first_host_that_can_tell_is_shown_line_by_line(hosts):
    row = ["20261101-010000F", "full", "x", "y", "3 GB", "1 MB", "ma\nin"]
    hosts({("db2", "pgha_backup.overview"): {"rows": [row, ["short"], 7], "lines": ["any moment", 3]}})
    shown = pghalib.master.backups.table({}, "one", MEMBERS).splitlines()
    assert shown[0] == "backups of one"
    assert shown[1].split() == list(pghalib.master.backups.HEAD)
    assert shown[3].split()[0] == "20261101-010000F"
    assert shown[3].endswith("ma in")
    assert shown[4:] == ["  any moment", "  that they can be restored was never proven here"]


def test_moments_are_told_by_the_clock_of_the_master(hosts, zone):
    zone("MSK-3")
    row = ["20261101-010000F", "full", 100, 200.0, "3 GB", "1 MB", "main"]
    hosts({("db1", "pgha_backup.overview"): {"rows": [row], "since": 201, "lines": ["a backup runs"]}})
    shown = pghalib.master.backups.table({}, "one", MEMBERS).splitlines()
    assert "full  1970-01-01 03:01:40+0300  1970-01-01 03:03:20+0300  3 GB" in shown[3]
    assert shown[4:6] == ["  any moment since 1970-01-01 03:03:21+0300 can be restored", "  a backup runs"]


@pytest.mark.parametrize("strange", [5, True, "text", {"a": 1}, [5, None, {}, [[]]], 1e300])
def test_rows_and_lines_of_another_shape_are_left_out(hosts, strange):
    # A number from 0 on is a moment.
    since = -5 if strange == 5 else strange
    hosts({("db1", "pgha_backup.overview"): {"rows": strange, "since": since, "lines": strange}})
    shown = pghalib.master.backups.table({}, "one", MEMBERS).splitlines()
    assert shown == ["backups of one", "  that they can be restored was never proven here"]


def test_when_no_host_can_tell_each_reason_is_named(hosts):
    hosts({})
    with pytest.raises(CommandExecutionError) as refused:
        pghalib.master.backups.table({}, "one", MEMBERS)
    assert str(refused.value).count("did not answer") == 2


PROOF = {"at": 5.0, "host": "db2", "backup": "a", "checks": ["pg_dumpall"], "fault": None}


def proving(proof, before=None, **members):
    answers = {(host, "pgha_patroni.member"): {"role": role, "state": state} for host, (role, state) in members.items()}
    for host in members:
        answers[host, "pgha_proof.begin"] = True
        answers[host, "pgha_proof.progress"] = [{"state": "running"}, {"state": "done"}]
        answers[host, "pgha_proof.result"] = [before, proof]
    return answers


def test_a_replica_proves_it(hosts):
    asked = hosts(proving(PROOF, db1=("primary", "running"), db2=("replica", "streaming")))
    text, good = pghalib.master.backups.prove({}, MEMBERS)
    assert good
    assert "on db2: a was restored" in text
    assert ("db2", "pgha_proof.begin") in asked


@pytest.mark.parametrize("number", [1e300, float("inf"), float("nan"), -1, True, 10**400])
def test_numbers_that_no_clock_tells_are_left_out_of_a_proof(hosts, number):
    hosts(proving({**PROOF, "newest": number, "back": number, "noted": number, "recovered": number, "size": number},
                  db1=("primary", "running")))  # fmt: skip
    text, good = pghalib.master.backups.prove({}, MEMBERS)
    assert good
    assert "a was restored in some time; " in text
    hosts(proving({**PROOF, "at": number}, db1=("primary", "running")))
    with pytest.raises(CommandExecutionError, match="db1 does not tell what came of it"):
        pghalib.master.backups.prove({}, MEMBERS)


def test_without_a_replica_the_leader_proves_it_and_what_fails_is_told(hosts):
    asked = hosts(proving({**PROOF, "fault": "no room"}, db1=("primary", "running"), db2=("replica", "starting")))
    text, good = pghalib.master.backups.prove({}, MEMBERS)
    assert not good
    assert text.endswith("has failed: no room")
    assert ("db1", "pgha_proof.begin") in asked


def test_a_person_may_choose_the_host(hosts):
    asked = hosts(proving({**PROOF, "at": 6.0}, before=PROOF, db1=("primary", "running"), db2=("replica", "streaming")))
    assert pghalib.master.backups.prove({}, MEMBERS, "db1")[1]
    assert ("db1", "pgha_proof.begin") in asked
    with pytest.raises(CommandExecutionError, match="There is no host of the cluster 'db9'; there is db1, db2"):
        pghalib.master.backups.prove({}, MEMBERS, "db9")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, "No member runs"),
        (proving("nonsense", db1=("primary", "running")), "db1 does not tell what came of it"),
        # It was killed: the result is that of last week.
        (proving(PROOF, before=PROOF, db1=("primary", "running")), "db1 does not tell what came of it"),
    ],
)
def test_what_cannot_be_proven_is_said(hosts, answers, said):
    hosts(answers)
    with pytest.raises(CommandExecutionError, match=said):
        pghalib.master.backups.prove({}, MEMBERS)


def test_the_newest_proof_of_all_hosts_is_shown(hosts):
    overview = {"rows": [], "lines": []}
    hosts({("db1", "pgha_backup.overview"): overview, ("db1", "pgha_proof.result"): {**PROOF, "at": 1.0},
           ("db2", "pgha_proof.result"): {**PROOF, "host": "newest"}})  # fmt: skip
    assert "on newest: a was restored" in pghalib.master.backups.table({}, "one", MEMBERS)
