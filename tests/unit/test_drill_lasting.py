"""The lasting faults of a drill: what makes them on a host, what undoes them, and when none is made."""

import contextlib
import os
import signal as signals
import subprocess
from pathlib import Path

import pghalib.drill.faults
import pghalib.drill.lasting
import pytest
from salt.exceptions import CommandExecutionError

FAULTS = pghalib.drill.faults.FAULTS
LASTING = {name for name, one in FAULTS.items() if one["lasting"]}
MEMBER = {
    "name": "db1",
    "address": "198.51.100.21",
    "datacenter": {"servers": [{"address": "198.51.100.11"}, {"address": "198.51.100.12"}]},
    "cluster": {"hosts": [{"address": "198.51.100.21"}, {"address": "198.51.100.22"}]},
    "patroni": {"startup_timeout": 30, "guard": True},
    "vip": {"manager": "vip-manager"},
}
DROP_IN = "/run/systemd/system/patroni.service.d"
SERVICES = "consul.service patroni.service vip-manager.service pgha-guard.service"
CUT = ("sh -c nft add table inet pgha_drill && nft delete table inet pgha_drill", ["nft -f -"])


def signal(name, unit):
    return f"systemctl kill --signal={name} --kill-whom=main {unit}.service"


def going_on(unit):
    return f"sh -c {signal('CONT', unit)} || ! systemctl is-active --quiet {unit}.service"


# Seconds, what undoes it, and what makes it.
EXPECTED = {
    "hang-patroni": (60, going_on("patroni"), [signal("STOP", "patroni")]),
    "hang-vip-manager": (20, going_on("vip-manager"), [signal("STOP", "vip-manager")]),
    "hang-postgres": (30, "sh -c kill -s CONT 4711 || true", ["kill -s STOP 4711"]),
    "stop-agent": (45, "systemctl start consul.service", ["systemctl stop consul.service"]),
    "stop-patroni": (
        60,
        f"sh -c rm -f {DROP_IN}/pgha-drill-undo.conf || true && systemctl daemon-reload"
        " || true && systemctl start patroni.service",
        [
            f"install -D -m 0644 /dev/stdin {DROP_IN}/pgha-drill-undo.conf",
            "systemctl daemon-reload",
            signal("KILL", "patroni"),
        ],
    ),
    "freeze": (
        45,
        f"systemctl kill --signal=CONT --kill-whom=all {SERVICES}",
        [f"systemctl kill --signal=STOP --kill-whom=all {SERVICES}"],
    ),
    "full-disk": (
        30,
        "sh -c systemctl stop pgha-drill-full.service || ! systemctl is-active --quiet pgha-drill-full.service",
        [
            "systemd-run --quiet --unit=pgha-drill-full --collect --property=Type=forking /bin/sh -c"
            " exec 9> {parent}/pgha-drill-full && rm {parent}/pgha-drill-full"
            " && fallocate -l 4096 /proc/self/fd/9 && (sleep 35 &)"
        ],
    ),
    "cut-replication": (30, *CUT),
    "cut-consul": (45, *CUT),
    "isolate": (60, *CUT),
}


@pytest.fixture
def host(loader_module, monkeypatch, tmp_path):
    """
    The module of a member's host where all services run: ``module.ran`` is what it ran, with its standard input,
    ``module.shown`` what systemd shows, ``module.lacks`` the programs that are not there, ``module.fails`` those that
    fail, or ``timer`` where it has run at once.
    """
    settings = {**MEMBER, "postgres": {"data_dir": str(tmp_path), "bin_dir": str(tmp_path), "port": 5433}}
    runs = {"ActiveState": "active", "MainPID": "7"}
    shown = {f"{unit}.service": runs for unit in ("patroni", "vip-manager", "consul")}
    ran, lacks, fails = [], set(), set()

    def run(words, **given):
        ran.append((words, given.get("stdin")))
        if any(word.startswith("--on-active=") for word in words):
            shown["pgha-drill-undo.timer"] = {"ActiveState": "inactive" if "timer" in fails else "active"}
        return {"retcode": int(words[0] in fails), "stdout": "", "stderr": "no"}

    salt = {
        "pgha.settings": lambda: settings,
        "service.show": lambda unit: shown.get(unit, {}),
        "cmd.which": lambda program: None if program in lacks else f"/bin/{program}",
        "cmd.run_all": run,
    }
    module = loader_module("_modules/pgha_drill.py", salt=salt)
    # Where the tests run, nothing has a file system of its own.
    monkeypatch.setattr(module, "_free", lambda _settings: 4096)
    module.ran, module.shown, module.lacks, module.fails, module.place = ran, shown, lacks, fails, tmp_path
    return module


