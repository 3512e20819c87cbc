"""The guard: it acts when the lease may be over, and never on a leader that is well, in a pause, or on a stranger."""

import importlib.util
import itertools
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import types
from pathlib import Path

import listeners
import pghalib.patroni.guard
import pghalib.pillar.validate
import pghalib.secrets.x509
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = yaml.safe_load((ROOT / "salt/pgha/defaults.yaml").read_text())
VIP, MAC = "192.0.2.40", "02:00:00:00:00:01"
HELPER = "/usr/local/sbin/pgha-vip"
NOW = 1795944919
# Patroni's user in these tests.
UID = os.getuid()
USER = pwd.getpwuid(UID).pw_name
LEADS = (200, {"role": "primary"})
SILENT = (None, {})
NO = (503, {"role": "primary"})


@pytest.fixture
def program(monkeypatch):
    """The modules of the program."""
    place = ROOT / "salt/pgha/guard/files/pgha-guard"
    monkeypatch.syspath_prepend(place)
    modules = types.SimpleNamespace()
    # In the order in which they import each other.
    for name, path in ("host", "host.py"), ("clients", "clients.py"), ("guard", "__main__.py"):
        spec = importlib.util.spec_from_file_location(name, place / path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        setattr(modules, name, module)
    return modules


@pytest.fixture
def guard(program, monkeypatch):
    """A guard that is told answers in turn, a second apart, and notes what it does in ``done``."""
    told = {"limit": 18, "unseen": 25, "fresh": 12, "address": VIP, "port": 5432, "user": USER, "mover": None}
    one = program.guard.Guard(told)
    one.clock, one.done, one.state, one.rules, one.announced = 1000.0, [], "ready", [], []
    one.address_here = True

    def hears(*answers, apart=1.0):
        for answer in answers:
            one.clock += apart
            monkeypatch.setattr(one, "ask", lambda answer=answer: answer)
            one.round()
        return one.done

    def fence(why):
        one.done.append("fence")
        one.held = None

    clock = types.SimpleNamespace(clock_gettime=lambda _which: one.clock, CLOCK_BOOTTIME=7, time=lambda: NOW)
    monkeypatch.setattr(program.guard, "time", clock)
    monkeypatch.setattr(program.clients, "time", clock)
    monkeypatch.setattr(one, "fence", fence)
    monkeypatch.setattr(one, "take_address", lambda why: one.done.append("address"))
    monkeypatch.setattr(one, "server", lambda: one.state)
    monkeypatch.setattr(program.host, "run", lambda *_words, input: one.rules.append(input) or ("", ""))
    monkeypatch.setattr(program.host, "is_here", lambda address: one.address_here and address == VIP)
    monkeypatch.setattr(program.host, "addresses", lambda: [{"ifname": "eth0", "local": VIP, "mac": MAC}])
    monkeypatch.setattr(program.clients, "announce", lambda *what: one.announced.append((one.clock, *what)))
    one.hears = hears
    return one


def test_a_leader_that_is_well_is_left_alone(guard):
    assert guard.hears(*[LEADS] * 100) == []


@pytest.mark.parametrize("answer", [SILENT, NO, (500, {})])
def test_without_a_yes_for_longer_than_the_lease_may_last_the_guard_acts_once(guard, answer):
    assert guard.hears(LEADS, *[answer] * 18) == []
    assert guard.hears(answer) == ["fence"]
    assert guard.hears(*[answer] * 100) == ["fence"]
    assert guard.hears(LEADS, *[answer] * 19) == ["fence", "fence"]


def yes(look, **more):
    """Patroni's yes, with the moment in which it last saw the DCS."""
    return 200, {"role": "primary", "dcs_last_seen": look, **more}


def test_a_yes_of_a_patroni_that_sees_the_dcs_no_more_counts_until_it_must_have_found_out(guard):
    """It hangs before it renews its lease, and its API says yes until the lease is over."""
    assert guard.hears(*[yes(NOW)] * 26) == []
    # The first one may be of a host that stood still: Patroni gets a chance to look.
    assert guard.hears(yes(NOW)) == []
    assert guard.hears(yes(NOW)) == ["fence"]
    # A server that a person starts by hand after that is left alone.
    assert guard.hears(*[yes(NOW)] * 100) == ["fence"]
    assert guard.hears(yes(NOW + 1), *[yes(NOW + 1)] * 26) == ["fence"]
    assert guard.hears(yes(NOW + 1)) == ["fence", "fence"]


def test_a_patroni_that_saw_no_dcs_and_then_died_does_not_get_the_whole_time_anew(guard):
    assert guard.hears(*[yes(NOW)] * 20, *[SILENT] * 6) == []
    assert guard.hears(SILENT) == ["fence"]


@pytest.mark.parametrize("apart", [0.25, 1.0, 10.0])
def test_a_leader_that_looks_at_the_dcs_is_left_alone_whatever_the_clock_says(guard, apart):
    looks = [NOW, NOW + 1, NOW + 7200, NOW + 7201, NOW - 7200, NOW - 7199]
    assert guard.hears(*[yes(look) for look in looks for _ in range(int(20 / apart))], apart=apart) == []


def test_a_leader_that_needs_no_dcs_is_left_alone(guard):
    assert guard.hears(*[yes(NOW)] * 23, *[yes(NOW, failsafe_mode_is_active=True)] * 200) == []
    # From the last time that it says so, all counts as if it had seen the DCS then.
    assert guard.hears(*[yes(NOW)] * 26) == []
    assert guard.hears(yes(NOW)) == ["fence"]


def test_in_a_pause_it_does_not_matter_when_the_dcs_was_seen(guard):
    assert guard.hears(*[yes(NOW, pause=True)] * 100) == []


def test_after_the_host_stood_still_patroni_gets_a_chance_to_look_at_the_dcs(guard):
    assert guard.hears(yes(NOW), yes(NOW)) == []
    assert guard.hears(yes(NOW), apart=60) == []
    assert guard.hears(yes(NOW + 60)) == []


def test_one_yes_in_time_is_enough(guard):
    assert guard.hears(*[LEADS, *[SILENT] * 17] * 5) == []


def test_after_the_host_stood_still_patroni_gets_a_chance_to_answer(guard):
    guard.hears(LEADS)
    assert guard.hears(SILENT, apart=60) == []
    assert guard.hears(LEADS, SILENT) == []
    assert guard.hears(SILENT, apart=60) == ["fence"]


def test_what_was_never_heard_to_lead_is_left_alone(guard):
    assert guard.hears(*[SILENT] * 100, *[NO] * 100) == []


@pytest.mark.parametrize("answer", [SILENT, NO])
def test_a_pause_is_respected_also_when_patroni_is_stopped_in_it(guard, answer):
    paused = (answer[0], answer[1] | {"pause": True}) if answer[0] else answer
    assert guard.hears((200, {"role": "primary", "pause": True}), *[paused] * 100) == []
    assert guard.hears(LEADS, *[answer] * 19) == ["fence"]


def test_a_pause_that_begins_without_a_yes_is_respected(guard):
    assert guard.hears(LEADS, (503, {"pause": True}), *[SILENT] * 100) == []


@pytest.mark.parametrize("role", ["replica", "demoted"])
def test_who_follows_has_no_virtual_ip_and_its_server_runs_on(guard, role):
    assert guard.hears(LEADS, (503, {"role": role})) == ["address"]


def test_a_leader_says_each_second_where_the_address_is(guard):
    guard.hears(*[LEADS] * 40, apart=0.25)
    assert guard.announced == [(1000.25 + second, VIP, "eth0", MAC) for second in range(10)]
    guard.hears(*[NO] * 10)
    assert len(guard.announced) == 10


@pytest.mark.parametrize(("age", "told"), [(0, 1), (12, 1), (13, 0), (-5, 1)])
def test_who_has_not_seen_the_dcs_for_a_while_says_nothing(guard, age, told):
    guard.hears((200, {"role": "primary", "dcs_last_seen": NOW - age}))
    assert len(guard.announced) == told


def test_what_is_not_here_is_not_announced(guard):
    guard.address_here = False
    guard.hears(*[LEADS] * 20)
    assert guard.announced == []


@pytest.fixture
def moved(guard, program, monkeypatch):
    """What the guard tells the program that moves the address, by the clock; the address is away."""
    told = []
    guard.settings["mover"], guard.address_here = HELPER, False
    said = f"{VIP}/24 added to eth0\n"
    monkeypatch.setattr(program.host, "run", lambda *words: told.append((guard.clock, *words)) or (said, ""))
    return told


def test_a_leader_without_the_address_puts_it_back_where_the_callback_moves_it(guard, moved, capsys):
    guard.hears(*[LEADS] * 8, apart=0.25)
    assert moved == []
    guard.hears(*[LEADS] * 9, apart=0.25)
    assert moved == [(1002.25, HELPER, "add")]
    guard.address_here = True
    guard.hears(*[LEADS] * 20)
    assert len(moved) == 1
    assert capsys.readouterr().out == f"{VIP} was gone while this host led, and is put back\n"


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        (("", "no interface has the host's address"), "in vain (no interface has the host's address)"),
        # The interface is down, or the program has another address than the guard already.
        ((f"{VIP}/24 is here already\n", ""), "in vain (the host has it)"),
    ],
)
def test_what_is_in_vain_is_tried_again_after_twice_as_long(guard, program, moved, monkeypatch, capsys, answer, how):
    times = []
    monkeypatch.setattr(program.host, "run", lambda *_words: times.append(guard.clock) or answer)
    guard.hears(*[LEADS] * 300)
    assert [round(after - before) for before, after in zip(times, times[1:], strict=False)] == [
        4,
        8,
        16,
        32,
        60,
        60,
        60,
    ]
    assert capsys.readouterr().out.splitlines() == [
        f"{VIP} was gone while this host led, and is put back {how}" for _ in times
    ]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (NO, "ready"),
        (SILENT, "ready"),
        ((503, {"role": "replica"}), ""),
        # Its server ends: the address is to go.
        (LEADS, "stopping"),
        # Another one may lead, or a person works on it.
        ((200, {"role": "primary", "dcs_last_seen": NOW - 13}), "ready"),
        ((200, {"role": "primary", "pause": True}), "ready"),
    ],
)
def test_only_a_leader_that_is_well_puts_the_address_back(guard, moved, answer, state):
    guard.hears(LEADS)
    guard.state = state
    guard.hears(*[answer] * 10)
    assert [what for what in moved if "add" in what] == []


