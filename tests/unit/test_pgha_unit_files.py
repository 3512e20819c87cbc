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
        salt = {
            "cmd.which": which,
            "cmd.run_all": run_all,
            "service.show": lambda name: (shown or {}).get(name, {"LoadState": "not-found"}),
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
        "limits": pghalib.backup.proof.LIMITS,
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
