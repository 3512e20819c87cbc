"""A drill before it begins and when it has ended; its faults on a host; what it shows."""

import os
import subprocess
from pathlib import Path

import pghalib.drill.begin
import pghalib.drill.faults
import pghalib.drill.outcome
import pghalib.services
import pytest
import yaml
from salt.exceptions import CommandExecutionError

FAULTS = pghalib.drill.faults.FAULTS
ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = yaml.safe_load((ROOT / "salt/pgha/defaults.yaml").read_text())
WITH, CALLBACK = {"manager": "vip-manager"}, {"manager": "callback"}
SETTINGS = {
    "vip": WITH,
    "tls": {"clients": "offered"},
    "postgres": {"port": 5432},
    "cluster": {
        "vip": {"address": "198.51.100.40"},
        "hosts": [{"address": "198.51.100.21"}, {"address": "198.51.100.22"}],
    },
}


def test_without_a_word_only_harmless_faults_are_made():
    names, reasons = pghalib.drill.faults.chosen(None, WITH, True)
    assert names == ["switchover", "restart-replica", "restart-agent", "restart-vip-manager"]
    assert reasons == []
    assert "restart-vip-manager" not in pghalib.drill.faults.chosen(None, CALLBACK, True)[0]


def test_every_reason_against_the_faults_is_told_at_once():
    wanted = ["kill-postgres", "kill-postgress", "restart-vip-manager", "switchover"]
    _, reasons = pghalib.drill.faults.chosen(wanted, CALLBACK, False)
    assert [one.split(" ")[0] for one in reasons] == ["kill-postgres", "there", "restart-vip-manager:"]
    assert "add harmful=True" in reasons[0]
    assert "there is no fault 'kill-postgress'" in reasons[1]


@pytest.mark.parametrize(
    ("given", "names"),
    [(None, None), ("switchover", ["switchover"]), ("a, b", ["a", "b"]), (["a", "b"], ["a", "b"]), ("", [""])],
)
def test_faults_are_given_with_commas_or_as_a_list(given, names):
    assert pghalib.drill.faults.listed(given) == names


NORMAL, FAST = {"ttl": 30, "loop_wait": 10}, {"ttl": 20, "loop_wait": 2}


def test_the_bound_follows_what_has_to_be_waited_for():
    bound = pghalib.drill.faults.bound
    assert [bound("hang-patroni", one) for one in (NORMAL, FAST)] == [45, 27]
    assert [bound("kill-postgres", one) for one in (NORMAL, FAST)] == [15, 7]
    assert [bound("switchover", one) for one in (NORMAL, FAST)] == [3, 3]
    assert [bound("hang-vip-manager+switchover", one) for one in (NORMAL, FAST)] == [8, 8]
    # Without Consul nobody begins to lead again: another member does, after the lease.
    for ended in ("kill-patroni", "kill-postgres"):
        assert [bound(f"cut-consul+{ended}", one) for one in (NORMAL, FAST)] == [50, 32]
        assert [bound(f"stop-agent+{ended}", one) for one in (NORMAL, FAST)] == [65, 47]
    assert bound("cut-consul+kill-vip-manager", FAST) == 8
    waits = {name: one["waits"] for name, one in FAULTS.items() if one["waits"]}
    assert waits == {
        "kill-postgres": "loop",
        "kill-patroni": "loop",
        "hang-patroni": "lease",
        "stop-patroni": "lease",
        "freeze": "lease",
        "isolate": "lease",
    }


WIDE = {"ttl": 90, "loop_wait": 10}


@pytest.mark.parametrize(
    ("timeout", "patroni", "most"),
    [
        (None, NORMAL, 35),
        ("8s", FAST, 35),
        ("60s", WIDE, 75),
        ("1min", WIDE, 75),
        ("90 s", NORMAL, 105),
        (60000, WIDE, 75),
        ("60000ms", WIDE, 75),
        ("0", NORMAL, 35),
    ],
)
def test_commits_wait_for_a_replica_that_is_cut_off_until_postgresql_gives_it_up(timeout, patroni, most):
    parameters = {} if timeout is None else {"wal_sender_timeout": timeout}
    assert pghalib.drill.faults.bound("cut-replication", patroni, parameters) == most
    assert pghalib.drill.faults.bound("cut-replication+kill-agent", patroni, parameters) == most + 5