def test_what_was_under_way_is_waited_for(guard, moved):
    for _ in range(10):
        guard.hears(*[LEADS] * 7, apart=0.25)
        guard.address_here = True
        guard.hears(LEADS, apart=0.25)
        guard.address_here = False
    assert moved == []


def test_vip_manager_puts_the_address_back_by_itself(guard, moved):
    guard.settings["mover"] = None
    guard.hears(*[LEADS] * 10)
    assert moved == []


def test_the_link_is_looked_up_again_when_the_address_has_come_back(guard, program, monkeypatch):
    guard.hears(LEADS)
    monkeypatch.setattr(program.host, "addresses", lambda: [{"ifname": "eth1", "local": VIP, "mac": MAC}])
    guard.hears(LEADS)
    guard.address_here = False
    guard.hears(LEADS)
    guard.address_here = True
    guard.hears(LEADS)
    assert [place for _, _, place, _ in guard.announced] == ["eth0", "eth0", "eth1"]


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        # It ends: its own port refuses already, and the address goes in a moment.
        ("stopping", LEADS),
        ("", LEADS),
        ("ready", NO),
        ("", (503, {"role": "replica"})),
        ("", SILENT),
    ],
)
def test_who_cannot_be_served_here_is_refused_until_shortly_after_the_address_has_gone(guard, state, answer):
    guard.hears(LEADS, LEADS)
    guard.state = state
    guard.hears(*[answer] * 20)
    (rules,) = guard.rules
    assert "reject with tcp reset" in rules
    assert f"ip daddr {VIP} tcp dport 5432" in rules
    guard.address_here = False
    guard.hears(answer, answer)
    assert len(guard.rules) == 1
    guard.hears(answer)
    assert len(guard.rules) == 2
    assert "reject" not in guard.rules[1]
    guard.hears(*[answer] * 20)
    assert len(guard.rules) == 2


