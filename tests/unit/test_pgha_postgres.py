"""PostgreSQL's settings from pgpro_tune and from the host; what the server refuses; the states of the host under it."""

import grp
import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pghalib.postgres.data_directory
import pytest
from salt.exceptions import CommandExecutionError

BLOCK = """\
max_connections = 100   # what initdb wrote
#------------------------------------------------------------------------------
# The following settings were added by pgpro_tune.
# pgpro_tune was run with the following options:
# -D /var/lib/pgpro/1c-18/data --config-file=/var/lib/pgpro/1c-18/data/postgresql.conf
#------------------------------------------------------------------------------
# Memory configuration
shared_buffers = 489MB
max_connections = 61
autovacuum_analyze_scale_factor = '0.005'
wal_compression = lz4
log_connections = on
effective_io_concurrency = 200 #  for SSD
#effective_io_concurrency = 500 # for NVMe
random_page_cost = '1.1' # for NVMe SSD
archive_command = 'test ! -f ''/a b#c'' && cp %p' # quoted
Work_Mem 32MB
#------------------------------------------------------------------------------
# End of settings added by pgpro_tune \n#------------------------------------------------------------------------------
work_mem = 1MB
"""
TUNED = {
    "shared_buffers": "489MB",
    "max_connections": 61,
    "autovacuum_analyze_scale_factor": "0.005",
    "wal_compression": "lz4",
    "log_connections": "on",
    "effective_io_concurrency": 200,
    "random_page_cost": "1.1",
    "archive_command": "test ! -f '/a b#c' && cp %p",
    "work_mem": "32MB",
}
#: What pgpro_tune said for 2 cores, 2 GB (1958 MB of them are there) and 16 GB of disk.
DOCUMENT = {
    "shared_buffers": "489MB",
    "effective_cache_size": "979MB",
    "work_mem": "32MB",
    "temp_buffers": "16MB",
    "maintenance_work_mem": "122MB",
    "autovacuum_work_mem": "61MB",
    "autovacuum_max_workers": 4,
    "vacuum_cost_limit": 400,
    "max_wal_size": "4GB",
    "min_wal_size": "2048MB",
}
SETTINGS = {
    "user": "postgres",
    "group": "postgres",
    "port": 5432,
    "version": 18,
    "bin_dir": "/nowhere/bin",
    "data_dir": "/",
    "lc_messages": "en_US.UTF-8",
    "tune": True,
    "parameters": {},
}


@pytest.fixture
def utils(loader_module):
    return loader_module("_utils/pghalib/postgres/settings.py")


@pytest.fixture
def server(loader_module, tmp_path, monkeypatch):
    """A function (refuses, **settings) -> the module, over a server that refuses these parameters."""

    def build(faults=(), refuses=(), anonymous=False, **settings):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin/postgres").touch()
        calls = []

        def run_all(command, **_kwargs):
            given = dict(word.split("=", 1) for word in command if "=" in word)
            calls.append(given)
            for name, value in given.items():
                if name in refuses:
                    about = "something" if anonymous and len(given) > 1 else f'parameter "{name}": "{value}"'
                    text = f"2026-01-01 GMT [1] FATAL:  invalid value for {about}\nHINT: no"
                    return {"retcode": 1, "stdout": "", "stderr": text}
            return {"retcode": 0, "stdout": "/", "stderr": ""}

        merged = {**SETTINGS, "bin_dir": str(tmp_path / "bin"), **settings}
        module = loader_module(
            "_modules/pgha_postgres.py",
            salt={
                "pgha.settings": lambda: {"postgres": merged, "patroni": {}},
                "pgha_parameters.faults": lambda _given: list(faults),
                "cmd.run_all": run_all,
            },
            grains={"mem_total": 1958, "num_cpus": 2},
        )
        monkeypatch.setattr("shutil.chown", lambda *_args: None)
        return module, calls

    return build


def test_block_of_pgpro_tune_is_read(utils):
    assert utils.parse_tuned(BLOCK) == TUNED


@pytest.mark.parametrize("text", ["", "work_mem = 1MB\n", "# pgpro_tune is not what this is about\n"])
def test_no_block_is_none(utils, text):
    assert utils.parse_tuned(text) is None


def test_last_of_two_blocks_counts(utils):
    assert utils.parse_tuned(BLOCK + BLOCK.replace("489MB", "1GB"))["shared_buffers"] == "1GB"


