"""Backups in the pillar, in pgBackRest's configuration, in the store, and in the status."""

import copy
import json
from pathlib import Path

import jinja2
import pghalib.backup.config
import pghalib.backup.places
import pghalib.backup.told
import pghalib.inventory
import pghalib.pillar.validate
import pghalib.secrets.credentials
import pghalib.secrets.minted
import pghalib.secrets.served
import pghalib.secrets.store
import pytest
import shipped
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = shipped.defaults()
S3 = {"type": "s3", "endpoint": "s3.example.org:9000", "bucket": "backups"}
PGHA = {
    "consul": {"hashes": {"1.22.3": "0" * 64}},
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "backup": {"hashes": {"2.60.0": "0" * 64}},
    "datacenters": {"dc": {"servers": {f"dcs{n}": f"192.0.2.{n}" for n in (1, 2, 3)}}},
    "clusters": {"one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}}},
}


def pillar(repositories, **backup):
    pgha = copy.deepcopy(PGHA)
    pgha["backup"].update(repositories=repositories, **backup)
    return pgha


def faults(pgha):
    return pghalib.pillar.validate.faults(pgha, DEFAULTS)


def settings(pgha):
    return pghalib.inventory.settings(pgha, DEFAULTS, "db1")


def test_five_lines_are_enough():
    assert faults(pillar({"main": S3})) == []
    assert faults(pillar({"share": {"type": "posix", "path": "/srv/share/{cluster}"}})) == []


@pytest.mark.parametrize(
    ("repositories", "fault"),
    [
        ({"main": {"type": "s3"}}, "pgha:backup:repositories:main: has no endpoint, bucket, without"),
        ({"main": {"type": "s3", "endpoint": "h"}}, "has no bucket"),
        ({"main": {"bucket": "backups"}}, "pgha:backup:repositories:main: has no type; give one of s3, posix"),
        ({"main": {"type": "nfs"}}, "pgha:backup:repositories:main:type: 'nfs' is none of s3, posix"),
        ({"main": {"type": "posix", "path": "share"}}, "repositories:main:path: must be an absolute path"),
        ({"main": {**S3, "buckett": "x"}}, "main:buckett: unknown setting; did you mean bucket?"),
        ({"main": {**S3, "bucket": "Backups"}}, "must be a name of 3 to 63 lower case letters"),
        ({"main": {**S3, "endpoint": "https://h/path"}}, "endpoint: must be HOST or HOST:PORT"),
        ({"main": {**S3, "key_secret": "x"}}, "main: has one of key and key_secret, and needs both or none"),
        (
            {"main": {**S3, "key": "a", "key_secret": "b\n"}},
            "main:key_secret: must be one line of printable characters",
        ),
        ({"main": {"type": "posix", "path": "/srv", "key": "a"}}, "main:key: unknown setting"),
        ({"main": {**S3, "encrypted": "no"}}, "main:encrypted: 'no' should be true or false"),
        ({"a b": S3}, "the name of a repository is made of letters"),
        ({"main": [S3]}, "main: must be a mapping"),
    ],
)
def test_a_repository_that_cannot_be_is_named(repositories, fault):
    (found,) = faults(pillar(repositories))
    assert fault in found


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"new_replicas": True}, "pgha:backup:new_replicas: a replica that comes from a backup needs"),
        ({"version": "2.56.0", "hashes": {"2.56.0": "0" * 64}}, "does not know PostgreSQL 18; give 2.57 or later"),
        ({"hashes": {}}, "no SHA-256 of pgBackRest 2.60.0 is listed"),
        ({"times": [60]}, "pgha:backup:times: must be a list of texts (put each in quotes), not 60"),
        ({"times": ["1:00"]}, "must be a time of the day as HH:MM, in quotes"),
        ({"full": ["sunday"]}, "must be mon, tue"),
        ({"between": "full"}, "'full' is none of incr, diff"),
        ({"retention": 0}, "should be a whole number from 1"),
        ({"config": {"repo1-path": "/x"}}, "config:repo1-path: is the formula's: set backup:repositories"),
        ({"config": {"process-max": 3}}, "config:process-max: is the formula's: set backup:processes"),
        ({"config": {"buffer-size": ["x"]}}, "config:buffer-size: ['x'] should be text or a number"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(given, fault):
    (found,) = faults(pillar({"main": S3}, **given))
    assert fault in found


def test_nothing_is_asked_of_a_cluster_without_repositories():
    assert faults({**copy.deepcopy(PGHA), "backup": {"version": "2.40.0"}}) == []


@pytest.mark.parametrize("place", ["postgres:parameters", "patroni:config:bootstrap:dcs:postgresql:parameters"])
def test_another_archive_in_the_pillar_is_named_with_its_place(place):
    pgha = pillar({"main": S3})
    holder = pgha["clusters"]["one"]
    for key in place.split(":"):
        holder = holder.setdefault(key, {})
    holder["archive_command"] = "cp %p /mnt/%f"
    (found,) = faults(pgha)
    assert found.startswith(f"pgha:clusters:one:{place}:archive_command: with backup:repositories pgBackRest archives")


def test_the_configuration_has_every_repository_in_the_order_of_the_pillar():
    pgha = pillar({"main": {**S3, "ca": "/etc/ssl/ca.pem"}, "share": {"type": "posix", "path": "/srv/{cluster}/x",
                   "encrypted": False}}, config={"compress-level": 6})  # fmt: skip
    secrets = {"main": {"passphrase": "phrase", "key": "id", "key_secret": "secret"}}
    document = pghalib.backup.config.document(settings(pgha), secrets, 1800)
    options = document["global"]
    assert (options["repo1-type"], options["repo1-path"], options["repo1-s3-uri-style"]) == ("s3", "/one", "path")
    assert options["repo1-storage-ca-file"] == "/etc/ssl/ca.pem"
    assert (options["repo1-cipher-type"], options["repo1-cipher-pass"]) == ("aes-256-cbc", "phrase")
    assert (options["repo1-s3-key"], options["repo1-s3-key-secret"]) == ("id", "secret")
    assert (options["repo2-type"], options["repo2-path"]) == ("posix", "/srv/one/x")
    assert "repo2-cipher-pass" not in options
    assert options["compress-level"] == 6
    assert document["one"]["pg1-path"] == "/pgdata/one"
    assert "pg-version-force" not in document["one"]
    text = pghalib.backup.config.render(document)
    assert text.startswith(pghalib.backup.config.HEAD)
    assert "\n[one]\npg1-path=/pgdata/one\n" in text


def test_a_server_that_stops_does_not_wait_for_minutes_for_a_repository_that_is_away():
    def text(**config):
        given = settings(pillar({"main": S3}, config=config))
        return pghalib.backup.config.render(pghalib.backup.config.document(given, {}, 1800))

    assert "\n[global:archive-push]\narchive-timeout=10\n\n[one]\n" in text()
    # Six tries, and the unit of Patroni is ended by force after 120 s.
    assert 6 * pghalib.backup.config.PUSH < 120
    slow = text(**{"archive-timeout": 40})
    assert "archive-timeout=40\n" in slow
    assert "archive-push" not in slow


def test_what_yaml_reads_as_true_or_false_is_written_as_pgbackrest_reads_it():
    pgha = pillar({"main": S3}, config={"archive-check": False, "delta": True, "compress-level": 1})
    assert faults(pgha) == []
    text = pghalib.backup.config.render(pghalib.backup.config.document(settings(pgha), {}, 1800))
    assert {"archive-check=n", "delta=y", "compress-level=1"} < set(text.splitlines())


def test_an_edition_of_postgres_pro_is_told_to_pgbackrest():
    document = pghalib.backup.config.document(settings(pillar({"main": S3})), {}, 1347421960)
    assert document["one"]["pg-version-force"] == 18


@pytest.mark.parametrize(
    ("said", "there", "number"),
    [("pg_control version number:            1347421960\n", True, 1347421960), ("", False, 1347421960)],
    ids=["of its data", "without data"],
)
def test_a_host_without_data_has_the_number_of_the_installed_edition(loader_module, monkeypatch, said, there, number):
    """With it pgBackRest brings a backup back where everything was lost."""
    salt = {
        "pgha.settings": lambda: settings(pillar({"main": S3})),
        "file.file_exists": lambda _path: there,
        "pgha_parameters.control_version": lambda: number,
    }
    module = loader_module("_modules/pgha_backup.py", salt=salt)
    monkeypatch.setattr(module, "_as_user", lambda *_: {"stdout": said, "stderr": "", "retcode": 0 if said else 2})
    assert module.control_version() == number


def test_data_that_do_not_tell_their_number_are_an_error_and_not_an_edition_of_another(loader_module, monkeypatch):
    salt = {"pgha.settings": lambda: settings(pillar({"main": S3})), "file.file_exists": lambda _path: True}
    module = loader_module("_modules/pgha_backup.py", salt=salt)
    monkeypatch.setattr(module, "_as_user", lambda *_: {"stdout": "", "stderr": "no right to read", "retcode": 2})
    with pytest.raises(CommandExecutionError, match="does not tell: no right to read"):
        module.control_version()


def test_a_passphrase_is_made_once_and_served_to_the_members_alone(tmp_path):
    pgha = pillar({"main": S3, "open": {**S3, "encrypted": False}})
    made = pghalib.secrets.minted.mint(tmp_path / "store", pgha, DEFAULTS)
    assert "one/backup/main/passphrase" in made
    assert "one/backup/open/passphrase" not in made
    own = pghalib.secrets.minted.of_minion(tmp_path / "store", "db1")["backup"]
    assert len(own["main"]["passphrase"]) == 32
    assert "backup" not in pghalib.secrets.minted.of_minion(tmp_path / "store", "dcs1")
    assert pghalib.secrets.minted.mint(tmp_path / "store", pgha, DEFAULTS) == []


def test_a_lost_passphrase_is_never_made_anew(tmp_path):
    pgha = pillar({"main": S3})
    pghalib.secrets.minted.mint(tmp_path / "store", pgha, DEFAULTS)
    file = pghalib.secrets.store.file(tmp_path / "store", "cluster", "one")
    stored = pghalib.secrets.store.read(file, {})
    del stored["backup"]
    pghalib.secrets.store.write(file, stored)
    with pytest.raises(CommandExecutionError, match="one/backup/main/passphrase"):
        pghalib.secrets.minted.mint(tmp_path / "store", pgha, DEFAULTS)


def test_a_key_is_brought_by_a_person_and_can_be_changed(tmp_path):
    pgha, store = pillar({"main": S3, "share": {"type": "posix", "path": "/srv/share"}}), tmp_path / "store"
    (lacking,) = pghalib.secrets.credentials.lacking(store, pgha, DEFAULTS, pgha["clusters"])
    assert "salt-run pgha.credential one main" in lacking
    pghalib.secrets.credentials.store(store, "one", "main", "id", "secret")
    assert pghalib.secrets.credentials.lacking(store, pgha, DEFAULTS, pgha["clusters"]) == []
    pghalib.secrets.minted.mint(store, pgha, DEFAULTS)
    first = pghalib.secrets.minted.of_minion(store, "db1")
    pghalib.secrets.credentials.store(store, "one", "main", "id", "other")
    second = pghalib.secrets.minted.of_minion(store, "db1")
    assert second["backup"]["main"] == {**first["backup"]["main"], "key_secret": "other"}
    # The host's note of its secrets does not take a renewed key for another store.
    prints = [pghalib.secrets.served.fingerprints(settings(pgha), one) for one in (first, second)]
    assert prints[0] == prints[1]
    assert "one/backup/main/passphrase" in prints[0]


def test_a_key_in_the_pillar_gets_into_the_store_and_into_no_settings(tmp_path):
    pgha, store = pillar({"main": {**S3, "key": "id", "key_secret": "{cluster}"}}), tmp_path / "store"
    assert faults(pgha) == pghalib.secrets.credentials.lacking(store, pgha, DEFAULTS, pgha["clusters"]) == []
    assert "{cluster}" not in json.dumps(settings(pgha))
    assert "one/backup/main/key" in pghalib.secrets.minted.missing(store, pgha, DEFAULTS)
    assert "one/backup/main/key" in pghalib.secrets.minted.mint(store, pgha, DEFAULTS)
    assert pghalib.secrets.minted.of_minion(store, "db1")["backup"]["main"]["key_secret"] == "{cluster}"
    assert pghalib.secrets.minted.mint(store, pgha, DEFAULTS) == []
    pgha["backup"]["repositories"]["main"]["key_secret"] = "other"
    assert pghalib.secrets.minted.missing(store, pgha, DEFAULTS) == ["one/backup/main/key"]
    assert pghalib.secrets.minted.mint(store, pgha, DEFAULTS) == ["one/backup/main/key"]
    assert pghalib.secrets.minted.of_minion(store, "db1")["backup"]["main"]["key_secret"] == "other"
    # A person who brings another one learns that it would not last.
    repository = pgha["backup"]["repositories"]["main"]
    with pytest.raises(CommandExecutionError, match="The pillar has the key of main"):
        pghalib.secrets.credentials.bring(store, "one", "main", repository, None)
    # Out of the pillar again, it stays in the store.
    pgha = pillar({"main": S3})
    assert pghalib.secrets.credentials.lacking(store, pgha, DEFAULTS, pgha["clusters"]) == []
    assert pghalib.secrets.minted.mint(store, pgha, DEFAULTS) == []


def test_what_is_wrong_with_a_key_does_not_show_it():
    (fault,) = faults(pillar({"main": {**S3, "key": "id", "key_secret": " canary"}}))
    assert "canary" not in fault


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("id\nsecret\n", 0o644, "may be read by others: chmod 600"),
        ("id secret\n", 0o600, "must have two lines"),
        ("id\nsecret\nmore\n", 0o600, "must have two lines"),
        ("", 0o600, "must have two lines"),
    ],
)
def test_a_file_with_a_key_is_looked_at_before_it_is_read(tmp_path, text, mode, said):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(CommandExecutionError, match=said):
        pghalib.secrets.credentials.read(str(path))


