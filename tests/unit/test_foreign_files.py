"""What the modules read in the directories of the services' users, and what those make of it; root's own notes."""

import fcntl
import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pghalib.patroni.environment
import pghalib.postgres.data_directory
import pghalib.services
import pghalib.services.started
import pytest
from salt.exceptions import CommandExecutionError
from salt.utils.jinja import SerializerExtension

ROOT = Path(__file__).resolve().parents[2]
SECRET = "the-word-that-only-root-knows"
REFUSED = "not read: it is a symbolic link"


@pytest.fixture
def place(tmp_path):
    """Directories of another user's in which every file is a link to one of root's; ``shadow`` is that one."""
    shadow = tmp_path / "shadow"
    shadow.write_text(f"FATAL: {SECRET}\n")
    theirs = tmp_path / "theirs"
    names = ("patroni.log", "log/a.log", "PG_VERSION", "postgresql.conf", "patroni.dynamic.json", "acl-tokens.json")
    for name in (*names, "postmaster.pid"):
        (theirs / name).parent.mkdir(parents=True, exist_ok=True)
        (theirs / name).symlink_to(shadow)
    for path in (theirs, theirs / "log"):
        os.chown(path, 65534, 65534)
    return theirs


@pytest.fixture
def module(loader_module, place):
    """A function (name) -> an execution module of a host whose data and logs lie in those directories."""
    settings = {
        "name": "db1",
        "role": "db",
        "consul": {"data_dir": str(place), "config_dir": "/nonexistent"},
        "patroni": {"log_dir": str(place), "config_dir": str(place), "loop_wait": 0.1, "venv": str(place)},
        "postgres": {
            "data_dir": str(place),
            "package_data_dir": str(place),
            "bin_dir": "/nonexistent",
            "lc_messages": "C",
            "tune": True,
            "user": "postgres",
        },
    }
    salt = {
        "pgha.settings": lambda: settings,
        "cmd.run_all": lambda *_args, **_kwargs: {"stdout": "", "retcode": 0},
        "service.status": lambda _name: True,
        "service.show": lambda _name: {"ActiveState": "active", "MainPID": str(os.getpid())},
        "pgha_patroni.dynamic_config": dict,
    }

    def load(name):
        module = loader_module(
            f"_modules/{name}.py",
            salt=salt,
            grains={"mem_total": 1024, "num_cpus": 1},
            pillar={"pgha_secrets": {"agent": {"secret": "x"}}},
        )
        module.salt = salt
        return module

    return load


def test_messages_show_nothing_of_roots(module):
    for said in (module("pgha_patroni").log_tail(), module("pgha_postgres").log_errors()):
        assert len(said) == 1
        assert REFUSED in said[0]
        assert SECRET not in str(said)


@pytest.mark.parametrize(
    "ask",
    [
        lambda module: module("pgha_postgres").data_directory(),
        lambda module: module("pgha_preflight").data_directory(),
        lambda module: module("pgha_postgres")._tuned(module("pgha_postgres").__salt__["pgha.settings"]()["postgres"]),
        lambda module: module("pgha_dynamic").taken_up(),
        lambda module: module("pgha_consul_acl").agent_token_known(),
    ],
)
def test_a_link_is_refused_by_name(module, ask):
    with pytest.raises(CommandExecutionError, match=REFUSED) as caught:
        ask(module)
    assert SECRET not in str(caught.value)


def test_a_link_to_another_process_is_no_server(place):
    assert pghalib.postgres.data_directory.postmaster(place) is None


@pytest.mark.parametrize("content", ["[]", "1", "null", "{", '"agent"', "[" * 9000])
def test_tokens_of_whatever_content_are_one_clear_error(module, place, content):
    (place / "acl-tokens.json").unlink()
    (place / "acl-tokens.json").write_text(content)
    with pytest.raises(CommandExecutionError, match="is not JSON: remove it"):
        module("pgha_consul_acl").agent_token_known()


@pytest.fixture
def consul(module, tmp_path, monkeypatch):
    """Consul's module with its notes below tmp_path."""
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path / "pgha"))
    monkeypatch.setattr(pghalib.services, "UNITS", str(tmp_path))
    consul = module("pgha_consul")
    consul.BINARY = os.path.realpath("/proc/self/exe")
    return consul


@pytest.mark.root
def test_what_is_pending_is_noted_in_a_directory_of_roots(consul, tmp_path):
    assert consul.note() == []
    assert not (tmp_path / "pgha").exists()
    assert consul.note("performance.raft_multiplier", "domain") == ["domain", "performance.raft_multiplier"]
    assert consul.note("domain", "http_config.response_headers.X-A") == [
        "domain",
        "http_config.response_headers.X-A",
        "performance.raft_multiplier",
    ]
    assert (tmp_path / "pgha").stat().st_mode & 0o777 == 0o755
    assert "domain" in consul.restart_pending()[0]
    os.chown(tmp_path / "pgha", 65534, 0)
    assert "ports.https" in consul.note("ports.https")
    assert (tmp_path / "pgha").stat().st_uid == 0


