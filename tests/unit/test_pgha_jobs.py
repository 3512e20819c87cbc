"""The gate before the first job: hosts that an interrupted run left at work are waited for."""

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
        monkeypatch.setattr(module.pgha_wait.time, "sleep", lambda _seconds: None)
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
    ret = module.finished("x", ["db1", "db2"], timeout=0)
    assert ret["result"] is False
    assert "db1 (" in ret["comment"]


def test_a_silent_host_is_left_to_the_first_job(jobs):
    module, _ = jobs({})
    assert module.finished("x", ["db1"])["result"] is True


@pytest.mark.parametrize("answer", ["\x1b[2J", {"fun": "state.sls"}, [7], [{"fun": ["x"]}], 7, None])
def test_a_host_that_answers_nonsense_holds_nobody_up(jobs, answer):
    module, asked = jobs({"db1": answer, "db2": []})
    assert module.finished("x", ["db1", "db2"])["result"] is True
    assert len(asked) == 1
