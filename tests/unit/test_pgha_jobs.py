"""The gate before the first job: hosts that an interrupted run left at work are waited for."""

import contextlib
import importlib
import logging

import pytest


@pytest.fixture
def jobs(loader_module, monkeypatch):
    def build(*answers):
        left, asked = list(answers), []

        class Client:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def run_job(self, hosts, function, _arguments, **_kwargs):
                asked.append((hosts, function))
                return {"jid": "1", "minions": hosts}

            def get_event_iter_returns(self, _jid, minions, **_kwargs):
                answers = left.pop(0) if len(left) > 1 else left[0]
                yield from ({host: {"ret": jobs}} for host, jobs in answers.items())
                # Salt goes on to look until its time is over.
                assert set(answers) != set(minions)

        module = loader_module("_states/pgha_jobs.py")
        monkeypatch.setattr(module.salt.client, "get_local_client", lambda **_kwargs: Client())
        return module, asked

    return build


def test_idle_hosts_are_asked_once(jobs):
    module, asked = jobs({"db1": [], "db2": []})
    ret = module.finished("x", ["db1", "db2"])
    assert (ret["result"], ret["changes"]) == (True, {})
    assert asked == [(["db1", "db2"], "saltutil.is_running")]


def test_a_busy_host_is_waited_for(jobs):
    module, asked = jobs({"db1": [{"fun": "state.sls"}]}, {"db1": []})
    assert module.finished("x", ["db1"])["result"] is True
    assert len(asked) == 2


def test_a_host_that_stays_busy_is_named(jobs):
    module, _ = jobs({"db1": [{"fun": "state.sls"}], "db2": []})
    module.BUSY = 0
    ret = module.finished("x", ["db1", "db2"])
    assert ret["result"] is False
    assert "db1 (" in ret["comment"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("minions", 'add pillar=\'{"pgha": {"without": ["db1"]}}\''),
        ("minions_pre", "salt-key -p db1 prints with /etc/salt/pki/minion/minion.pub on the host, then accept it"),
        ("minions_rejected", "rejected"),
        ("minions_denied", "denied"),
        (None, "the master knows no such minion"),
    ],
)
def test_a_silent_host_is_named_with_what_the_master_knows_of_its_key(jobs, monkeypatch, key, said):
    module, asked = jobs({"db2": []})
    keys = type(
        "Keys",
        (),
        {"list_keys": lambda _self: {key: ["db1"], "minions": ["db2"], **({key: ["db1", "db2"]} if key else {})}},
    )
    monkeypatch.setattr(module.salt.key, "get_key", lambda _opts: keys())
    ret = module.finished("x", ["db1", "db2"])
    assert ret["result"] is False
    assert ret["comment"].startswith("db1: ")
    assert "db2" not in ret["comment"]
    assert said in ret["comment"]
    assert len(asked) == module.TRIES


def test_a_host_that_answers_late_is_there(jobs):
    module, _ = jobs({"db2": []}, {"db1": [], "db2": []})
    assert module.finished("x", ["db1", "db2"])["result"] is True


def test_hosts_are_told_to_ask_anew_when_the_master_keeps_pillars(loader_module, monkeypatch):
    asked = []

    class Client:
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda *_: None  # noqa: E731

        def cmd(self, hosts, function, **how):
            asked.append((hosts, function, how["kwarg"]["wait"]))
            return {"db1": True, "db2": False}

    for kept, hosts, result in ((False, ["db1", "db2"], True), (True, ["db1"], True), (True, ["db1", "db2"], False)):
        module = loader_module("_states/pgha_jobs.py", opts={"pillar_cache": kept})
        monkeypatch.setattr(module.salt.client, "get_local_client", lambda **_kwargs: Client())
        ret = module.pillars_fresh("x", hosts)
        assert ret["result"] is result
        assert ("db2" in ret["comment"]) is (result is False)
    assert asked == [(["db1"], "saltutil.refresh_pillar", True), (["db1", "db2"], "saltutil.refresh_pillar", True)]


@pytest.mark.parametrize("answer", ["\x1b[2J", {"fun": "state.sls"}, [7], [{"fun": ["x"]}], 7, None])
def test_a_host_that_answers_nonsense_holds_nobody_up(jobs, answer):
    module, asked = jobs({"db1": answer, "db2": []})
    assert module.finished("x", ["db1", "db2"])["result"] is True
    assert len(asked) == 1


@pytest.fixture
def questions(monkeypatch):
    """The questions of the master, where a client gives these answers."""
    asking = importlib.import_module("pghalib.master.asking")
    answers = {}
    client = type("Client", (), {"cmd": lambda _self, *_given, **_how: answers})
    monkeypatch.setattr(asking.salt.client, "get_local_client", lambda **_kwargs: contextlib.nullcontext(client()))
    return asking, answers


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "pghalib.master.asking"]


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda asking: asking.status({}, ["db1", "db2"], 5), "pgha.status on db1, db2: 1 of 2 answered"),
        (lambda asking: asking.refresh({}, ["db1"]), "saltutil.refresh_pillar on db1: 1 of 1 answered"),
        (lambda asking: asking.call({}, 5, "db1", "x.y", "hunter2"), "x.y on db1: 1 of 1 answered"),
        (
            lambda asking: asking.late({}, ["db1", "db2", "db3", "db4", "db5"], "hunter2"),
            "pgha_tls.untrusting_services on db1, db2, db3 and 2 more: 1 of 5 answered",
        ),
    ],
)
def test_each_question_is_one_line_of_the_log_without_its_content(questions, caplog, ask, line):
    asking, answers = questions
    answers["db1"] = {"ret": "hunter3"}
    with caplog.at_level(logging.DEBUG):
        ask(asking)
    assert [one.rpartition(",")[0] for one in lines(caplog)] == [line]
    assert lines(caplog)[0].endswith(" ms")
    assert "hunter" not in caplog.text


def test_a_question_that_fails_is_logged_as_well(questions, monkeypatch, caplog):
    asking, _ = questions
    with caplog.at_level(logging.DEBUG), pytest.raises(OSError, match="gone"), asking.logged("x.y", ["a\nb"]):
        raise OSError("gone")
    assert [one.rpartition(",")[0] for one in lines(caplog)] == ["x.y on a b: 0 of 1 answered"]


def test_a_question_about_jobs_is_one_line_of_the_log(jobs, caplog):
    module, _ = jobs({"db1": [{"fun": "hunter2"}]}, {"db1": []})
    with caplog.at_level(logging.DEBUG):
        module.finished("x", ["db1"])
    assert [one.rpartition(",")[0] for one in lines(caplog)] == ["saltutil.is_running on db1: 1 of 1 answered"] * 2
    assert "hunter" not in "".join(lines(caplog))