def test_calculation_gives_what_pgpro_tune_gave(utils):
    """The memory is rounded, by up to a sixteenth in a host of 2 GB."""

    def megabytes(value):
        return int(value[:-2]) if str(value).endswith("MB") else None

    tuned = utils.calculate(1958, 2, 16384)
    for name, value in DOCUMENT.items():
        if name in ("work_mem", "temp_buffers", "min_wal_size") or not megabytes(value):
            assert tuned[name] == value, name
        else:
            assert megabytes(value) * 15 / 16 <= megabytes(tuned[name]) <= megabytes(value), name


# What Linux says of memory of 1 to 512 GB, and of sizes that are no power of two.
@pytest.mark.parametrize(
    ("memory", "counts"),
    [
        (981, 960),
        (1958, 1920),
        (2951, 2816),
        (3915, 3840),
        (5950, 5632),
        (7941, 7680),
        (11960, 11264),
        (15990, 15360),
        (32087, 30720),
        (48200, 45056),
        (64299, 61440),
        (128800, 122880),
        (515900, 491520),
        # A container has its whole size, which does not change by itself.
        (8192, 8192),
    ],
)
def test_another_kernel_changes_no_memory_setting(utils, memory, counts):
    assert utils.steady(memory) == counts
    if memory % 1024:
        for other in (memory - memory // 100, memory - 3, memory + 3, memory + memory // 100):
            assert utils.calculate(other, 2, 16384) == utils.calculate(memory, 2, 16384), other
    assert utils.calculate(memory, 2, 16384)["shared_buffers"] == f"{counts // 4}MB"


@pytest.mark.parametrize("memory", [1, 2, 15, 16, 17, 511, 513, 1025, 2049, 33000])
def test_memory_counts_with_no_more_than_there_is_and_with_eight_ninths_at_least(utils, memory):
    assert memory * 8 / 9 - 1 <= utils.steady(memory) <= memory


@pytest.mark.parametrize("memory", [512, 1958, 8192, 65536, 524288])
@pytest.mark.parametrize("cores", [1, 4, 64])
@pytest.mark.parametrize("disk", [2048, 16384, 4194304])
def test_calculation_stays_in_bounds(utils, memory, cores, disk):
    tuned = utils.calculate(memory, cores, disk)

    def megabytes(name):
        value = tuned[name]
        return int(value[:-2]) * (1024 if value.endswith("GB") else 1)

    assert 4 <= megabytes("work_mem") <= memory // 16
    assert 4 * megabytes("shared_buffers") <= memory
    assert megabytes("autovacuum_work_mem") <= 1024
    assert 4 <= tuned["autovacuum_max_workers"] <= 16
    assert megabytes("min_wal_size") * 2 == megabytes("max_wal_size") <= max(disk, 4096) // 4
    assert not set(tuned) & utils.CLUSTER_WIDE


def test_slots_may_not_fill_the_disk(utils):
    assert utils.slot_limit(16384) == "4096MB"
    assert utils.slot_limit(2500) == "1024MB"
    # More than the disk would be no limit.
    assert utils.slot_limit(700) == "350MB"


@pytest.mark.parametrize(
    ("given", "stored"),
    [(True, "on"), (False, "off"), ("100", 100), ("-1", -1), (None, None)]
    # A text is what somebody wrote.
    + [
        (text, text)
        for text in ("0.005", "32MB", "007", "-0", "%t [%p] ", " 100", "  ", "", "it's \\ %% \u00e4 \u0663")
    ],
)
def test_values_have_one_form(utils, given, stored):
    assert utils.canonical(given) == stored


def test_shared_parameters_are_defaults_then_1c_then_the_users(utils):
    shared = utils.shared(
        {**SETTINGS, "for_1c": True, "parameters": {"max_connections": "500", "port": 1, "jit": False}}
    )
    assert shared["standard_conforming_strings"] == "off"
    assert (shared["max_locks_per_transaction"], shared["max_connections"], shared["jit"]) == (256, 500, "off")
    assert "port" not in shared
    assert "standard_conforming_strings" not in utils.shared(SETTINGS)
    assert utils.shared({**SETTINGS, "parameters": {"commit_delay": None}})["commit_delay"] is None


def test_host_has_only_what_is_its_own(utils):
    host = utils.host_only(TUNED, {**SETTINGS, "parameters": {"work_mem": "64MB"}})
    assert "max_connections" not in host
    assert "work_mem" not in host
    assert "log_connections" not in host
    assert host["shared_buffers"] == "489MB"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ru_RU.UTF-8", "ru_RU.utf8"),
        ("ru_RU.utf8", "ru_RU.utf8"),
        ("C", "C"),
        ("de_DE@euro", "de_DE@euro"),
        ("sr_RS.UTF-8@latin", "sr_RS.utf8@latin"),
    ],
)
def test_locales_are_compared_in_one_spelling(utils, name, key):
    assert utils.locale_key(name) == key


