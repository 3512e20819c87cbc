"""The way back to the data that a restore has kept aside."""

import os
import subprocess

import pghalib.backup.recovering
import pytest
from salt.exceptions import CommandExecutionError

CONTROL = """Latest checkpoint location:           1/A000028
Latest checkpoint's TimeLineID:       7
"""


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """The module on a host with data of before; its programs are run for real, but for pg_controldata."""

    def build(running=False, repositories=()):
        settings = {
            "postgres": {"data_dir": str(tmp_path / "one"), "user": "postgres", "bin_dir": "/bin"},
            "backup": {"repositories": dict.fromkeys(repositories)},
            "cluster": {"name": "one"},
        }
        salt = {
            "pgha.settings": lambda: settings,
            "pgha_postgres.data_directory": lambda: {"running": running},
            "cmd.run_all": None,
        }
        module = loader_module("_modules/pgha_kept.py", salt=salt)

        def run(_run_all, user, words):
            assert user == "postgres"
            if words[0].endswith("pg_controldata"):
                return {"stdout": CONTROL if os.path.exists(f"{words[-1]}/PG_VERSION") else "", "stderr": ""}
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            return {"retcode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

        monkeypatch.setattr(module.pghalib.host.users, "run", run)
        # Of directories above that others can change another test knows.
        move = lambda path, kept: os.rename(kept, path)  # noqa: E731
        monkeypatch.setattr(module.pghalib.backup.recovering, "put_back", move)
        return module

    for name in ("one.before-20261128-120000", "one.before-20261129-120000", "one.before-x", "two.before-20261129-1"):
        (tmp_path / name).mkdir()
    data = tmp_path / "one.before-20261129-120000"
    for name in ("PG_VERSION", "postmaster.pid", "standby.signal"):
        (data / name).touch()
    (data / "postgresql.auto.conf").write_text("work_mem = '1MB'\nrecovery_target_time = 'x'\n")
    return build


def test_data_of_before_are_known_by_their_names_and_how_far_they_were(host):
    assert list(host().directories()) == ["20261128-120000", "20261129-120000"]
    assert host().positions() == {"20261129-120000": [7, 0x10A000028]}


@pytest.mark.parametrize(
    ("repositories", "command"),
    [
        ([], "/bin/false"),
        (["main"], 'timeout 10 /usr/bin/pgbackrest --stanza=one archive-get %f "%p" || exit 1'),
    ],
)
def test_they_recover_on_a_timeline_of_their_own_as_often_as_it_is_begun(host, tmp_path, repositories, command):
    module = host(repositories=repositories)
    for _ in range(2):
        module.put_back("20261129-120000")
        assert not (tmp_path / "one.before-20261129-120000").exists()
        there = {path.name for path in (tmp_path / "one").iterdir()}
        assert there == {"PG_VERSION", "postgresql.auto.conf", "recovery.signal"}
        assert (tmp_path / "one/postgresql.auto.conf").read_text().splitlines() == [
            "work_mem = '1MB'",
            f"restore_command = '{command}'",
            "recovery_target_timeline = 'current'",
        ]


def test_what_is_not_there_or_in_use_is_an_error(host):
    with pytest.raises(CommandExecutionError, match="there is no .*/one.before-20261127-120000"):
        host().put_back("20261127-120000")
    with pytest.raises(CommandExecutionError, match="a server has .* open"):
        host(running=True).put_back("20261129-120000")


@pytest.mark.root
def test_data_of_before_take_the_place_of_an_empty_directory_alone(tmp_path):
    path, kept = tmp_path / "pgdata/one", tmp_path / "pgdata/one.before-1"
    kept.mkdir(parents=True)
    (kept / "PG_VERSION").touch()
    path.mkdir()
    (path / "file").touch()
    with pytest.raises(CommandExecutionError, match="not empty"):
        pghalib.backup.recovering.put_back(str(path), str(kept))
    (path / "file").unlink()
    pghalib.backup.recovering.put_back(str(path), str(kept))
    assert (path / "PG_VERSION").exists()
    assert not kept.exists()
