"""What a requirements file asks for, what is in an environment, and the calls of pip that follow from it."""

import os
import zipfile
from pathlib import Path

import pytest
from salt.exceptions import CommandExecutionError

HASHED = """\
# A comment
setuptools==84.2.1 \\
    --hash=sha256:aa
Py_Consul==1.8.0 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
psycopg[binary]==3.3.9 --hash=sha256:dd
"""


@pytest.fixture
def utils(loader_module):
    return loader_module("_utils/pghalib/patroni/environment.py")


def package(venv, name):
    (venv / "lib/python3.11/site-packages" / f"{name}.dist-info").mkdir(parents=True)


def test_pinned_packages_are_read_with_their_hashes(utils):
    found = utils.requirements(HASHED)
    assert [(entry["name"], entry["version"]) for entry in found] == [
        ("setuptools", "84.2.1"),
        ("py-consul", "1.8.0"),
        ("psycopg", "3.3.9"),
    ]
    assert "--hash=sha256:bb" in found[1]["text"]
    assert "--hash=sha256:cc" in found[1]["text"]


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        (HASHED, True),
        (HASHED + "patroni==4.1.5\n", False),
        (HASHED + "patroni>=4\n", False),
        ("", False),
        ("x==1", False),
    ],
)
def test_only_a_file_that_names_everything_needs_no_resolving(utils, text, hashed):
    assert utils.is_hashed(text) is hashed


def test_installed_packages_are_told_by_their_folders(utils, tmp_path):
    for name in ("psycopg_binary-3.3.9", "click-8.5.1", "x-\x1b[31m", "no version"):
        package(tmp_path, name)
    assert utils.installed(tmp_path) == {"psycopg-binary": "3.3.9", "click": "8.5.1"}
    assert utils.installed(tmp_path / "absent") == {}


def test_fingerprint_is_of_the_requirements_and_the_interpreter(utils):
    prints = {utils.fingerprint(text, python) for text in ("a", "b") for python in ("/usr/bin/python3.11", "/x")}
    assert len(prints) == 4


def test_pip_comes_with_the_interpreter(utils, tmp_path, monkeypatch):
    monkeypatch.setattr(
        utils, "Path", lambda path: tmp_path / "none" if path.startswith("/usr/share") else tmp_path / path
    )
    assert utils.pip_wheel("bin/python3.11") is None
    bundled = tmp_path / "lib/python3.11/ensurepip/_bundled"
    bundled.mkdir(parents=True)
    (bundled / "pip-23.0.1-py3-none-any.whl").touch()
    assert utils.pip_wheel("bin/python3.11") == str(bundled / "pip-23.0.1-py3-none-any.whl")


@pytest.fixture
def next_one(utils, tmp_path):
    """A function (marked) -> (an environment, the next one in its scratch), each with a file `which`."""

    def build(marked=True):
        venv = tmp_path / "venv"
        (utils.new(venv) / "bin").mkdir(parents=True)
        venv.mkdir()
        (venv / "which").write_text("old")
        (utils.new(venv) / "which").write_text("new")
        if marked:
            utils.mark(utils.new(venv), "print")
        return venv, utils.new(venv)

    return build


def test_programs_speak_of_the_final_place(utils, next_one):
    venv, new = next_one()
    (new / "pyvenv.cfg").write_text(f"command = python -m venv {new}\n")
    (new / "bin/patroni").write_text(f"#!{new}/bin/python\n")
    (new / "bin/patroni").chmod(0o755)
    (new / "bin/python").symlink_to("/usr/bin/python3")
    utils.relocate(venv)
    assert (new / "pyvenv.cfg").read_text() == f"command = python -m venv {venv}\n"
    assert (new / "bin/patroni").read_text() == f"#!{venv}/bin/python\n"
    assert (new / "bin/patroni").stat().st_mode & 0o777 == 0o755


def test_new_environment_takes_the_place_of_the_old_one(utils, next_one):
    venv, _ = next_one()
    utils.exchange(venv)
    assert (venv / "which").read_text() == "new"
    assert utils.built_from(venv) == "print"
    utils.settle(venv)
    assert [path.name for path in venv.parent.iterdir()] == ["venv"]


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("moved", [True, False])
def test_interrupted_build_is_ended_or_removed(utils, next_one, marked, moved):
    venv, _ = next_one(marked)
    if moved:
        # Stopped between the two renames.
        old = utils.scratch(venv) / "old/venv"
        old.parent.mkdir()
        venv.rename(old)
    utils.settle(venv)
    assert (venv / "which").read_text() == ("new" if moved and marked else "old")
    assert [path.name for path in venv.parent.iterdir()] == ["venv"]


