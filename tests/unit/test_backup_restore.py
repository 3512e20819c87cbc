"""What a person asks of a restore, what speaks against it, what it costs, and the note of it."""

import pghalib.backup.recovering
import pghalib.backup.target
import pghalib.master.restore
import pghalib.secrets.restores
import pghalib.secrets.store
import pytest
from salt.exceptions import CommandExecutionError

NOW = 1795944919.0
DAY = 86400


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("newest", ["--type=default"]),
        ("0/3000060", ["--type=lsn", "--target=0/3000060", "--target-action=promote"]),
        ("name:before-1c", ["--type=name", "--target=before-1c", "--target-action=promote"]),
        ("2026-11-29 12:00:00+03", ["--type=time", "--target=2026-11-29 09:00:00+00", "--target-action=promote"]),
        ("2026-11-29T12:00Z", ["--type=time", "--target=2026-11-29 12:00:00+00", "--target-action=promote"]),
        (
            "2026-11-29 12:00:01.25 -0330",
            ["--type=time", "--target=2026-11-29 15:30:01.25+00", "--target-action=promote"],
        ),
        ("2026-11-29 12:00 UTC", ["--type=time", "--target=2026-11-29 12:00:00+00", "--target-action=promote"]),
    ],
)
def test_a_target_as_pgbackrest_takes_it(text, options):
    target = pghalib.backup.target.parsed({"target": text})
    assert pghalib.backup.target.options(target) == options
    assert pghalib.backup.target.parsed({"target": text, "timeline": 2})["timeline"] == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "say what is to be restored"),
        ("test", "say what is to be restored"),
        ({"cluster": "one", "target": "2026-11-29 12:00:00"}, "has no zone, and hosts may have another one than you"),
        ({"cluster": "one", "target": "2026-13-29 12:00:00Z"}, "is no time"),
        ({"cluster": "one", "target": "yesterday"}, "pgha_restore:target: 'yesterday' is no target; pillar="),
        ({"cluster": "one", "target": "name:it's"}, "is no target"),
        ({"cluster": "one"}, "None is no target"),
        ({"cluster": "on", "target": "newest"}, "there is no cluster 'on' with backups; did you mean one?"),
        ({"cluster": "one", "target": "newest", "timelin": 1}, "pgha_restore:timelin: unknown; did you mean timeline?"),
        ({"cluster": "one", "target": "newest", "timeline": "1"}, "should be a whole number from 1"),
    ],
)
def test_what_cannot_be_asked_is_named_with_the_remedy(given, said):
    (found,) = pghalib.backup.target.faults(given, ["one"])
    assert said in found


@pytest.mark.parametrize(
    ("cluster", "source", "said"),
    [
        ("trial", "on", "pgha_restore:from: there is no cluster 'on' with backups; did you mean one?"),
        ("trail", "one", "pgha_restore:cluster: there is no cluster 'trail'; did you mean trial?"),
        ("one", "one", "pgha_restore:from: one is the cluster itself: leave from out"),
        ("two", "one", "pgha_restore:cluster: two has repositories of its own"),
        ("trial", ["one"], "pgha_restore:from: there is no cluster ['one'] with backups"),
    ],
)
def test_a_copy_takes_two_clusters_that_fit(cluster, source, said):
    given = {"cluster": cluster, "from": source, "target": "newest"}
    (found,) = pghalib.backup.target.faults(given, ["one", "two"], ["one", "two", "trial"])
    assert found.startswith(said)


def test_what_can_be_asked_has_no_fault():
    copy = {"cluster": "trial", "from": "one", "target": "newest"}
    assert pghalib.backup.target.faults(copy, ["one"], ["one", "trial"]) == []
    parsed = pghalib.backup.target.parsed(copy)
    assert pghalib.backup.target.confirmation("trial", parsed, "one") == "trial from one to newest"
    given = {"cluster": "one", "target": "newest", "confirm": "one to newest"}
    assert pghalib.backup.target.faults(given, ["one"]) == []
    assert pghalib.backup.target.confirmation("one", pghalib.backup.target.parsed(given)) == given["confirm"]


MEMBER = {"leads": False, "paused": False, "size": 5 * 2**30, "free": 6 * 2**30, "mount": False, "tablespaces": 0,
          "first": NOW - DAY, "newest": NOW - 60, "fault": None, "kept": {}}  # fmt: skip


def told(**other):
    return {"db1": dict(MEMBER), "db2": {**MEMBER, "leads": True, **other}}


def target(seconds=None):
    """Some seconds ago, or the end of the archive."""
    moment = None if seconds is None else NOW - seconds
    return {"type": "time" if seconds else "default", "value": "x", "text": "then", "moment": moment}


