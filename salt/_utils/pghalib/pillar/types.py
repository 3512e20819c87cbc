"""
The type of each setting's value: the type of its default, or the type listed here when the default is null.

Pure functions. Each checks one value in one place of the pillar, and accepts any value that YAML can produce.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pghalib.backup.repositories
import pghalib.inventory
import pghalib.pillar.names
import pghalib.words
from pghalib.text import at, guess, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pghalib.shapes import Json

CHOICES = {
    ("patroni", "rto"): ("fast", "normal", "wide"),
    ("patroni", "synchronous_mode"): ("off", "on", "quorum"),
    ("patroni", "watchdog"): ("off", "automatic", "required"),
    ("vip", "manager"): ("vip-manager", "callback", "none"),
    ("vip", "dcs_type"): (None, "consul", "patroni"),
    ("backup", "between"): ("incr", "diff"),
    ("backup", "proof_day"): (None, "mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    ("tls", "enabled"): (None, True, False),
    ("tls", "clients"): ("offered", "required", "off"),
}
# Settings that may be null, each with an example of its type.
NULLABLE = {
    ("hosts", "domain"): "example.org",
    ("consul", "log_level"): "INFO",
    ("patroni", "index_url"): "https://example.org/simple",
    ("patroni", "find_links"): "https://example.org/wheels",
    ("vip", "interface"): "eth0",
    ("tls", "ca"): "/root/ca.pem",
    ("tls", "certificate"): "/root/{id}.pem",
    ("tls", "key"): "/root/{id}.key",
    ("postgres", "repo"): {"name": "deb https://example.org/apt stable main"},
    ("postgres", "createcluster"): "/etc/postgresql-common/createcluster.conf",
    ("postgres", "package_data_dir"): "/var/lib/postgresql/18/main",
    ("repo", "key_url"): "https://example.org/key.asc",
    ("repo", "key_hash"): "0" * 64,
}
RANGES = {
    ("postgres", "port"): (1, 65535),
    ("patroni", "restapi_port"): (1, 65535),
    ("patroni", "synchronous_node_count"): (1, None),
    ("consul", "raft_multiplier"): (1, 10),
    ("consul", "suspicion_mult"): (2, 12),
    ("vip", "interval"): (1, None),
    # pgBackRest takes no more.
    ("backup", "retention"): (1, 9999999),
    ("backup", "processes"): (1, 999),
    ("backup", "proof_back"): (0, None),
    # A century: later years have no date.
    ("tls", "authority_days"): (1, 36500),
    ("tls", "days"): (1, 36500),
}
# Seconds that may be a fraction although the default is a whole number.
FRACTIONS = {("preflight", "max_clock_skew")}
LARGEST = 2**63 - 1
# Mappings below `config` that are nested deeper than this contain themselves, or nearly.
DEEPEST = 40
REPO = {"name": "", "key_url": "", "key_hash": ""}


def known(section: str, defaults: dict[str, Json]) -> dict[str, Json]:
    """Return the settings of a section with an example of each, those of the distributions' presets included."""
    result = dict(defaults[section])
    if section == "postgres":
        for preset in defaults["distributions"].values():
            result.update({key: value for key, value in preset.items() if value is not None or key not in result})
    return result


def unknown(path: str, given: Iterable[object], names: Collection[str]) -> list[str]:
    """Return the faults of keys that are not among these names."""
    return [f"{at(path, key)}: unknown setting{guess(key, names)}" for key in given if key not in names]


def section(path: str, name: str, given: Json, defaults: dict[str, Json]) -> tuple[list[str], Json]:
    """
    Return the faults of one section of settings in one place, and the section without the faulty settings. Checked are
    names, types, and texts that have a special meaning to the programs that get them.

    path
        The place of the section.
    name
        Its name in the defaults.
    given
        The value there.
    """
    if isinstance(given, bool) and "enabled" in defaults[name]:
        return [], given
    if not isinstance(given, dict):
        return [f"{path}: must be a mapping of settings, not {shown(given)}"], {}
    examples = known(name, defaults)
    found, sound = unknown(path, given, examples), {}
    for key in [key for key in given if key in examples]:
        faults = _setting(at(path, key), name, key, given[key], examples[key])
        found += faults
        if not faults:
            sound[key] = given[key]
        elif key == "hashes" and isinstance(given[key], dict):
            # The versions stay, without their hashes: so a wrong hash is not reported as missing too.
            sound[key] = dict.fromkeys(map(str, given[key]), "")
    return found, sound