@pytest.fixture
def host(loader_module, tmp_path):
    """A function (requirements, code of pip, **settings) -> (the module, the calls of pip, the venv)."""

    def build(text=HASHED, retcode=0, cached=(), **patroni):
        file, venv, commands = tmp_path / "requirements.txt", tmp_path / "opt/venv", []
        file.write_text(text)
        pip = tmp_path / "pip.whl"
        with zipfile.ZipFile(pip, "w") as wheel:
            wheel.writestr("pip/__main__.py", "")

        def run_all(command, env=None, **kwargs):
            if command[0] in ("install", "sync"):
                if command[0] == "install":
                    Path(command[-1]).mkdir()
                return {"retcode": 0, "stdout": "", "stderr": ""}
            assert command[1] == "-I"
            assert (kwargs["clean_env"], kwargs["umask"], kwargs["stdin"]) == (True, "022", "")
            assert env["HOME"].startswith(str(tmp_path))
            assert not [name for name in env if name.startswith(("PYTHON", "XDG_"))]
            if "venv" in command:
                Path(command[-1], "bin").mkdir(parents=True)
                Path(command[-1], "pyvenv.cfg").write_text(command[-1])
            if "install" not in command:
                # Some file of some package cannot be compiled: that is no fault.
                return {"retcode": 1 if "compileall" in command else 0, "stdout": "", "stderr": ""}
            assert Path(command[2], "__main__.py").exists()
            commands.append((command, Path(command[command.index("-r") + 1]).read_text()))
            return {"retcode": retcode, "stdout": "", "stderr": "ERROR: no such file\n"}

        names = {
            "pgha.settings": lambda: {
                "patroni": {
                    "venv": str(venv),
                    "python": "/usr/bin/python3",
                    "requirements": str(file),
                    "index_url": None,
                    "find_links": None,
                    **patroni,
                },
            },
            "cmd.run_all": run_all,
            "cp.cache_dir": lambda _path: list(cached),
        }
        module = loader_module(
            "_modules/pgha_patroni_env.py",
            salt=names,
            utils={"pghalib.patroni.environment.pip_wheel": lambda _python: str(pip)},
        )
        return module, commands, venv

    return build


@pytest.mark.root
def test_build_installs_the_tools_first_and_marks_its_end(host, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/home/somebody")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/somebody")
    module, commands, venv = host()
    assert module.venv_state()["complete"] is False
    module.build()
    (_, tools), (command, everything) = commands
    assert tools.split() == ["setuptools==84.2.1", "--hash=sha256:aa"]
    assert everything.strip() == HASHED.strip()
    assert command[0] == f"{venv.parent}/.venv.build/new/venv/bin/python"
    assert command[3] == "install"
    assert {"--require-hashes", "--no-deps", "--no-build-isolation"} <= set(command)
    assert module.venv_state()["complete"] is True
    assert (venv / "pyvenv.cfg").read_text() == str(venv)
    assert [path.name for path in venv.parent.iterdir()] == ["venv"]


@pytest.mark.root
def test_an_environment_is_marked_when_it_is_on_the_disk_and_moved_when_its_mark_is(host, monkeypatch):
    module, _, venv = host()
    new, steps = venv.parent / ".venv.build/new/venv", []
    run_all, fsync, rename = module.__salt__["cmd.run_all"], os.fsync, os.rename

    def ran(command, **kwargs):
        if command[0] == "sync":
            # pip is ready, and nothing tells yet that it is.
            steps.append((*command, (new / "pyvenv.cfg").exists(), (new / ".pgha-requirements").exists()))
        return run_all(command, **kwargs)

    def synced(handle):
        steps.append(os.readlink(f"/proc/self/fd/{handle}"))
        assert (new / ".pgha-requirements").read_text().strip()
        fsync(handle)

    def renamed(old, to):
        steps.append((str(old), str(to)))
        rename(old, to)

    monkeypatch.setitem(module.__salt__, "cmd.run_all", ran)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    module.build()
    assert steps == [("sync", "-f", str(new), True, False), f"{new}/.pgha-requirements", (str(new), str(venv))]


