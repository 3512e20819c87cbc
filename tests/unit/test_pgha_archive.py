"""The archive is on from the first run, and nobody else's archive is ended by that."""

import copy
import subprocess

import pghalib.inventory
import pghalib.patroni.config
import pghalib.patroni.dynamic
import pghalib.postgres.settings
import pytest
import shipped
from salt.exceptions import CommandExecutionError
from test_pgha_dynamic import patched

OURS = {"archive_mode": "on", "archive_command": "/bin/true"}
NAMES = ("archive_mode", "archive_command", "archive_library")


@pytest.fixture
def declared():
    """A function (live, parameters, Patroni's config) -> the dynamic configuration that is declared."""
    defaults = shipped.defaults()

    def build(live=None, parameters=None, config=None, repositories=None):
        cluster = {"hosts": {"db1": "198.51.100.21"}, "postgres": {"parameters": parameters or {}}}
        cluster["backup"] = {"repositories": repositories or {}}
        cluster["patroni"] = {"config": config or {}}
        pgha = {"datacenters": {"dc": {"servers": {"dcs1": "198.51.100.11"}}}, "clusters": {"test": cluster}}
        settings = pghalib.inventory.settings(pgha, defaults, "db1")
        shared = pghalib.postgres.settings.shared(settings["postgres"])
        return pghalib.patroni.config.dynamic(settings, shared, live)

    return build


@pytest.fixture
def after(declared):
    """A function (parameters in the DCS by hand, …) -> those of the archive after a run; the next one is quiet."""

    def run(by_hand, live=None, **given):
        live = patched(copy.deepcopy(live or {}), {"postgresql": {"parameters": dict(by_hand)}})
        patched(live, pghalib.patroni.dynamic.patch(declared(live, **given), live))
        assert pghalib.patroni.dynamic.patch(declared(live, **given), live) == {}
        return {name: value for name, value in live["postgresql"]["parameters"].items() if name in NAMES}

    return run


def test_a_new_cluster_archives_to_nowhere(declared, after):
    assert OURS.items() <= declared()["postgresql"]["parameters"].items()
    assert after({}) == OURS


@pytest.mark.parametrize(
    ("by_hand", "found"),
    [
        ({"archive_command": "cp %p /mnt/%f"}, OURS | {"archive_command": "cp %p /mnt/%f"}),
        ({"archive_mode": "always", "archive_command": "x %p"}, {"archive_mode": "always", "archive_command": "x %p"}),
        ({"archive_library": "basic_archive"}, {"archive_mode": "on", "archive_library": "basic_archive"}),
        # As YAML reads what a person wrote by `patronictl edit-config`.
        ({"archive_mode": True}, {"archive_mode": True, "archive_command": "/bin/true"}),
        ({"archive_mode": "off"}, {"archive_mode": "off", "archive_command": "/bin/true"}),
    ],
)
def test_who_archives_already_goes_on(after, declared, by_hand, found):
    assert after(by_hand) == found
    # The same where the formula was there before: a person turns the archive on by hand, and removes nothing.
    begun = patched({}, declared())
    if "archive_library" not in by_hand:
        assert after(by_hand, live=begun) == OURS | found


def test_a_library_takes_the_place_of_the_formulas_command(after, declared):
    """A server with both archives nothing."""
    begun = patched({}, declared())
    assert after({"archive_library": "basic_archive"}, live=begun) == {
        "archive_mode": "on",
        "archive_library": "basic_archive",
    }


IN_DCS = {"bootstrap": {"dcs": {"postgresql": {"parameters": {"archive_command": "mine %p"}}}}}
IN_FILE = {"postgresql": {"parameters": {"archive_library": "mine"}}}
MINE, THEIRS = {"archive_command": "mine %p"}, {"archive_mode": "always", "archive_command": "theirs %p"}


@pytest.mark.parametrize(
    ("given", "alone", "beside_theirs"),
    [
        ({"parameters": MINE}, OURS | MINE, THEIRS | MINE),
        ({"config": IN_DCS}, OURS | MINE, THEIRS | MINE),
        ({"parameters": {"archive_mode": False}}, OURS | {"archive_mode": "off"}, THEIRS | {"archive_mode": "off"}),
        (
            {"parameters": {"archive_library": "mine"}},
            {"archive_mode": "on", "archive_library": "mine"},
            THEIRS | {"archive_library": "mine"},
        ),
        # In the member's own file, which the server reads as well.
        ({"config": IN_FILE}, {"archive_mode": "on"}, THEIRS),
    ],
)
def test_what_the_pillar_says_counts(after, given, alone, beside_theirs):
    assert after({}, **given) == alone
    assert after(THEIRS, **given) == beside_theirs


PGBACKREST = "/usr/bin/pgbackrest --stanza=test archive-push %p"
S3 = {"main": {"type": "s3", "endpoint": "s3.example.org", "bucket": "backups"}}


