"""What the formula ships, as tests read it."""

import copy
from pathlib import Path

import pghalib.inventory
import yaml

ROOT = Path(__file__).resolve().parents[1]


def defaults():
    """Return the content of defaults.yaml, anew for each caller."""
    return yaml.safe_load((ROOT / "salt/pgha/defaults.yaml").read_text(encoding="utf-8"))


def settings_of(pillar):
    """Return a function ``(minion_id="test-db1", **sections)``: the settings of a host, with sections put in place."""
    known = defaults()

    def make(minion_id="test-db1", **sections):
        return pghalib.inventory.settings({**copy.deepcopy(pillar), **sections}, known, minion_id)

    return make