@pytest.mark.root
def test_finished_build_that_was_interrupted_is_not_repeated(host):
    module, commands, venv = host()
    module.build()
    (venv.parent / ".venv.build/new").mkdir(parents=True)
    venv.rename(venv.parent / ".venv.build/new/venv")
    assert module.venv_state()["complete"] is False
    module.build()
    assert len(commands) == 2
    assert module.venv_state()["complete"] is True


@pytest.mark.root
@pytest.mark.parametrize("part", ["", "bin", "bin/patroni"])
def test_environment_that_others_can_write_is_not_complete(host, part):
    module, _, venv = host()
    module.build()
    (venv / "bin/patroni").touch(mode=0o755)
    assert module.venv_state()["complete"] is True
    os.chown(venv / part, 65534, 65534)
    assert module.venv_state()["complete"] is False
    os.chown(venv / part, 0, 0)
    (venv / part).chmod(0o775)
    assert module.venv_state()["complete"] is False
    module.build()
    assert module.venv_state()["complete"] is True


@pytest.mark.root
def test_place_that_others_can_exchange_is_refused(host):
    module, commands, venv = host()
    venv.parent.mkdir()
    os.chown(venv.parent, 65534, 65534)
    with pytest.raises(CommandExecutionError, match=f"{venv.parent} must belong to root.*pgha:patroni:venv"):
        module.build()
    assert not commands
    assert list(venv.parent.iterdir()) == []


@pytest.mark.root
def test_interpreter_that_others_can_exchange_is_refused(host, tmp_path):
    python = tmp_path / "python3"
    python.touch()
    python.chmod(0o777)
    module, commands, _ = host(python=str(python))
    with pytest.raises(CommandExecutionError, match="pgha:patroni:python"):
        module.build()
    assert not commands


@pytest.mark.root
def test_requirements_without_hashes_are_resolved_by_pip(host):
    module, commands, _ = host("patroni[consul]==4.1.5\n", find_links="http://mirror/wheels")
    module.build()
    assert len(commands) == 1
    assert not {"--require-hashes", "--no-deps", "--trusted-host"} & set(commands[0][0])


@pytest.mark.root
@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, []),
        ({"index_url": "https://pypi/simple"}, ["--index-url", "https://pypi/simple"]),
        ({"find_links": "/srv/wheels"}, ["--no-index", "--find-links", "/srv/wheels"]),
        (
            {"index_url": "https://pypi/simple", "find_links": "/srv/wheels"},
            ["--index-url", "https://pypi/simple", "--find-links", "/srv/wheels"],
        ),
        (
            {"find_links": "http://mirror:8080/wheels/"},
            ["--no-index", "--find-links", "http://mirror:8080/wheels/", "--trusted-host", "mirror"],
        ),
    ],
)
def test_pip_looks_where_it_is_told(host, given, options):
    module, commands, _ = host(**given)
    module.build()
    command = commands[-1][0]
    looked = [word for word in command if word in options]
    assert looked == options
    assert ("--no-index" in command) is ("--no-index" in options)


@pytest.mark.root
def test_wheels_of_the_master_are_taken_from_salts_cache(host, tmp_path):
    module, commands, _ = host(cached=["/cache/wheels/a.whl", "/cache/wheels/b.whl"], find_links="salt://wheels")
    module.build()
    command = commands[-1][0]
    assert command[command.index("--find-links") - 1 :][:3] == ["--no-index", "--find-links", "/cache/wheels"]
    assert command.count("--find-links") == 1


@pytest.mark.root
def test_nothing_under_the_masters_folder_is_said(host):
    module, _, _ = host(find_links="salt://wheels")
    with pytest.raises(CommandExecutionError, match="salt://wheels"):
        module.build()


@pytest.mark.root
def test_failure_of_pip_leaves_what_is_there(host):
    module, _, venv = host(retcode=1)
    (venv / "bin").mkdir(parents=True)
    with pytest.raises(CommandExecutionError, match="no such file"):
        module.build()
    assert module.venv_state()["complete"] is False
    assert (venv / "bin").exists()
    assert [path.name for path in venv.parent.iterdir()] == ["venv"]


def test_missing_requirements_name_the_setting(host):
    module, _, _ = host(requirements="/nowhere/requirements.txt")
    with pytest.raises(CommandExecutionError, match="pgha:patroni:requirements"):
        module.venv_state()