def test_of_a_note_only_keys_are_taken(consul, tmp_path):
    (tmp_path / "pgha").mkdir()
    (tmp_path / "pgha/consul.restart-pending").write_text("domain root:x:0:0 $(id) a;b <b> \x1b[31m\nports.https\n")
    assert consul.noted() == ["domain", "ports.https"]
    (tmp_path / "pgha/consul.restart-pending").unlink()
    (tmp_path / "pgha/consul.restart-pending").symlink_to(tmp_path / "shadow")
    with pytest.raises(CommandExecutionError, match=REFUSED):
        consul.noted()


def test_an_agent_of_an_older_unit_has_nothing_pending_but_the_unit(consul, tmp_path):
    assert consul.restart_pending() == [f"{tmp_path}/consul.service has changed"]


@pytest.mark.parametrize(("runs", "noted", "makes"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_patroni_that_makes_files_beside_its_configuration_is_known_by_its_start(
    module, tmp_path, monkeypatch, runs, noted, makes
):
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path))
    patroni = module("pgha_patroni")
    patroni.salt["service.status"] = lambda _name: runs
    if noted:
        (tmp_path / "patroni.started-with").touch()
    assert patroni.makes_files_beside_configuration() is makes


# What the units of the services do before these start, by service.
BEFORE = {
    path.name.partition(".service")[0]: lines
    for path in sorted((ROOT / "salt/pgha").rglob("files/*.service.*"))
    if (lines := [line for line in path.read_text().splitlines() if line.startswith("ExecStartPre")])
}


@pytest.mark.parametrize("service", BEFORE)
def test_units_note_what_they_start_as_root_in_a_directory_of_roots(service):
    (line,) = BEFORE[service]
    directory, unit = pghalib.services.DIRECTORY, pghalib.services.started.unit(service)
    assert line.startswith(("ExecStartPre=+/bin/sh", "ExecStartPre=+-/bin/sh"))
    # What it digests may be another's link to a file of root's, so nobody reads the digest either.
    assert line.index(f"mkdir -p {directory} ") < line.index("umask 077") < line.index("sha256sum")
    assert unit in line.replace("{{ unit }}", unit).partition("sha256sum ")[2]
    place = directory if f" cd {directory} " in line else "/"
    note = os.path.join(place, line.rpartition(" > ")[2].removesuffix("'"))
    assert note == pghalib.services.started.note(service)
    assert ("rm -f consul.restart-pending" in line) is (service == "consul")
    marked = f"{{{{ patroni.venv }}}}/{pghalib.patroni.environment.MARKER} > "
    assert (marked in line) is (service == "patroni")


def test_all_services_note_what_they_start_with():
    assert set(BEFORE) == {"consul", "patroni", "vip-manager", "pgha-guard", "pgha-repository"}


@pytest.mark.root
def test_a_killed_writer_leaves_nothing_after_the_next_one(loader_module, tmp_path):
    files = loader_module("_utils/pghalib/host/files.py")
    owner = {"user": "root", "group": "root", "mode": "0640", "test": False}
    path = str(tmp_path / "config.json")
    pid = os.fork()
    if pid == 0:
        files.manage(path, json.dumps({"token": SECRET}), **owner, check=lambda _: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    left = list(tmp_path.iterdir())
    assert SECRET in left[0].read_text()
    # Consul reads every *.json of its directory.
    assert list(tmp_path.glob("*.json")) == list(tmp_path.glob(".*.json")) == []
    files.manage(path, "{}", **owner)
    assert [one.name for one in tmp_path.iterdir()] == ["config.json"]


@pytest.fixture
def helper(tmp_path):
    """The names of the callback's helper, its lock below tmp_path and its patience short."""
    environment = jinja2.Environment(extensions=[SerializerExtension])
    template = environment.from_string((ROOT / "salt/pgha/vip/files/pgha-vip.j2").read_text())
    names = {"__name__": "pgha_vip_helper"}
    exec(template.render(vip={"address": "198.51.100.40", "prefix": 24}, interface=None, address="-"), names)
    assert names["LOCK"].startswith("/run/pgha/")
    assert 0 < names["PATIENCE"] < 30
    names.update(LOCK=str(tmp_path / "pgha/lock"), PATIENCE=0.2)
    return SimpleNamespace(lock=names["lock"], path=tmp_path / "pgha/lock")


def test_the_lock_of_the_virtual_ip_is_roots_and_is_waited_for_no_longer_than_said(helper, tmp_path):
    os.close(helper.lock())
    assert helper.path.stat().st_mode & 0o777 == 0o600
    helper.path.chmod(0o644)
    with open(helper.path) as other:
        held = helper.lock()
        assert helper.path.stat().st_mode & 0o777 == 0o600
        os.close(held)
        fcntl.flock(other, fcntl.LOCK_EX)
        begun = time.monotonic()
        with pytest.raises(RuntimeError, match="has had the lock .* for 0.2 s"):
            helper.lock()
        assert time.monotonic() - begun < 5
    helper.path.unlink()
    helper.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        helper.lock()
    assert not (tmp_path / "elsewhere").exists()