@pytest.mark.parametrize(
    ("other", "seconds", "said"),
    [
        ({}, 60, None),
        ({}, None, None),
        ({"tablespaces": 2}, 60, "db2: there are 2 tablespaces, which are restored where they are"),
        ({"tablespaces": 2, "mount": True}, 60, "db2: the data directory is the root"),
        ({"mount": True, "free": 0}, 60, "db2: the data directory is the root"),
        ({"paused": True}, 60, "Patroni is paused"),
        ({"mount": True}, 60, "db2: the data directory is the root of a file system"),
        ({"free": 2**30}, 60, "db2: the data take 5 GB and 1 GB are free"),
        ({"fault": "refused"}, 60, "db2: the repository does not answer as it should: refused"),
        ({}, 2 * DAY, "the oldest backup ends at 2026-11-28"),
        ({}, -60, "then is in the future"),
    ],
)
def test_what_speaks_against_a_restore_is_named_by_host(other, seconds, said):
    found = pghalib.master.restore.faults("one", target(seconds), told(**other), NOW)
    assert len(found) == (said is not None) + ("mount" in other and "tablespaces" in other)
    assert said is None or found[0].startswith(said)
    unkept = {"tablespaces", "mount", "free"} & set(other)
    assert not unkept or 'add "keep": false to pgha_restore, and lose them' in found[-1]
    assert not unkept or not pghalib.master.restore.faults("one", target(seconds), told(**other), NOW, keep=False)


def test_without_a_backup_there_is_nothing_to_restore():
    members = {host: {**one, "first": None, "newest": None} for host, one in told().items()}
    found = pghalib.master.restore.faults("one", target(), members, NOW)
    assert found == ["one has no backup to restore from"]


@pytest.mark.parametrize(
    ("seconds", "lost"),
    [(90, "the last 1 min is"), (3 * 3600 + 120, "the last 3 h 2 min is"), (3 * DAY, "the last 3 days 0 h is"),
     (None, "what has not been archived is lost")],
)  # fmt: skip
def test_what_is_lost_is_said_before(seconds, lost):
    lines = pghalib.master.restore.asked("one", target(seconds), told(), NOW)
    assert lost in lines[0]
    assert "db1 5 GB, db2 5 GB" in lines[2]
    assert lines[3].endswith('"confirm": "one to then"')


def test_a_copy_says_what_comes_and_asks_for_its_own_words():
    seen = {"a1": {**MEMBER, "newest": NOW - 3600}}
    members = {host: {**one, "first": None, "newest": None, "fault": "no pgbackrest"} for host, one in told().items()}
    assert pghalib.master.restore.faults("trial", target(60), members, NOW, seen) == []
    assert pghalib.master.restore.faults("trial", target(60), members, NOW, {}) == [
        "trial has no backup to restore from"
    ]
    lines = pghalib.master.restore.asked("trial", target(60), members, NOW, (), "one", seen)
    assert lines[0].startswith("this would give trial the data of one as they were at 2026-")
    assert "all that is in trial now is replaced" in lines[0]
    assert "subscriptions are those of one, and begin to work where trial is" in lines[1]
    assert lines[-1].endswith('"confirm": "trial from one to then"')
    newest = pghalib.master.restore.asked("trial", target(), members, NOW, (), "one", seen)
    assert "the data of one as they are in its repository" in newest[0]


def test_a_host_may_read_the_backups_of_another_cluster_while_the_note_says_so(tmp_path):
    store = tmp_path / "store"
    pghalib.secrets.store.prepare(store)
    note = pghalib.master.restore.new("trial", target(60), told(), "one")
    assert note["source"] == "one"
    copied = lambda host: pghalib.secrets.restores.copied_to(store, host, ["one", "trial"])  # noqa: E731
    assert copied("db2") is None
    pghalib.secrets.store.write(pghalib.secrets.restores.file(store, "trial"), note)
    assert [copied(host) for host in ("db2", "db1", "a1")] == ["one", None, None]
    pghalib.secrets.store.write(pghalib.secrets.restores.file(store, "trial"), {**note, "source": ["one"]})
    with pytest.raises(CommandExecutionError, match="source is not what it must be"):
        copied("db2")


def test_who_keeps_nothing_says_so_twice():
    given = {"cluster": "one", "target": "newest", "keep": False}
    assert pghalib.backup.target.faults(given, ["one"]) == []
    (fault,) = pghalib.backup.target.faults({**given, "keep": "no"}, ["one"])
    assert fault == "pgha_restore:keep: 'no' should be true or false"
    lines = pghalib.master.restore.asked("one", target(60), told(), NOW, keep=False)
    assert lines[2] == "the data of now are removed on every host (db1 5 GB, db2 5 GB): nothing brings them back"
    assert lines[-1].endswith('"confirm": "one to then, and lose the data of now"')
    assert pghalib.master.restore.new("one", target(), told(), keep=False)["keep"] is False


KEPT = {"type": "kept", "value": "20261129-120000", "text": "kept:20261129-120000", "moment": None}