def test_a_file_with_a_key_is_read_and_a_missing_one_is_named(tmp_path):
    path = tmp_path / "key"
    path.write_text("id\nsecret\n\n")
    path.chmod(0o600)
    assert pghalib.secrets.credentials.read(str(path)) == ("id", "secret")
    with pytest.raises(CommandExecutionError, match="none: No such file"):
        pghalib.secrets.credentials.read(str(tmp_path / "none"))


@pytest.mark.parametrize("answers", [[], ["an id"]])
def test_a_person_who_ends_the_input_stores_nothing_and_sees_a_sentence(monkeypatch, answers):
    def answered(_question):
        if not answers:
            raise EOFError
        return answers.pop()

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answered)
    monkeypatch.setattr("getpass.getpass", answered)
    with pytest.raises(CommandExecutionError, match="The input has ended before .*: nothing is stored"):
        pghalib.secrets.credentials.asked("main")


@pytest.mark.parametrize("wrong", [("", "secret"), ("id", "two\nlines"), ("id", " blank")])
def test_a_key_that_cannot_be_is_not_stored(tmp_path, wrong):
    with pytest.raises(CommandExecutionError, match="one line of printable characters"):
        pghalib.secrets.credentials.store(tmp_path / "store", "one", "main", *wrong)
    assert not (tmp_path / "store").exists()


