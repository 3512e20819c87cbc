"""The timeline of the data on a host, by its pg_control and by the file of its history."""

import os

import pytest

CONTROL = """Latest checkpoint's TimeLineID:       3
Latest checkpoint's PrevTimeLineID:   3
Min recovery ending loc's timeline:   {}
"""


@pytest.fixture
def now(loader_module, tmp_path, monkeypatch):
    """A function (what pg_controldata says) -> the answer; the history of timeline 4 is there."""
    settings = {"postgres": {"data_dir": str(tmp_path), "user": "postgres", "bin_dir": "/bin"}}
    salt = {"pgha.settings": lambda: settings, "cmd.run_all": None}
    module = loader_module("_modules/pgha_timeline.py", salt=salt)
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal/00000004.history").touch()
    os.utime(tmp_path / "pg_wal/00000004.history", (1795900000, 1795900000))

    def ask(said):
        def run(_run_all, user, words):
            assert (user, words) == ("postgres", ["/bin/pg_controldata", "-D", str(tmp_path)])
            return {"retcode": 0 if said else 1, "stdout": said, "stderr": ""}

        monkeypatch.setattr(module.pghalib.host.users, "run", run)
        return module.now()

    return ask


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (CONTROL.format(0), [3, 0]),
        # Promoted, and no checkpoint since.
        (CONTROL.format(4), [4, 1795900000]),
        ("", None),
        ("Latest checkpoint's TimeLineID:       x\n", None),
    ],
)
def test_the_timeline_is_told_with_its_beginning(now, said, found):
    assert now(said) == found