def test_a_patroni_that_starts_again_beside_its_server_is_no_reason_to_refuse(guard):
    guard.hears(LEADS, *[SILENT] * 10)
    guard.address_here = False
    guard.hears(*[SILENT] * 5, LEADS)
    assert guard.rules == []


def test_where_the_address_never_was_nobody_is_refused(guard):
    guard.address_here, guard.state = False, ""
    guard.hears(*[(503, {"role": "replica"})] * 10)
    assert guard.rules == []


def test_without_an_address_nothing_is_refused(guard):
    guard.clients = None
    guard.hears(LEADS, NO)
    assert guard.rules == []


def test_a_system_that_cannot_refuse_says_so_once_a_change(guard, program, monkeypatch, capsys):
    monkeypatch.setattr(program.host, "run", lambda *_words, **_more: ("", "[Errno 2] No such file or directory"))
    guard.hears(LEADS, *[NO] * 10)
    assert capsys.readouterr().out.count("is not refused, and waits: [Errno 2]") == 1


def test_what_fails_of_it_keeps_the_guard_from_nothing(guard, program, monkeypatch, capsys):
    def refuses(*_what):
        raise PermissionError("no raw sockets here")

    monkeypatch.setattr(program.clients, "announce", refuses)
    guard.hears(*[LEADS] * 5, apart=0.25)
    monkeypatch.setattr(program.host, "is_here", refuses)
    assert guard.hears(*[LEADS] * 5, *[SILENT] * 19) == ["fence"]
    said = capsys.readouterr().out.splitlines()
    assert said == [f"clients may look for {VIP} at a wrong place: no raw sockets here"]