def test_a_directory_beside_the_data_is_no_place_for_backups(tmp_path):
    pgha = pillar({"share": {"type": "posix", "path": str(tmp_path)}})
    pgha["postgres"] = {"data_dir": f"{tmp_path}/pgdata/{{cluster}}"}
    (found,) = pghalib.backup.places.faults(settings(pgha))
    assert "on the same file system" in found
    pgha["backup"]["repositories"]["share"]["path"] = f"{tmp_path}/none/{{cluster}}"
    (found,) = pghalib.backup.places.faults(settings(pgha))
    assert found.startswith(f"{tmp_path}/none/one, the repository share, ")
    assert "cannot be seen (No such file or directory): mount the share on every host of one" in found


BACKUP = {"label": "20261101-010000F", "type": "full", "start": 100, "stop": 200, "size": 3 * 2**30, "stored": 2**20,
          "repository": 1}  # fmt: skip
REPOSITORY = {"number": 1, "fault": None, "late": None}


def told(backups=(BACKUP,), running=None, **repository):
    return {"repositories": [{**REPOSITORY, **repository}], "backups": [*backups], "running": running or {}}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, None),
        ({"backups": ()}, "the repository main has no backup yet"),
        ({"backups": (), "running": {"held": True}}, None),
        ({"fault": "[HostConnectError]\nrefused"}, "main does not answer as it should: [HostConnectError] refused"),
        ({"ahead": "20270101-010000F", "late": 86400}, "main has a backup of a time to come (20270101-010000F), by a"),
        ({"late": 86400}, "the newest backup in the repository main is of 1970-01-01"),
    ],
)
def test_what_is_wrong_with_the_backups_is_said_by_repository(given, fault):
    found = pghalib.backup.told.faults(told(**given), settings(pillar({"main": S3})))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


