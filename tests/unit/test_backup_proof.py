"""A proof that a backup can be restored: whose turn it is, what is kept of what it shows, and how it is told."""

import fcntl
import importlib.util
import json
import os
import subprocess
import time
import types
from pathlib import Path

import pghalib.backup.proof
import pghalib.services.transient
import pytest
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
PROOF = {"at": 1000.0, "host": "db2", "backup": "20261129-010000F", "size": 5, "fetched": 2.0, "recovered": 4.0,
         "checked": 5.0, "newest": 940.0, "checks": ["pg_amcheck", "pg_dumpall"], "fault": None,
         "canary": 940.0, "back": 640.0, "noted": 600.0}  # fmt: skip


CONFIG = {"stanza": "one", "name": "db2", "bin_dir": "/none", "url": "x", "back": 300, "repositories": ["main", "far"]}


@pytest.fixture
def program(monkeypatch, tmp_path):
    """The program, with its files below a directory of the test."""
    spec = importlib.util.spec_from_file_location("pgha_proof_program", ROOT / "salt/pgha/backup/files/pgha-proof.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULT", str(tmp_path / "proof.json"))
    monkeypatch.setattr(module, "LOCK", str(tmp_path))
    return module


@pytest.mark.parametrize(
    ("members", "turn"),
    [
        ([("db1", "running"), ("db2", "streaming"), ("db3", "streaming")], "db2"),
        ([("db3", "streaming"), ("db1", "running")], "db3"),
        ([("db2", "in archive recovery"), ("db1", "running")], "db1"),
        ([("db1", "in archive recovery"), ("db2", "running")], "db2"),
        ([("db1", "stopped")], None),
        ([("db1", "running")], "db1"),
        ([], None),
    ],
)
def test_one_member_makes_the_proof_a_replica_where_there_is_one(program, monkeypatch, members, turn):
    roles = {"running": "leader"}
    found = [{"name": name, "state": state, "role": roles.get(state, "replica")} for name, state in members]
    monkeypatch.setattr(program, "members", lambda _url: found)
    due = [name for name in ("db1", "db2", "db3") if program.turn({"url": "x", "name": name})]
    assert due == ([turn] if turn else [])


def test_what_does_not_fit_is_not_fetched(program, monkeypatch, tmp_path):
    backup = {"label": "a", "timestamp": {"stop": 1}, "info": {"size": 2**60}, "database": {"repo-key": 1}}
    said = json.dumps([{"backup": [backup, {**backup, "error": True}]}])
    monkeypatch.setattr(program, "run", lambda *_: said)
    with pytest.raises(program.Failed, match="the newest backup takes"):
        program.chosen({"stanza": "one", "proof": str(tmp_path)})
    monkeypatch.setattr(program, "run", lambda *_: "[]")
    with pytest.raises(program.Failed, match="there is no backup"):
        program.chosen({"stanza": "one", "proof": str(tmp_path)})


def test_several_repositories_take_turns_and_each_proof_is_of_one(program, monkeypatch, tmp_path):
    def backup(label, number, stop):
        return {"label": label, "timestamp": {"stop": stop}, "info": {"size": stop}, "database": {"repo-key": number}}

    said = json.dumps([{"backup": [backup("a", 1, 5), backup("b", 3, 6), backup("c", 3, 7), backup("d", 1, 9)]}])
    monkeypatch.setattr(program, "run", lambda *_: said)
    found = []
    for week in range(4):
        monkeypatch.setattr(program.time, "time", lambda week=week: (week + 0.5) * program.WEEK)
        found.append(program.chosen({"stanza": "one", "proof": str(tmp_path)}))
    assert found == [(1, "d", 9, 5), (3, "c", 7, 6)] * 2


