"""What a person asks of a restore, what speaks against it, what it costs, and the note of it."""

import types

import pghalib.backup.recovering
import pghalib.backup.target
import pghalib.master.conditions
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
        ({"cluster": "one", "target": "newest", "timeline": 2**32}, "should be a whole number from 1"),
        ({"cluster": "one", "target": "0001-01-01 00:00:00+03"}, "'0001-01-01 00:00:00+03' is no time (date value"),
        ({"cluster": "one", "target": "9999-12-31 23:59:59-03"}, "is no time (date value out of range)"),
        ({"cluster": ["one"], "target": "newest"}, "pgha_restore:cluster: ['one'] should be the name of one cluster"),
        ({"cluster": {}, "target": "kept:20261129-120000"}, "pgha_restore:cluster: {} should be the name of one"),
        ({"cluster": 7, "target": "newest"}, "pgha_restore:cluster: 7 should be the name of one cluster"),
    ],
)
def test_what_cannot_be_asked_is_named_with_the_remedy(given, said):
    (found,) = pghalib.backup.target.faults(given, {"one": {}}, {"one": {}})
    assert said in found


@pytest.mark.parametrize(
    ("cluster", "source", "said"),
    [
        ("trial", "on", "pgha_restore:from: there is no cluster 'on' with backups; did you mean one?"),
        ("trail", "one", "pgha_restore:cluster: there is no cluster 'trail'; did you mean trial?"),
        ("one", "one", "pgha_restore:from: one is the cluster itself: leave from out"),
        ("two", "one", "pgha_restore:cluster: two has repositories of its own"),
        ("trial", ["one"], "pgha_restore:from: ['one'] should be the name of one cluster, as a text"),
    ],
)
def test_a_copy_takes_two_clusters_that_fit(cluster, source, said):
    given = {"cluster": cluster, "from": source, "target": "newest"}
    (found,) = pghalib.backup.target.faults(given, ["one", "two"], dict.fromkeys(["one", "two", "trial"]))
    assert found.startswith(said)


def test_what_can_be_asked_has_no_fault():
    copy = {"cluster": "trial", "from": "one", "target": "newest"}
    assert pghalib.backup.target.faults(copy, ["one"], ["one", "trial"]) == []
    parsed = pghalib.backup.target.parsed(copy)
    assert pghalib.backup.target.confirmation("trial", parsed, "one") == "trial from one to newest"
    given = {"cluster": "one", "target": "newest", "confirm": "one to newest from timeline 3"}
    assert pghalib.backup.target.faults(given, ["one"]) == []
    target = pghalib.backup.target.parsed(given)
    assert pghalib.backup.target.confirmation("one", target, timeline="3") == given["confirm"]


MEMBER = {"leads": False, "paused": False, "size": 5 * 2**30, "free": 6 * 2**30, "mount": False, "link": False,
          "tablespaces": 0, "first": NOW - DAY, "newest": NOW - 60, "fault": None, "kept": {},
          "timeline": [3, 1795900000], "backups": [], "restores": None, "member": True}  # fmt: skip

ON = "3 of 2026-11-28 21:06:40 UTC"


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
        ({"link": True}, 60, "db2: the data directory is a link, and a rename would move what it leads to"),
        ({"link": True, "free": 0}, 60, "db2: the data directory is a link"),
        ({"free": 2**30}, 60, "db2: the data of then need 5.5 GB, and 1.0 GB are free beside"),
        ({"fault": "refused"}, 60, "db2: the repository does not answer as it should: refused"),
        ({}, 2 * DAY, "the oldest backup reaches back to 2026-11-28"),
        ({}, -60, "then is in the future"),
    ],
)
def test_what_speaks_against_a_restore_is_named_by_host(other, seconds, said):
    found = pghalib.master.restore.faults("one", target(seconds), told(**other), NOW)
    assert len(found) == (said is not None) + ("mount" in other and "tablespaces" in other)
    assert said is None or found[0].startswith(said)
    unkept = {"tablespaces", "mount", "link", "free"} & set(other)
    assert not unkept or 'add "keep": false to pgha_restore, and lose them' in found[-1]
    assert not unkept or not pghalib.master.restore.faults("one", target(seconds), told(**other), NOW, keep=False)


