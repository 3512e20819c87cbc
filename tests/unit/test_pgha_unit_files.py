"""Units: written when systemd takes them, stopped where there is one, and named when systemd refuses what is there."""

import shutil
import subprocess
from pathlib import Path

import pghalib.backup.proof
import pghalib.services
import pytest

GOOD = "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/sh -c 'exit 0'\nKillMode=mixed\n"
TIMER = "[Timer]\nOnCalendar=*:0/5\n\n[Install]\nWantedBy=timers.target\n"


def run_all(words, env=None, **_options):
    ran = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    return {"retcode": ran.returncode, "stdout": ran.stdout, "stderr": ran.stderr}


@pytest.fixture
def unit(loader_module):
    """The execution module, with what systemd says of units in ``shown``; ``which`` finds programs."""

    def make(which=shutil.which, shown=None, role="db"):
        def show(command, **_options):
            assert command[:2] == ["systemctl", "show"]
            told = [(shown or {}).get(name, {"LoadState": "not-found"}) for name in command[3:]]
            # As systemd 252 does for several units.
            return "\n\n".join("\n".join(f"{key}={value}" for key, value in one.items()) for one in told)

        salt = {
            "cmd.which": which,
            "cmd.run_all": run_all,
            "cmd.run_stdout": show,
            "pgha.settings": lambda: {"role": role},
        }
        return loader_module("_modules/pgha_unit.py", salt=salt)

    return make


@pytest.fixture
def state(loader_module, unit, tmp_path, monkeypatch):
    monkeypatch.setattr(pghalib.services, "UNITS", str(tmp_path))

    def make(text=GOOD, test=False, shown=None, dies=None, **given):
        salt = {
            "pgha_unit.rendered": lambda _source, _context: text,
            "pgha_unit.verify": unit(**given).verify,
            "service.show": lambda _name: shown,
        }
        dead = {"service.dead": lambda name, enable: {"name": name, "comment": "dead", **(dies or {})}}
        return loader_module("_states/pgha_unit.py", salt=salt, opts={"test": test}, states=dead)

    return make


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")


@pytest.mark.root
@needs_systemd
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("KillMode=mixed\n", "KillMode=mixed TimeoutStopSec=4\n", "KillMode|kill mode"),
        ("KillMode", "KilMode", "KilMode"),
        ("/bin/sh -c", "/bin/nothing -c", "not executable"),
        ("ExecStart=/bin/sh -c 'exit 0'\n", "", "no ExecStart"),
    ],
)
def test_a_unit_with_a_mistake_does_not_replace_the_old_one(state, tmp_path, old, new, words):
    path = tmp_path / "x.service"
    assert state().written("n", "x.service", "salt://x", {})["changes"]
    ret = state(GOOD.replace(old, new)).written("n", "x.service", "salt://x", {})
    assert (ret["name"], ret["result"], ret["changes"]) == ("n", False, {})
    assert ret["comment"].startswith(f"{path} was left as it is")
    assert any(word in ret["comment"] for word in words.split("|")), ret["comment"]
    assert "\n" not in ret["comment"]
    assert "pgha-unit-" not in ret["comment"]
    assert path.read_text() == GOOD


@pytest.mark.root
@needs_systemd
def test_a_timer_with_a_mistake_does_not_replace_the_old_one(state, tmp_path):
    path = tmp_path / "x.timer"
    assert state(TIMER).written("n", "x.timer", "salt://x", {})["changes"]
    ret = state(TIMER.replace("0/5", "0/x")).written("n", "x.timer", "salt://x", {})
    assert (ret["result"], ret["changes"], path.read_text()) == (False, {}, TIMER)
    assert "Failed to parse calendar specification" in ret["comment"]


@pytest.mark.root
def test_without_the_program_a_unit_is_written_unseen(state, tmp_path):
    assert state("[Servic", which=lambda _name: None).written("n", "x.service", "salt://x", {})["result"] is True
    assert (tmp_path / "x.service").read_text() == "[Servic"