def test_without_a_virtual_ip_clients_stay_with_a_frozen_host_until_it_goes_on():
    bound = pghalib.drill.faults.bound
    assert [bound("freeze", one) for one in (NORMAL, FAST, WIDE)] == [45, 27, 105]
    assert [bound("freeze", one, vip=False) for one in (NORMAL, FAST, WIDE)] == [50, 50, 105]


@pytest.mark.parametrize(
    ("entry", "rto", "bounds"), [("198.51.100.40/24", "fast", (27, 35)), (None, "wide", (105, 75))]
)
def test_the_list_of_a_cluster_knows_its_replication_and_its_virtual_ip(entry, rto, bounds):
    cluster = {"patroni": {"rto": rto}, "vip": entry}
    lines = pghalib.drill.faults.table_of({"datacenters": {"dc": {}}, "clusters": {"a": cluster}}, DEFAULTS, "a")
    found = {line.split()[0]: line.split() for line in lines.splitlines()}
    assert tuple(int(found[name][2]) for name in ("freeze", "cut-replication")) == bounds


@pytest.mark.parametrize("document", ["docs/failover.md", "docs/failover.ru.md"])
def test_the_documents_promise_what_the_drill_judges_by(document):
    rows = [line.strip("| ").split(" | ") for line in (ROOT / document).read_text().splitlines()]
    rows = [row for row in rows if len(row) == 6 and row[2].isdigit()]
    promised = {row[0].partition(",")[0]: [float(row[2]), float(row[4])] for row in rows}
    steps = {name for name in promised if not name.startswith(("power-off", "питание"))}
    assert len(promised) == len(steps) + 2
    assert {name: promised[name] for name in steps} == {
        name: [pghalib.drill.faults.bound(name, one) for one in (FAST, NORMAL)] for name in steps
    }


def test_the_list_has_every_fault_with_its_bound():
    lines = pghalib.drill.faults.table(NORMAL).splitlines()
    assert len(lines) == 1 + len(FAULTS)
    (kill,) = [line for line in lines if line.startswith("kill-patroni ")]
    assert "harmful " in kill
    assert " 15 s  Patroni of the leader is killed" in kill


@pytest.mark.parametrize(
    ("cluster", "bound"), [(None, 45), ("plain", 45), ("fast", 27), ("own", 5 + 40 + 3), (2026, 27), ("nowhere", None)]
)
def test_the_list_for_a_cluster_has_the_bounds_of_its_settings(loader_module, monkeypatch, capsys, cluster, bound):
    runner = loader_module("_runners/pgha.py", salt={"salt.cmd": lambda *_: DEFAULTS}, opts={})
    clusters = {"plain": {}, "fast": {"patroni": {"rto": "fast"}}, "own": {"patroni": {"ttl": 40, "loop_wait": 3}}}
    # Salt makes a number of the word.
    clusters["2026"] = clusters["fast"]
    if cluster is None:
        monkeypatch.setattr(runner, "_checked", lambda: pytest.fail("the pillar is not needed"))
    else:
        monkeypatch.setattr(runner, "_checked", lambda: {"datacenters": {"dc": {}}, "clusters": clusters})
    shown = runner.drill(cluster, list=True)
    if bound is None:
        assert capsys.readouterr().err == "There is no cluster 'nowhere'; there is plain, fast, own, 2026\n"
    else:
        (line,) = [line for line in shown.splitlines() if line.startswith("hang-patroni ")]
        assert f" {bound} s  Patroni of the leader hangs" in line


def test_a_cluster_that_is_not_well_is_not_harmed():
    reasons = pghalib.drill.begin.reasons
    assert reasons(None, SETTINGS, False, [], {"ttl": 30}) == []
    against = reasons(["kill-agent"], SETTINGS, False, ["test-db2 lags"], {"pause": True})
    assert [one.split(" ")[0] for one in against] == ["kill-agent", "Patroni", "the"]
    assert against[-1] == "the status says: test-db2 lags"


