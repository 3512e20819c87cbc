"""The archive is turned on when a repository has taken the cluster, and nobody waits for what will not come."""

import os

import pghalib.backup.config
import pghalib.host.clean
import pytest
from salt.exceptions import CommandExecutionError

SETTINGS = {"cluster": {"name": "one"}, "backup": {"repositories": {"main": {}}, "startup_timeout": 5}}
OURS = "/usr/bin/pgbackrest --stanza=one archive-push %p"


class Host:
    """A member; ``told`` are the answers of its repository in turn, the last one again and again."""

    def __init__(self, *told, leads=False, live=None, system=None, backups=()):
        self.told, self.leads, self.live, self.done, self.system = list(told), leads, live or {}, [], system
        self.archive = {"mode": "on", "archived": 5, "failed": None}
        self.backups = [{"repository": number} for number in backups]
        # Commands that fail the next time.
        self.failing = []

    def salt(self):
        def told():
            fault, unknown = self.told.pop(0) if len(self.told) > 1 else self.told[0]
            found = {"repositories": [{"number": 1, "fault": fault, "unknown": unknown}], "systems": [self.system]}
            return {**found, "backups": self.backups}

        def patch(change):
            self.live.update(change["postgresql"]["parameters"])
            return True

        def do(what):
            self.done.append(what)
            if what in self.failing:
                self.failing.remove(what)
                raise CommandExecutionError(f"{what} failed")

        return {
            "pgha.settings": lambda: SETTINGS,
            "pgha_backup.version": lambda: "2.60.0",
            "pgha_backup.told": told,
            "pgha_backup.run": lambda *words, **_how: do(words[0]),
            "pgha_backup.push_history": lambda: do("history"),
            "pgha_postgres.data_directory": lambda: {"identifier": "7001"},
            "pgha_archive.told": lambda: {**self.archive, "how": self.live.get("archive_command")},
            "pgha_patroni.member": lambda: {"role": "primary" if self.leads else "replica", "state": "running"},
            "pgha_patroni.dynamic_config": lambda: {"postgresql": {"parameters": dict(self.live)}},
            "pgha_patroni.patch_config": patch,
        }


GOOD, NEW, AWAY = (None, False), ("missing stanza path", True), ("[HostConnectError] refused", False)


@pytest.fixture
def state(loader_module):
    def call(host, name, test=False, **given):
        loaded = loader_module("_states/pgha_backup.py", salt=host.salt(), opts={"test": test})
        return getattr(loaded, name)("a sentence", **given)

    return call


def test_the_leader_makes_the_place_of_the_cluster(state):
    host = Host(NEW, GOOD, leads=True)
    done = state(host, "known", timeout=5)
    assert (done["result"], host.done) == (True, ["stanza-create", "history"])
    assert done["changes"] == {"main": {"old": "missing stanza path", "new": "knows the cluster"}}
    host = Host(GOOD, leads=True, backups=[1])
    assert (state(host, "known", timeout=5)["changes"], host.done) == ({}, [])


def test_histories_that_have_not_come_into_a_repository_are_sent_again_until_it_has_a_backup(state):
    host = Host(NEW, GOOD, leads=True)
    host.failing = ["history"]
    assert state(host, "known", timeout=5)["result"] is False
    host.done.clear()
    assert (state(host, "known", timeout=5, test=True)["changes"], host.done) == ({}, [])
    assert (state(host, "known", timeout=5)["changes"], host.done) == ({}, ["history"])
    replica = Host(GOOD)
    assert (state(replica, "known", timeout=5)["result"], replica.done) == (True, [])


def test_a_replica_waits_for_the_leader(state, clock):
    host = Host(NEW, NEW, NEW, NEW, GOOD)
    done = state(host, "known", timeout=5)
    assert (done["result"], host.done) == (True, [])
    assert 0 < clock.now <= 5


@pytest.mark.parametrize("leads", [True, False])
def test_a_repository_that_does_not_answer_is_not_waited_for(state, clock, leads):
    host = Host(AWAY, leads=leads)
    done = state(host, "known", timeout=60)
    assert (done["result"], done["comment"]) == (False, "the repository main: [HostConnectError] refused")
    assert (host.done, clock.now) == ([], 0)


