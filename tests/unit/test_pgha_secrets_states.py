"""Secrets as states: what the master would store and has stored, and what a host notes of them."""

import pghalib.secrets.served
import pytest
from salt.exceptions import CommandExecutionError

MODES = pytest.mark.parametrize(("test", "result"), [(True, None), (False, True)])


@pytest.fixture
def states(loader_module):
    """A function (test, utils={}, pillar={}) -> the module, on a master or a host."""

    def build(test, utils=None, pillar=None):
        salt = {
            "pgha.defaults": dict,
            "pgha.settings": lambda: {"name": "db1", "datacenter": {"name": "dc"}, "cluster": None},
        }
        changed = {
            "pghalib.secrets.store.directory": lambda _opts: "/store",
            "pghalib.master.compiled.inventory": lambda *_: ({}, []),
            **(utils or {}),
        }
        return loader_module("_states/pgha_secrets.py", salt=salt, utils=changed, opts={"test": test}, pillar=pillar)

    return build


def only(function, answer):
    """The library on a master, where one function answers and its sisters must not be called."""
    utils = {f"pghalib.secrets.minted.{name}": None for name in ("missing", "mint", "settle")}
    utils[f"pghalib.secrets.minted.{function}"] = lambda *_: answer
    return utils


@MODES
def test_what_is_missing_is_counted_by_a_dry_run_and_made_by_a_run(states, test, result):
    function = "missing" if test else "mint"
    ret = states(test, only(function, ["a", "b"])).stored("n")
    word = "to be written" if test else "written"
    assert ret["changes"] == {one: {"old": None, "new": word} for one in ("a", "b")}
    assert ret["result"] is result
    assert ret["comment"] == f"2 entries of the store {'would be' if test else 'were'} written."
    ret = states(test, only(function, [])).stored("n")
    assert ret == {"name": "n", "result": True, "changes": {}, "comment": "All secrets are there."}


@MODES
def test_a_secret_that_the_store_has_is_not_made_anew_and_that_is_said(states, test, result):
    """No refusal: after an interrupted run the hosts need the entry still to take what was made."""
    function = "missing" if test else "mint"
    pillar = {"pghalib.master.compiled.inventory": lambda *_: ({"new_secrets": ["one/superuser", "two"]}, [])}
    ret = states(test, {**only(function, ["two/superuser"]), **pillar}).stored("n")
    assert ret["result"] is result
    said = "pgha:new_secrets: the store has one/superuser, so nothing of it is made anew: this formula does not rotate"
    assert ret["comment"].startswith(said)
    assert "the store has two" not in ret["comment"]


@MODES
def test_a_choice_of_tls_that_no_host_refused_is_noted_once(states, test, result):
    ret = states(test, only("settle", ["dc1", "dc2"])).settled("n", ["dc1", "dc2", "dc3"])
    word = "to be noted" if test else "noted"
    assert (ret["result"], ret["changes"]) == (result, {one: {"old": None, "new": word} for one in ("dc1", "dc2")})
    assert f"The store {'would note' if test else 'has noted'} that no host of dc1, dc2 has refused" in ret["comment"]
    ret = states(test, only("settle", [])).settled("n", ["dc1"])
    assert ret == {"name": "n", "result": True, "changes": {}, "comment": "Nothing is to be noted about TLS."}


@pytest.mark.root
def test_a_host_notes_fingerprints_and_shows_none(states, monkeypatch, tmp_path):
    note = tmp_path / "secrets.json"
    monkeypatch.setattr(pghalib.secrets.served, "NOTE", str(note))
    pillar = {"pgha_secrets": {"gossip_key": "very secret"}}
    changes = {str(note): {"old": "other fingerprints", "new": "those of the master's store"}}
    dry = states(True, pillar=pillar).in_use("n")
    assert (dry["result"], dry["changes"], note.exists()) == (None, changes, False)
    ret = states(False, pillar=pillar).in_use("n")
    assert (ret["result"], ret["changes"], ret["comment"]) == (True, changes, f"{note} was written.")
    assert '"dc/gossip_key": ' in note.read_text()
    assert "very secret" not in note.read_text()
    for test in (True, False):
        ret = states(test, pillar=pillar).in_use("n")
        assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, f"{note} is as it should be.")


def test_a_note_that_cannot_be_written_is_no_change(states):
    def full(path, *_content, **_how):
        raise CommandExecutionError(f"{path}: No space left on device")

    utils = {"pghalib.host.files.manage": full, "pghalib.host.passage.made": lambda *_path, **_how: {}}
    ret = states(False, utils, {"pgha_secrets": {"gossip_key": "x"}}).in_use("n")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert ret["comment"] == f"{pghalib.secrets.served.NOTE}: No space left on device"


@pytest.mark.parametrize(("test", "result"), [(True, None), (False, False)])
def test_without_secrets_only_a_dry_run_goes_on(states, test, result):
    ret = states(test).in_use("n")
    assert (ret["result"], ret["changes"]) == (result, {})
