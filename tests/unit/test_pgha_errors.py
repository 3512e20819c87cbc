"""What goes wrong on a host is one sentence with a path, whichever state meets it."""

import errno
import inspect
import io
import os
import pwd
from pathlib import Path

import pytest
import salt.utils.args
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
STATES = sorted((ROOT / "salt/_states").glob("*.py"))
PLACE = "/somewhere/on/this/host"
# One way to call each state, by the names of its arguments.
WORDS = {
    "timeout": 0,
    "service": "consul",
    "hosts": ["db1"],
    "locales": ["C"],
    "path": f"{PLACE}/consul",
    "source": "https://example.org/consul.zip",
    "sha256": "0" * 64,
    "link": f"{PLACE}/consul",
    "target": "/opt/consul",
    "unit": "consul.service",
    "datacenters": ["dc"],
    "context": {},
    "program": "consul",
    "patterns": ["consul.json"],
    "paths": [PLACE],
    "restore": "20261129-120000",
    "cluster": "one",
    "note": {"id": "20261129-120000", "cluster": "one", "host": "db1", "target": {"text": "newest"}},
}
# They ask nothing of anybody.
PURE = {("pgha_orchestration", "possible"), ("pgha_orchestration", "summarised")}
# Of those that ask nothing of the loader at first: what they call instead.
UTILITY = {
    ("pgha_release", "in_use"): "pghalib.host.release.leads_to",
    ("pgha_release", "unpacked"): "pghalib.host.descriptors.trusted",
    ("pgha_clean", "release"): "pghalib.host.descriptors.trusted",
    ("pgha_clean", "files"): "pghalib.host.descriptors.trusted",
    ("pgha_passage", "made"): "pghalib.host.passage.made",
    ("pgha_orchestration", "alone"): "pghalib.secrets.store.prepare",
    ("pgha_backup", "absent"): "pghalib.host.files.peek",
    ("pgha_packages", "settled"): "pghalib.host.packages.cut_off",
    ("pgha_repository", "configuration_read"): "pghalib.services.owed.owed",
    ("pgha_restore", "noted"): "pghalib.secrets.restores.noted",
    ("pgha_restore", "ended"): "pghalib.secrets.restores.exists",
    ("pgha_restore", "done"): "pghalib.host.files.remove",
    ("pgha_secrets", "settled"): "pghalib.secrets.minted.settle",
}
ERRORS = {
    "refused": CommandExecutionError(f"{PLACE}: a sentence of its own"),
    "right": PermissionError(errno.EACCES, os.strerror(errno.EACCES), PLACE),
    "space": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), PLACE),
    "read-only": OSError(errno.EROFS, os.strerror(errno.EROFS), PLACE, None, f"{PLACE}/new"),
    "directory": NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), PLACE),
}


