"""Whether a server would start with its parameters: what it is asked, and what is made of its answers."""

import os
from pathlib import Path

import pghalib.host.users
import pghalib.postgres.parameters
import pytest
from salt.exceptions import CommandExecutionError

TYPO = 'could not access file "nonsense": No such file or directory'


def settings(**patroni):
    return {"patroni": {"config": patroni}}


def test_what_a_host_may_not_decide_is_that_of_all():
    shared = {"max_connections": 100, "jit": "on", "work_mem": "1MB", "ssl": "on", "port": 1, "commit_delay": None}
    host = {"jit": "off", "max_connections": 7, "ssl_ca_file": "/x"}
    assert pghalib.postgres.parameters.effective(settings(), shared, host) == {
        "jit": "off",
        "max_connections": 100,
        "work_mem": "1MB",
    }


def test_parameters_that_are_set_for_patroni_count_as_well():
    dcs = {"postgresql": {"parameters": {"work_mem": "2MB", "jit": None}}}
    given = settings(bootstrap={"dcs": dcs}, postgresql={"parameters": {"temp_buffers": True, "wal_level": "minimal"}})
    assert pghalib.postgres.parameters.effective(given, {"jit": "on", "work_mem": "1MB"}, {}) == {
        "work_mem": "2MB",
        "temp_buffers": "on",
    }


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("session_preload_libraries", 'a, "b" ,,$libdir/c', ["a", "b", "$libdir/c"]),
        ("local_preload_libraries", "a,/lib/b", ["$libdir/plugins/a", "/lib/b"]),
        ("archive_library", "", []),
    ],
)
def test_libraries_are_looked_for_where_the_server_looks(name, value, found):
    assert pghalib.postgres.parameters.libraries(name, value) == found


def test_language_of_the_server_does_not_change_that_of_its_answers():
    given = {"lc_messages": "ru_RU.UTF-8", "work_mem": "1MB"}
    assert pghalib.postgres.parameters.options(given) == ["-c", "work_mem=1MB", "-c", "lc_messages=ru_RU.UTF-8"]
    assert pghalib.postgres.parameters.options(given, lc_messages="C")[-2:] == ["-c", "lc_messages=C"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (f"2026-01-01 00:00 GMT [1] LOG:  skipping missing\n2026-01-01 GMT [1] FATAL:  {TYPO}\n", TYPO),
        ("FATAL:  too many\nDETAIL:  a plus b\nHINT:  c", "too many a plus b"),
        ('postgres: "a" plus "b" must be less than "c"\n', 'postgres: "a" plus "b" must be less than "c"'),
        ("", ""),
    ],
)
def test_first_error_is_why(said, why):
    assert pghalib.postgres.parameters.complaint(said) == why


def test_last_words_are_the_errors_and_fit_to_be_shown():
    text = f"LOG: a\nFATAL:  old\nFATAL:  {TYPO}\x1b[2J\nLOG: b\nERROR:  c\nDETAIL:  d\nLOG: shut down\nFATAL:  old"
    assert pghalib.postgres.parameters.last_words(text, 2) == [f"FATAL: {TYPO}?[2J", "ERROR: c DETAIL: d"]
    assert pghalib.postgres.parameters.last_words("", 3) == []


@pytest.fixture
def asked(loader_module, tmp_path, monkeypatch):
    """A function (answers: {asked for: answer}, **parameters) -> (the faults, the options of each question)."""
    monkeypatch.setattr(pghalib.host.users, "SCRATCH", str(tmp_path))

    def ask(answers, missing=(), memory=1024, pages=0, **parameters):
        words_of = []

        def run_all(command, **_kwargs):
            command = command[command.index("--") + 1 :]
            if command[0].endswith("pg_resetwal"):
                return {"retcode": answers.get("resetwal", 0), "stdout": "", "stderr": "wrong version"}
            words = command[command.index("-C") + 1 :]
            given = dict(word.split("=", 1) for word in words if "=" in word)
            words_of.append(given)
            for name in missing:
                if name in given.get("shared_preload_libraries", ""):
                    return {"retcode": 1, "stdout": "", "stderr": f'FATAL:  could not access file "{name}": No such'}
            answer = answers[words[0]]
            if isinstance(answer, str):
                return {"retcode": 1, "stdout": "", "stderr": answer}
            return {"retcode": 0, "stdout": f"{answer}\n", "stderr": ""}

        module = loader_module(
            "_modules/pgha_parameters.py",
            salt={
                "pgha.settings": lambda: {
                    "postgres": {"user": "p", "group": "p", "version": "18", "bin_dir": "/opt/pg/bin", "pg_hba": None}
                },
                "cmd.run_all": run_all,
            },
            grains={"mem_total": memory},
        )
        monkeypatch.setattr(module.shutil, "chown", lambda *_args: None)
        monkeypatch.setattr(
            module, "Path", lambda *parts: Meminfo(pages) if parts[0] == "/proc/meminfo" else Path(*parts)
        )
        try:
            return module.faults(parameters), words_of
        finally:
            assert os.listdir(tmp_path) == []

    return ask


class Meminfo:
    def __init__(self, pages):
        self.pages = pages

    def read_text(self):
        return f"MemTotal: 1 kB\nHugePages_Total:     {self.pages}\n"


def test_server_that_would_start_has_no_fault(asked):
    found, words = asked({"shared_memory_size": 150}, work_mem="1MB")
    assert found == []
    assert [one["work_mem"] for one in words] == ["1MB"]


def test_memory_beyond_the_hosts_is_a_fault(asked):
    found, _ = asked({"shared_memory_size": 1024}, shared_buffers="1GB")
    assert found == ["it would take 1024 MB of shared memory (shared_buffers = 1GB), and this host has 1024 MB in all"]


@pytest.mark.parametrize(("pages", "faults"), [(99, 1), (100, 0)])
def test_huge_pages_that_a_host_lacks_are_a_fault(asked, pages, faults):
    answers = {"shared_memory_size": 200, "shared_memory_size_in_huge_pages": 100}
    found, _ = asked(answers, pages=pages, huge_pages="on")
    assert len(found) == faults
    assert asked({"shared_memory_size": 200}, huge_pages="try")[0] == []


def test_library_that_is_not_there_is_named_with_its_parameter(asked):
    given = {
        "shared_preload_libraries": "typo",
        "session_preload_libraries": "good,other",
        "dynamic_library_path": "/x",
    }
    found, words = asked({"shared_memory_size": 1}, missing=("typo", "other"), **given)
    assert found == [
        "could not access file \"typo\": No such (shared_preload_libraries = 'typo')",
        "could not access file \"other\": No such (session_preload_libraries = 'good,other')",
    ]
    assert [one["dynamic_library_path"] for one in words] == ["/x"] * 3


def test_older_server_cannot_be_asked(asked):
    said = 'FATAL:  unrecognized configuration parameter "shared_memory_size"'
    assert asked({"shared_memory_size": said}, session_preload_libraries="x")[0] == []


def test_server_of_another_version_is_an_error(asked):
    with pytest.raises(CommandExecutionError, match="cannot be asked whether it would start: wrong version"):
        asked({"resetwal": 1})