def test_server_is_asked_once_when_it_takes_everything(server):
    module, calls = server()
    assert module.unknown_parameters({"work_mem": "1MB", "jit": "off"}) == {}
    assert calls == [{"work_mem": "1MB", "jit": "off"}]


def test_server_is_asked_the_same_once_in_a_run_until_a_package_comes(server, tmp_path, monkeypatch):
    packages = tmp_path / "status"
    packages.touch()
    monkeypatch.setattr("pghalib.postgres.answered.PACKAGES", str(packages))
    module, calls = server(refuses=("jit",))
    first, again = (module.unknown_parameters({"jit": "maybe", "work_mem": "1MB"}) for _ in range(2))
    assert set(first) == set(again) == {"jit"}
    # With both, and without the one that is refused.
    assert len(calls) == 2
    # What a caller does with an answer is its own affair.
    first.clear()
    assert set(module.unknown_parameters({"work_mem": "1MB", "jit": "maybe"})) == {"jit"}
    assert len(calls) == 2
    module.unknown_parameters({"work_mem": "2MB"})
    assert len(calls) == 3
    os.utime(packages, (1, 1))
    module.unknown_parameters({"work_mem": "2MB"})
    assert len(calls) == 4


@pytest.mark.parametrize("anonymous", [False, True])
def test_every_refused_parameter_is_named(server, anonymous):
    module, _ = server(refuses=("wal_compression", "jit"), anonymous=anonymous)
    refused = module.unknown_parameters({"wal_compression": "lz4", "work_mem": "1MB", "jit": "maybe"})
    assert set(refused) == {"wal_compression", "jit"}
    assert "lz4" in refused["wal_compression"]


def test_missing_server_says_what_to_apply(server):
    module, _ = server(bin_dir="/nowhere/bin")
    with pytest.raises(CommandExecutionError, match=r"/nowhere/bin/postgres.*pgha\.postgres\.install"):
        module.unknown_parameters({"work_mem": "1MB"})


def test_tuned_setting_that_the_build_lacks_is_left_out(server, tmp_path):
    (tmp_path / "postgresql.conf").write_text(BLOCK)
    module, _ = server(refuses=("wal_compression",), package_data_dir=str(tmp_path))
    found = module.parameters()
    assert found["source"] == "pgpro_tune"
    assert set(found["left_out"]) == {"wal_compression"}
    assert "wal_compression" not in found["host"]
    assert "max_slot_wal_keep_size" in found["host"]


def test_setting_of_the_users_that_the_build_lacks_is_an_error(server):
    module, _ = server(refuses=("wal_compression",), parameters={"wal_compression": "lz4"})
    with pytest.raises(CommandExecutionError, match=r"wal_compression = 'lz4'.*pgha:postgres:parameters"):
        module.parameters()


def test_settings_that_the_server_would_not_start_with_are_an_error(server):
    module, _ = server(faults=["could not access file", "it would take 9 MB"])
    with pytest.raises(
        CommandExecutionError, match=r"could not access file; it would take 9 MB\. Correct it in the pil"
    ):
        module.parameters()


@pytest.mark.parametrize("test", [False, True])
def test_parameters_are_looked_at_before_any_member_changes_them(loader_module, tmp_path, test):
    def parameters():
        raise CommandExecutionError("would not start")

    salt = {"pgha.settings": lambda: {"postgres": {"bin_dir": str(tmp_path)}}, "pgha_postgres.parameters": parameters}
    accepted = loader_module("_states/pgha_postgres.py", salt=salt, opts={"test": test}).parameters_accepted
    assert accepted("x")["result"] is (None if test else False)
    (tmp_path / "postgres").touch()
    ret = accepted("x")
    assert (ret["result"], ret["changes"], ret["comment"]) == (False, {}, "would not start")
    salt["pgha_postgres.parameters"] = dict
    assert accepted("x")["result"] is True


