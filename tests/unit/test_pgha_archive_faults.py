"""What is wrong with an archive is said before the disk is full, and a good one is not suspected."""

import json

import pghalib.postgres.archive
import pytest
from salt.exceptions import CommandExecutionError

GOOD = {
    "mode": "on",
    "how": "/bin/true",
    "recovery": False,
    "archived": 5.0,
    "failed": None,
    "wal": None,
    "waiting": 0,
    "oldest": None,
}
SUSPICIOUS = (0, json.dumps({**GOOD, "how": None}))
WAL = "00000001000000000000000A"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"archived": None},
        {"mode": "off", "how": None},
        # Recovered: the last file was archived after the last failure.
        {"failed": 60.0, "wal": WAL, "archived": 50.0, "waiting": 1, "oldest": 1.0},
        {"failed": 60.0, "wal": WAL, "archived": None, "waiting": 0},
        {"waiting": 3, "oldest": 599.0},
        # A replica archives only with archive_mode = always.
        {"recovery": True, "how": None},
        {"recovery": True, "waiting": 9, "oldest": 9999.0},
    ],
)
def test_a_good_archive_is_not_suspected(more):
    assert pghalib.postgres.archive.faults({**GOOD, **more}) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"how": None}, "there is no archive_command"),
        ({"how": None, "recovery": True, "mode": "always"}, "there is no archive_command"),
        (
            {"failed": 90.4, "wal": WAL, "archived": None, "waiting": 7, "oldest": 100.0},
            f"the archive fails, the last time 90 s ago, with {WAL}: 7 files of WAL wait",
        ),
        (
            {"failed": 0.0, "wal": "\x1b[2J", "archived": 400.0, "waiting": 1, "oldest": 1.0},
            "the last time 0 s ago, with",
        ),
        ({"waiting": 12, "oldest": 1800.0}, "the oldest file of WAL has waited since 30 min ago; 12 files"),
        # It does not fail, and does not end.
        ({"archived": None, "waiting": 1, "oldest": 601.0}, "the archive is behind"),
    ],
)
def test_what_is_wrong_is_said(more, said):
    (fault,) = pghalib.postgres.archive.faults({**GOOD, **more})
    assert said in fault
    assert fault.isprintable()


@pytest.fixture
def module(loader_module):
    """A function (role, state, answer of psql) -> ``pgha_archive`` of a host."""

    def load(role="db", state="running", answer=SUSPICIOUS):
        postgres = {"bin_dir": "/bin", "socket_dir": "/run", "port": 5432, "user": "postgres"}
        settings = {"role": role, "postgres": postgres}
        salt = {
            "pgha.settings": lambda: settings,
            "pgha_patroni.member": lambda: state and {"state": state},
            "cmd.run_all": lambda *_words, **_more: {"retcode": answer[0], "stdout": answer[1], "stderr": ""},
        }
        return loader_module("_modules/pgha_archive.py", salt=salt)

    return load


def test_the_server_is_asked(module):
    assert len(module().faults()) == 1
    assert module(answer=(0, json.dumps(GOOD))).told() == GOOD


@pytest.mark.parametrize(("role", "state"), [("dcs", "running"), ("db", None), ("db", "starting"), ("db", "stopped")])
def test_where_no_server_runs_the_archive_is_not_the_fault(module, role, state):
    assert module(role, state, (2, "no server")).faults() == []


def test_a_server_that_does_not_answer_is_said(module):
    with pytest.raises(CommandExecutionError, match="PostgreSQL refuses: no server"):
        module(answer=(2, "no server")).faults()