def test_a_dry_run_writes_no_unit(state, tmp_path):
    ret = state(test=True).written("n", "x.service", "salt://x", {})
    assert (ret["result"], bool(ret["changes"]), list(tmp_path.iterdir())) == (None, True, [])


def test_words_on_other_units_are_not_about_this_one(loader_module, tmp_path):
    said = {"retcode": 1, "stdout": "", "stderr": "/lib/systemd/system/other.service:3: Unknown key\n"}
    salt = {"cmd.which": lambda name: f"/bin/{name}", "cmd.run_all": lambda *_words, **_options: said}
    module = loader_module("_modules/pgha_unit.py", salt=salt)
    (tmp_path / "draft").write_text(GOOD)
    assert module.verify(str(tmp_path / "draft"), "x.service") is None
    said["stderr"] += "x.service: a\nx.service: b\n"
    assert module.verify(str(tmp_path / "draft"), "x.service") == "x.service: a; x.service: b"


@pytest.mark.parametrize("test", [True, False])
def test_nothing_is_pending_for_a_service_that_is_not_there(state, test):
    ret = state(test=test, shown={"LoadState": "not-found", "ActiveState": "inactive"}).stopped("n", "x.service")
    assert (ret["name"], ret["result"], ret["changes"]) == ("n", True, {})


@pytest.mark.parametrize(("load", "active"), [("loaded", "inactive"), ("loaded", "active"), ("not-found", "active")])
def test_what_systemd_knows_is_stopped(state, load, active):
    for test, result, changes in (
        (False, True, {"x.service": True}),
        (False, True, {}),
        (False, False, {"x.service": False}),
        (True, None, {}),
        (True, True, {}),
    ):
        dies = {"result": result, "changes": changes}
        ret = state(test=test, shown={"LoadState": load, "ActiveState": active}, dies=dies).stopped("n", "x.service")
        assert ret == {"name": "n", "comment": "dead", **dies}


@pytest.fixture
def service(tmp_path, monkeypatch, loader_module):
    """
    A service with a unit and a file, whose start notes both. Gives a function ``(test=False)`` -> the state module, and
    ``starts``: the list of its starts; ``broken`` in it lets a start fail.
    """
    notes, path, starts = tmp_path / "notes", tmp_path / "x.json", []
    notes.mkdir()
    (tmp_path / "x.service").write_text(GOOD)
    path.write_text("1")
    monkeypatch.setattr(pghalib.services, "UNITS", str(tmp_path))
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(notes))

    def start(_name):
        if "broken" in starts:
            return False
        sums = subprocess.run(["sha256sum", tmp_path / "x.service", path], capture_output=True, check=True)
        (notes / "x.started-with").write_bytes(sums.stdout)
        starts.append("started")
        return True

    def make(test=False):
        salt = {"service.restart": start, "service.status": lambda _name: bool(starts)}
        return loader_module("_states/pgha_unit.py", salt=salt, opts={"test": test})

    make.starts, make.start, make.path, make.unit = starts, start, path, tmp_path / "x.service"
    return make


@pytest.mark.root
def test_a_service_whose_files_have_changed_is_restarted_also_by_the_next_run(service):
    def current(**how):
        return service(**how).current("n", "x.service", [str(service.path)])

    assert (current(test=True)["result"], current(test=True)["changes"]) == (True, {})
    service.start("x")
    assert (current()["result"], current()["changes"], service.starts) == (True, {}, ["started"])
    # A run that was killed has written these, and nothing was restarted.
    for file in (service.path, service.unit):
        file.write_text(file.read_text() + "\n")
        assert (current(test=True)["result"], list(current(test=True)["changes"])) == (None, [str(file)])
        done = current()
        assert (done["result"], list(done["changes"])) == (True, [str(file)])
        assert current()["changes"] == {}
    assert len(service.starts) == 3
    service.path.write_text("other")
    service.starts.append("broken")
    assert (current()["result"], "systemctl status x.service" in current()["comment"]) == (False, True)