def made(host, name):
    """What a fault ran, as lines: the timer, what it will run, and what came after the timer."""
    assert host.fault(name) == f"it lasts for {FAULTS[name]['lasting']} s"
    timer, *rest = (" ".join(words) for words, _ in host.ran)
    begin, undo = timer.split(" --timer-property=AccuracySec=100ms ")
    return begin, undo, rest


def test_every_lasting_fault_is_known_here():
    assert set(EXPECTED) == LASTING


def test_what_lasts_does_harm_and_says_for_how_long():
    for name in LASTING:
        assert FAULTS[name]["harmful"], name
        assert f" for {FAULTS[name]['lasting']} s" in FAULTS[name]["what"]


def test_vip_manager_is_not_hung_where_it_moves_no_address():
    assert "hang-vip-manager" in pghalib.drill.faults.possible({"manager": "vip-manager"})
    assert "hang-vip-manager" not in pghalib.drill.faults.possible({"manager": "callback"})


@pytest.mark.parametrize("name", EXPECTED)
def test_the_end_of_a_fault_is_arranged_before_it_begins(host, monkeypatch, name):
    monkeypatch.setattr(host, "_postmaster", lambda _settings: 4711)
    seconds, undo, make = EXPECTED[name]
    parent = host.place.parent
    assert made(host, name) == (
        f"systemd-run --quiet --unit=pgha-drill-undo --on-active={seconds}",
        f"/bin/{undo}".format(parent=parent),
        [f"/bin/{line}".format(parent=parent) for line in make],
    )


@pytest.mark.parametrize(("seconds", "lasts"), [(None, 60), (20, 20), ("20", 20), (3600, 60)])
def test_a_fault_may_be_shorter_and_not_longer(host, seconds, lasts):
    assert host.fault("isolate", seconds=seconds) == f"it lasts for {lasts} s"
    assert f"--on-active={lasts}" in host.ran[0][0]


@pytest.mark.parametrize("name", EXPECTED)
def test_without_a_timer_no_fault_begins(host, monkeypatch, name):
    monkeypatch.setattr(host, "_postmaster", lambda _settings: 4711)
    host.fails.add("systemd-run")
    with pytest.raises(CommandExecutionError, match="systemd-run failed: no"):
        host.fault(name)
    assert len(host.ran) == 1


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("unit", ["pgha-drill-undo.timer", "pgha-drill-undo.service"])
def test_no_second_fault_is_made_while_one_lasts(host, name, unit):
    host.shown[unit] = {"ActiveState": "active"}
    with pytest.raises(CommandExecutionError, match=r"lasts here until pgha-drill-undo\.timer has undone it"):
        host.fault(name)
    assert host.ran == []


@pytest.mark.parametrize("name", sorted(name for name in LASTING if FAULTS[name]["unit"]))
def test_a_service_that_does_not_run_is_not_harmed(host, name):
    unit = FAULTS[name]["unit"]
    host.shown[f"{unit}.service"] = {"MainPID": "0"}
    with pytest.raises(CommandExecutionError, match=f"^{unit} does not run here$"):
        host.fault(name)
    assert host.ran == []


def test_no_process_is_hung_for_postgresql_where_it_does_not_run(host):
    with pytest.raises(CommandExecutionError, match="PostgreSQL does not run on"):
        host.fault("hang-postgres")
    assert host.ran == []


@pytest.mark.parametrize(
    ("name", "lacks", "package"), [("isolate", "nft", "nftables"), ("hang-postgres", "kill", "procps")]
)
def test_a_program_that_is_not_there_is_told_before_anything_is_done(host, monkeypatch, name, lacks, package):
    monkeypatch.setattr(host, "_postmaster", lambda _settings: 4711)
    host.lacks.add(lacks)
    with pytest.raises(CommandExecutionError, match=f"There is no {lacks} here: install the package {package}"):
        host.fault(name)
    assert host.ran == []