def test_the_archive_is_turned_on_and_seen_to_work(state):
    host = Host(GOOD, leads=True, live={"archive_command": "/bin/true"})
    dry = state(host, "archiving", test=True)
    assert (dry["result"], host.live) == (None, {"archive_command": "/bin/true"})
    done = state(host, "archiving")
    assert (done["result"], host.live, host.done) == (True, {"archive_command": OURS}, ["check"])
    host.done.clear()
    host.backups = [{"repository": 1}]
    assert (state(host, "archiving")["changes"], host.done) == ({}, [])


@pytest.mark.parametrize(
    ("archive", "backups", "seen"),
    [
        ({}, [1], True),
        ({"failed": 9}, [1], True),
        # What nobody saw to work may as well have been sent to nowhere, by the command of before.
        ({}, [], False),
        ({}, [2], False),
        ({"archived": None}, [1], False),
        ({"archived": None, "failed": 3}, [1], False),
        ({"failed": 3}, [1], False),
    ],
)
@pytest.mark.parametrize("leads", [True, False])
def test_an_archive_that_nobody_has_seen_to_work_is_looked_at_by_the_next_run(state, archive, backups, seen, leads):
    host = Host(GOOD, leads=leads, live={"archive_command": OURS}, backups=backups)
    host.archive.update(archive)
    looks = leads and not seen
    dry = state(host, "archiving", test=True)
    assert (dry["result"], host.done) == (None if looks else True, [])
    done = state(host, "archiving")
    assert (done["result"], done["changes"], host.done) == (True, {}, ["check"] if looks else [])


def test_a_run_after_one_whose_file_of_wal_came_nowhere_is_not_simply_green(state):
    host = Host(GOOD, leads=True, live={"archive_command": "/bin/true"})
    host.failing = ["check", "check"]
    for _run in range(2):
        done = state(host, "archiving")
        assert (done["result"], done["comment"], host.live) == (False, "check failed", {"archive_command": OURS})
    assert state(host, "archiving")["result"] is True
    assert host.done == ["check"] * 3


def test_an_archive_that_waits_for_a_restart_is_not_looked_at(state):
    host = Host(GOOD, leads=True, live={"archive_command": OURS})
    host.archive.update(mode="off", archived=None)
    done = state(host, "archiving")
    assert (done["result"], host.done) == (True, [])
    assert "The archive begins with the restart that archive_mode waits for" in done["comment"]


def test_a_replica_leaves_that_to_the_leader(state):
    host = Host(GOOD, live={"archive_command": "/bin/true"})
    assert (state(host, "archiving")["changes"], host.live["archive_command"]) == ({}, "/bin/true")


@pytest.mark.parametrize("live", [{"archive_command": "cp %p /mnt"}, {"archive_library": "basic_archive"}])
def test_an_archive_of_somebody_else_is_not_ended(state, live):
    host = Host(GOOD, leads=True, live=dict(live))
    done = state(host, "archiving")
    assert done["result"] is False
    assert "Somebody else archives already" in done["comment"]
    assert f"-p {next(iter(live))}=null" in done["comment"]
    assert host.live == live


@pytest.mark.parametrize(("system", "good"), [(None, True), ("7001", True), ("6999", False)])
def test_the_backups_of_another_system_are_named_and_not_mixed_with_these(state, system, good):
    host = Host(GOOD, leads=True, system=system, backups=[1])
    done = state(host, "known", timeout=5)
    assert (done["result"], host.done) == (good, [])
    assert (
        good or "has the backups of another one, with the system identifier 6999; this one has 7001" in done["comment"]
    )


@pytest.mark.root
@pytest.mark.parametrize("ours", [True, False])
def test_only_what_the_formula_has_set_up_is_taken_away(loader_module, monkeypatch, tmp_path, ours):
    path, link = tmp_path / "pgbackrest.conf", tmp_path / "pgbackrest"
    path.write_text((pghalib.backup.config.HEAD if ours else "") + "[global]\nrepo1-cipher-pass=secret\n")
    link.symlink_to("/opt/pgbackrest/2.60.0/pgbackrest" if ours else "/opt/own/pgbackrest")
    monkeypatch.setattr(pghalib.backup.config, "PATH", str(path))
    monkeypatch.setattr(pghalib.host.clean, "LINKS", str(tmp_path))
    for test in (True, False):
        loaded = loader_module("_states/pgha_backup.py", opts={"test": test})
        done = loaded.absent("a sentence")
        assert sorted(done["changes"]) == (sorted([str(path), str(link)]) if ours else [])
        assert (path.exists(), os.path.lexists(link)) == ((test or not ours,) * 2)
    assert loaded.absent("a sentence")["changes"] == {}