def test_the_way_back_needs_no_backup_and_ends_where_the_data_were_the_furthest():
    given = {"cluster": "trial", "target": "kept:20261129-120000"}
    assert pghalib.backup.target.parsed(given) == KEPT
    assert pghalib.backup.target.faults(given, [], ["trial"]) == []
    faults = pghalib.backup.target.faults({**given, "from": "one", "timeline": 2}, ["one"], ["one", "trial"])
    assert faults == [f"pgha_restore:{key}: means nothing with kept:ID" for key in ("from", "timeline")]
    (fault,) = pghalib.backup.target.faults({**given, "target": "kept:x"}, [], ["trial"])
    assert "'kept:x' is no target" in fault
    (fault,) = pghalib.backup.target.faults({**given, "cluster": "tral"}, [], ["trial"])
    assert fault == "pgha_restore:cluster: there is no cluster 'tral'; did you mean trial?"
    members = {
        "db1": {**MEMBER, "first": None, "fault": "away", "kept": {"20261129-120000": [2, 500]}},
        "db2": {**MEMBER, "leads": True, "kept": {"20261129-120000": [3, 100], "20261128-120000": [1, 1]}},
        "db3": dict(MEMBER),
    }
    assert pghalib.master.restore.faults("one", KEPT, members, NOW) == []
    assert pghalib.master.restore.new("one", KEPT, members)["host"] == "db2"
    lines = pghalib.master.restore.asked("one", KEPT, members, NOW)
    assert "as it was when the restore 20261129-120000 began: what was written since is lost" in lines[0]
    other = {**KEPT, "value": "20261127-120000"}
    assert pghalib.master.restore.faults("one", other, members, NOW) == [
        "no host has kept data of 20261127-120000; kept are 20261128-120000, 20261129-120000"
    ]


def test_the_leaders_host_is_restored_else_the_first_that_tells():
    assert pghalib.master.restore.new("one", target(), told())["host"] == "db2"
    assert pghalib.master.restore.new("one", target(), told(leads=False))["host"] == "db1"


@pytest.mark.parametrize(
    "wrong",
    [
        *(None, [], {}, {**MEMBER, "size": "5"}, {**MEMBER, "leads": 1}, {**MEMBER, "first": "x"}),
        *({**MEMBER, "kept": one} for one in ([], {"x": 1}, {"x": [1]}, {"x": [1, "2"]}, {"x": [1, True]})),
    ],
)
def test_an_answer_of_another_shape_is_refused(wrong):
    with pytest.raises(CommandExecutionError, match="answered nonsense"):
        pghalib.master.restore.checked(wrong)
    assert pghalib.master.restore.checked({**MEMBER, "fault": "two\nlines", "more": 1}) == {
        **MEMBER,
        "fault": "two lines",
    }


def test_a_restore_is_noted_in_the_store_until_it_has_ended(tmp_path):
    store = tmp_path / "store"
    pghalib.secrets.store.prepare(store)
    assert pghalib.secrets.restores.noted(store, "one") is None
    note = pghalib.master.restore.new("one", target(60), told())
    pghalib.secrets.store.write(pghalib.secrets.restores.file(store, "one"), note)
    assert pghalib.secrets.restores.noted(store, "one") == note
    assert pghalib.secrets.restores.exists(store, "one")
    pghalib.secrets.restores.file(store, "one").write_text("{}")
    with pytest.raises(CommandExecutionError, match="is damaged"):
        pghalib.secrets.restores.noted(store, "one")


def test_data_of_other_hosts_are_recovered_by_files_and_memory_of_this_one():
    own = pghalib.backup.recovering.parameters("/pgdata/one", copy=False)
    assert own == {
        "listen_addresses": "",
        "unix_socket_directories": "/run/pgha-restore",
        "synchronous_standby_names": "",
        # Nothing works by itself before Patroni starts the server.
        "max_logical_replication_workers": "0",
        "cron.launch_active_jobs": "off",
        "timescaledb.max_background_workers": "0",
    }
    copy = pghalib.backup.recovering.parameters("/pgdata/two", copy=True)
    assert (copy["hba_file"], copy["ident_file"]) == ("/pgdata/two/pg_hba.conf", "/pgdata/two/pg_ident.conf")
    assert (copy["ssl"], copy["shared_buffers"]) == ("off", "128MB")
    assert own.items() <= copy.items()


@pytest.mark.root
def test_data_are_moved_aside_once_and_never_over_others(tmp_path):
    path = tmp_path / "pgdata/one"
    (path / "base").mkdir(parents=True)
    (path / "base/1").write_bytes(b"x" * 10000)
    assert pghalib.backup.recovering.space(str(path))["size"] >= 10000
    kept = pghalib.backup.recovering.aside(str(path), "20261129-120000")
    assert kept == f"{path}.before-20261129-120000"
    assert not path.exists()
    assert pghalib.backup.recovering.aside(str(path), "20261129-120000") is None
    path.mkdir()
    with pytest.raises(CommandExecutionError, match="is there already"):
        pghalib.backup.recovering.aside(str(path), "20261129-120000")
    assert path.exists()


def test_what_a_directory_takes_is_told_also_when_there_is_none(tmp_path):
    found = pghalib.backup.recovering.space(str(tmp_path / "none/deep/one"))
    assert (found["size"], found["mount"], found["tablespaces"]) == (0, False, 0)
    assert found["free"] > 0