def test_a_backup_brings_back_no_moment_of_the_second_in_which_it_ended():
    """pgBackRest counts whole seconds, and takes a backup that ended in an earlier one."""
    said = "the oldest backup reaches back to "
    for first, moment, possible in ((100, 100.9, False), (100, 101, True), (100.5, 100.9, False), (100.5, 101, True)):
        found = pghalib.master.restore.faults("one", {**target(60), "moment": moment}, told(first=first), NOW)
        assert [one[: len(said)] for one in found] == ([] if possible else [said])
    # The room is that of the backup which pgBackRest takes: the one before.
    backups = [[100, 5 * 2**30], [200, 10 * 2**30]]
    for moment, room in ((200.5, True), (201, False)):
        members = {host: {**one, "first": 100, "backups": backups} for host, one in told().items()}
        assert (pghalib.master.restore.faults("one", {**target(60), "moment": moment}, members, NOW) == []) is room


GB = 2**30
#: The second one was made when there were more data.
SIZES = [[NOW - 3 * DAY, 2 * GB], [NOW - 2 * DAY, 20 * GB], [NOW - DAY, 4 * GB]]


@pytest.mark.parametrize(
    ("seconds", "free", "keep", "said"),
    [
        # Of the newest backup before the moment.
        (2 * DAY + 60, 2.2 * GB, True, None),
        (
            2 * DAY + 60,
            2.1 * GB,
            True,
            "need 2.2 GB, and 2.1 GB are free beside the data of now, which are kept: make room",
        ),
        (2 * DAY - 60, 21 * GB, True, "need 22.0 GB, and 21.0 GB are free beside the data of now, which are kept"),
        (2 * DAY, 22 * GB, True, None),
        # The newest one.
        (None, 4.4 * GB, True, None),
        (None, 4.3 * GB, True, "need 4.4 GB"),
        # The data of now, 5 GB, make room.
        (2 * DAY - 60, 17 * GB, False, None),
        (
            2 * DAY - 60,
            16 * GB,
            False,
            "need 22.0 GB, and 21.0 GB are free when the data of now are removed: make room on",
        ),
        (None, 0, False, None),
    ],
)
def test_the_data_of_then_have_room_on_every_host(seconds, free, keep, said):
    moment = target(seconds)
    own = {
        host: {**one, "first": NOW - 3 * DAY, "backups": SIZES, "free": int(free) + 1} for host, one in told().items()
    }
    found = pghalib.master.restore.faults("one", moment, own, NOW, keep=keep)
    assert len(found) == (2 if said else 0)
    assert said is None or (found[0].startswith("db1: the data of then ") and said in found[0])
    # Of a copy those of the other cluster.
    trial = {host: {**one, "free": int(free) + 1} for host, one in told().items()}
    assert pghalib.master.restore.faults("trial", moment, trial, NOW, {"a1": own["db1"]}, keep) == found


def test_without_a_moment_the_greatest_backup_needs_room():
    lsn = {"type": "lsn", "value": "0/3", "text": "0/3", "moment": None}
    (found,) = pghalib.master.restore.faults("one", lsn, told(backups=SIZES, free=21 * GB), NOW, keep=True)[1:]
    assert found.startswith("db2: the data of then need 22.0 GB, and 21.0 GB are free")
    assert found.endswith('make room on that disk, or add "keep": false to pgha_restore, and lose them')
    found = pghalib.master.restore.faults("one", lsn, told(backups=SIZES, free=GB), NOW, keep=True)[-1]
    assert found.endswith("make room on that disk")


def test_where_no_room_is_told_or_needed_nothing_is_said_of_it():
    spaces = {host: {**one, "tablespaces": 1, "backups": SIZES, "free": 0} for host, one in told().items()}
    assert pghalib.master.restore.faults("one", target(), spaces, NOW, keep=False) == []
    assert pghalib.master.restore.faults("one", target(60), told(free=0), NOW, keep=False) == []
    # What a host has kept comes back by a rename; the others get a copy.
    kept = {"kept": {KEPT["value"]: [1, 5]}, "backups": SIZES, "free": 0}
    assert pghalib.master.restore.faults("one", KEPT, told(**kept), NOW) == []
    (found,) = pghalib.master.restore.faults("one", KEPT, {**told(**kept), "db3": {**MEMBER, "free": 0}}, NOW)
    assert found.startswith("db3: the data of then need 5.5 GB, and 0.0 GB are free")


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
    assert lines[3].endswith(f'"confirm": "one to then from timeline {ON}"')


