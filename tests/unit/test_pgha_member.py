"""A member whose data are gone: known by root's note, not filled by anybody before a person has named it."""

import json
import os
import pwd
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pghalib.postgres.member_note
import pytest
from salt.exceptions import CommandExecutionError

SETTINGS = {
    "id": "test-db2",
    "cluster": {"name": "test"},
    "postgres": {"data_dir": "/pgdata/test", "user": "nobody"},
}
NOTE = pghalib.postgres.member_note.note(SETTINGS, "/pgdata", 7431)
THERE = {"empty": False, "mount": "/pgdata", "refilled": False}
GONE = {**THERE, "empty": True}


@pytest.mark.parametrize(
    ("path", "mount"),
    [("/pgdata/test", "/pgdata"), ("/pgdata", "/pgdata"), ("/pgdata2/test", "/"), ("/srv/a/b", "/srv/a"), ("/", "/")],
)
def test_the_nearest_mount_point_counts(path, mount):
    assert pghalib.postgres.member_note.mount_of(path, ["/", "/srv", "/srv/a", "/pgdata"]) == mount


@pytest.mark.parametrize(
    ("members", "named"),
    [
        (["db1", "db2"], []),
        (["db1"], []),
        (
            ["db1", "db2", "pg\x1b9"],
            ["pg?9 is a member of test that runs, and clusters:test:hosts lacks it: put it back"],
        ),
        (None, []),
    ],
)
def test_a_member_that_runs_and_is_not_in_the_pillar_is_named(loader_module, members, named):
    """A run would take its rights in Consul away."""

    def cluster():
        if members is None:
            raise CommandExecutionError("Nobody listens")
        return [{"name": name} for name in members]

    known = {"name": "test", "hosts": [{"name": "db1"}, {"name": "db2"}]}
    salt = {"pgha.settings": lambda: {**SETTINGS, "cluster": known}, "pgha_patroni.cluster": cluster}
    found = loader_module("_modules/pgha_member.py", salt=salt).strangers()
    assert [one.partition("; to take")[0] for one in found] == named


BY_HAND = {"ActiveState": "active", "What": "/dev/vdb", "FragmentPath": ""}


@pytest.mark.parametrize(
    ("role", "mount", "shown", "container", "named"),
    [
        ("db", "/pgdata", BY_HAND, False, True),
        # It is mounted with other options at this moment.
        ("db", "/pgdata", {**BY_HAND, "ActiveState": "reloading"}, False, True),
        ("db", "/pgdata", {**BY_HAND, "ActiveState": "deactivating"}, False, False),
        ("db", "/pgdata", {**BY_HAND, "FragmentPath": "/run/systemd/generator/pgdata.mount"}, False, False),
        ("db", "/pgdata", {**BY_HAND, "What": "tank/pgdata"}, False, False),
        ("db", "/", BY_HAND, False, False),
        ("db", "/pgdata", BY_HAND, True, False),
        ("dcs", "/pgdata", BY_HAND, False, False),
    ],
)
def test_a_disk_that_nothing_mounts_at_a_boot_is_named(
    loader_module, tmp_path, monkeypatch, role, mount, shown, container, named
):
    asked = []
    salt = {
        "pgha.settings": lambda: {**SETTINGS, "role": role},
        "cmd.run_all": lambda words, **_options: {"stdout": f"escaped-{words[-1]}\n"},
        "service.show": lambda unit: asked.append(unit) or shown,
    }
    module = loader_module("_modules/pgha_member.py", salt=salt)
    monkeypatch.setattr(module, "data", lambda: {**THERE, "mount": mount})
    monkeypatch.setattr(module, "CONTAINER", str(tmp_path / "container"))
    if container:
        (tmp_path / "container").touch()
    found = module.mount_faults()
    assert len(found) == int(named)
    if named:
        assert asked == ["escaped-/pgdata"]
        assert "the disk at /pgdata, with the data of test, was mounted by hand" in found[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # A new host, a replaced one, one that was cleaned.
        (None, GONE),
        (NOTE, THERE),
        # patronictl reinit.
        (NOTE, {**GONE, "refilled": True}),
        # Of another cluster before.
        (NOTE.replace('"test"', '"prod"'), GONE),
    ],
)
def test_nothing_is_said_of(text, found):
    assert pghalib.postgres.member_note.verdict(text, SETTINGS, found) == {"lost": False, "faults": [], "warnings": []}