# As PostgreSQL 18 writes it: process, data, start, port, socket, address, shared memory, state.
PID_FILE = "{}\n/pgdata/test\n1764392400\n5432\n/run/postgresql\n*\n  1234567     32770\n{}\n"


@pytest.fixture
def member(program, tmp_path):
    """A guard and a real process in place of PostgreSQL's."""
    server, data = tmp_path / "postgres", tmp_path / "data"
    shutil.copy(shutil.which("sleep"), server)
    data.mkdir()
    process = subprocess.Popen([server, "600"])
    (data / "postmaster.pid").write_text(PID_FILE.format(process.pid, "ready   "))
    one = program.guard.Guard({"data_dir": str(data), "program": str(server), "address": None, "user": USER})
    one.process, one.data = process, data
    yield one
    process.kill()
    process.wait()


def test_a_primary_is_stopped_at_once(member, capsys):
    member.fence("the lease may be over")
    assert member.process.wait(10) == -signal.SIGQUIT
    assert capsys.readouterr().out == "PostgreSQL is stopped: the lease may be over\n"


def test_a_primary_whose_package_was_updated_is_stopped(member):
    server = member.settings["program"]
    os.unlink(server)
    shutil.copy(shutil.which("sleep"), server)
    member.fence("the lease may be over")
    assert member.process.wait(10) == -signal.SIGQUIT


def test_a_server_that_does_not_stop_is_killed(member, program, monkeypatch):
    monkeypatch.setattr(program.guard, "DYING", 0.1)
    member.process.send_signal(signal.SIGSTOP)
    # It has really stopped; before that it would take the next signal.
    os.waitid(os.P_PID, member.process.pid, os.WSTOPPED | os.WNOWAIT)
    member.fence("the lease may be over")
    assert member.process.wait(10) == -signal.SIGKILL


def spoilt(member, how):
    pid = member.data / "postmaster.pid"
    if how == "replica":
        (member.data / "standby.signal").touch()
    elif how == "another program":
        member.settings["program"] = "/bin/true"
    elif how == "link":
        pid.rename(member.data / "real")
        pid.symlink_to("real")
    elif how == "pipe":
        pid.unlink()
        os.mkfifo(pid)
    elif how == "no file":
        pid.unlink()
    else:
        pid.write_text(how)


@pytest.mark.parametrize(
    "how",
    ["replica", "another program", "link", "pipe", "no file", "", "0\n", "1\n", "-1\n", "x\n", "9" * 30, "99999999\n"],
)
def test_nothing_else_is_stopped(member, how):
    spoilt(member, how)
    member.fence("the lease may be over")
    assert member.process.poll() is None
    assert member.held is None