def test_parameter_taken_away_is_not_asked_about(server):
    module, calls = server(parameters={"commit_delay": None})
    assert module.parameters()["shared"]["commit_delay"] is None
    assert all("commit_delay" not in call for call in calls)


@pytest.mark.parametrize(("tune", "source"), [(True, "calculated"), (False, "none")])
def test_without_a_block_it_is_calculated_unless_unwanted(server, tune, source):
    module, _ = server(tune=tune, package_data_dir=None)
    found = module.parameters()
    assert found["source"] == source
    assert bool(found["host"]) is tune


def test_data_directory_of_nothing_and_of_something(server, tmp_path):
    module, _ = server(data_dir=str(tmp_path / "absent"))
    assert module.data_directory() == {
        "path": str(tmp_path / "absent"),
        "exists": False,
        "empty": True,
        "version": None,
        "identifier": None,
        "patroni": False,
        "running": False,
    }
    mounted = tmp_path / "mounted"
    (mounted / "lost+found").mkdir(parents=True)
    module, _ = server(data_dir=str(mounted))
    assert module.data_directory()["empty"] is True
    (mounted / "PG_VERSION").write_text("18\n")
    (mounted / "patroni.dynamic.json").touch()
    found = module.data_directory()
    assert (found["empty"], found["version"], found["patroni"]) == (False, "18", True)


@pytest.fixture
def states(loader_module):
    def build(test=False, **salt):
        names = {"pgha.settings": lambda: {"postgres": SETTINGS}}
        names.update({name.replace("__", "."): value for name, value in salt.items()})
        return loader_module("_states/pgha_postgres.py", salt=names, opts={"test": test})

    return build


def test_locales_that_are_there_change_nothing(states):
    ret = states(pgha_locales__missing=lambda _locales: []).locales_present("x", ["ru_RU.UTF-8"])
    assert (ret["result"], ret["changes"]) == (True, {})
    assert ret["comment"] == "The host has the locales ru_RU.UTF-8."


@pytest.mark.parametrize("test", [False, True])
def test_missing_locales_are_made_together(states, test):
    made = []
    module = states(
        test,
        pgha_locales__missing=lambda _locales: ["ru_RU.UTF-8", "de_DE.UTF-8"],
        pgha_locales__make=made.append,
    )
    ret = module.locales_present("x", ["en_US.UTF-8", "ru_RU.UTF-8", "de_DE.UTF-8"])
    assert ret["result"] is (None if test else True)
    assert set(ret["changes"]) == {"ru_RU.UTF-8", "de_DE.UTF-8"}
    assert made == ([] if test else [["ru_RU.UTF-8", "de_DE.UTF-8"]])


def test_locale_that_cannot_be_made_fails(states):
    def make(_locales):
        raise CommandExecutionError("xx_XX is not spelt so")

    ret = states(pgha_locales__missing=lambda locales: locales, pgha_locales__make=make).locales_present("x", ["xx_XX"])
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "xx_XX" in ret["comment"]


@pytest.mark.parametrize("test", [False, True])
def test_port_of_a_foreign_server_names_it(states, test):
    foreign = {"address": "0.0.0.0", "pid": 42, "command": "/usr/bin/mysqld --x", "ours": False}
    ret = states(test, pgha_postgres__listeners=lambda: [foreign]).port_free("x")
    assert ret["result"] is (None if test else False)
    assert ret["changes"] == {}
    assert "pid 42 (/usr/bin/mysqld --x)" in ret["comment"]


def test_own_server_may_have_the_port(states):
    ours = {"address": "0.0.0.0", "pid": 42, "command": "postgres", "ours": True}
    ret = states(pgha_postgres__listeners=lambda: [ours]).port_free("x")
    assert (ret["result"], ret["comment"]) == (True, f"Nobody else listens on port {SETTINGS['port']}.")


@pytest.mark.parametrize(
    ("files", "ours"),
    [
        ({}, True),
        ({"pgha-postgres.list": "deb [signed-by=/k] https://m/a x main"}, True),
        ({"postgrespro.list": "deb https://m/a/ x main"}, False),
        ({"postgrespro.list": "deb http://m/a x main"}, False),
        ({"postgrespro.list.save": "deb https://m/a/ x main"}, True),
    ],
)
def test_repository_that_somebody_named_before_is_left_to_them(server, tmp_path, monkeypatch, files, ours):
    module, _ = server(repo={"name": "deb https://m/a x main", "key_url": "https://m/key"})
    monkeypatch.setattr(module, "_SOURCES", tmp_path / "sources.list")
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / "sources.list.d" / name).write_text(text)
    found = module.repository()
    assert (found is not None) is ours
    assert not ours or found["key_file"] == "/etc/apt/keyrings/pgha-postgres.asc"


