"""What clean takes away: what the formula made, and nothing that somebody else has in the same place."""

import os

import pghalib.host.clean
import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def clean(loader_module):
    return {test: loader_module("_states/pgha_clean.py", opts={"test": test}) for test in (True, False)}


def unpacked(home, *versions):
    for version in versions:
        (home / version).mkdir(parents=True)
        (home / version / "consul").write_text("")
    return home


def removed(home, *entries):
    return {str(home / entry): {"old": "there", "new": None} for entry in entries}


def test_all_versions_go_and_the_directory_with_them(clean, tmp_path):
    home = unpacked(tmp_path / "consul", "1.8.7", "1.22.3")
    (home / "1.8.7/.consul.abcd1234").write_text("")
    (home / "1.9.0").mkdir()
    expected = removed(home, "1.8.7", "1.22.3", "1.9.0", ".")
    dry = clean[True].release("n", str(home), "consul")
    assert (dry["result"], dry["changes"], len(os.listdir(home))) == (None, expected, 3)
    ret = clean[False].release("n", str(home), "consul")
    assert (ret["result"], ret["changes"], home.exists()) == (True, expected, False)
    assert dry["comment"] == f"What the formula put into {home} would be removed."
    assert ret["comment"] == f"What the formula put into {home} was removed."
    for test in (True, False):
        ret = clean[test].release("n", str(home), "consul")
        assert (ret["result"], ret["changes"]) == (True, {})
        assert ret["comment"] == f"There is nothing to remove in {home}."


def test_the_data_of_another_consul_stay(clean, tmp_path):
    """HashiCorp's package has them in the same directory."""
    home = unpacked(tmp_path / "consul", "1.22.3")
    for name in ("raft", "serf"):
        (home / name).mkdir()
    (home / "raft/raft.db").write_text("data")
    (home / "node-id").write_text("id")
    unpacked(home, "1.20.0")
    (home / "1.20.0/README").write_text("")
    (home / "link").symlink_to(home / "raft")
    ret = clean[False].release("n", str(home), "consul")
    assert (ret["result"], ret["changes"]) == (True, removed(home, "1.22.3"))
    assert sorted(os.listdir(home)) == ["1.20.0", "link", "node-id", "raft", "serf"]
    assert (home / "raft/raft.db").read_text() == "data"
    assert "others have put something there" in ret["comment"]
    assert clean[True].release("n", str(home), "consul")["changes"] == {}


def test_a_link_that_has_taken_the_place_of_a_version_is_not_followed(tmp_path):
    home, others = unpacked(tmp_path / "consul", "1.8.7", "1.22.3"), tmp_path / "others"

    def exchange(_gone):
        (version,) = home.iterdir()
        version.rename(others)
        version.symlink_to(others)

    with pytest.raises(CommandExecutionError, match="Not a directory"):
        pghalib.host.clean.release(str(home), "consul", exchange, test=False)
    assert os.listdir(others) == ["consul"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("target", "ours"),
    [
        ("{home}/1.22.3/consul", True),
        ("../consul/1.22.3/consul", True),
        ("{home}2/1.22.3/consul", False),
        ("{home}/../own/consul", False),
        ("/usr/local/bin/consul", False),
        (None, False),
    ],
)
def test_a_program_of_somebody_elses_stays_where_the_formulas_link_would_be(
    clean, tmp_path, monkeypatch, target, ours, there
):
    home, place = tmp_path / "consul", tmp_path / "bin/consul"
    monkeypatch.setattr(pghalib.host.clean, "LINKS", str(place.parent))
    place.parent.mkdir()
    # Of a package, where it is no link.
    place.symlink_to(target.format(home=home)) if target else place.write_text("")
    if there:
        unpacked(home, "1.22.3")
    expected = removed(home, "1.22.3", ".") if there else {}
    expected |= {str(place): {"old": "there", "new": None}} if ours else {}
    assert clean[True].release("n", str(home), "consul")["changes"] == expected
    assert (os.path.lexists(place), home.exists()) == (True, there)
    done = clean[False].release("n", str(home), "consul")
    assert (done["result"], done["changes"]) == (True, expected)
    assert (os.path.lexists(place), home.exists()) == (not ours, False)
    again = clean[False].release("n", str(home), "consul")
    assert (again["changes"], again["comment"]) == ({}, f"There is nothing to remove in {home}.")
    assert (done["comment"] == again["comment"]) is not (ours or there)


@pytest.mark.root
def test_a_directory_that_another_user_may_change_stays_as_it_is(clean, tmp_path):
    home = unpacked(tmp_path / "consul", "1.22.3")
    os.chown(home, 65534, 65534)
    ret = clean[False].release("n", str(home), "consul")
    assert (ret["result"], ret["changes"], os.listdir(home)) == (False, {}, ["1.22.3"])
    assert "stays as it is" in ret["comment"]


def test_files_go_by_name_and_others_stay(clean, tmp_path):
    home = tmp_path / "etc"
    (home / "patroni.yml.d").mkdir(parents=True)
    for name in ("patroni.yml", ".patroni.yml.pgha-1", "pgpass.check", "mine.conf"):
        (home / name).write_text("")
    # Where an older Patroni made files beside its configuration.
    home.chmod(0o1777)
    patterns = ["patroni.yml", ".patroni.yml.*", "pgpass*"]
    expected = removed(home, "patroni.yml", ".patroni.yml.pgha-1", "pgpass.check")
    assert clean[True].files("n", str(home), patterns)["changes"] == expected
    assert clean[False].files("n", str(home), patterns)["changes"] == expected
    assert sorted(os.listdir(home)) == ["mine.conf", "patroni.yml.d"]
    (home / "mine.conf").unlink()
    (home / "patroni.yml.d").rmdir()
    assert clean[False].files("n", str(home), patterns)["changes"] == {str(home): {"old": "there", "new": None}}
    assert not home.exists()


def test_what_went_before_a_failure_is_told(clean, tmp_path, monkeypatch):
    home = tmp_path / "etc"
    home.mkdir()
    for name in ("a.yml", "b.yml"):
        (home / name).write_text("")
    unlink = os.unlink

    def once(name, **how):
        if len(os.listdir(home)) == 1:
            raise OSError(5, "Input/output error")
        unlink(name, **how)

    monkeypatch.setattr(os, "unlink", once)
    ret = clean[False].files("n", str(home), ["*.yml"])
    (left,) = os.listdir(home)
    assert (ret["result"], ret["changes"]) == (False, removed(home, *({"a.yml", "b.yml"} - {left})))
    assert ret["comment"].startswith(f"{home}: Input/output error")


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize("member", [{"pause": True}, {"state": "running"}, None])
def test_a_host_whose_server_would_go_on_without_patroni_is_not_cleaned(loader_module, member, test):
    salt = {"pgha.settings": lambda: {"cluster": {"name": "test"}}, "pgha_patroni.member": lambda: member}
    ret = loader_module("_states/pgha_clean.py", salt=salt, opts={"test": test}).possible("x")
    paused = bool(member and member.get("pause"))
    assert (ret["result"], ret["changes"]) == (not paused, {})
    said = "Patroni of test is paused, and PostgreSQL would go on without it: patronictl resume --wait, then this again"
    assert ret["comment"] == (said if paused else "Patroni of test is not paused.")