def test_a_copy_says_what_comes_and_asks_for_its_own_words():
    seen = {"a1": {**MEMBER, "newest": NOW - 3600}}
    members = {host: {**one, "first": None, "newest": None, "fault": "no pgbackrest"} for host, one in told().items()}
    faults = lambda seen: pghalib.master.restore.faults("trial", target(60), members, NOW, seen, source="one")  # noqa: E731
    assert faults(seen) == []
    assert faults({}) == ["no member of one answers, so nobody tells what its repositories have"]
    assert faults({"a1": {**MEMBER, "first": None}}) == ["one has no backup to restore from"]
    paused = {host: {**one, "paused": True} for host, one in members.items()}
    (_pause, said) = pghalib.master.restore.faults("trial", target(60), paused, NOW, {}, source="one")
    assert said.startswith("no member of one answers")
    lines = pghalib.master.restore.asked("trial", target(60), members, NOW, (), "one", seen)
    assert lines[0].startswith("this would give trial the data of one as they were at 2026-")
    assert "all that is in trial now is replaced" in lines[0]
    assert "subscriptions are those of one, and begin to work where trial is" in lines[1]
    assert lines[-1].endswith(f'"confirm": "trial from one to then from timeline {ON}"')
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
    assert lines[-1].endswith(f'"confirm": "one to then from timeline {ON}, and lose the data of now"')
    assert pghalib.master.restore.new("one", target(), told(), keep=False)["keep"] is False


@pytest.mark.parametrize(
    ("members", "on"),
    [
        ([(False, [4, 0]), (True, [3, 1795900000])], "3 of 2026-11-28 21:06:40 UTC"),
        # Nobody leads: the last timeline of any.
        ([(False, [3, 1795900000]), (False, [4, 0]), (False, None)], "4"),
        ([(True, None), (False, None)], "unknown"),
    ],
)
def test_the_timeline_that_a_restore_leaves_is_the_leaders_else_the_last_one(members, on):
    answers = {f"db{number}": {**MEMBER, "leads": leads, "timeline": one}
               for number, (leads, one) in enumerate(members)}  # fmt: skip
    assert pghalib.master.conditions.timeline(answers) == on


@pytest.mark.parametrize("source", [None, "two"])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("timeline", ["2 of 2026-11-27 01:46:40 UTC", "unknown", None])
def test_the_words_of_a_restore_that_has_ended_begin_no_other(source, keep, timeline):
    words = pghalib.backup.target.confirmation("one", target(60), source, keep, timeline)
    seen = told() if source else None
    lines = pghalib.master.restore.asked("one", target(60), told(), NOW, (), source, seen, keep, words)
    assert lines[0] == f"this confirm is of another time: one has gone on since, and is on timeline {ON} now"
    assert "perhaps the restore has ended already" in lines[1]
    assert "would lose all that clients have written after it. salt-run pgha.status tells how one is" in lines[1]
    assert ("salt-run pgha.backup one" in lines[1]) is (source is None)
    assert f"from timeline {ON}" in lines[-1]


@pytest.mark.parametrize("confirm", [None, "yes", 3, ["one to then"], "two to then from timeline 2"])
def test_other_words_are_not_taken_for_those_of_a_restore_that_has_ended(confirm):
    lines = pghalib.master.restore.asked("one", target(60), told(), NOW, confirm=confirm)
    assert lines[0].startswith("this would bring one back")


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
        *(
            {**MEMBER, key: one}
            for key in ("first", "newest", "size", "free", "tablespaces")
            for one in (1e300, float("inf"), float("nan"), -1, True, 10**400, [])
        ),
        *(
            None,
            [],
            {},
            {**MEMBER, "restores": 7},
            {**MEMBER, "size": "5"},
            {**MEMBER, "leads": 1},
            {**MEMBER, "member": None},
            {**MEMBER, "link": 1},
            {**MEMBER, "first": "x"},
        ),
        *({**MEMBER, "backups": one} for one in ({}, [1], [[1]], [[1, 2, 3]], [[1, -1]], [[True, 1]], [[1e300, 1]])),
        *({**MEMBER, "timeline": one} for one in (3, [3], [True, 5], [3, -1], [3, 2**33], [3, 1e300], ["3", 0], {})),
        *({**MEMBER, "kept": one} for one in ([], {"x": 1}, {"x": [1]}, {"x": [1, "2"]}, {"x": [1, True]})),
    ],
)
def test_an_answer_of_another_shape_is_refused(wrong):
    with pytest.raises(CommandExecutionError, match="answered nonsense"):
        pghalib.master.conditions.checked(wrong)
    assert pghalib.master.conditions.checked({**MEMBER, "fault": "two\nlines", "more": 1}) == {
        **MEMBER,
        "fault": "two lines",
    }
    # A host with the modules of before tells less.
    before = {key: one for key, one in MEMBER.items() if key not in ("member", "link")}
    assert pghalib.master.conditions.checked(before) == {**MEMBER, "member": False, "link": False}


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