def test_a_proof_reads_the_repository_that_it_names(program, monkeypatch, tmp_path):
    ran = []
    (tmp_path / "one.proof").mkdir()
    monkeypatch.setattr(program, "alone", lambda _config: None)
    monkeypatch.setattr(program, "chosen", lambda _config: (2, "20261129-010000F", 5, 0))

    def run(words, *_):
        ran.append(words)
        raise program.Failed("far enough")

    monkeypatch.setattr(program, "run", run)
    shown = program.proved({**CONFIG, "proof": str(tmp_path / "one.proof")})
    assert shown["backup"] == "20261129-010000F of the repository far"
    assert "--repo=2" in ran[0]


def test_a_proof_that_fails_says_why_and_leaves_nothing(program, monkeypatch, tmp_path):
    place = tmp_path / "one.proof"
    (place / "base").mkdir(parents=True)
    (place / "link").symlink_to(tmp_path)
    (tmp_path / "other").write_text("stays")
    config = {**CONFIG, "proof": str(place)}
    monkeypatch.setattr(program, "chosen", lambda _config: (1, "20261129-010000F", 5, 0))
    monkeypatch.setattr(program, "BINARY", str(tmp_path / "no-such-program"))
    shown = program.proved(config)
    assert shown["fault"].startswith("the backup is not fetched: ")
    assert os.listdir(place) == []
    assert (tmp_path / "other").read_text() == "stays"


class Copy:
    """A copy without a server, as :py:func:`proved` uses one; ``notes``: the times that are noted in it, in turn."""

    def __init__(self, notes, newest):
        self.notes, self.newest, self.fetched = list(notes), newest, []

    def fetch(self, *options):
        self.fetched.append(options)

    def note(self):
        return self.notes.pop(0)

    def ask(self, _sql):
        return str(self.newest)

    def start(self):
        """Nothing."""

    recovered = stop = forget = start


@pytest.fixture
def proof_of(program, monkeypatch, tmp_path):
    """A function (times noted in the copy, …) -> (what is shown, the copy, now); times in seconds ago."""

    def build(notes, newest=60, oldest=4000, **over):
        now = time.time()
        (tmp_path / "one.proof").mkdir()
        copy = Copy([note if note is None else now - note for note in notes], now - newest)
        monkeypatch.setattr(program, "Copy", lambda _config: copy)
        monkeypatch.setattr(program, "chosen", lambda _config: (1, "20261129-010000F", 5, now - oldest))
        monkeypatch.setattr(program, "checked", lambda *_: ["pg_dumpall"])
        return program.proved({**CONFIG, "proof": f"{tmp_path}/one.proof", **over}), copy, now

    return build


def test_a_proof_goes_back_from_the_end_of_the_archive(proof_of):
    shown, copy, now = proof_of([100, 400])
    assert shown["fault"] is None
    assert (round(now - shown["back"]), round(now - shown["noted"])) in ((360, 400), (361, 400))
    assert [options[:1] for options in copy.fetched] == [(), ("--type=time",)]
    moment = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(shown["back"]))
    assert f"--target={moment}" in copy.fetched[1]


@pytest.mark.parametrize("over", [{"oldest": 200}, {"back": 0}])
def test_a_proof_does_not_go_back_where_no_backup_is_as_old_or_nobody_wants_it(proof_of, over):
    shown, copy, _ = proof_of([100], **over)
    assert (shown["fault"], "back" in shown, len(copy.fetched)) == (None, False, 1)