@pytest.mark.parametrize(
    ("found", "over", "told"),
    [
        ({**GONE, "mount": "/"}, {}, "nothing is there: mount the disk of /pgdata;"),
        # Patroni waits, or would fill the disk of the system.
        ({**GONE, "mount": "/", "refilled": True}, {}, "mount the disk of /pgdata;"),
        (GONE, {}, "nothing is there: bring them back"),
        (GONE, {"data_dir": "/srv/test"}, "data of test in /pgdata/test, and nothing is in /srv/test: bring them back"),
        ({**GONE, "refilled": True}, {"data_dir": "/srv/test"}, "nothing is in /srv/test"),
    ],
)
def test_data_that_are_gone_are_a_fault(found, over, told):
    settings = {**SETTINGS, "postgres": {**SETTINGS["postgres"], **over}}
    verdict = pghalib.postgres.member_note.verdict(NOTE, settings, found)
    assert (verdict["lost"], verdict["warnings"]) == (True, [])
    (fault,) = verdict["faults"]
    assert told in fault
    assert "name test-db2 in pgha:new_data" in fault


def test_data_on_another_file_system_are_a_warning():
    verdict = pghalib.postgres.member_note.verdict(NOTE, SETTINGS, {**THERE, "mount": "/"})
    assert (verdict["lost"], verdict["faults"]) == (False, [])
    assert verdict["warnings"] == ["the data of test are on the file system of /, and were on that of /pgdata"]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"cluster": "test"}', '{"cluster": ["test"]}', "[" * 9000])
def test_a_damaged_note_is_a_fault_and_no_traceback(text):
    (fault,) = pghalib.postgres.member_note.verdict(text, SETTINGS, THERE)["faults"]
    assert "/etc/pgha/member.json is damaged: remove it when" in fault


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """A host below tmp_path: its execution ``module``, the ``state`` module by ``states(test)``, what it runs."""
    place = SimpleNamespace(patroni=False, pgha={}, member={"database_system_identifier": "7431"}, path=tmp_path)
    monkeypatch.setattr(pghalib.postgres.member_note, "NOTE", str(tmp_path / "etc/member.json"))
    settings = {**SETTINGS, "postgres": {**SETTINGS["postgres"], "data_dir": str(tmp_path / "pgdata/test")}}
    salt = {
        "pgha.settings": lambda: settings,
        "service.status": lambda _name: place.patroni,
        "pgha_patroni.member": lambda: place.member,
    }
    place.salt = salt
    place.data = tmp_path / "pgdata/test"
    place.data.mkdir(parents=True)
    (place.data / "PG_VERSION").touch()

    def states(test=False, **pgha):
        place.module = loader_module("_modules/pgha_member.py", salt=salt, pillar={"pgha": pgha})
        names = {f"pgha_member.{name}": getattr(place.module, name) for name in ("verdict", "note")}
        return loader_module("_states/pgha_member.py", salt=names, opts={"test": test})

    place.states = states
    return place


def lose(host):
    (host.data / "PG_VERSION").unlink()
    host.data.rmdir()


@pytest.mark.root
def test_a_member_notes_its_data_once(host):
    assert host.states(test=True).noted("x", 0)["result"] is None
    assert not os.path.exists(pghalib.postgres.member_note.NOTE)
    assert host.states().noted("x", 0)["changes"]
    noted = json.loads(Path(pghalib.postgres.member_note.NOTE).read_text())
    assert (noted["cluster"], noted["system_identifier"], noted["data_dir"]) == ("test", "7431", str(host.data))
    for test in (True, False):
        assert (host.states(test).noted("x", 0)["result"], host.states(test).noted("x", 0)["changes"]) == (True, {})


@pytest.mark.root
def test_the_directory_of_the_note_can_be_passed_whatever_the_umask_of_the_minion(host):
    before = os.umask(0o077)
    try:
        assert host.states().noted("x", 0)["result"] is True
    finally:
        os.umask(before)
    assert os.stat(os.path.dirname(pghalib.postgres.member_note.NOTE)).st_mode & 0o777 == 0o755


@pytest.mark.root
def test_a_member_waits_until_patroni_tells_which_data_it_has(host):
    """The leader of a new cluster serves before its bootstrap is over, and Patroni tells the identifier after that."""
    answers = iter([None, {}, {"database_system_identifier": "7431"}])
    host.salt["pgha_patroni.member"] = lambda: next(answers)
    assert host.states().noted("x", 60)["changes"]
    assert next(answers, "asked") == "asked"
    host.salt["pgha_patroni.member"] = lambda: None
    failed = host.states().noted("x", 0)
    assert (failed["result"], failed["comment"]) == (False, "Not within 0 s: Patroni tells which data it has")
    assert host.states(test=True).noted("x", 0)["result"] is None


