"""What stands before an orchestration: it runs alone, and nothing speaks against it."""

import pytest


@pytest.fixture
def states(loader_module, tmp_path):
    utils = {"pghalib.secrets.store.directory": lambda _opts: tmp_path, "pghalib.secrets.store.prepare": lambda _: None}
    return {
        test: loader_module("_states/pgha_orchestration.py", utils=utils, opts={"test": test}) for test in (True, False)
    }


@pytest.mark.parametrize("test", [True, False])
def test_a_second_orchestration_is_refused(states, test):
    assert states[test].alone("n") == {
        "name": "n",
        "result": True,
        "changes": {},
        "comment": "No other orchestration runs.",
    }
    for second in states.values():
        ret = second.alone("n")
        assert (ret["result"], ret["changes"]) == (False, {})
        assert ret["comment"].startswith("Another orchestration is running on this master (process ")


@pytest.mark.parametrize("test", [True, False])
def test_faults_are_lines(states, test):
    ret = states[test].possible("n", ["one", "two"])
    assert (ret["result"], ret["comment"]) == (False, "Nothing was touched, because of:\n  - one\n  - two")
    ret = states[test].possible("n")
    assert (ret["result"], ret["comment"]) == (True, "Nothing speaks against the run.")