@pytest.mark.parametrize(("leads", "said"), [(True, True), (False, False), (None, True)])
def test_only_who_would_see_a_first_backup_run_says_that_there_is_none(loader_module, monkeypatch, leads, said):
    """The lock of a backup is on the host that makes it, for hours where the database is large."""
    salt = {
        "pgha.settings": lambda: settings(pillar({"main": S3})),
        "service.show": lambda _unit: {"ActiveState": "active"},
        "pgha_vip.leads_by_patroni": lambda: leads,
    }
    module = loader_module("_modules/pgha_backup.py", salt=salt)
    monkeypatch.setattr(module, "told", lambda: told(backups=()))
    assert ["has no backup yet" in fault for fault in module.faults()] == [True] * said
    # What else is wrong, every host says.
    monkeypatch.setattr(module, "told", lambda: told(fault="refused"))
    assert len(module.faults()) == 1


def test_a_person_sees_sizes_and_from_when_on_a_restore_is_possible():
    running = {"held": True, "size": 200, "size-cplt": 50}
    found = pghalib.backup.told.overview(told(running=running), settings(pillar({"main": S3})))
    assert found["rows"][0][2:] == [100, 200, "3 GB", "1 MB", "main"]
    assert (found["since"], found["lines"]) == (201, ["a backup runs on this host: 25 %"])
    assert pghalib.backup.told.overview(told(backups=()), settings(pillar({"main": S3})))["since"] is None


