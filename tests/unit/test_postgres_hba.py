"""What a server says of lines of pg_hba.conf, and what the status makes of it."""

import json

import pghalib.postgres.hba
import pytest

FILE = "/tmp/pgha-1/lines"
COMPLAINT = f'LOG:  invalid IP\nHINT:  Use CIDR.\nCONTEXT:  line 2 of configuration file "{FILE}"\n'
ENDED = f"FATAL:  could not load {FILE}\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (COMPLAINT + ENDED, ["line 2: invalid IP"]),
        # The server has read the file, and ends because it has no data.
        (COMPLAINT + 'FATAL:  could not open directory "pg_replslot"\n', []),
        (COMPLAINT.replace(FILE, "/etc/other") + ENDED, ["the server cannot read them"]),
        (COMPLAINT.replace("invalid IP", "hostssl record cannot match because SSL is disabled") + COMPLAINT + ENDED,
         ["line 2: invalid IP"]),
    ],
)  # fmt: skip
def test_a_line_is_refused_when_the_server_ends_by_it(said, expected):
    assert pghalib.postgres.hba.refused(f"LOG:  starting\n{said}LOG:  shut down\n", FILE) == expected


def test_a_file_on_trial_keeps_the_numbers_of_its_lines_and_is_never_empty():
    found = pghalib.postgres.hba.trial(["include more.conf", "host all all samenet md5", "include_dir d"])
    assert found.splitlines() == ["#", "host all all samenet md5", "#", "local all all reject"]


@pytest.mark.parametrize(
    ("role", "state", "error", "named"),
    [
        ("db", "running", "invalid connection type", True),
        ("db", "running", "hostssl record cannot match because SSL is disabled", False),
        ("db", "stopped", "invalid connection type", False),
        ("dcs", None, "invalid connection type", False),
    ],
)
def test_the_status_names_a_line_that_keeps_the_server_from_its_next_start(loader_module, role, state, error, named):
    answer = json.dumps([{"line": 3, "error": error}]) + "\n[]\n"
    salt = {
        "pgha.settings": lambda: {"role": role, "postgres": {}},
        "pgha_patroni.member": lambda: {"state": state},
        "cmd.run_all": None,
    }
    module = loader_module(
        "_modules/pgha_parameters.py", salt=salt, utils={"pghalib.postgres.asked.sql": lambda *_: answer}
    )
    found = module.server_faults()
    assert len(found) == int(named)
    assert all("pg_hba.conf, line 3: invalid connection type" in one and "edit-config" in one for one in found)


def test_the_status_names_a_database_that_was_made_by_other_rules_of_sorting(loader_module):
    salt = {
        "pgha.settings": lambda: {"role": "db", "postgres": {}},
        "pgha_patroni.member": lambda: {"state": "running"},
        "cmd.run_all": None,
    }
    answer = '[]\n[["shop\\u001b[2J", "2.31", "2.36"]]\n'
    utils = {"pghalib.postgres.asked.sql": lambda *_: answer}
    (said,) = loader_module("_modules/pgha_parameters.py", salt=salt, utils=utils).server_faults()
    assert said.startswith("the database shop?[2J was made where text is sorted by version 2.31 of its collation")
    assert "this host has version 2.36" in said