def test_what_the_guard_reads_at_its_start_is_all_noted():
    salt = Path(__file__).resolve().parents[2] / "salt/pgha/guard"
    parts = (salt / "parts.jinja").read_text()
    assert [one.name for one in (salt / "files/pgha-guard").glob("*.py") if f'"/{one.name}"' not in parts] == []


def test_units_that_do_not_start_at_a_boot_are_named(unit):
    shown = {
        "consul.service": {"LoadState": "loaded", "UnitFileState": "enabled"},
        "patroni.service": {"LoadState": "loaded", "UnitFileState": "disabled"},
        # Started by its timer.
        "pgha-backup.service": {"LoadState": "loaded", "UnitFileState": "static"},
        "pgha-backup.timer": {"LoadState": "loaded", "UnitFileState": "disabled"},
        "vip-manager.service": {"LoadState": "not-found", "UnitFileState": ""},
    }
    found = unit(shown=shown).faults()
    assert [one.partition(" ")[0] for one in found] == ["patroni.service", "pgha-backup.timer"]
    assert "does not start at a boot: systemctl enable patroni.service" in found[0]


def test_units_that_systemd_refuses_are_named(unit):
    shown = {
        "consul.service": {"LoadState": "loaded"},
        "patroni.service": {"LoadState": "masked"},
        "vip-manager.service": {"LoadState": "bad-setting"},
    }
    masked, bad = unit(shown=shown).faults()
    assert "patroni.service is masked" in masked
    assert "systemctl unmask patroni.service" in masked
    assert "vip-manager.service has a setting that systemd refuses" in bad
    assert unit(shown=shown, role="dcs").faults() == []
    assert unit().faults() == []


def test_a_systemd_that_says_nothing_is_no_fault_of_a_unit(unit):
    module = unit()
    module.__salt__["cmd.run_stdout"] = lambda *_, **__: "Failed to connect to bus"
    assert module.faults() == []


FORMULA = Path(__file__).resolve().parents[2] / "salt/pgha"
UNITS = [path for kind in ("*.service.j*", "*.timer*") for path in sorted(FORMULA.rglob(kind))]


@needs_systemd
@pytest.mark.parametrize("path", UNITS, ids=str)
def test_systemd_takes_the_units_of_the_formula(unit, path, tmp_path):
    import jinja2

    values = {
        "consul": {"data_dir": "/var/lib/x", "user": "root", "group": "root", "config_dir": "/etc/x"},
        "patroni": {"venv": "/opt/x", "config_dir": "/etc/x"},
        "postgres": {"user": "root", "group": "root", "bin_dir": "/usr/bin", "socket_dir": "/run/postgresql"},
        "mounts": ["/pgdata"],
        "vip": {"address": "198.51.100.40"},
        "cluster": "test",
        "config": "/etc/x.yml",
        "unit": "/etc/systemd/system/x.service",
        "limits": pghalib.backup.proof.limits({"data_dir": "/pgdata/one"}),
        "day": "Sat",
    }
    for authorities in (None, "/etc/pgha/ca.pem"):
        text = jinja2.Template(path.read_text()).render(authorities=authorities, **values)
        (tmp_path / "unit").write_text(text)
        words = unit().verify(str(tmp_path / "unit"), "x.timer" if ".timer" in path.name else "x.service")
        # The programs are not there.
        assert [one for one in (words or "").split("; ") if one and "is not executable" not in one] == []


def test_a_vip_manager_that_hangs_where_it_should_end_is_killed_after_four_seconds():
    """The default of systemd is 90 s, for which a restart of it would leave the cluster without its address."""
    lines = (FORMULA / "vip/files/vip-manager.service.j2").read_text().splitlines()
    assert [line for line in lines if line.startswith(("TimeoutStop", "TimeoutSec", "KillSignal", "KillMode"))] == [
        "KillSignal=SIGINT",
        "KillMode=mixed",
        "TimeoutStopSec=4",
    ]
