"""
The settings of Consul's autopilot. Consul takes them from its configuration once, when a datacenter is new; from then
on they are kept in raft, and only its API changes them. Pure functions.
"""

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)"


def differences(wanted, found):
    """
    Return what of autopilot's configuration differs: ``{key of the API: (old, new)}``.

    wanted
        The section ``autopilot`` of Consul's configuration, such as ``{"min_quorum": 3}``.
    found
        What ``/v1/operator/autopilot/configuration`` answers. What this version does not know is left out.
    """
    named = {_camel(key): value for key, value in wanted.items()}
    return {
        key: (found[key], new)
        for key, new in named.items()
        if key in found and new is not None and _comparable(found[key]) != _comparable(new)
    }


def _camel(key):
    return "".join(word.capitalize() for word in str(key).split("_"))


def _comparable(value):
    """Durations are written in several ways: 200ms, 0.2s; the API may say 1m0s."""
    if isinstance(value, str) and re.fullmatch(f"(?:{_PART})+", value):
        return round(sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, value)), 9)
    return value
