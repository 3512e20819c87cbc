"""The modules of PostgreSQL against a real server of version 18 that knows lz4, and not ICU."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pghalib.postgres.archive
import pghalib.postgres.asked
import pghalib.postgres.collations
import pghalib.postgres.hba
import pytest
from functional.patroni_hosts import USER, Member, listening, server, settings, traversable
from salt.exceptions import CommandExecutionError


@pytest.fixture(scope="module")
def base():
    with traversable() as place:
        yield place


@pytest.fixture(scope="module")
def binaries(base):
    return server(base / "server")


@pytest.fixture
def member(base, loader, binaries, tmp_path):
    """A function (**settings of the section postgres) -> a host with the server installed, and nothing running."""

    def build(**postgres):
        place = base / tmp_path.name
        return Member(place, loader, settings(place, loader, binaries, postgres=postgres))

    return build


def initdb(host, place):
    command = ["runuser", "-u", USER, "--", f"{host.settings['postgres']['bin_dir']}/initdb", "--no-sync", "-D", place]
    subprocess.run(command, check=True, capture_output=True, cwd="/")


def test_server_says_what_it_refuses(member):
    given = {"work_mem": "32MB", "wal_compression": "brotli", "nonsense": "1", "max_connections": "0", "ext.own": "x"}
    refused = member().call("pgha_postgres.unknown_parameters", given)
    assert set(refused) == {"wal_compression", "nonsense", "max_connections"}
    assert "outside the valid range" in refused["max_connections"]
    assert member().call("pgha_postgres.unknown_parameters", {"work_mem": "32MB"}) == {}


def test_tuned_parameters_suit_this_server(member):
    found = member().call("pgha_postgres.parameters")
    assert found["source"] == "calculated"
    assert found["left_out"] == {}
    assert found["host"]["default_toast_compression"] == "lz4"
    assert found["host"]["effective_cache_size"] == "512MB"
    assert member().call("pgha_postgres.unknown_parameters", {**found["host"]}) == {}


def test_parameter_of_the_users_that_this_server_refuses(member):
    with pytest.raises(CommandExecutionError, match="default_toast_compression = 'zstd'"):
        member(parameters={"default_toast_compression": "zstd"}).call("pgha_postgres.parameters")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"shared_preload_libraries": "pg_stat_statments"},
            "could not access file .pg_stat_statments.*shared_preload_lib",
        ),
        ({"shared_preload_libraries": "auto_explain, nonsense"}, "could not access file .nonsense"),
        (
            {"session_preload_libraries": "auto_explain,nonsense"},
            "could not access file .nonsense.*session_preload_lib",
        ),
        ({"local_preload_libraries": "auto_explain"}, "libdir/plugins/auto_explain.*local_preload_libraries"),
        ({"archive_mode": "on", "archive_library": "basic_archiv"}, "could not access file .basic_archiv"),
        ({"shared_buffers": "2GB"}, "would take 2[0-9]{3} MB of shared memory .shared_buffers = 2GB.* has 1024 MB"),
        ({"max_connections": 100000}, "would take [0-9]+ MB of shared memory .*max_connections = 100000"),
        ({"shared_buffers": "16TB"}, "shared_buffers = '16TB': invalid value"),
        ({"work_mem": "32 megs"}, "work_mem = '32 megs': invalid value"),
        ({"max_connections": 3}, "superuser_reserved_connections. .3. plus"),
        ({"wal_level": "minimal"}, "WAL archival"),
        ({"huge_pages": "on", "shared_buffers": "700MB"}, "huge pages .huge_pages = on., and this host has [0-9]+ "),
        # Its own language is not the one that the answers are looked into in.
        ({"lc_messages": "C.UTF-8", "max_connections": "many"}, "max_connections = 'many': invalid value"),
    ],
)
def test_server_that_would_not_start_is_found_before(member, parameters, said):
    with pytest.raises(CommandExecutionError, match=said):
        member(parameters=parameters).call("pgha_postgres.parameters")


def test_server_is_asked_whatever_the_umask_and_the_temporary_directory_of_the_minion(member, tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = os.umask(0o077)
    try:
        host = member(parameters={"max_connections": 50})
        assert host.call("pgha_postgres.unknown_parameters", {"max_connections": 50}) == {}
        assert host.call("pgha_postgres.parameters")["shared"]["max_connections"] == 50
    finally:
        os.umask(before)


def test_server_that_would_start_is_not_held_up(member):
    libraries = {
        "shared_preload_libraries": "pg_stat_statements,auto_explain",
        "session_preload_libraries": "auto_explain",
    }
    odd = {"log_line_prefix": "%t [%p]: user=%u,db=%d ", "archive_mode": "on", "archive_library": "basic_archive"}
    given = {**libraries, **odd, "pg_stat_statements.max": 5000, "local_preload_libraries": ""}
    found = member(parameters=given).call("pgha_postgres.parameters")["shared"]
    assert found.items() >= given.items()
    assert not list(Path(tempfile.gettempdir()).glob("pgha-????????"))


def test_block_of_the_package_is_found_where_there_is_one(member, binaries):
    host = member(package_data_dir=str(binaries.parent / "share"))
    block = (binaries.parent / "share/pgpro_tune.conf").read_text()
    # The block of a build that has a compression which this one lacks.
    (binaries.parent / "share/postgresql.conf").write_text(block.replace("lz4", "brotli"))
    found = host.call("pgha_postgres.parameters")
    assert found["source"] == "pgpro_tune"
    assert set(found["left_out"]) == {"wal_compression", "default_toast_compression"}
    assert found["host"]["effective_io_concurrency"] == 200
    assert "max_connections" not in found["host"]


def test_data_directory_is_told_by_its_control_file(member):
    host = member()
    place = host.settings["postgres"]["data_dir"]
    assert host.call("pgha_postgres.data_directory")["empty"] is True
    initdb(host, place)
    found = host.call("pgha_postgres.data_directory")
    assert (found["empty"], found["version"], found["patroni"], found["running"]) == (False, "18", False, False)
    assert found["identifier"].isdigit()


def test_a_host_without_data_knows_the_control_files_version_of_the_server_that_is_installed(member, tmp_path):
    host = member()
    data = host.settings["postgres"]["data_dir"]
    initdb(host, data)
    words = [f"{host.settings['postgres']['bin_dir']}/pg_controldata", "-D", data]
    told = subprocess.run(words, check=True, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout
    number = next(line for line in told.splitlines() if line.startswith("pg_control version number:")).split()[-1]
    assert host.call("pgha_parameters.control_version") == int(number)
    host.settings["postgres"]["bin_dir"] = str(tmp_path)
    assert host.call("pgha_parameters.control_version") is None


def test_whoever_has_the_port_is_named(member):
    host = member(port=54321)
    assert host.call("pgha_postgres.listeners") == []
    assert host.must("port_free", "x", kind="pgha_postgres")["changes"] == {}
    with listening("127.77.0.99", 54321):
        ret = host.state("port_free", "x", kind="pgha_postgres")
    assert ret["result"] is False
    assert "127.77.0.99:54321" in ret["comment"]
    assert f"pid {os.getpid()} (" in ret["comment"]


def test_locales_are_compared_with_those_of_the_host(member):
    missing = member().call("pgha_locales.missing", ["C.UTF-8", "C.utf8", "xx_YY.UTF-8", "POSIX"])
    assert missing == ["xx_YY.UTF-8"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["hots all all 10.0.0.0/8 md5"], 'line 1: invalid connection type "hots"'),
        (["# ours", "host all all 10.0.0.0/33 scram-sha-256"], 'line 2: invalid CIDR mask in address "10.0.0.0/33"'),
        (["host all all 10.0.0.0 scram-sha-256"], "line 1: invalid"),
        (["host all all samenet scram"], 'line 1: invalid authentication method "scram"'),
        (["host all all", "host all all all ldap"], "line 1: end-of-line.*line 2: invalid authentication method"),
    ],
)
def test_lines_that_would_keep_the_server_from_starting_are_found_before(member, lines, said):
    with pytest.raises(CommandExecutionError, match=f"pgha:postgres:pg_hba, {said}"):
        member(pg_hba=lines).call("pgha_postgres.parameters")


def test_lines_that_the_server_reads_are_not_held_up(member):
    lines = ["include more.conf", "include_dir conf.d", "hostssl all all 10.0.0.0/8 scram-sha-256", "# a comment"]
    assert member(pg_hba=lines).call("pgha_postgres.parameters")["shared"]
    assert member(pg_hba=["# ни одной строки", " "]).call("pgha_postgres.parameters")["shared"]


def test_root_writes_nothing_into_the_directory_of_a_trial_once_it_is_the_servers(member, monkeypatch):
    """Its user could put a link in the place of a file there."""
    given, written = [], []
    chown, write = shutil.chown, Path.write_text
    monkeypatch.setattr(shutil, "chown", lambda path, *who: given.append(str(path)) or chown(path, *who))

    def writes(path, *words, **how):
        written.append((path, given[:]))
        return write(path, *words, **how)

    monkeypatch.setattr(Path, "write_text", writes)
    member(pg_hba=["host all all samenet scram-sha-256"]).call("pgha_postgres.parameters")
    assert "lines" in [path.name for path, _ in written]
    assert [path for path, before in written if str(path.parent) in before] == []


@contextlib.contextmanager
def serving(host):
    """The server of a host with empty data, reached by its socket alone, for as long as the block lasts."""
    postgres = host.settings["postgres"]
    initdb(host, postgres["data_dir"])
    control = ["runuser", "-u", USER, "--", f"{postgres['bin_dir']}/pg_ctl", "-D", postgres["data_dir"], "-w"]
    options = f"-c listen_addresses= -c unix_socket_directories={postgres['socket_dir']} -c port={postgres['port']}"
    log = f"{postgres['data_dir']}/own.log"
    subprocess.run([*control, "-o", options, "-l", log, "start"], check=True, capture_output=True, cwd="/")
    try:
        yield lambda words: pghalib.postgres.asked.sql(host.salt["cmd.run_all"], postgres, words)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/")


#: Functions with the names of PostgreSQL's, whose arguments fit better what the formula asks for.
TRAPS = """
CREATE ROLE eve;
GRANT CREATE ON SCHEMA public TO eve;
SET ROLE eve;
CREATE FUNCTION public.concat(text, text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN ALTER ROLE eve SUPERUSER; RETURN $1; END$$;
CREATE FUNCTION public.json_agg_one(json, json) RETURNS json LANGUAGE plpgsql AS
    $$BEGIN ALTER ROLE eve SUPERUSER; RETURN $2; END$$;
CREATE AGGREGATE public.json_agg(json) (SFUNC = public.json_agg_one, STYPE = json, INITCOND = 'null');
CREATE FUNCTION public.json_build_array(name, text, text) RETURNS json LANGUAGE plpgsql AS
    $$BEGIN ALTER ROLE eve SUPERUSER; RETURN '[]'; END$$;
"""


def test_no_function_of_others_runs_when_root_asks_the_server(member):
    host = member(port=54329)
    with serving(host) as ask:
        ask(TRAPS)
        # A line that no server reads, and a collation of another system: so each question has a row to make.
        with Path(host.settings["postgres"]["data_dir"], "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write("nonsense\n")
        ask("UPDATE pg_database SET datcollversion = 'other'")
        questions = (pghalib.postgres.archive.QUESTION + ";", pghalib.postgres.hba.QUESTION)
        said = ask("".join([*questions, pghalib.postgres.collations.QUESTION]))
        assert len(pghalib.postgres.asked.rows(said)) == 3
        assert ask("SELECT rolsuper FROM pg_roles WHERE rolname = 'eve'").strip() == "f"


def test_a_database_whose_name_ends_a_line_for_python_is_told_like_any_other(member):
    with serving(member(port=54329)) as ask:
        said = ask("SELECT 'one' || chr(8232) || 'name'; SELECT 'other'")
        assert pghalib.postgres.asked.rows(said) == ["one\u2028name", "other"]