def test_distribution_that_has_it_needs_no_repository(server):
    module, _ = server(repo=None)
    assert module.repository() is None


@pytest.fixture
def data(states):
    """
    A function (name, test=False) -> what came of a data directory of nobody's below its ``place``, which he can reach,
    as he cannot pytest's own directories.
    """

    def make(path):
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        return subprocess.run([*user, "install", "-d", "-m", "0700", path], capture_output=True).returncode == 0

    owner = {"user": pwd.getpwuid(65534).pw_name, "group": grp.getgrgid(65534).gr_name}

    def apply(name, test=False):
        module = states(
            test, pgha_postgres__make_directory=make, pgha__settings=lambda: {"postgres": {**SETTINGS, **owner}}
        )
        return module.data_directory_made(str(apply.place / name))

    with tempfile.TemporaryDirectory() as place:
        apply.place = Path(place)
        apply.place.chmod(0o755)
        yield apply


@pytest.mark.root
@pytest.mark.parametrize("above", [0, 65534])
def test_data_directory_is_made_by_root_or_by_the_user_whose_the_one_above_is(data, above):
    place = data.place / "pgdata"
    dry = data("pgdata/test", test=True)
    assert (dry["result"], dry["comment"]) == (None, f"{place}/test would be made, or given to the server's user.")
    place.mkdir()
    os.chown(place, above, above)
    ret = data("pgdata/test")
    assert (ret["result"], list(ret["changes"])) == (True, ["made"]), ret
    assert ret["comment"] == f"{place}/test was made."
    info = (place / "test").stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (65534, 65534, 0o700)
    for test in (True, False):
        assert (data("pgdata/test", test=test)["changes"], data("pgdata/test")["result"]) == ({}, True)
    (place / "test").chmod(0o755)
    assert data("pgdata/test", test=True)["changes"] == {"mode": {"old": "0755", "new": "0700"}}
    ret = data("pgdata/test")
    assert (ret["result"], (place / "test").stat().st_mode & 0o777) == (True, 0o700)
    os.chown(place / "test", 0, 0)
    ret = data("pgdata/test")
    assert (ret["result"], bool(ret["changes"])) == (not above, not above)
    assert above == 0 or f"chown root {place}" in ret["comment"]


@pytest.mark.root
def test_data_of_a_user_with_another_number_are_given_to_nobody(data):
    """Not the directory alone: its new owner could not read what is in it, and nobody would know why."""
    place = data.place / "pgdata"
    place.mkdir(mode=0o755)
    (place / "test").mkdir(mode=0o700)
    (place / "test/PG_VERSION").write_text("18\n")
    for path in (place / "test", place / "test/PG_VERSION"):
        os.chown(path, 54321, 54321)
    user = pwd.getpwuid(65534).pw_name
    for test in (True, False):
        ret = data("pgdata/test", test=test)
        assert (ret["result"], ret["changes"], (place / "test").stat().st_uid) == (False, {}, 54321)
        assert f"the user with the number 54321, and {user} has 65534 here" in ret["comment"]
        assert f"chown -R {user}: {place}/test, and the directories to which links in it lead" in ret["comment"]
    for path in (place / "test", place / "test/PG_VERSION"):
        os.chown(path, 65534, 65534)
    assert data("pgdata/test")["result"] is True


def test_data_under_a_server_or_of_a_user_who_is_still_to_come_are_nobody_elses(tmp_path, monkeypatch):
    strangers = pghalib.postgres.data_directory.strangers
    own, other = pwd.getpwuid(os.geteuid()).pw_name, pwd.getpwuid(65534).pw_name
    assert strangers(tmp_path, other) is None
    (tmp_path / "PG_VERSION").write_text("18\n")
    assert strangers(tmp_path, other)
    assert strangers(tmp_path, own) is strangers(tmp_path, "no-such-user") is None
    monkeypatch.setattr("pghalib.postgres.data_directory.postmaster", lambda _root: 7)
    assert strangers(tmp_path, other) is None


