"""
The settings of Consul's autopilot. Consul takes them from its configuration only once, when a datacenter is new. From
then on they are in raft, and only the API changes them. Pure functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pghalib.shapes import Json

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)"


def differences(wanted: dict[str, Json], found: dict[str, Json]) -> dict[str, tuple[Json, Json]]:
    """
    Return the differences in autopilot's configuration: ``{key of the API: (old, new)}``.

    wanted
        The section ``autopilot`` of Consul's configuration, such as ``{"min_quorum": 3}``.
    found
        The answer of ``/v1/operator/autopilot/configuration``. Keys that this version does not know are left out.
    """
    named = {_camel(key): value for key, value in wanted.items()}
    return {
        key: (found[key], new)
        for key, new in named.items()
        if key in found and new is not None and _comparable(found[key]) != _comparable(new)
    }


def _camel(key: object) -> str:
    return "".join(word.capitalize() for word in str(key).split("_"))


def _comparable(value: object) -> object:
    """A duration in seconds, as it may be written in several ways (200ms, 0.2s, 1m0s); other values as they are."""
    if isinstance(value, str) and re.fullmatch(f"(?:{_PART})+", value):
        return round(sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, value)), 9)
    return value