def test_a_note_from_an_old_copy_of_the_store_restores_nothing_once_more(tmp_path):
    note, file = pghalib.master.restore.new("one", target(60), told()), tmp_path / "restore-one.json"
    later = told(timeline=[4, NOW])
    (said,) = pghalib.master.restore.outlived(note, later, file)
    assert f"was confirmed on timeline {ON}, and one is on timeline 4 of" in said
    assert said.endswith(f"Remove the note on the master: rm {file}")
    # One that was interrupted before it had done anything goes on, and so does one that a host knows.
    assert pghalib.master.restore.outlived(note, told(), file) == []
    assert pghalib.master.restore.outlived(note, told(timeline=[4, NOW], restores=note["id"]), file) == []
    # What it has put aside is still there.
    assert pghalib.master.restore.outlived(note, told(timeline=[4, NOW], kept={note["id"]: [3, 5]}), file) == [said]
    # All members are stopped, and no data are aside yet. Each tells another moment, and none where a part is removed.
    stopped = {
        host: {**one, "leads": False, "timeline": [3, 0 if host == "db1" else NOW]} for host, one in told().items()
    }
    assert pghalib.master.restore.outlived(note, stopped, file) == []
    other = {host: {**one, "leads": False, "timeline": [4, NOW]} for host, one in told().items()}
    assert len(pghalib.master.restore.outlived(note, other, file)) == 1
    # Its data are aside, on all members.
    nowhere = {host: {**one, "timeline": None} for host, one in told().items()}
    assert pghalib.master.restore.outlived(note, nowhere, file) == []
    del note["timeline"]
    assert pghalib.master.restore.outlived(note, later, file) == []


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
    # An interrupted run is gone on with.
    assert pghalib.backup.recovering.aside(str(path), "20261129-120000") == kept
    assert pghalib.backup.recovering.aside(str(path), "20261130-120000") is None
    path.mkdir()
    with pytest.raises(CommandExecutionError, match="is there already"):
        pghalib.backup.recovering.aside(str(path), "20261129-120000")
    assert path.exists()


@pytest.mark.root
def test_what_a_link_of_that_name_leads_to_is_not_moved(tmp_path):
    """The link would lead nowhere then, and neither the data of then nor those of before could come to its place."""
    path, place = tmp_path / "pgdata/one", tmp_path / "disk/one"
    for one in (path.parent, place):
        one.mkdir(parents=True)
    path.symlink_to(place)
    with pytest.raises(CommandExecutionError, match=f"{path} is a link, .* cannot be kept aside"):
        pghalib.backup.recovering.aside(str(path), "20261129-120000")
    assert place.is_dir()
    assert pghalib.backup.recovering.space(str(path))["link"] is True
    assert pghalib.backup.recovering.space(str(place))["link"] is False
    # One above it leads to the directory as before.
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    kept = pghalib.backup.recovering.aside(str(tmp_path / "link/one"), "20261129-120000")
    assert kept == f"{place}.before-20261129-120000"


def test_of_a_link_the_room_counts_that_is_where_it_leads_to(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "one").symlink_to(tmp_path / "disk")
    free = {str(tmp_path / "one"): 7, str(tmp_path): 5}
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=free[path]))
    assert pghalib.backup.recovering.space(str(tmp_path / "one"))["free"] == 7
    (tmp_path / "disk").rmdir()
    assert pghalib.backup.recovering.space(str(tmp_path / "one"))["free"] == 5


def test_what_a_directory_takes_is_told_also_when_there_is_none(tmp_path):
    found = pghalib.backup.recovering.space(str(tmp_path / "none/deep/one"))
    assert (found["size"], found["mount"], found["tablespaces"]) == (0, False, 0)
    assert found["free"] > 0


def test_where_the_data_directory_is_a_file_system_its_own_room_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("os.path.ismount", lambda _path: True)
    free = {str(tmp_path): 7, str(tmp_path.parent): 5}
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=free[path]))
    assert pghalib.backup.recovering.space(str(tmp_path))["free"] == 7
    monkeypatch.setattr("os.path.ismount", lambda _path: False)
    assert pghalib.backup.recovering.space(str(tmp_path))["free"] == 5
