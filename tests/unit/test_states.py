"""The shape of every state: what it returns in both modes, and what stays of it when it fails."""

import ast
import inspect
import re
from pathlib import Path

import pghalib.states
import pytest
import salt.utils.args
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
#: Whatever is part of a comment comes from here, or names its subject by the rules of its own module.
SPEAKING = [
    *sorted(ROOT.glob("salt/_states/*.py")),
    *(ROOT / "salt/_utils/pghalib" / name for name in ("states.py", "consul/registration.py")),
]

MODULE = '''
import pghalib.secrets.served
import pghalib.states
from salt.exceptions import CommandExecutionError

RUNS = []


@pghalib.states.state
def started(ret, unit, broken=None):
    """A service runs."""
    if unit in RUNS:
        return f"{unit} runs."
    ret.plan({unit: {"old": "stopped", "new": "running"}})
    if ret.test:
        return f"{unit} would be started."
    ret.say(f"{unit} is there.", "")
    ret.changes["draft"] = {"old": None, "new": "made"}
    if broken:
        raise broken
    RUNS.append(unit)
    return f"{unit} was started."


@pghalib.states.state
def known(ret):
    """A dry run cannot tell this."""
    if ret.test:
        raise pghalib.states.Later("It would be looked at.")
    return ret.add({"result": True, "changes": {}, "comment": "It is known."})


@pghalib.states.state
def secret(ret):
    """The host has its secrets."""
    pghalib.secrets.served.own({}, {"id": "test-db1"})


@pghalib.states.state
def written(ret, result):
    """Two files; the second may be refused."""
    ret.say(ret.add({"result": True, "changes": {"diff": "+a"}, "comment": "a is written."}, "/a"))
    return ret.add({"result": result, "changes": {}, "comment": "b is as it was."}, "/b")
'''


@pytest.fixture
def module(loader_module, tmp_path):
    """A module with states of every kind, by mode: ``module(test=True)``."""
    path = tmp_path / "states.py"
    path.write_text(MODULE)
    return lambda test=False: loader_module(path, opts={"test": test})


def test_a_dry_run_plans_and_touches_nothing(module):
    states = module(test=True)
    ret = states.started("A service runs", "consul")
    assert ret == {
        "name": "A service runs",
        "result": None,
        "changes": {"consul": {"old": "stopped", "new": "running"}},
        "comment": "consul would be started.",
    }
    assert states.RUNS == []


def test_what_is_planned_is_told_to_be_something_or_nothing():
    ret = pghalib.states.Return("x", True)
    assert ret.plan({}) is False
    assert ret.mapping()["result"] is True
    assert ret.plan({"a": 1}) is True
    assert ret.mapping()["result"] is None


def test_a_run_does_it_once(module):
    states = module()
    ret = states.started("x", unit="consul")
    assert (ret["result"], ret["comment"]) == (True, "consul is there. consul was started.")
    assert list(ret["changes"]) == ["draft", "consul"]
    assert states.started("x", "consul") == {"name": "x", "result": True, "changes": {}, "comment": "consul runs."}


@pytest.mark.parametrize("error", [CommandExecutionError("No."), OSError(28, "No space left on device", "/a")])
def test_what_happened_before_a_failure_stays_and_what_was_planned_does_not(module, error):
    ret = module().started("x", "consul", broken=error)
    assert (ret["result"], list(ret["changes"])) == (False, ["draft"])
    assert ret["comment"].startswith("consul is there. ")
    assert ret["comment"].endswith(("No.", "df -i show how much is left)"))


def test_a_fault_of_the_formula_keeps_its_traceback(module):
    with pytest.raises(ZeroDivisionError):
        module().started("x", "consul", broken=ZeroDivisionError())


def test_a_dry_run_that_cannot_tell_is_no_failure(module):
    assert module(test=True).known("x")["result"] is None
    assert module(test=True).known("x")["comment"] == "It would be looked at."
    assert module().known("x") == {"name": "x", "result": True, "changes": {}, "comment": "It is known."}


def test_missing_secrets_fail_a_run_and_not_the_first_dry_run(module):
    dry, real = module(test=True).secret("x"), module().secret("x")
    assert (dry["result"], dry["comment"]) == (None, "The master has made no secrets yet; this would follow.")
    assert real["result"] is False
    assert "serves no secrets to test-db1" in real["comment"]


@pytest.mark.parametrize(("result", "kept"), [(True, True), (False, False)])
def test_results_of_files_are_put_together(module, result, kept):
    ret = module().written("x", result)
    assert (ret["result"], ret["changes"]) == (kept, {"/a": {"diff": "+a"}})
    assert ret["comment"] == "a is written. b is as it was."


def test_salt_reads_the_arguments_and_fills_in_the_name(module):
    found = salt.utils.args.get_function_argspec(module().started)
    assert (found.args, found.defaults) == (["name", "unit", "broken"], (None,))
    assert inspect.getdoc(module().started) == "A service runs."


def sentences(path):
    """The texts of a module that are no docstrings, an f-string as one text with {} for what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # A docstring is an expression of its own, and a part of an f-string is no text of its own.
    apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            apart |= {id(part) for part in node.values}
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield node.value


@pytest.mark.parametrize("path", SPEAKING, ids=lambda path: path.stem)
def test_a_sentence_of_a_comment_is_understood_alone(path):
    """Beside the comments of other states nobody knows what "it" was."""
    vague = re.compile(r"(?:^|[.:;!?] )(?:It|They|That|These)\b|\b(?:it|them)(?:\.|$)")
    assert [one for one in sentences(path) if " " in one and vague.search(one)] == []