def test_the_postmaster_stands_still_and_goes_on(host):
    """The commands are run here as they would be on a host."""
    program = host.place / "postgres"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as process:
        try:
            (host.place / "postmaster.pid").write_text(f"{process.pid}\n/pgdata\n")
            host.fault("hang-postgres")
            (timer, _), (make, _) = host.ran
            for words, expected in ((make, os.CLD_STOPPED), (timer[timer.index("/bin/sh") :], os.CLD_CONTINUED)):
                subprocess.run(words, check=True)
                happened = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WCONTINUED | os.WEXITED)
                assert happened.si_code == expected
        finally:
            process.kill()


@pytest.mark.parametrize("others", [False, True])
def test_patroni_is_left_dead_and_started_again_whatever_fails(host, monkeypatch, others):
    """The commands are run here as they would be on a host, with a systemctl that notes its calls and fails."""
    monkeypatch.setattr(pghalib.drill.lasting, "UNITS", str(host.place / "units"))
    calls, systemctl = host.place / "calls", host.place / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexit 1\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.place}:{os.environ['PATH']}")
    drop_ins = host.place / "units/patroni.service.d"
    if others:
        drop_ins.mkdir(parents=True)
        (drop_ins / "limits.conf").touch()
    host.fault("stop-patroni")
    (timer, _), *make = host.ran
    for words, text in make:
        subprocess.run([os.path.basename(words[0]), *words[1:]], input=text, text=True, check=False)
    assert (drop_ins / "pgha-drill-undo.conf").read_text() == "[Service]\nRestart=no\n"
    assert calls.read_text().splitlines() == ["daemon-reload", "kill --signal=KILL --kill-whom=main patroni.service"]
    calls.unlink()
    subprocess.run(timer[timer.index("/bin/sh") :], check=False)
    assert calls.read_text().splitlines() == ["daemon-reload", "start patroni.service"]
    assert os.listdir(drop_ins) == ["limits.conf"] * others


def group(leader):
    """The processes of a group."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(ProcessLookupError):
            found += [pid] * (os.getpgid(int(pid)) == leader)
    return found


@pytest.mark.parametrize(("size", "room"), [(2**20, True), (2**62, False)])
def test_what_fills_a_disk_has_no_name_and_goes_with_its_process(host, monkeypatch, size, room):
    """The service's command is run here as systemd would run it."""
    monkeypatch.setattr(host, "_free", lambda _settings: size)
    (host.place / "data").mkdir()
    host.__salt__["pgha.settings"]()["postgres"]["data_dir"] = str(host.place / "data")
    host.fault("full-disk")
    (_, _), (words, _) = host.ran
    with subprocess.Popen(words[words.index("/bin/sh") :], start_new_session=True) as shell:
        assert (shell.wait() == 0) is room
    holders = group(shell.pid)
    try:
        # Where it could not be filled, nobody has the file open.
        assert len(holders) == room
        assert os.listdir(host.place) == ["data"]
        for pid in holders:
            held = f"/proc/{pid}/fd/9"
            assert os.readlink(held) == f"{host.place}/pgha-drill-full (deleted)"
            assert os.stat(held).st_blocks * 512 >= size
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signals.SIGTERM)


def test_a_shorter_fault_fills_a_disk_for_a_shorter_time(host):
    host.fault("full-disk", seconds=7)
    assert host.ran[-1][0][-1].endswith("(sleep 12 &)")


@pytest.mark.parametrize("name", EXPECTED)
def test_systemd_reads_a_command_that_undoes_a_fault_as_it_is_given(name):
    """After a daemon-reload it has it from a file of its own, in which these have a meaning."""
    undo = pghalib.drill.lasting.plan(
        FAULTS[name], {**MEMBER, "postgres": {"port": 5432, "data_dir": "/pgdata/x"}}, 4711
    ).undo
    assert not [word for word in undo if set(word) & set(";%$\\\"'\n")]