def test_what_pgbackrest_says_of_an_error_is_one_line():
    said = "2026 P00  INFO: x\n2026 P00  ERROR: [055]: unable to load info\n  HINT: y\n2026 P00   INFO: end"
    assert pghalib.backup.told.error(said) == "[055]: unable to load info"
    said = "2026 P00  ERROR: [103]: no repository:\n      repo1: [HostConnectError] refused\n      HINT: z"
    assert pghalib.backup.told.error(said) == "[103]: no repository: repo1: [HostConnectError] refused"
    assert pghalib.backup.told.error("sh: pgbackrest: not found") == "sh: pgbackrest: not found"


def test_a_backup_by_hand_has_the_limits_of_the_timers(loader_module):
    """Both work on the leader, where the database comes first."""
    ran = []
    salt = {
        "pgha.settings": lambda: {"postgres": {"user": "postgres", "group": "staff"}},
        "service.show": lambda _unit: {"ActiveState": "inactive"},
        "cmd.run_all": lambda words, **_how: ran.append(words) or {"retcode": 0, "stdout": "", "stderr": ""},
    }
    module = loader_module("_modules/pgha_backup.py", salt=salt)
    module.begin("full")
    limits = {f"{key}={value}" for key, value in module.limits().items()}
    assert {"Nice=10", "IOSchedulingClass=best-effort", "IOSchedulingPriority=7", "NoNewPrivileges=yes"} == limits
    given = {word.removeprefix("--property=") for word in ran[-1] if word.startswith("--property=")}
    assert given == {"Type=oneshot", "RemainAfterExit=yes", "User=postgres", "Group=staff", *limits}
    unit = jinja2.Template((ROOT / "salt/pgha/backup/files/pgha-backup.service.jinja").read_text())
    assert limits <= set(unit.render(limits=module.limits()).splitlines())
