"""Directories on the way to what a service reads: made and opened whatever the umask, and no other touched."""

import os
import stat

import pghalib.host.passage
import pytest
from salt.exceptions import CommandExecutionError

# Of files of other users, which only root can make.
pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def made(tmp_path):
    """A function (path below tmp_path, test=False) -> its changes, with paths below tmp_path."""

    def call(path, test=False):
        top = str(tmp_path / "top")
        changes = pghalib.host.passage.made(str(tmp_path / path), test=test, top=top)
        return {os.path.relpath(name, tmp_path): (change["old"], change["new"]) for name, change in changes.items()}

    return call


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_missing_is_open_whatever_the_umask(made, tmp_path):
    expected = {"top": (None, "0755"), "top/a": (None, "0755"), "top/a/b": (None, "0755")}
    assert made("top/a/b", test=True) == expected
    assert not (tmp_path / "top").exists()
    assert made("top/a/b") == expected
    assert {mode(tmp_path / name) for name in expected} == {0o755}
    assert made("top/a/b") == {}


@pytest.mark.parametrize(("old", "new"), [(0o700, "0755"), (0o750, "0755"), (0o1770, "1775")])
def test_what_lets_root_alone_pass_is_opened(made, tmp_path, old, new):
    (tmp_path / "top/a").mkdir(parents=True)
    (tmp_path / "top").chmod(0o711)
    (tmp_path / "top/a").chmod(old)
    assert made("top/a", test=True) == made("top/a") == {"top/a": (f"{old:04o}", new)}
    assert made("top/a") == {}
    assert mode(tmp_path / "top") == 0o711


def test_what_has_a_group_or_an_access_list_or_is_private_keeps_its_mode(made, tmp_path, monkeypatch):
    for name in ("group", "list", "private"):
        (tmp_path / "top" / name).mkdir(parents=True)
    (tmp_path / "top").chmod(0o755)
    os.chown(tmp_path / "top/group", 0, 65534)
    monkeypatch.setattr(pghalib.host.passage, "PRIVATE", (str(tmp_path / "top/private"),))
    real = os.listxattr
    listed = (tmp_path / "top/list").stat().st_ino
    monkeypatch.setattr(
        os,
        "listxattr",
        lambda handle: ["system.posix_acl_access"] if os.fstat(handle).st_ino == listed else real(handle),
    )
    for name in ("group", "list", "private"):
        assert made(f"top/{name}") == {}
        assert mode(tmp_path / "top" / name) == 0o700


def test_nothing_is_made_or_opened_where_another_user_may_lead_root_elsewhere(made, tmp_path):
    (tmp_path / "top/theirs/closed").mkdir(parents=True)
    (tmp_path / "top").chmod(0o755)
    os.chown(tmp_path / "top/theirs", 65534, 65534)
    (tmp_path / "top/theirs/link").symlink_to(tmp_path)
    for name in ("closed", "missing/more", "link/x"):
        assert made(f"top/theirs/{name}") == {}
    assert sorted(os.listdir(tmp_path / "top/theirs")) == ["closed", "link"]
    assert mode(tmp_path / "top/theirs/closed") == 0o700


def test_what_lies_above_the_top_is_left_as_it_is(made, tmp_path):
    (tmp_path / "top").mkdir()
    tmp_path.chmod(0o700)
    assert made("top") == {"top": ("0700", "0755")}
    assert mode(tmp_path) == 0o700


def test_state_says_what_it_did(loader_module, monkeypatch, tmp_path):
    paths = [str(tmp_path / "a/b"), str(tmp_path / "a/c")]
    # The directory of the test itself is closed.
    tmp_path.chmod(0o755)
    for above in tmp_path.parents:
        monkeypatch.setattr(pghalib.host.passage, "PRIVATE", (*pghalib.host.passage.PRIVATE, str(above)))
    state = {test: loader_module("_states/pgha_passage.py", opts={"test": test}) for test in (True, False)}
    ret = state[True].made("n", paths)
    assert (ret["result"], len(ret["changes"])) == (None, 3)
    ret = state[False].made("n", paths)
    assert (ret["result"], len(ret["changes"])) == (True, 3)
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/c")] == [0o755] * 3
    for test in (True, False):
        ret = state[test].made("n", paths)
        assert (ret["result"], ret["changes"]) == (True, {})
    (tmp_path / "a/file").write_text("")
    assert state[False].made("n", [str(tmp_path / "a/file/x")])["changes"] == {}


@pytest.mark.parametrize(("test", "said"), [(True, "would be"), (False, "were")])
def test_state_tells_what_it_made_before_a_failure(loader_module, test, said):
    def made(path, test):
        if path == "/b":
            raise CommandExecutionError("/b: Read-only file system")
        return {path: {"old": None, "new": "0755"}}

    state = loader_module("_states/pgha_passage.py", utils={"pghalib.host.passage.made": made}, opts={"test": test})
    ret = state.made("n", ["/a", "/b", "/c"])
    assert (ret["result"], list(ret["changes"]), ret["comment"]) == (False, ["/a"], "/b: Read-only file system")
    assert state.made("n", ["/a"])["comment"] == f"The directories {said} made or opened."