@pytest.mark.root
def test_data_directory_that_leads_elsewhere_is_not_given_away(data):
    place, target = data.place / "pgdata", data.place / "etc"
    place.mkdir()
    target.mkdir()
    (place / "test").symlink_to(target)
    for path in (place, place / "test"):
        os.lchown(path, 65534, 65534)
    assert data("pgdata/test")["result"] is False
    # Also when the directory above has become root's since.
    os.chown(place, 0, 0)
    assert data("pgdata/test")["result"] is False
    assert target.stat().st_uid == 0


@pytest.mark.root
def test_data_directory_behind_a_link_of_roots_is_the_one_that_it_leads_to(data):
    (data.place / "disk").mkdir()
    (data.place / "disk/data").mkdir()
    (data.place / "pgdata").symlink_to("disk")
    (data.place / "pgdata/test").symlink_to(data.place / "disk/data")
    assert list(data("pgdata/test", test=True)["changes"]) == ["owner", "mode"]
    assert data("pgdata/test")["result"] is True
    info = (data.place / "disk/data").stat()
    assert (info.st_uid, info.st_mode & 0o777, (data.place / "pgdata/test").is_symlink()) == (65534, 0o700, True)
    assert data("pgdata/test")["changes"] == {}


def test_directory_is_made_as_the_user(loader_module):
    seen = []

    def run_all(command, **_kwargs):
        seen.append(command)
        return {"retcode": 0, "stdout": "", "stderr": ""}

    salt = {"pgha.settings": lambda: {"postgres": SETTINGS}, "cmd.run_all": run_all}
    assert loader_module("_modules/pgha_postgres.py", salt=salt).make_directory("/pgdata/test") is True
    assert seen == [
        ["setsid", "--wait", "runuser", "-u", SETTINGS["user"], "--", "install", "-d", "-m", "0700", "/pgdata/test"]
    ]


@pytest.mark.parametrize(
    ("enabled", "refuses", "told"), [(True, ["ssl"], "built without TLS"), (True, [], None), (False, ["ssl"], None)]
)
def test_a_build_without_tls_is_known_as_soon_as_it_is_installed(server, states, tmp_path, enabled, refuses, told):
    module, _ = server(refuses=refuses)
    settings = {**module.__salt__["pgha.settings"](), "tls": {"enabled": enabled}}
    module.__salt__["pgha.settings"] = lambda: settings
    fault = module.tls_fault()
    assert fault is None if told is None else told in fault
    ret = states(pgha_postgres__tls_fault=lambda: fault).speaks_tls("x")
    assert (ret["result"], ret["changes"], told is None or told in ret["comment"]) == (told is None, {}, True)
    (tmp_path / "bin/postgres").unlink()
    assert module.tls_fault() is None


def test_a_broken_server_says_itself_what_it_lacks(server, monkeypatch):
    module, _ = server()
    settings = {**module.__salt__["pgha.settings"](), "tls": {"enabled": True}}
    module.__salt__["pgha.settings"] = lambda: settings
    module.__salt__["cmd.run_all"] = lambda *_args, **_kwargs: {"retcode": 127, "stdout": "", "stderr": "libssl.so.3?"}
    assert "libssl.so.3?" in module.tls_fault()
    # In another run.
    module.__context__.clear()
    monkeypatch.setattr("shutil.chown", lambda *_args: (_ for _ in ()).throw(LookupError("no such user")))
    assert module.tls_fault() is None


@pytest.mark.parametrize(
    ("state", "parts", "told"),
    [
        ("enabled", "", True),
        # What a generator has made, as for postgresql@18-main.
        ("enabled-runtime", "/etc/systemd/system/postgresql.service.d/other.conf", True),
        ("enabled", "/etc/systemd/system/postgresql.service.d/pgha.conf", False),
        ("disabled", "", False),
        ("masked", "", False),
        ("", "", False),
    ],
)
def test_a_service_that_boots_beside_patroni_is_named(loader_module, state, parts, told):
    salt = {
        "pgha.settings": lambda: {"role": "db", "postgres": {**SETTINGS, "services": ["postgresql"]}},
        "service.show": lambda _unit: {"UnitFileState": state, "DropInPaths": parts},
    }
    module = loader_module("_modules/pgha_postgres.py", salt=salt)
    assert module.started_by_others() == (["postgresql"] if told else [])
    assert [one.split()[0] for one in module.beside_patroni()] == (["postgresql"] if told else [])
    salt["pgha.settings"] = lambda: {"role": "dcs", "postgres": {**SETTINGS, "services": ["postgresql"]}}
    assert module.beside_patroni() == []
