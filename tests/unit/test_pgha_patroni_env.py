"""What a requirements file asks for, what is in an environment, and the calls of pip that follow from it."""

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
    return loader_module("_utils/pgha_patroni_env.py")


def package(venv, name, complete=True):
    folder = venv / "lib/python3.11/site-packages" / f"{name}.dist-info"
    folder.mkdir(parents=True)
    if complete:
        (folder / "INSTALLER").touch()


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


def test_interrupted_package_is_not_installed(utils, tmp_path):
    package(tmp_path, "psycopg_binary-3.3.9")
    assert utils.interrupted(tmp_path) is False
    package(tmp_path, "click-8.5.1", complete=False)
    assert utils.installed(tmp_path) == {"psycopg-binary": "3.3.9"}
    assert utils.interrupted(tmp_path) is True
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
def host(loader_module, tmp_path, monkeypatch):
    """A function (requirements, code of pip, **settings) -> (the module, the commands that were run, the venv)."""

    def build(text=HASHED, retcode=0, cached=(), **patroni):
        file, venv, commands = tmp_path / "requirements.txt", tmp_path / "venv", []
        file.write_text(text)
        pip = tmp_path / "pip.whl"
        with zipfile.ZipFile(pip, "w") as wheel:
            wheel.writestr("pip/__main__.py", "")
        venv.mkdir()

        def run_all(command, **_kwargs):
            command = command[command.index("--") + 1 :]
            assert "pip" not in command[1] or Path(command[1], "__main__.py").exists()
            if "venv" in command:
                (venv / "bin").mkdir()
                (venv / "bin/python").touch()
                return {"retcode": 0, "stdout": "", "stderr": ""}
            commands.append((command, Path(command[command.index("-r") + 1]).read_text()))
            return {"retcode": retcode, "stdout": "", "stderr": "ERROR: no such file\n"}

        names = {
            "pgha.settings": lambda: {
                "postgres": {"user": "postgres", "group": "postgres"},
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
            "_modules/pgha_patroni_env.py", salt=names, utils={"pgha_patroni_env.pip_wheel": lambda _python: str(pip)}
        )
        monkeypatch.setattr(module.shutil, "chown", lambda *_args: None)
        return module, commands, venv

    return build


def test_build_installs_the_tools_first_and_marks_its_end(host):
    module, commands, venv = host()
    assert module.state()["complete"] is False
    module.build()
    (_, tools), (command, everything) = commands
    assert tools.split() == ["setuptools==84.2.1", "--hash=sha256:aa"]
    assert everything.strip() == HASHED.strip()
    assert command[0] == f"{venv}/bin/python"
    assert command[1].startswith(f"{venv}/.build-")
    assert command[2] == "install"
    assert {"--require-hashes", "--no-deps", "--no-build-isolation"} <= set(command)
    assert module.state()["complete"] is True
    assert not list(venv.glob(".build-*"))


def test_requirements_without_hashes_are_resolved_by_pip(host):
    module, commands, _ = host("patroni[consul]==4.1.5\n", find_links="http://mirror/wheels")
    module.build()
    assert len(commands) == 1
    assert not {"--require-hashes", "--no-deps", "--trusted-host"} & set(commands[0][0])


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


def test_wheels_of_the_master_are_copied_to_where_the_user_may_read(host, tmp_path):
    wheel = tmp_path / "click-8.5.1.whl"
    wheel.write_text("wheel")
    module, commands, venv = host(cached=[str(wheel)], find_links="salt://wheels")
    module.build()
    links = commands[-1][0][commands[-1][0].index("--find-links") + 1]
    assert links.startswith(str(venv))


def test_nothing_under_the_masters_folder_is_said(host):
    module, _, _ = host(find_links="salt://wheels")
    with pytest.raises(CommandExecutionError, match="salt://wheels"):
        module.build()


def test_failure_of_pip_leaves_no_mark(host):
    module, _, venv = host(retcode=1)
    with pytest.raises(CommandExecutionError, match="no such file"):
        module.build()
    assert module.state()["complete"] is False
    assert not list(venv.glob(".build-*"))


def test_missing_requirements_name_the_setting(host):
    module, _, _ = host(requirements="/nowhere/requirements.txt")
    with pytest.raises(CommandExecutionError, match="pgha:patroni:requirements"):
        module.state()