class Failing(dict):
    """The loader's functions, each of which fails."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __missing__(self, _name):
        def fail(*_args, **_kwargs):
            raise self.error

        return fail


def states():
    for path in STATES:
        found = [line.split("(")[0].removeprefix("def ") for line in path.read_text().splitlines()]
        yield from ((path.stem, name) for name in found if name.isidentifier() and not name.startswith("_"))


@pytest.fixture
def state(loader_module, monkeypatch):
    def build(module, function, error, test):
        secrets = {"tls": {"ca": ""}, "management": {"secret": "x"}}
        loaded = loader_module(
            f"_states/{module}.py", opts={"test": test, "pillar_cache": True}, pillar={"pgha_secrets": secrets}
        )
        for name in ("__salt__", "__states__"):
            setattr(loaded, name, Failing(error))
        if module == "pgha_jobs":
            monkeypatch.setattr(loaded.salt.client, "get_local_client", Failing(error)["x"], raising=False)
        if (module, function) in UTILITY:
            monkeypatch.setattr(UTILITY[module, function], Failing(error)["x"])
        return getattr(loaded, function)

    return build


def test_there_are_states_to_try():
    assert len(list(states())) > 25
    assert len({module for module, _ in states()}) == len(STATES)


@pytest.mark.parametrize("test", [False, True], ids=["run", "dry-run"])
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(("module", "function"), [one for one in states() if one not in PURE])
def test_no_state_ends_in_a_traceback(state, module, function, kind, test):
    called = state(module, function, ERRORS[kind], test)
    wanted = [name for name in inspect.signature(called).parameters if name in WORDS]
    result = called("a sentence", **{name: WORDS[name] for name in wanted})
    if test and kind == "refused" and result["result"] is not False:
        # What does not answer yet is no error of a dry run.
        return
    assert result["result"] is False
    assert result["name"] == "a sentence"
    assert result["changes"] == {}
    assert PLACE in result["comment"]
    assert "Traceback" not in result["comment"]
    assert "\n" not in result["comment"]


@pytest.mark.parametrize(("module", "function"), list(states()))
def test_salt_still_finds_the_arguments_of_a_state(loader_module, module, function):
    loaded = getattr(loader_module(f"_states/{module}.py"), function)
    assert (
        loaded.__module__
        == loader_module(f"_states/{module}.py").__name__.rsplit("_", 1)[0]
        + "_"
        + (loaded.__module__.rsplit("_", 1)[1])
    )
    assert salt.utils.args.get_function_argspec(loaded).args[0] == "name"


@pytest.fixture
def errors(loader_module):
    return loader_module("_utils/pghalib/errors.py")


@pytest.mark.parametrize(
    ("error", "path", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "/data",
            "/data: No space left on device: make room th",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/a", None, "/b"),
            "/data",
            "/a -> /b: Read-only file syst",
        ),
        (
            PermissionError(errno.EPERM, "Operation not permitted", b"/a\xff\n"),
            None,
            "Operation not permitted: root is",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"), "/b", "/a: No such file or directory"),
        (OSError("odd"), "/b", "/b: odd"),
        (OSError(), None, "OSError"),
        (CommandExecutionError("a sentence"), None, "a sentence"),
    ],
)
def test_an_error_of_the_system_is_a_path_a_reason_and_a_remedy(errors, error, path, said):
    assert said in errors.sentence(error, path)
    assert errors.sentence(error, path).isprintable()


def test_what_is_no_utf_8_is_said_with_its_path(errors, tmp_path):
    (tmp_path / "a").write_bytes(b"\xff")
    said = r"/a: not UTF-8 \('utf-8' codec can't decode byte 0xff"
    with pytest.raises(CommandExecutionError, match=said), errors.at(tmp_path / "a"):
        (tmp_path / "a").read_text(encoding="utf-8")


@pytest.mark.root
def test_a_full_disk_is_told_with_the_file_that_was_meant(loader_module, tmp_path, monkeypatch):
    files = loader_module("_utils/pghalib/host/files.py")

    class Full(io.RawIOBase):
        def __init__(self, handle, _mode):
            super().__init__()
            self.handle = handle

        def fileno(self):
            return self.handle

        def write(self, _content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            if not self.closed:
                os.close(self.handle)
            super().close()

    monkeypatch.setattr(files.os, "fdopen", Full)
    path, me = tmp_path / "file", pwd.getpwuid(os.getuid()).pw_name
    with pytest.raises(CommandExecutionError, match=rf"^{path}: No space left on device: make room there"):
        files.manage(str(path), "x", user=me, group="root", mode="0600", test=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("user", "group", "said"), [("nobody-9", "root", "no user"), ("root", "nobody-9", "no group")])
def test_an_owner_who_is_not_there_is_named_with_the_path(loader_module, tmp_path, user, group, said):
    path = str(tmp_path / "x")
    sentence = rf"^{path}: there is {said} nobody-9 on this host to give it to$"
    with pytest.raises(CommandExecutionError, match=sentence):
        loader_module("_utils/pghalib/host/files.py").manage(path, "x", user=user, group=group, mode="0600", test=False)
    with pytest.raises(CommandExecutionError, match=sentence):
        loader_module("_utils/pghalib/host/descriptors.py").directory(
            path, user=user, group=group, mode="0700", test=False
        )
