"""Programs that run as another user, in a real process without a terminal; places that only root can change."""

import os
import pty
import time

import pytest
import salt.modules.cmdmod

# It starts programs as other users, which only root can.
pytestmark = pytest.mark.root

# Tries to get at the terminal of whoever has started it, and says what it got.
GREEDY = """
import fcntl, os, sys, termios
for place in ("/dev/tty", 0, 1, 2):
    try:
        handle = os.open(place, os.O_RDWR) if isinstance(place, str) else place
        fcntl.ioctl(handle, termios.TIOCSTI, b"x")
        print("pushed into", place)
    except OSError:
        pass
print(os.getuid(), not os.isatty(0), os.getsid(0) != int(sys.argv[1]))
"""


@pytest.fixture
def users(loader_module):
    return loader_module("_utils/pghalib/host/users.py")


@pytest.fixture
def run(users, monkeypatch):
    """A function (words, **options) -> the answer of Salt's own cmd.run_all."""
    monkeypatch.setattr(salt.modules.cmdmod, "__opts__", {"test": False}, raising=False)
    monkeypatch.setattr(salt.modules.cmdmod, "__grains__", {"os": "Debian", "os_family": "Debian"}, raising=False)
    monkeypatch.setattr(salt.modules.cmdmod, "__salt__", {}, raising=False)
    monkeypatch.setattr(salt.modules.cmdmod, "__pillar__", {}, raising=False)

    return lambda words, **options: users.run(salt.modules.cmdmod.run_all, "nobody", words, **options)


def test_exit_code_output_and_environment_come_through(run):
    script = 'echo out; echo err >&2; echo "$WORD $(umask) $(pwd)"; exit 7'
    answer = run(["sh", "-c", script], env={"WORD": "word"})
    assert (answer["retcode"], answer["stderr"]) == (7, "err")
    assert answer["stdout"].splitlines() == ["out", "word 0022 /"]


def test_environment_of_the_minion_is_not_passed_on(run, monkeypatch, tmp_path):
    tmp_path.chmod(0o700)
    inherited = {"TMPDIR": str(tmp_path), "http_proxy": "http://192.0.2.1:3128", "PGHOST": "192.0.2.2", "LANG": "ru_RU"}
    for name, value in inherited.items():
        monkeypatch.setenv(name, value)
    answer = run(["sh", "-c", "mktemp -u; env"])
    assert answer["stdout"].startswith("/tmp/")
    assert not any(f"{name}={value}" in answer["stdout"] for name, value in inherited.items())


def test_scratch_is_not_where_the_minion_keeps_its_own(users, monkeypatch, tmp_path):
    monkeypatch.setattr(users.tempfile, "tempdir", str(tmp_path))
    before = os.umask(0o077)
    try:
        with users.scratch() as place:
            assert os.path.dirname(place) == "/tmp"
            open(f"{place}/file", "w").close()
    finally:
        os.umask(before)
    assert not os.path.exists(place)
    assert os.listdir(tmp_path) == []


def test_program_that_takes_too_long_is_ended(run):
    began = time.monotonic()
    answer = run(["sh", "-c", "exec >/dev/null 2>&1; sleep 20"], timeout=0.3)
    assert time.monotonic() - began < 10
    assert answer["retcode"] != 0
    assert "Timed out after 0.3 seconds" in answer["stdout"]


def test_program_gets_no_terminal(run):
    """Root calls Salt in a terminal: the child of a fork has one, as its input and as its /dev/tty."""
    child, terminal = pty.fork()
    if child == 0:
        try:
            answer = run(["python3", "-c", GREEDY, str(os.getsid(0))])
            os.write(1, b"\n<" + answer["stdout"].encode() + b">\n")
        finally:
            os._exit(0)
    said = b""
    while b">" not in said:
        said += os.read(terminal, 4096)
    os.waitpid(child, 0)
    os.close(terminal)
    assert b"pushed" not in said
    assert said.split(b"<")[1].split()[1:3] == [b"True", b"True>"]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch(mode=0o644)
    (tmp_path / "a/link").symlink_to("b")
    return tmp_path / "a"


def test_way_of_roots_is_not_exposed(users, tree):
    assert users.exposed(tree / "link/file") is None
    with pytest.raises(FileNotFoundError):
        users.exposed(tree / "absent")


@pytest.mark.parametrize("step", ["", "b", "b/file"])
def test_step_that_others_can_change_is_named(users, tree, step):
    os.chown(tree / step, 65534, 0)
    assert users.exposed(tree / "b/file") == str(tree / step if step else tree)
    os.chown(tree / step, 0, 0)
    (tree / step).chmod(0o775)
    assert users.exposed(tree / "b/file") == str(tree / step if step else tree)


def test_link_is_a_step_and_so_is_what_it_leads_through(users, tree):
    os.lchown(tree / "link", 65534, 0)
    assert users.exposed(tree / "link/file") == str(tree / "link")
    os.lchown(tree / "link", 0, 0)
    (tree / "b").chmod(0o777)
    assert users.exposed(tree / "link/file") == str(tree / "b")


def test_sticky_directory_may_be_on_the_way_but_not_its_end(users, tree):
    (tree / "b").chmod(0o1777)
    assert users.exposed(tree / "b/file") is None
    assert users.exposed(tree / "b") == str(tree / "b")


def test_tree_is_roots_alone_when_all_of_it_is(users, tree):
    assert users.roots_alone(tree) is True
    assert users.roots_alone(tree / "absent") is False
    assert users.roots_alone(tree / "link") is False
    os.chown(tree / "b/file", 65534, 0)
    assert users.roots_alone(tree) is False
    os.chown(tree / "b/file", 0, 0)
    (tree / "b").chmod(0o775)
    assert users.roots_alone(tree) is False