def test_a_process_whose_program_cannot_be_read_is_not_stopped(member, monkeypatch):
    def refuses(_path):
        raise PermissionError("no right to look at it")

    before = len(os.listdir("/proc/self/fd"))
    # Only the look at the process: the paths of the test itself are read as ever.
    monkeypatch.setattr(os, "readlink", refuses)
    member.fence("the lease may be over")
    monkeypatch.undo()
    assert member.process.poll() is None
    assert member.held is None
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_a_server_that_takes_no_writes_is_left_alone_until_it_does(member, state):
    member.held = 1
    (member.data / "postmaster.pid").write_text(PID_FILE.format(member.process.pid, state))
    member.fence("the lease may be over")
    assert member.process.poll() is None
    assert member.held == 1
    (member.data / "postmaster.pid").write_text(PID_FILE.format(member.process.pid, "ready   "))
    member.fence("the lease may be over")
    assert member.process.wait(10) == -signal.SIGQUIT
    assert member.held is None


def test_a_program_that_hangs_keeps_no_server_from_being_stopped(member, program, monkeypatch, tmp_path, capsys):
    slow = tmp_path / "ip"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    run = program.host.run
    monkeypatch.setattr(program.host, "PATIENCE", 0.1)
    monkeypatch.setattr(program.host, "run", lambda *words: run(slow, *words[1:]))
    monkeypatch.setattr(program.host, "is_here", lambda _address: True)
    member.settings["address"] = VIP
    member.fence("the lease may be over")
    assert member.process.wait(10) == -signal.SIGQUIT
    assert "PostgreSQL is stopped" in capsys.readouterr().out


@pytest.mark.parametrize(("here", "called"), [(True, ["/sbin/ip addr del 192.0.2.40/24 dev eth0"]), (False, [])])
def test_the_address_is_taken_from_where_it_is(member, program, monkeypatch, capsys, here, called):
    calls = []
    known = [
        {"ifname": "lo", "local": "127.0.0.1", "prefixlen": 8},
        {"ifname": "eth0", "local": "fe80::1", "prefixlen": 64},
        {"ifname": "eth0", "local": VIP, "prefixlen": 24},
    ]
    monkeypatch.setattr(program.host, "is_here", lambda address: here and address == VIP)
    monkeypatch.setattr(program.host, "addresses", lambda: known)
    monkeypatch.setattr(program.host, "run", lambda *words: calls.append(" ".join(words)) or ("", ""))
    member.settings["address"] = VIP
    member.take_address("PostgreSQL is a replica here")
    assert calls == called
    assert (f"{VIP} is taken from eth0: PostgreSQL is a replica here\n" == capsys.readouterr().out) is here


def test_an_address_of_the_host_is_seen_and_another_one_is_not(program):
    assert program.host.is_here("127.0.0.1")
    assert not program.host.is_here(VIP)


def asker(program, url, user=USER):
    """A guard that asks at a URL, where the process of a user has to listen."""
    one = program.guard.Guard({"url": url, "address": None, "user": user})
    # It knows who listens there from its first question.
    assert one.ask() == SILENT
    return one


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ((200, json.dumps({"role": "primary"})), LEADS),
        ((503, json.dumps({"role": "replica"})), (503, {"role": "replica"})),
        ((200, "[]"), (200, {})),
        ((200, "no JSON"), SILENT),
        ((200, "[" * 9000), SILENT),
    ],
)
def test_patroni_is_asked_whether_this_host_leads(program, http_service, answer, heard):
    http_service.answers.append(answer)
    assert asker(program, http_service.address).ask() == heard
    assert [asked[:2] for asked in http_service.asked] == [("GET", "/leader")]


def test_nobody_who_listens_is_no_answer(program, capsys):
    assert asker(program, "http://127.0.0.1:1").ask() == SILENT
    assert capsys.readouterr().out == ""