@pytest.mark.parametrize(
    ("wanted", "clients", "master", "named"),
    [
        (None, "dcs1", [], []),
        (["cut-consul", "switchover", "no-such"], "app1", [], []),
        (["cut-consul+kill-agent", "isolate", "cut-replication"], "dcs1", [], ["cut-consul", "isolate"]),
        (["cut-consul", "isolate", "cut-replication"], "db2", [], ["isolate", "cut-replication"]),
        (["cut-consul", "isolate", "cut-replication"], None, ["db2"], ["isolate", "cut-replication"]),
        # The answer of the host that is cut off does not come.
        (["cut-consul", "isolate", "cut-replication"], "app1", ["dcs1"], ["cut-consul", "isolate"]),
        (["cut-consul", "isolate", "cut-replication"], "app1", ["db2"], ["isolate"]),
    ],
)
def test_a_fault_that_would_cut_off_the_drill_itself_is_a_reason_against_it(wanted, clients, master, named):
    """Clients that are cut off as well prove nothing about those that are not."""
    found = pghalib.drill.begin.cut_off(wanted, clients, master, ["dcs1"], ["db1", "db2"])
    assert [one.partition(" ")[0] for one in found] == named


@pytest.mark.parametrize(
    ("over", "authorities", "expected"),
    [
        ({}, None, {"host": "198.51.100.40"}),
        ({}, "/ca.pem", {"host": "198.51.100.40", "sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        ({"tls": {"clients": "off"}}, "/ca.pem", {"host": "198.51.100.40"}),
        (
            {"cluster": {**SETTINGS["cluster"], "vip": None}},
            None,
            {"host": "198.51.100.21,198.51.100.22", "target_session_attrs": "read-write"},
        ),
    ],
)
def test_the_client_comes_in_as_clients_do(over, authorities, expected):
    found = pghalib.drill.begin.connection({**SETTINGS, **over}, authorities)
    assert found == {"port": 5432, "dbname": "postgres", **expected}


def test_leader_and_replicas_are_known_by_their_ids_and_no_stranger_is_among_them():
    plan = {
        "names": {"one.example.org": "one", "two.example.org": "two"},
        "clusters": {"test": ["one.example.org", "two.example.org"]},
    }
    members = [
        {"name": "two", "role": "leader"},
        {"name": "one", "role": "replica"},
        {"name": "evil", "role": "leader"},
    ]
    state = {"clusters": {"test": {"members": members}}, "faults": ["a"]}
    assert pghalib.drill.begin.standing("test", plan, state) == ("two.example.org", ["one.example.org"], ["a"])
    assert pghalib.drill.begin.standing("test", plan, {"clusters": {"test": {"members": []}}, "faults": []})[0] is None


def outcome(results, *verdicts, early=None):
    history = {"writes": [], "reads": [], "looks": [], "marks": [], "final": {}}
    return {"results": results, "verdicts": list(verdicts), "history": history, "early": early}


def verdict(held=True, count=0):
    return {
        "rule": "every write is there once",
        "held": held,
        "count": count,
        "examples": ["client 1: 7 is lost"] * min(count, 5),
    }


RESULTS = [
    {
        "fault": "switchover",
        "host": "a",
        "outage": 1.234,
        "connect": 2.5,
        "bound": 5,
        "since": 10**9,
        "began": 10**9,
        "ended": 2 * 10**9,
    },
    {
        "fault": "kill-postgres",
        "host": "b",
        "outage": 21,
        "connect": 3.0,
        "bound": 15,
        "since": 0,
        "began": 0,
        "ended": 10**9,
    },
]


def test_the_report_tells_what_was_promised_and_what_was_broken():
    results = RESULTS
    text = pghalib.drill.outcome.text("test", outcome(results, verdict(), verdict(False, 9)), "/x")
    assert "switchover       1.23 s     5 s    2.50 s\n" in text
    assert "kill-postgres   21.00 s    15 s    3.00 s  longer than promised" in text
    assert "held    every write is there once\nBROKEN  every write is there once\n" in text
    assert "and 4 more" in text
    assert "ended early" not in text
    assert not pghalib.drill.outcome.good(outcome(results[:1], verdict(False, 1)))
    assert not pghalib.drill.outcome.good(outcome(results, verdict()))
    assert not pghalib.drill.outcome.good(outcome(results[:1], verdict(), early="no leader"))
    assert pghalib.drill.outcome.good(outcome(results[:1], verdict()))


def test_a_report_says_that_the_drill_ended_early():
    text = pghalib.drill.outcome.text("test", outcome([], verdict(), early="switchover: no leader"), "/x")
    assert "The drill ended early. switchover: no leader\n" in text


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """The module of a member's host; ``module.done`` is what it called, ``module.shown`` what systemd shows."""
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path))
    done, shown = [], {}
    settings = {
        "name": "db1",
        "cluster": {"vip": None},
        "postgres": {
            "data_dir": str(tmp_path),
            "bin_dir": str(tmp_path),
            "user": "postgres",
            "socket_dir": "/run",
            "port": 5432,
        },
        "patroni": {"startup_timeout": 30},
    }
    salt = {
        "pgha.settings": lambda: settings,
        "pgha_patroni.post": lambda *words, **given: done.append((*words, given)) or "Patroni did it",
        "service.restart": lambda unit: done.append(unit) or unit != "consul",
        "service.show": lambda unit: shown.get(unit, {}),
    }
    module = loader_module("_modules/pgha_drill.py", salt=salt)
    module.done, module.shown, module.place, module.salt = done, shown, tmp_path, salt
    return module