def test_tablespaces_are_restored_beside_the_copy_and_never_to_their_own_places(program, monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(program, "run", lambda words, *_: ran.append(words))
    copy = program.Copy({**CONFIG, "proof": str(tmp_path)})
    program.shutil.rmtree(copy.socket)
    copy.fetch("--type=time")
    (words,) = ran
    assert {f"--pg1-path={tmp_path}/data", f"--tablespace-map-all={tmp_path}/tablespaces", "--type=time"} < set(words)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_proof_that_could_write_to_the_data_beside_it_does_nothing(program, tmp_path):
    for name in ("one", "one.proof"):
        (tmp_path / name).mkdir()
    shown = program.proved({**CONFIG, "proof": str(tmp_path / "one.proof")})
    assert shown["fault"].startswith(f"a proof must not be able to write to {tmp_path}/one: begin it by salt-run")
    assert "backup" not in shown


def test_a_tablespace_that_came_after_the_backup_is_named_with_the_remedy(program, tmp_path):
    copy = program.Copy({**CONFIG, "proof": str(tmp_path)})
    said = 'FATAL:  could not set permissions on directory "/ts": Read-only file system'
    Path(copy.socket, "log").write_text(said)
    copy.process = types.SimpleNamespace(poll=lambda: 1)
    copy.ask = lambda _sql: None
    with pytest.raises(program.Failed, match="A tablespace was made after the backup, .* make a new backup"):
        copy.recovered()
    program.shutil.rmtree(copy.socket)


def test_nothing_in_the_copy_works_by_itself(program, monkeypatch):
    started = []
    monkeypatch.setattr(program.subprocess, "Popen", lambda words, **_how: started.append(words))
    copy = program.Copy({**CONFIG, "proof": "/none"})
    copy.start()
    program.shutil.rmtree(copy.socket)
    words = started[0]
    options = {words[place + 1] for place, word in enumerate(words) if word == "-c"}
    assert {
        "max_logical_replication_workers=0",
        "cron.launch_active_jobs=off",
        "timescaledb.max_background_workers=0",
    } <= options


@pytest.mark.parametrize(
    ("notes", "fault"),
    [
        ([None], "the copy has no time that the leader has noted"),
        ([3700], "the copy lacks the last hour"),
        ([100, None], "not of that moment: nothing is noted"),
        ([100, 200], "not of that moment: there is what was noted later"),
    ],
)
def test_a_copy_without_what_was_noted_is_a_fault(proof_of, notes, fault):
    assert fault in proof_of(notes)[0]["fault"]


def test_what_a_program_says_last_is_the_reason(program):
    with pytest.raises(program.Failed, match="^it: two three four$"):
        program.run(["sh", "-c", "printf 'one\\ntwo\\nthree\\nfour\\n' >&2; exit 3"], "it")


def test_what_the_owner_of_a_database_has_set_for_it_ends_no_check(program, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1")
    said = program.run(["sh", "-c", "echo $PGOPTIONS"], "it").split()
    assert set(said[1::2]) == {"statement_timeout=0", "lock_timeout=0", "default_transaction_read_only=off"}


def test_no_program_of_a_proof_is_waited_for_without_end(program, monkeypatch, tmp_path):
    def run(words, timeout=None, **_how):
        assert timeout
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(program.subprocess, "run", run)
    copy = program.Copy({**CONFIG, "proof": str(tmp_path)})
    program.shutil.rmtree(copy.socket)
    with pytest.raises(program.Failed, match="^the copy does not answer: .* timed out after"):
        copy.ask("SELECT 1")
    with pytest.raises(program.Failed, match=f"^pg_dumpall: .* timed out after {program.CHECK} seconds"):
        program.checked({**CONFIG, "bin_dir": str(tmp_path)}, copy)


def test_what_cannot_be_dumped_is_told(program, tmp_path):
    (tmp_path / "pg_dumpall").write_text("#!/bin/sh\necho a dump\necho 'no such role' >&2\nexit 1\n")
    (tmp_path / "pg_dumpall").chmod(0o755)
    config, copy = {**CONFIG, "bin_dir": str(tmp_path)}, types.SimpleNamespace(socket="/none")
    with pytest.raises(program.Failed, match="^pg_dumpall: no such role$"):
        program.checked(config, copy)
    (tmp_path / "pg_dumpall").write_text("#!/bin/sh\necho a dump\n")
    assert program.checked(config, copy) == ["pg_dumpall"]


def test_the_result_is_kept_and_shown(program, monkeypatch, tmp_path, capsys):
    (tmp_path / "copy/data").mkdir(parents=True)
    (tmp_path / "config").write_text(json.dumps({"proof": str(tmp_path / "copy")}))
    monkeypatch.setattr(program, "CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(program, "turn", lambda _config: False)
    # As at the end of each process.
    monkeypatch.setattr(program.fcntl, "flock", lambda *_: None)
    monkeypatch.setattr(program, "proved", lambda _config: dict(PROOF))
    monkeypatch.chdir(tmp_path)
    assert program.main(["run", "auto"]) == 0
    assert "another member" in capsys.readouterr().out
    # What a proof that was killed has left is gone.
    assert os.listdir(tmp_path / "copy") == []
    assert program.main(["result"]) == 0
    assert program.main(["run", "now"]) == 0
    capsys.readouterr()
    program.main(["result"])
    assert json.loads(capsys.readouterr().out) == PROOF


def test_two_proofs_do_not_run_at_once(program, monkeypatch, tmp_path, capsys):
    (tmp_path / "copy/data").mkdir(parents=True)
    (tmp_path / "config").write_text(json.dumps({"proof": str(tmp_path / "copy")}))
    monkeypatch.setattr(program, "CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(program, "turn", lambda _config: False)
    monkeypatch.chdir(tmp_path)
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert [program.main(["run", how]) for how in ("auto", "now")] == [0, 1]
    os.close(lock)
    assert capsys.readouterr().out == "another proof runs here\n" * 2
    assert os.listdir(tmp_path / "copy") == ["data"]
    (tmp_path / "copy").rename(tmp_path / "gone")
    with pytest.raises(SystemExit, match="what an earlier proof has left is not removed: "):
        program.main(["run", "auto"])


def test_a_sentence_says_how_long_it_took_and_what_was_lost():
    said = pghalib.backup.proof.sentence(pghalib.backup.proof.checked(PROOF))
    assert "on db2: 20261129-010000F was restored in 4 s, and its last transaction was 60 s old" in said
    assert "pg_amcheck and pg_dumpall found no fault" in said
    assert "; gone back to " in said
    failed = pghalib.backup.proof.checked({**PROOF, "fault": "no\nroom"})
    assert pghalib.backup.proof.sentence(failed).endswith("has failed: no room")


@pytest.mark.parametrize("given", [None, [], "x", {}, {"at": "now"}])
def test_what_is_no_proof_is_none(given):
    assert pghalib.backup.proof.checked(given) is None


def test_what_is_of_a_wrong_type_is_left_out():
    wrong = {"at": 1, "host": ["x"], "size": "5", "newest": {}, "checks": "all", "fault": None, "backup": None}
    found = pghalib.backup.proof.checked(wrong)
    assert (found["size"], found["newest"], found["checks"], found["fault"]) == (None, None, [], None)
    assert pghalib.backup.proof.sentence(found)


ABSURD = [-1e30, 1e300, float("nan"), float("inf"), -1, True, 10**400]


@pytest.mark.parametrize("number", ABSURD)
def test_a_number_that_no_clock_and_no_disk_tells_is_left_out(number):
    found = pghalib.backup.proof.checked({**PROOF, "newest": number, "back": number, "size": number})
    assert (found["newest"], found["back"], found["size"], found["at"]) == (None, None, None, PROOF["at"])
    assert pghalib.backup.proof.sentence(found)
    assert pghalib.backup.proof.checked({**PROOF, "at": number}) is None
    assert pghalib.backup.proof.checked({**PROOF, "size": 2**50})["size"] == 2**50


@pytest.fixture
def module(loader_module, monkeypatch, tmp_path):
    """A function (settings, states of units) -> the execution module; the result is in ``proof.json``."""

    def build(states=None, day="sat"):
        settings = {
            "role": "db",
            "postgres": {"user": "postgres", "group": "postgres", "data_dir": "/pgdata/one"},
            "backup": {"repositories": {"main": {}}, "proof_day": day},
        }
        ran = []

        def run_all(words, **_how):
            ran.append(words)
            return {"retcode": 0, "stdout": "line", "stderr": ""}

        def show(unit):
            return {"ActiveState": (states or {}).get(unit, "inactive")}

        salt = {"pgha.settings": lambda: settings, "service.show": show, "cmd.run_all": run_all}
        loaded = loader_module("_modules/pgha_proof.py", salt=salt)
        monkeypatch.setattr(loaded, "RESULT", str(tmp_path / "proof.json"))
        monkeypatch.setattr(loaded, "UNIT", str(tmp_path / "pgha-proof.timer"))
        return types.SimpleNamespace(module=loaded, ran=ran)

    return build


def test_a_proof_is_begun_with_limits_and_never_twice(module):
    one = module()
    one.module.begin()
    (started,) = [words for words in one.ran if words[0] == "systemd-run"]
    assert "--property=CPUWeight=20" in started
    assert {
        "--property=ProtectSystem=strict",
        "--property=ReadWritePaths=-/pgdata/one.proof /var/spool/pgbackrest -/var/log/pgbackrest",
    } <= set(started)
    assert started[-3:] == ["/usr/local/lib/pgha-proof", "run", "now"]
    with pytest.raises(CommandExecutionError, match="A proof runs already"):
        module({"pgha-proof.service": "activating"}).module.begin()


def test_a_failed_proof_and_a_dead_timer_are_faults(module, tmp_path):
    one = module()
    assert ["pgha-proof.timer does not run" in fault for fault in one.module.faults()] == [True]
    good = module({"pgha-proof.timer": "active"}).module
    assert good.faults() == []
    (tmp_path / "proof.json").write_text(json.dumps(PROOF))
    assert good.faults() == []
    assert good.result()["backup"] == PROOF["backup"]
    (tmp_path / "proof.json").write_text(json.dumps({**PROOF, "fault": "no room"}))
    assert good.faults()[0].endswith("has failed: no room")
    for text in ("no JSON", "[" * 9000, "[]"):
        (tmp_path / "proof.json").write_text(text)
        assert (good.result(), module(day=None).module.faults()) == (None, [])


def test_how_old_the_last_good_proof_is(module, tmp_path):
    one = module().module
    assert one.due() == {"proven": None, "since": 0}
    (tmp_path / "pgha-proof.timer").write_text("")
    os.utime(tmp_path / "pgha-proof.timer", (time.time() - 100, time.time() - 100))
    (tmp_path / "proof.json").write_text(json.dumps({**PROOF, "at": time.time() - 50}))
    told = one.due()
    assert (round(told["proven"], -1), round(told["since"], -1)) == (50, 100)
    (tmp_path / "proof.json").write_text(json.dumps({**PROOF, "fault": "no room"}))
    assert one.due()["proven"] is None
    # The clock was ahead.
    (tmp_path / "proof.json").write_text(json.dumps({**PROOF, "at": time.time() + 86400}))
    assert one.due()["proven"] is None
    assert module(day=None).module.due() is None


@pytest.mark.parametrize("fault", [None, "no room"])
@pytest.mark.parametrize("text", [*(json.dumps({**PROOF, "at": number}) for number in ABSURD), "[" * 60000])
def test_whatever_is_in_the_file_of_a_proof_the_status_tells_the_rest(module, tmp_path, text, fault):
    """The user of PostgreSQL writes it."""
    (tmp_path / "proof.json").write_text(text.replace('"fault": null', f'"fault": {json.dumps(fault)}'))
    one = module({"pgha-proof.timer": "active"}).module
    assert (one.result(), one.due()["proven"], one.faults()) == (None, None, [])


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ({"ActiveState": "activating"}, "running"),
        ({"ActiveState": "inactive", "Job": "4711"}, "running"),
        ({"ActiveState": "active", "Result": "success"}, "done"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "failed"),
        ({}, "failed"),
    ],
)
def test_how_work_in_a_unit_of_its_own_is(shown, state):
    assert pghalib.services.transient.state(shown) == state


def test_the_program_starts_with_nothing_but_the_standard_library():
    path = ROOT / "salt/pgha/backup/files/pgha-proof.py"
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", path, "nonsense"], capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError" not in done.stderr