def _setting(path: str, name: str, key: str, value: Json, example: Json) -> list[str]:
    choices = CHOICES.get((name, key))
    if choices:
        word = pghalib.inventory.on_off(value) if (name, key) in pghalib.inventory.ON_OFF else value
        if any(word is choice or (isinstance(word, str) and word == choice) for choice in choices):
            return []
        words = ", ".join("null" if choice is None else str(choice).lower() for choice in choices)
        return [f"{path}: {shown(value)} is none of {words}"]
    if (name, key) in NULLABLE:
        if value is None:
            return []
        example = NULLABLE[name, key]
    return KINDS[type(example)](path, name, key, value, example)


def _bool(path: str, _name: str, _key: str, value: Json, example: Json) -> list[str]:
    if isinstance(value, bool):
        return []
    return [f"{path}: {shown(value)} should be true or false, such as {str(example).lower()}"]


def _number(path: str, name: str, key: str, value: Json, example: Json) -> list[str]:
    whole = isinstance(example, int) and (name, key) not in FRACTIONS
    least, most = RANGES.get((name, key), (0, None))
    right = "a whole number" if whole else "a number"
    bounds = f" from {least} to {most}" if most else f" from {least} on" if least else ""
    sound = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if sound and math.isfinite(value) and least <= value <= (most or LARGEST):
        return []
    return [f"{path}: {shown(value)} should be {right}{bounds}, such as {example}"]


def _text(path: str, name: str, key: str, value: Json, example: Json) -> list[str]:
    if not isinstance(value, str):
        # YAML reads 1.10 as a number, which is 1.1.
        quoted = "; put it in quotes" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
        return [f"{path}: {shown(value)} should be text, such as {example!r}{quoted}"]
    wrong = pghalib.words.fault(name, key, value) or line_fault(value)
    return [f"{path}: {wrong}, not {shown(value)}"] if wrong else []


def _list(path: str, name: str, key: str, value: Json, example: Json) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        return [f"{path}: {shown(value)} should be a list, such as {example or ['…']!r}"]
    found = []
    for one in value:
        if isinstance(one, str):
            wrong = pghalib.words.fault(name, key, one) or line_fault(one)
        else:
            # YAML reads 01:00 as 60.
            wrong = "must be a list of texts (put each in quotes)"
        found += [f"{path}: {wrong}, not {shown(one)}"] if wrong else []
    return found


def _mapping(path: str, name: str, key: str, value: Json, example: Json) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, dict):
        return [f"{path}: {shown(value)} should be a mapping{f', such as {example!r}' if example else ''}"]
    if key == "hashes":
        return _hashes(path, value)
    if key == "repositories":
        found = pghalib.backup.repositories.faults(path, value)
        return found + [fault for one in value for fault in pghalib.pillar.names.unnamed(at(path, one), one)]
    if key == "repo":
        found = unknown(path, value, REPO)
        for one in [one for one in value if one in REPO]:
            if one == "name" or value[one] is not None:
                found += _text(at(path, one), "repo", one, value[one], NULLABLE.get(("repo", one), example["name"]))
        return found
    # `config`, `parameters` and `tags` are for other programs; pghalib.pillar.owned checks what may be in them.
    return plain(path, value)


def _hashes(path: str, value: dict[Json, Json]) -> list[str]:
    found = []
    for version, one in value.items():
        if not isinstance(version, str):
            found.append(f"{at(path, version)}: a version is text; quote it: '{version}'")
        elif not isinstance(one, str) or not pghalib.words.SHA256[1].fullmatch(one):
            found.append(f"{at(path, version)}: a SHA-256 is {pghalib.words.SHA256[0]}, not {shown(one)}")
    return found


KINDS = {bool: _bool, int: _number, float: _number, str: _text, list: _list, dict: _mapping}


def line_fault(text: str) -> str | None:
    """Return the fault of a text that must be one line, else None."""
    if not text:
        return "must not be empty (leave it out for the default)"
    return None if text.replace("\t", " ").isprintable() else "must be one line of printable characters"


def plain(path: str, value: Json, depth: int = 0) -> list[str]:
    """Return the faults of a value that is written as JSON or YAML: types and keys that these do not have."""
    if depth > DEEPEST:
        return [f"{path}: is nested too deep"]
    if isinstance(value, dict):
        found = []
        for key, inner in value.items():
            if isinstance(key, str):
                found += plain(at(path, key), inner, depth + 1)
            else:
                found.append(f"{at(path, key)}: a key must be text; quote it: '{key}'")
        return found
    if isinstance(value, (list, tuple)):
        return [fault for inner in value for fault in plain(path, inner, depth + 1)]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{path}: {value} is no number that can be written; give another"]
    if value is None or isinstance(value, (str, int, float)):
        return []
    return [f"{path}: {shown(value)} is neither text nor a number; quote it"]