@pytest.mark.parametrize("source", ["", False])
def test_an_observer_that_the_master_does_not_serve_is_named(host, monkeypatch, source):
    host.salt["cp.cache_file"] = lambda _url: source
    monkeypatch.setattr(host, "_stop", lambda: pytest.fail("something was stopped"))
    with pytest.raises(CommandExecutionError, match="^salt://pgha/drill/files/observe.py is not served: "):
        host.observe(600)


@pytest.mark.root
def test_the_observer_runs_as_postgresqls_user_and_ends_by_itself(host, tmp_path):
    ran = []
    (tmp_path / "source.py").write_text("the program")
    host.salt["cp.cache_file"] = lambda _url: str(tmp_path / "source.py")
    host.salt["pgha.settings"]()["patroni"]["venv"] = "/opt/patroni"
    host.salt["cmd.run_all"] = lambda words, **_how: ran.append(words) or {"retcode": 0, "stdout": "", "stderr": ""}
    host.observe("600")
    assert ran[0] == ["systemctl", "stop", "pgha-drill-observer.service"]
    assert ran[1][:-1] == [
        *("systemd-run", "--quiet", "--unit=pgha-drill-observer", "--collect", "--property=User=postgres"),
        *("--property=RuntimeMaxSec=600", f"--property=StandardOutput=truncate:{tmp_path}/drill/looks.jsonl"),
        "--property=StandardError=journal",
        *("/opt/patroni/bin/python", f"{tmp_path}/drill/observe.py"),
    ]


def test_planned_faults_are_patronis_and_systemds(host):
    assert host.fault("switchover") == "Patroni did it"
    assert host.fault("restart-replica") == "Patroni did it"
    assert host.fault("restart-vip-manager") == "vip-manager was restarted"
    assert host.done == [("switchover", 30, {"leader": "db1"}), ("restart", 30, {}), "vip-manager"]
    with pytest.raises(CommandExecutionError, match="consul did not restart"):
        host.fault("restart-agent")
    with pytest.raises(CommandExecutionError, match="There is no fault 'rm'"):
        host.fault("rm")


def test_a_main_process_is_killed(host):
    with pytest.raises(CommandExecutionError, match="patroni does not run here"):
        host.fault("kill-patroni")
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        host.shown["patroni.service"] = {"ActiveState": "active", "MainPID": str(process.pid)}
        assert host.fault("kill-patroni") == f"process {process.pid} was killed"
        assert process.wait(10) == -9


@pytest.mark.root
@pytest.mark.parametrize("first", ["", "x", "-1", "0", "1 ", "1", "99999999999"])
def test_no_other_process_is_killed_for_postgresql(host, monkeypatch, first):
    """The file belongs to PostgreSQL's user, who may write any number into it."""
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a process was killed"))
    (host.place / "postmaster.pid").write_text(f"{first}\n/pgdata\n")
    with pytest.raises(CommandExecutionError, match="PostgreSQL does not run on"):
        host.fault("kill-postgres")


def test_the_postmaster_is_known_by_its_program(host):
    program = host.place / "postgres"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as process:
        (host.place / "postmaster.pid").write_text(f"{process.pid}\n/pgdata\n")
        assert host.fault("kill-postgres") == f"process {process.pid} was killed"
        assert process.wait(10) == -9


@pytest.mark.parametrize("verifier", ["", "md5abc", "x'; DROP TABLE t; --", "SCRAM-SHA-256$4096:a$b:c'", None])
def test_only_a_verifier_becomes_part_of_a_statement(host, verifier):
    with pytest.raises(CommandExecutionError, match="none of SCRAM-SHA-256"):
        host.prepare(verifier, 5)
