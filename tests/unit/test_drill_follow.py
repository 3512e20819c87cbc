"""The history of a drill while it is written: all of it is read, each line once."""

import json
import random

import pytest
from pghalib.drill import checker, follow, history
from salt.exceptions import CommandExecutionError


def line(value, at=None):
    at = value * 10**7 if at is None else at
    write = {"kind": "write", "key": 1, "value": value, "start": at, "end": at + 10**6, "outcome": "ok"}
    return json.dumps(write) + "\n"


@pytest.fixture
def followed(tmp_path):
    """(a function that appends to a file, one that returns the values of the new writes)."""
    follower = follow.Follower(tmp_path)

    def append(text, name="client.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write(text)

    return append, lambda: [one["value"] for one in follower.new()["writes"]]


def test_a_line_that_arrives_in_two_halves_is_read_once(followed):
    append, new = followed
    assert new() == []
    append(line(1) + line(2)[:20])
    assert new() == [1]
    assert new() == []
    append(line(2)[20:-1])
    assert new() == []
    append("\n" + line(3))
    assert new() == [2, 3]
    assert new() == []


def test_each_file_has_a_place_of_its_own(followed):
    append, new = followed
    append(line(1) + line(2)[:5])
    append(line(7)[:9], "observer-db1.jsonl")
    assert new() == [1]
    append(line(7)[9:], "observer-db1.jsonl")
    append(line(9), "drill.jsonl")
    append(line(2)[5:])
    assert new() == [2, 7, 9]


def test_only_what_is_new_is_read_from_the_disk(followed, tmp_path, monkeypatch):
    append, new = followed
    append("".join(map(line, range(1, 1001))))
    assert len(new()) == 1000
    parsed, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text, **how: parsed.append(text) or loads(text, **how))
    # What was read before is not even looked at.
    size = (tmp_path / "client.jsonl").stat().st_size
    (tmp_path / "client.jsonl").write_text("#" * size + line(1001))
    assert new() == [1001]
    assert len(parsed) == 1


def test_a_line_that_is_no_record_is_not_passed_over(followed):
    append, new = followed
    append(line(1) + "nonsense\n" + line(2))
    for _ in range(2):
        with pytest.raises(CommandExecutionError, match="line 2 of the history is not JSON"):
            new()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_read_in_pieces_is_judged_like_the_whole(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 - no secret
    moments = sorted(chance.sample(range(10**9, 9 * 10**9), 60))
    text = "".join(line(value, at) for value, at in enumerate(moments, 1))
    follower, writes = follow.Follower(tmp_path), []
    cuts = [0, *sorted(chance.sample(range(len(text)), 25)), len(text)]
    for start, end in zip(cuts, cuts[1:], strict=False):
        with (tmp_path / "client.jsonl").open("a") as file:
            file.write(text[start:end])
        writes += follower.new()["writes"]
    whole = history.read(text.splitlines(keepends=True))["writes"]
    assert writes == whole
    for since in (0, moments[20], moments[40] + 1):
        later = [one for one in writes if one["end"] > since]
        assert checker.outage(later, since) == checker.outage(whole, since)