def test_with_a_repository_the_archive_waits_until_it_takes_files(declared, after):
    """The state that has seen a file there sets the command; no later run takes it out while there is a repository."""
    assert declared(repositories=S3)["postgresql"]["parameters"]["archive_command"] == "/bin/true"
    living = {"postgresql": {"parameters": dict(OURS)}, "pgha": declared()["pgha"]}
    assert after({}, living, repositories=S3) == OURS
    assert after({"archive_command": PGBACKREST}, living, repositories=S3) == OURS | {"archive_command": PGBACKREST}


def test_a_backup_lacks_no_more_than_five_minutes_unless_a_person_says_so(declared):
    def timeout(**given):
        return declared(repositories=S3, **given)["postgresql"]["parameters"].get("archive_timeout", "none")

    assert timeout() == 300
    assert timeout(parameters={"archive_timeout": "1min"}) == "1min"
    assert timeout(parameters={"archive_timeout": None}) is None
    assert "archive_timeout" not in declared()["postgresql"]["parameters"]


def test_without_a_repository_the_command_of_the_backups_is_taken_out(declared, after):
    living = {"postgresql": {"parameters": OURS | {"archive_command": PGBACKREST}}, "pgha": declared()["pgha"]}
    assert after({}, living) == OURS


@pytest.fixture
def stopped(loader_module, monkeypatch, tmp_path):
    """A function (faults of pgBackRest by file, …) -> the execution module of a stopped host, and the files sent."""
    status = tmp_path / "data/pg_wal/archive_status"
    status.mkdir(parents=True)
    first, second = "000000010000000000000007", "000000010000000000000008"
    for name in (first, second, f"{second}.partial", "00000002.history", "000000010000000000000009"):
        (status.parent / name).touch()
        (status / f"{name}.ready").touch()
    (status / "000000010000000000000009.ready").rename(status / "000000010000000000000009.done")
    # Neither WAL, nor in the directory, nor there.
    (status.parent / "x; y").touch()
    (status / "x; y.ready").touch()
    (tmp_path / "elsewhere").touch()
    (status.parent / "00000001000000000000000A").symlink_to(tmp_path / "elsewhere")
    for name in ("00000001000000000000000A", "00000001000000000000000B"):
        (status / f"{name}.ready").touch()

    def run(_run_all, user, words, **_how):
        assert user == "postgres"
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return {"retcode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def build(faults=None, repositories=("main",)):
        pushed = []

        def push(*words):
            assert words[:2] == ("--no-archive-async", "archive-push")
            name = words[2].removeprefix(f"{tmp_path}/data/pg_wal/")
            if name in (faults or {}):
                raise CommandExecutionError(faults[name])
            pushed.append(name)

        settings = {
            "postgres": {"user": "postgres", "data_dir": str(tmp_path / "data")},
            "backup": {"repositories": dict.fromkeys(repositories, {})},
        }
        salt = {"pgha.settings": lambda: settings, "pgha_backup.run": push, "cmd.run_all": None}
        module = loader_module("_modules/pgha_archive.py", salt=salt)
        monkeypatch.setattr(module.pghalib.host.users, "run", run)
        return module, pushed

    return build


WAITING = [
    "000000010000000000000007",
    "000000010000000000000008",
    "000000010000000000000008.partial",
    "00000002.history",
]


def test_wal_that_waits_gets_into_the_archive(stopped):
    module, pushed = stopped()
    module.push()
    assert pushed == WAITING
    module, pushed = stopped(repositories=())
    module.push()
    assert pushed == []


def test_wal_that_gets_into_no_archive_is_named_before_it_is_lost(stopped):
    module, pushed = stopped({WAITING[1]: "[103]: repo1: no route"})
    with pytest.raises(CommandExecutionError) as error:
        module.push()
    assert str(error.value) == (
        f"3 files of WAL on this host are in no archive (first {WAITING[1]}) and would be lost with the data: [103]:"
        " repo1: no route; repair the repository and run the same command again"
    )
    assert pushed == WAITING[:1]


@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        ("[045]: WAL file 'x' already exists in the repo1 archive with a different checksum", True),
        ("[103]: unable to find a valid repository: repo1: [ArchiveMismatchError] PostgreSQL version 15", True),
        ("[103]: unable: repo1: [ArchiveMismatchError] version repo2: [HostConnectError] no route", False),
        ("[103]: unable to find a valid repository:", False),
    ],
)
def test_wal_that_no_backup_could_use_holds_nothing_up(stopped, said, dropped):
    module, pushed = stopped({WAITING[1]: said})
    if dropped:
        module.push()
        assert pushed == [WAITING[0], *WAITING[2:]]
    else:
        with pytest.raises(CommandExecutionError, match="are in no archive"):
            module.push()


def test_without_data_no_wal_waits(stopped, tmp_path):
    module, _ = stopped()
    (tmp_path / "data").rename(tmp_path / "gone")
    assert module.waiting() == []