def test_patroni_is_asked_by_tls_whoever_has_signed_its_certificate(program, http_service, tmp_path):
    own = pghalib.secrets.x509.issue("db1", {"127.0.0.1"}, pghalib.secrets.x509.authority("dc", 3000), 365)
    (tmp_path / "postgres.pem").write_text(own["key"] + own["certificate"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "postgres.pem")
    http_service.server.socket = context.wrap_socket(http_service.server.socket, server_side=True)
    http_service.answers.append((200, json.dumps({"role": "primary"})))
    assert asker(program, http_service.address.replace("http:", "https:")).ask() == LEADS


@pytest.mark.root
def test_a_yes_of_another_user_in_patronis_place_is_none(program, capsys):
    with listeners.listening(status=200) as other:
        one = asker(program, other.url)
        assert [one.ask() for _ in range(3)] == [SILENT] * 3
        # Each connection is left without a word.
        assert set(other.heard()) <= {"b''"}
    # It is said once.
    assert capsys.readouterr().out == (
        "in Patroni's place listens uid 65534, whose word does not count: end that process\n"
    )


def test_only_the_user_of_postgresql_is_asked(program, http_service, capsys):
    """The same for any user who runs these tests."""
    stranger = "nobody" if USER != "nobody" else "root"
    one = asker(program, http_service.address, stranger)
    assert one.ask() == SILENT
    assert http_service.asked == []
    one.user = UID
    http_service.answers.append((200, json.dumps({"role": "primary"})))
    assert one.ask() == LEADS
    one.user = pwd.getpwnam(stranger).pw_uid
    assert one.ask() == SILENT
    assert capsys.readouterr().out.count(f"listens uid {UID}, ") == 1


def test_after_the_yes_of_a_stranger_for_longer_than_the_lease_may_last_the_guard_acts(
    program, guard, http_service, monkeypatch
):
    ask = program.guard.Guard.ask
    guard.settings["url"] = http_service.address
    http_service.answers += [(200, json.dumps({"role": "primary", "pause": False}))] * 30
    guard.hears(LEADS)
    guard.settings["user"] = "nobody" if USER != "nobody" else "root"
    for second in range(19):
        assert guard.done == [], second
        guard.hears(ask(guard))
    assert guard.done == ["fence"]
    assert http_service.asked == []
    assert [when for when, *_ in guard.announced] == [1001.0]


@pytest.mark.parametrize("stranger", [None, (UID, 2), (UID + 1, 3)])
def test_only_who_listened_before_and_after_the_connection_is_asked(program, http_service, monkeypatch, stranger):
    """Somebody else may have got the connection: who listened in between, and has closed his socket since."""
    found = [(UID, 1), stranger, (UID, 4), (UID, 4)]
    monkeypatch.setattr(program.host, "listener", lambda *_place: found.pop(0))
    one = asker(program, http_service.address)
    assert [one.ask() for _ in range(2)] == [SILENT] * 2
    assert http_service.asked == []
    assert one.ask()[0] == 200
    assert found == []


def test_the_user_of_postgresql_may_get_another_number(program, http_service, monkeypatch):
    one = asker(program, http_service.address)
    one.user, one.listener = UID + 1, (None, None)
    http_service.answers.append((200, json.dumps({"role": "primary"})))
    assert [one.ask(), one.ask()] == [SILENT, LEADS]


def test_a_kernel_that_answers_no_questions_about_sockets_has_its_tables(program, monkeypatch):
    def refuses(*_place):
        raise OSError("Protocol not supported")

    with socket.create_server(("127.0.0.1", 0)) as server:
        found, port = (UID, os.fstat(server.fileno()).st_ino), server.getsockname()[1]
        assert program.host.looked_up("127.0.0.1", port) == found
        for answer in (refuses, lambda *_place: None):
            monkeypatch.setattr(program.host, "looked_up", answer)
            assert program.host.listener("127.0.0.1", port) == found


def test_a_kernel_that_does_not_tell_who_listens_is_no_answer(program, http_service, monkeypatch):
    def refuses(*_place):
        raise PermissionError("no tables here")

    monkeypatch.setattr(program.host, "listener", refuses)
    assert asker(program, http_service.address).ask() == SILENT


@pytest.mark.parametrize("bound", ["127.0.0.1", "", "::"])
def test_a_listener_is_found_also_where_it_listens_at_all_addresses(program, bound):
    asked, family = "127.0.0.1", socket.AF_INET6 if bound == "::" else socket.AF_INET
    try:
        server = socket.create_server((bound, 0), family=family, dualstack_ipv6=bound == "::")
    except OSError as error:
        pytest.skip(f"no such address here: {error}")
    with server:
        port = server.getsockname()[1]
        # A connection has the same address and port.
        with socket.create_connection((asked, port)), server.accept()[0]:
            assert program.host.listener(asked, port) == (UID, os.fstat(server.fileno()).st_ino)
    assert program.host.listener(asked, port) is None
    assert program.host.looked_up(asked, port) is None


def table(*rows):
    """A table of the kernel with rows of (address, state, uid), all of port 8008."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    return head + "".join(
        f"{number:4}: {local}:1F48 00000000:0000 {state} 0:0 00:0 0 {uid:5} 0 {1000 + number} 1 0\n"
        for number, (local, state, uid) in enumerate(rows)
    )


def words(packed):
    """An address as the kernel prints it on this machine."""
    return "".join(
        f"{int.from_bytes(packed[begin : begin + 4], sys.byteorder):08X}" for begin in range(0, len(packed), 4)
    )


OWN, OTHER, ANY = (words(socket.inet_aton(one)) for one in ("192.0.2.21", "192.0.2.22", "0.0.0.0"))
OTHER6, ANY6 = (words(socket.inet_pton(socket.AF_INET6, one)) for one in ("fd00:2::1", "::"))


@pytest.mark.parametrize(
    ("tcp", "tcp6", "uid"),
    [
        ([(OTHER, "0A", 6), (OWN, "0A", 5)], [], 5),
        ([(OTHER, "0A", 6), (OWN, "01", 6)], [], None),
        ([(ANY, "0A", 5)], [], 5),
        ([], [(OTHER6, "0A", 6), (ANY6, "0A", 5)], 5),
        # An address of IPv6 that the host has as well.
        ([], [(OTHER6, "0A", 6)], None),
        # The kernel gives them no connection beside a better one, and anybody may open them.
        ([(ANY, "0A", 6), (OWN, "0A", 5)], [(ANY6, "0A", 6)], 5),
        ([(ANY, "0A", 5)], [(ANY6, "0A", 6)], 5),
    ],
)
def test_who_listens_is_whom_the_kernel_gives_the_connection(program, monkeypatch, tmp_path, tcp, tcp6, uid):
    for name, rows in ("tcp", tcp), ("tcp6", tcp6):
        (tmp_path / name).write_text(table(*rows))
    monkeypatch.setattr(program.host, "TABLES", tmp_path)
    assert (program.host.listener("192.0.2.21", 8008) or [None])[0] == uid
    assert program.host.listener("192.0.2.21", 8009) is None


def test_without_ipv6_its_table_is_not_missed(program, monkeypatch, tmp_path):
    (tmp_path / "tcp").write_text(table((ANY, "0A", 5)))
    monkeypatch.setattr(program.host, "TABLES", tmp_path)
    assert program.host.listener("192.0.2.21", 8008) == (5, 1000)


def test_what_is_connected_is_not_read_however_much_it_is(program, monkeypatch, tmp_path):
    (tmp_path / "tcp").write_text(table((OTHER, "0A", 6), (ANY, "01", 6)) + "no row\n")
    monkeypatch.setattr(program.host, "TABLES", tmp_path)
    assert program.host.listener("192.0.2.21", 8008) is None


def settings(**patroni):
    return {
        "address": "192.0.2.21",
        "patroni": {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "restapi_port": 8008, "config": None, **patroni},
        "postgres": {
            "data_dir": "/pgdata/test",
            "bin_dir": "/usr/lib/postgresql/18/bin",
            "user": "postgres",
            "port": 5432,
        },
        "cluster": {"vip": {"address": VIP}},
        "vip": {"manager": "vip-manager"},
        "tls": {"enabled": False},
    }


def test_the_guard_is_told_where_to_ask_and_how_long_a_lease_may_last():
    assert pghalib.patroni.guard.config(settings(), HELPER) == {
        "url": "http://192.0.2.21:8008",
        "limit": 18,
        "unseen": 25,
        "fresh": 12,
        "interval": 0.25,
        "address": VIP,
        "port": 5432,
        "user": "postgres",
        "data_dir": "/pgdata/test",
        "program": "/usr/lib/postgresql/18/bin/postgres",
        "mover": None,
    }


@pytest.mark.parametrize(("manager", "mover"), [("callback", HELPER), ("none", None)])
def test_the_guard_is_told_who_moves_the_address_where_nobody_else_puts_it_back(manager, mover):
    assert pghalib.patroni.guard.config({**settings(), "vip": {"manager": manager}}, HELPER)["mover"] == mover


def refused(**patroni):
    hosts = {f"db{number}": f"192.0.2.{number}" for number in (1, 2)}
    pgha = {
        "vip": {"manager": "none"},
        "patroni": patroni,
        "datacenters": {"dc": {"servers": {f"dcs{number}": f"192.0.2.{number + 10}" for number in (1, 2, 3)}}},
        "clusters": {"test": {"hosts": hosts}},
    }
    return pghalib.pillar.validate.faults(pgha, DEFAULTS)


def test_with_every_timing_that_the_pillar_may_have_the_guard_acts_before_the_lease_may_end():
    taken = 0
    for ttl in (20, 21, 29, 30, 45, 90):
        for loop_wait, retry in itertools.product(range(ttl + 1), (0, 3, 5, 10)):
            timing = {"ttl": ttl, "loop_wait": loop_wait}
            if not refused(**timing, retry_timeout=retry):
                taken += 1
                told = pghalib.patroni.guard.config(settings(**timing, retry_timeout=retry), HELPER)
                assert pghalib.patroni.guard.LEAST <= told["limit"] < ttl - loop_wait
                # A leader that has just died, or found that failsafe_mode lets it lead on, has its time.
                assert told["limit"] <= told["unseen"] < ttl
                assert told["unseen"] >= loop_wait + retry + min(3, retry)
    assert taken > 100


def test_a_lease_too_short_for_the_guard_is_refused_with_the_remedy_where_there_is_a_guard():
    timing = {"ttl": 30, "loop_wait": 21, "retry_timeout": 3}
    (fault,) = refused(**timing)
    assert fault.startswith("pgha:patroni:ttl: a ttl of 30 is less than loop_wait + 10 (21 + 10): the guard ")
    assert fault.endswith("; give 31 or more, lower loop_wait, or set guard to false")
    for mended in ({"ttl": 31}, {"loop_wait": 20}, {"guard": False}):
        assert refused(**timing | mended) == []


@pytest.mark.parametrize("over", [{"vip": {"manager": "none"}}, {"cluster": {"vip": None}}])
def test_without_a_virtual_ip_there_is_none_to_take_away(over):
    assert pghalib.patroni.guard.config(settings() | over, HELPER)["address"] is None


@pytest.mark.parametrize(
    ("role", "wanted", "state", "said"),
    [
        ("db", True, "active/running", []),
        ("db", True, "activating/start-pre", []),
        ("db", True, "reloading/reload", []),
        ("db", True, "deactivating/stop-post", ["pgha-guard does not run"]),
        ("db", True, "activating/auto-restart", ["pgha-guard ended and waits for its next start"]),
        ("db", True, "activating/auto-restart-queued", ["pgha-guard ended and waits for its next start"]),
        ("db", True, "inactive/dead", ["pgha-guard does not run"]),
        ("db", True, "failed/failed", ["pgha-guard does not run"]),
        ("db", False, "inactive/dead", []),
        ("dcs", True, "inactive/dead", []),
    ],
)
def test_a_host_without_its_guard_says_so(loader_module, role, wanted, state, said):
    def show(name):
        return dict(zip(("ActiveState", "SubState"), state.split("/"), strict=True)) if "pgha-guard" in name else {}

    salt = {"pgha.settings": lambda: {"role": role, "patroni": {"guard": wanted}}, "service.show": show}
    found = loader_module("_modules/pgha_guard.py", salt=salt).faults()
    assert [one.partition(":")[0] for one in found] == said


@pytest.mark.parametrize(
    ("role", "mode", "told", "said"),
    [
        ("db", "required", {"watchdog_failed": True}, True),
        ("db", "required", {}, False),
        ("db", "required", {"watchdog_failed": "x"}, False),
        ("db", "required", None, False),
        ("db", "automatic", {"watchdog_failed": True}, False),
        ("dcs", "required", {"watchdog_failed": True}, False),
    ],
)
def test_a_replica_whose_watchdog_is_gone_says_that_it_will_never_lead(loader_module, role, mode, told, said):
    settings = {"role": role, "patroni": {"watchdog": mode}}
    salt = {"pgha.settings": lambda: settings, "pgha_patroni.member": lambda: told}
    found = loader_module("_modules/pgha_guard.py", salt=salt).watchdog_faults()
    assert ["this host will never lead" in one for one in found] == [True] * said
