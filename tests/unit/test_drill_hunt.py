"""Faults at random: always the same ones from a seed, one alone or one while another one lasts."""

import itertools

import pghalib.drill.begin
import pghalib.drill.course
import pghalib.drill.faults
import pghalib.drill.hunt
import pytest

FAULTS = pghalib.drill.faults.FAULTS
NAMES = [*FAULTS]


def first(number, names, seed):
    return [step for (step,) in itertools.islice(pghalib.drill.hunt.steps(names, seed), number)]


def test_a_seed_gives_the_same_faults_again_and_another_one_others():
    assert first(50, NAMES, 7) == first(50, NAMES, 7)
    assert first(50, NAMES, 7) != first(50, NAMES, 8)


def test_all_faults_come_and_two_together_only_while_the_first_one_lasts():
    steps = first(2000, NAMES, 1)
    alone = {step for step in steps if "+" not in step}
    assert alone == set(NAMES)
    pairs = [pghalib.drill.faults.parts(step) for step in steps if "+" in step]
    assert 500 < len(pairs) < 1100
    assert all(FAULTS[one]["lasting"] and not FAULTS[other]["lasting"] for one, other in pairs)


def test_of_two_that_are_named_together_each_is_picked():
    assert {part for step in first(100, ["isolate+kill-agent"], 3) for part in step.split("+")} == {
        "isolate",
        "kill-agent",
    }


@pytest.mark.parametrize("names", [["switchover", "kill-agent"], ["isolate", "stop-agent"]])
def test_without_both_kinds_there_are_no_two_together(names):
    assert set(first(100, names, 3)) == set(names)


@pytest.mark.parametrize(
    ("minutes", "hunt", "lasting", "seed"),
    [(None, 5, 60, 5), ("10", "5", 10, 5), (None, False, None, None), (10, None, 10, None)],
)
def test_a_seed_is_a_number_and_an_hour_is_meant_without_minutes(minutes, hunt, lasting, seed):
    assert pghalib.drill.begin.numbers(4, minutes, hunt) == (4, lasting, seed)


def test_without_a_number_a_seed_is_chosen():
    seeds = {pghalib.drill.begin.numbers(4, 10, True)[2] for _ in range(5)}
    assert len(seeds) == 5
    assert all(1 <= seed <= pghalib.drill.hunt.MOST for seed in seeds)


def test_two_together_are_chosen_by_name_and_each_is_looked_at():
    chosen = pghalib.drill.faults.chosen
    vip = {"manager": "vip-manager"}
    assert chosen(["isolate+kill-agent", "switchover"], vip, True) == (["isolate+kill-agent", "switchover"], [])
    against = chosen(["isolate+kill-agent", "isolate+no-such"], vip, False)[1]
    assert [one.split()[0] for one in against] == ["isolate", "kill-agent", "there"]


def test_the_bounds_of_two_together_add_up():
    patroni = {"ttl": 30, "loop_wait": 10}
    assert pghalib.drill.faults.bound("isolate+kill-agent", patroni) == 45 + 5
