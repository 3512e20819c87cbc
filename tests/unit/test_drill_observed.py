"""What the observer of a drill has seen, as its host returns it."""

import pghalib.drill.pieces
import pghalib.services
import pytest


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """The module of a member; ``ran`` is what it ran, ``place`` where the observer's files are."""
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path / "pgha"))
    monkeypatch.setattr(pghalib.drill.pieces, "PIECE", 4)
    ran = []
    run_all = lambda words, **_: ran.append(words) or {"retcode": 0, "stdout": "", "stderr": ""}  # noqa: E731
    module = loader_module("_modules/pgha_drill.py", salt={"cmd.run_all": run_all})
    module.ran, module.place = ran, tmp_path / "pgha/drill"
    module.place.mkdir(parents=True)
    return module


@pytest.mark.root
@pytest.mark.parametrize(
    ("text", "pieces"), [("", [""]), ("abc", ["abc"]), ("abcd", ["abcd", ""]), ("abcdef", ["abcd", "ef"])]
)
def test_it_comes_in_pieces_and_is_removed_with_the_last_one(host, text, pieces):
    for name in ("looks.jsonl", "observe.py"):
        (host.place / name).write_text(text)
    found, offset = [], 0
    for index in range(len(pieces)):
        assert (host.place / "looks.jsonl").exists(), f"removed before piece {index}"
        answer = host.observed(offset)
        found, offset = [*found, answer["text"]], answer["next"]
    assert (found, offset) == (pieces, len(text))
    assert list(host.place.iterdir()) == []
    assert ["systemctl", "stop", "pgha-drill-observer.service"] in host.ran


@pytest.mark.root
def test_an_observer_that_never_ran_has_seen_nothing(host):
    assert host.observed(0) == {"text": "", "next": 0}