def test_only_a_file_system_of_the_data_alone_is_filled(loader_module, monkeypatch, tmp_path):
    module = loader_module("_modules/pgha_drill.py", salt={})
    settings = {"postgres": {"data_dir": "/no-such-directory"}}
    with pytest.raises(CommandExecutionError, match="/ is on the file system of the system"):
        module._free(settings)
    if os.stat("/dev/shm").st_dev == os.stat("/").st_dev:
        pytest.fail("this needs /dev/shm")
    # Others may write there, so a name could lead elsewhere.
    with pytest.raises(CommandExecutionError, match="Root writes nothing in /dev/shm"):
        module._free({"postgres": {"data_dir": "/dev/shm/one"}})
    free = module.shutil.disk_usage("/dev/shm").free
    monkeypatch.setattr(module.pghalib.host.descriptors, "trusted", lambda _path: contextlib.nullcontext())
    assert abs(module._free({"postgres": {"data_dir": "/dev/shm/one"}}) - free + module.SPARE) < 2**26


def test_only_services_that_a_member_has_are_frozen():
    settings = {**MEMBER, "patroni": {"guard": False}, "vip": {"manager": "callback"}}
    plan = pghalib.drill.lasting.plan(FAULTS["freeze"], settings, None)
    assert plan.undo[-2:] == plan.make[0].words[-2:] == ["consul.service", "patroni.service"]


SERVERS = [("198.51.100.11", ""), ("198.51.100.12", "")]


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("cut-consul", SERVERS),
        ("isolate", [*SERVERS, ("198.51.100.22", "")]),
        # A replica that streams from this host is let be: the port is the other side's.
        ("cut-replication", [("198.51.100.22", " tcp {}port 5433")]),
    ],
)
def test_a_cut_drops_packets_of_the_others_both_ways(host, name, others):
    host.fault(name)
    rules = host.ran[-1][1].splitlines()
    assert [line.strip() for line in rules if line.endswith("drop")] == [
        f"ip {side}addr {address}{port.format(side)} drop" for side in "sd" for address, port in others
    ]


def test_a_fault_lasts_until_its_timer_has_run(host):
    assert host.undone()
    host.shown["pgha-drill-undo.timer"] = {"ActiveState": "active"}
    assert not host.undone()
    host.shown["pgha-drill-undo.timer"], host.shown["pgha-drill-undo.service"] = {}, {"ActiveState": "activating"}
    assert not host.undone()


def test_a_fault_that_could_not_be_undone_lasts(host):
    """systemd keeps a unit that has failed; a cut host is none that is whole."""
    host.shown["pgha-drill-undo.service"] = {"ActiveState": "failed"}
    with pytest.raises(CommandExecutionError, match="could not be undone here: .* systemctl start pgha-drill-undo"):
        host.fault("isolate")
    assert "could not be undone here: journalctl -u pgha-drill-undo says why" in host.undone()
    assert [words[0] for words, _ in host.ran] == ["journalctl"] * 2


def test_a_fault_whose_end_came_before_it_is_undone_at_once(host):
    """The minion may stand still between the two."""
    host.fails.add("timer")
    with pytest.raises(CommandExecutionError, match=r"^pgha-drill-undo\.timer ran before the fault was made"):
        host.fault("isolate")
    timer, make, undo = (" ".join(words) for words, _ in host.ran)
    assert make == "/bin/nft -f -"
    assert timer.endswith(undo)
    assert undo.startswith("/bin/sh -c nft add table")


@pytest.mark.parametrize(("stops", "runs", "good"), [(0, 0, True), (1, 0, False), (1, 3, True), (0, 3, True)])
def test_to_undo_a_fault_fails_only_where_it_lasts(host, monkeypatch, stops, runs, good):
    """The command is run here as systemd would run it. What is killed meanwhile hangs no more."""
    systemctl = host.place / "systemctl"
    systemctl.write_text(f'#!/bin/sh\n[ "$1" = is-active ] && exit {runs}\nexit {stops}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.place}:{os.environ['PATH']}")
    for name in ("hang-patroni", "full-disk"):
        undo = pghalib.drill.lasting.plan(FAULTS[name], host.__salt__["pgha.settings"](), None).undo
        assert (subprocess.run(undo, check=False).returncode == 0) is good
    assert subprocess.run(pghalib.drill.lasting.plan(FAULTS["hang-postgres"], MEMBER, 2**22 + 1).undo).returncode == 0