@pytest.mark.root
def test_nothing_is_made_where_data_were_before_the_host_is_named(host):
    lose(host)
    assert host.states().data_kept("x")["result"] is True
    host.states().noted("x", 0)
    for test in (True, False):
        for pgha in ({}, {"new_data": "test-db1"}, {"new_data": ["test-db1"]}):
            ret = host.states(test, **pgha).data_kept("x")
            assert (ret["result"], ret["changes"]) == (False, {})
            assert "pgha:new_data" in ret["comment"]
    assert host.states(test=True, new_data=["test-db2"]).data_kept("x")["result"] is None
    assert os.path.exists(pghalib.postgres.member_note.NOTE)
    ret = host.states(new_data=["test-db2"]).data_kept("x")
    assert (ret["result"], bool(ret["changes"])) == (True, True)
    # The stages after it, which are told nothing, and a run after an interrupted one.
    assert (host.states().data_kept("x")["result"], host.states().data_kept("x")["changes"]) == (True, {})


@pytest.mark.root
def test_a_word_for_a_host_whose_data_are_there_takes_nothing_away(host):
    host.states().noted("x", 0)
    assert host.states(new_data=["test-db2"]).data_kept("x")["changes"] == {}
    assert os.path.exists(pghalib.postgres.member_note.NOTE)


@pytest.mark.root
def test_a_copy_that_patroni_makes_by_itself_is_left_to_it(host):
    host.states().noted("x", 0)
    (host.data / "PG_VERSION").unlink()
    os.chown(host.data, pwd.getpwnam("nobody").pw_uid, -1)
    assert host.states().data_kept("x")["result"] is False
    host.patroni = True
    assert host.states().data_kept("x")["result"] is True
    # Gone with its directory, which Patroni cannot make in one of root's: it waits.
    host.data.rmdir()
    assert host.states().data_kept("x")["result"] is False
    os.chown(host.data.parent, pwd.getpwnam("nobody").pw_uid, -1)
    assert host.states().data_kept("x")["result"] is True


def test_a_unit_waits_for_the_disk_that_a_link_leads_to(host):
    host.states()
    (host.path / "link").symlink_to("pgdata")
    (host.path / "od d").mkdir()
    (host.path / "odd").symlink_to("od d")
    mounts = host.module.mounts
    assert mounts(f"{host.path}/link/test") == [f"{host.path}/link/test", f"{host.path}/pgdata/test"]
    assert mounts(f"{host.path}/pgdata") == [f"{host.path}/pgdata"]
    assert mounts(f"{host.path}/odd") == [f"{host.path}/odd"]


def test_data_are_removed_with_those_of_tablespaces_and_nothing_else(loader_module, tmp_path, monkeypatch):
    place, data = tmp_path / "fast disk", tmp_path / "data"
    for path in (place / "PG_18_202506291/5", data / "base/5", data / "pg_tblspc", data / "lost+found", data / ".x"):
        path.mkdir(parents=True)
    (place / "theirs").touch()
    (data / "pg_tblspc/16384").symlink_to(place)
    (data / "pg_tblspc/16385").symlink_to(tmp_path / "gone")
    (tmp_path / "link").symlink_to(data)
    settings = {"postgres": {"user": "postgres", "data_dir": str(tmp_path / "link")}}

    def run(_run_all, user, words, **_how):
        assert user == "postgres"
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return {"retcode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    module = loader_module("_modules/pgha_member.py", salt={"pgha.settings": lambda: settings, "cmd.run_all": None})
    monkeypatch.setattr(module.pghalib.host.users, "run", run)
    for _ in range(2):
        module.emptied()
        assert [one.name for one in data.iterdir()] == ["lost+found"]
        assert [one.name for one in place.iterdir()] == ["theirs"]
    settings["postgres"]["data_dir"] = str(tmp_path / "none")
    module.emptied()
    monkeypatch.setattr(module.pghalib.host.users, "run", lambda *_, **__: {"retcode": 1, "stderr": "rm: no\n"})
    with pytest.raises(CommandExecutionError, match="the data of now cannot be removed: rm: no"):
        module.emptied()


@pytest.mark.parametrize(
    ("state", "lines", "astray"),
    [
        ("starting", ["/data", "1790000000", "5432", "/tmp", "*", "1 2", "ready"], True),
        ("starting", ["/data", "1790000000", "5432", "/run/postgresql", "*", "1 2", "ready"], False),
        ("starting", ["/data", "1790000000", "5432"], False),
        ("starting", ["/data", "1790000000", "5432", ""], False),
        ("running", ["/data", "1790000000", "5432", "/tmp"], False),
    ],
    ids=["its socket is elsewhere", "it has its socket", "it has none yet", "it has no word of one", "it is reached"],
)
def test_a_server_that_has_not_read_its_configuration_is_found_by_its_socket(host, state, lines, astray):
    host.states()
    host.member["state"] = state
    host.salt["pgha.settings"]()["postgres"].update(socket_dir="/run/postgresql")
    assert host.module.astray() is False, "no server runs"
    with subprocess.Popen(["sleep", "60"], cwd=host.data) as server:
        try:
            (host.data / "postmaster.pid").write_text("\n".join([str(server.pid), *lines, ""]))
            assert host.module.astray() is astray
        finally:
            server.kill()
