"""The file systems of a host and their free space."""

import os
from types import SimpleNamespace

import pghalib.host.space
import pytest
from salt.exceptions import CommandExecutionError

SETTINGS = {
    "consul": {"data_dir": "/var/lib/consul/data", "log_dir": "/var/log/consul/"},
    "postgres": {"data_dir": "/pgdata/test"},
    "patroni": {"log_dir": "/var/log/patroni"},
    "preflight": {"warn_disk_percent": 10},
}
# Blocks of 4 KiB: 1000 MB, of which 50 are root's own.
ALL, ROOTS = 256000, 12800


@pytest.fixture
def host(loader_module, monkeypatch):
    """A function (role, percent of each file system that is free for users) -> the module."""

    def build(role="db", kept=(), **free):
        linked = {
            "/pgdata/test/pg_wal": "wal",
            "/pgdata/test/pg_tblspc/16385": "a",
            "/pgdata/test/pg_tblspc/16386": "a",
        }
        linked = {path: name for path, name in linked.items() if name in free}
        systems = {**linked, "/pgdata": "data", "/var/log": "log"}

        def system(path):
            return next((name for top, name in systems.items() if path.startswith(top)), "root")

        def listdir(path):
            if not linked:
                raise FileNotFoundError(2, "No such file or directory", path)
            assert path == "/pgdata/test/pg_tblspc"
            return ["pgsql_tmp", "16386", "16385", "16384"]

        def statvfs(path):
            if free.get(system(path)) is None:
                raise OSError(5, "Input/output error", path)
            bavail = (ALL - ROOTS) * free[system(path)] // 100
            return SimpleNamespace(f_blocks=ALL, f_bfree=bavail + ROOTS, f_bavail=bavail, f_frsize=4096)

        monkeypatch.setattr(os.path, "exists", lambda path: path in ("/", "/pgdata", "/var/log", *linked))
        monkeypatch.setattr(os, "listdir", listdir)
        monkeypatch.setattr(os, "stat", lambda path: SimpleNamespace(st_dev=system(path)))
        monkeypatch.setattr(os, "statvfs", statvfs)
        salt = {
            "pgha.settings": lambda: {**SETTINGS, "role": role},
            "pgha_kept.directories": lambda: dict.fromkeys(kept, *kept),
            "pgha_repository.directories": lambda: ["/pgdata/keeps"],
        }
        return loader_module("_modules/pgha_disk.py", salt=salt)

    return build


LESS = 'less than 10 % (preflight:warn_disk_percent): "A disk is full" in docs/runbooks.md'


def test_a_file_system_with_room_is_no_fault(host):
    assert host(root=10, data=99, log=11).faults() == []


def test_one_sentence_names_all_that_is_on_a_full_file_system(host):
    assert host(root=50, data=9, log=0).faults() == [
        f"0 % (0 MB) are free for /var/log/consul/, /var/log/patroni, {LESS}",
        f"9 % (85 MB) are free for /pgdata/test, {LESS}",
    ]
    assert host(root=3, data=50, log=50).faults() == [f"3 % (28 MB) are free for /, /var/lib/consul/data, {LESS}"]


def test_wal_and_tablespaces_on_disks_of_their_own_are_looked_at(host):
    wal, space = "/pgdata/test/pg_wal", "/pgdata/test/pg_tblspc/16385"
    assert host(root=50, data=50, log=50, wal=50, a=50).faults() == []
    assert host(root=50, data=50, log=50, wal=9, a=8).faults() == [
        f"9 % (85 MB) are free for {wal}, {LESS}",
        f"8 % (76 MB) are free for {space}, {LESS}",
    ]
    # What is on the disk of the data is not named beside it.
    assert host(root=50, data=9, log=50, wal=9).faults() == [
        f"9 % (85 MB) are free for /pgdata/test, {LESS}",
        f"9 % (85 MB) are free for {wal}, {LESS}",
    ]
    assert host("dcs", root=50, data=0, log=50, wal=0).faults() == []


def test_what_is_free_is_never_said_to_be_as_much_as_is_wanted(monkeypatch):
    nearly = SimpleNamespace(f_blocks=1000, f_bfree=96, f_bavail=96, f_frsize=2**20)
    monkeypatch.setattr(os, "statvfs", lambda _path: nearly)
    assert pghalib.host.space.short(["/"], 10) == ["9 % (96 MB) are free for /"]


def test_what_restores_have_kept_is_named_where_room_is_needed(host):
    (said,) = host(root=50, data=1, log=50, kept=["/pgdata/test.before-7"]).faults()
    assert said.endswith("docs/runbooks.md; restores have kept /pgdata/test.before-7 (docs/backup.md)")


def test_other_hosts_look_at_what_they_have(host):
    assert host("dcs", root=50, data=0, log=50).faults() == []
    assert host("repository", root=50, data=1, log=0).faults() == [f"1 % (9 MB) are free for /pgdata/keeps, {LESS}"]


def test_a_file_system_that_does_not_answer_is_a_sentence(host):
    with pytest.raises(CommandExecutionError, match="A file system does not answer: .*Input/output error"):
        host(root=50, log=50).faults()


def test_a_real_directory_that_is_not_there_yet_is_on_the_one_above(tmp_path):
    assert pghalib.host.space.short([f"{tmp_path}/not/there"], 0) == []
    (said,) = pghalib.host.space.short([f"{tmp_path}/not/there", str(tmp_path)], 100.1)
    assert said.endswith(f" MB) are free for {tmp_path}/not/there, {tmp_path}")


def test_what_is_not_there_yet_counts_as_the_nearest_directory_that_is(tmp_path):
    os.symlink(tmp_path / "gone", tmp_path / "link")
    for path in (tmp_path, tmp_path / "not", tmp_path / "not/there", tmp_path / "link", tmp_path / "link/below"):
        assert pghalib.host.space.nearest(str(path)) == str(tmp_path)
    assert pghalib.host.space.nearest("/no/such/place") == "/"
    assert pghalib.host.space.nearest("no/such/place") == "."
