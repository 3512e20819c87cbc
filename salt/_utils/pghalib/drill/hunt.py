"""Faults picked at random, one alone or two together, always the same ones from the same seed. Pure functions."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pghalib.drill.faults

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How many of a hundred steps are two faults together.
TOGETHER = 40
#: The largest seed.
MOST = 10**9


def seed() -> int:
    """Return a seed that nobody chose."""
    return random.SystemRandom().randint(1, MOST)


def steps(names: list[str], seed: int) -> Iterator[list[str]]:
    """
    Yield steps of a drill without an end, each as a list of one step.

    names
        Names of faults to pick from; of two that are named together (``a+b``) each is one.
    seed
        A whole number.

    Of two faults together the first one lasts, so that the second one comes while it does; both may be on one host.
    Only one lasting fault can be on a host, so the second one is of another kind.
    """
    chance = random.Random(seed)  # noqa: S311 - to be the same again is what it is for
    names = [*dict.fromkeys(one for step in names for one in pghalib.drill.faults.parts(step))]
    lasting = [name for name in names if pghalib.drill.faults.FAULTS[name]["lasting"]]
    others = [name for name in names if name not in lasting]
    while True:
        if lasting and others and chance.randrange(100) < TOGETHER:
            yield [f"{chance.choice(lasting)}+{chance.choice(others)}"]
        else:
            yield [chance.choice(names)]
