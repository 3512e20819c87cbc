"""Whatever stands in a pillar: every fault is a line with its path, and nothing is raised."""

import copy
import datetime
import functools

import pghalib.inventory
import pytest
import shipped

DEFAULTS = shipped.defaults()
PRESETS = functools.reduce(lambda all_of, one: {**all_of, **one}, DEFAULTS["distributions"].values(), {})
PGHA = {
    "consul": {"hashes": {"1.22.3": "0" * 64}},
    "vip": {"hashes": {"4.0.0": "0" * 64}},
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3.example.org": "192.0.2.3"}}},
    "clusters": {
        "one": {
            "vip": {"address": "192.0.2.40/24"},
            "hosts": {"db1": "192.0.2.11", "db2": {"address": "192.0.2.12", "name": "second"}},
        }
    },
}
LOOP = {}
LOOP["loop"] = LOOP
VALUES = [
    None, True, False, 0, 1, -1, 3, 10**30, 0.5, -2.5, float("nan"), float("inf"), "", "text", "x" * 10_000,
    "two\nlines", "it's \"quoted\"", "{{ jinja }}", "{version}", "\x00\x1b[31m", "приве́т", "\ud800", "/var//run/x/",
    "..", [], [1], ["text"], [[["nested"]]], [{}], {}, {1: 2}, {None: {True: []}}, {(1, 2): "x"}, {"a:b": 1},
    {"a": {"b": None}}, datetime.date(2026, 1, 1), b"bytes", {"loop": [[[[]]]]}, LOOP, {"x" * 5000: None},
]  # fmt: skip
# Two faults that have nothing to do with the one that is tried.
PLANTED = (
    (("colour",), "blue", "pgha:colour: unknown setting"),
    (("preflight", "probe_vip"), 3, "pgha:preflight:probe_"),
)


def nested(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from nested(inner, (*path, key))


def places():
    """Every setting at each place where it may stand, the places themselves, and what is in the inventory."""
    settings = [
        path
        for path in nested({key: DEFAULTS[key] for key in DEFAULTS if key not in pghalib.inventory.PRESETS})
        if path
    ]
    settings += [("postgres", *path) for path in nested(PRESETS) if path]
    settings += [("patroni", "config", *keys.split(".")) for keys in (
        "restapi.listen", "postgresql", "postgresql.authentication.superuser", "postgresql.parameters.port",
        "bootstrap.dcs.postgresql.parameters",
    )]  # fmt: skip
    settings += [("consul", "config", "ports", "http"), ("consul", "config", "acl", "tokens"), ("vip", "config", "ip")]
    settings += [("postgres", "parameters", "work_mem"), ("patroni", "tags", "nosync")]
    yield from settings
    yield from ((*place, *path) for place in (("datacenters", "dc"), ("clusters", "one")) for path in settings)
    yield from [
        (), ("datacenters",), ("datacenters", "dc"), ("datacenters", "new"), ("datacenters", "dc", "servers"),
        ("datacenters", "dc", "servers", "dcs1"), ("datacenters", "dc", "servers", "dcs1", "name"),
        ("clusters",), ("clusters", "one"), ("clusters", "new"), ("clusters", "one", "datacenter"),
        ("clusters", "one", "hosts"), ("clusters", "one", "hosts", "db1"), ("clusters", "one", "hosts", "db2", "name"),
        ("clusters", "one", "hosts", "db2", "address"), ("clusters", "one", "vip"), ("clusters", "one", "vip", "name"),
        ("clusters", "one", "vip", "address"), ("only",), ("new_secrets",), ("distributions",),
        ("distributions", "debian"), ("distributions", "own"), ("distributions", "debian", "repo", "name"),
        ("tls", "names"), ("unknown",),
    ]  # fmt: skip


def planted(pgha, path, value):
    if not path:
        return value
    holder = pgha
    for key in path[:-1]:
        if not isinstance(holder.get(key), dict):
            holder[key] = {"address": holder[key]} if isinstance(holder.get(key), str) else {}
        holder = holder[key]
    holder[path[-1]] = value
    return pgha


def is_there(pgha, fault):
    """Whether a line begins with a path that is in the pillar, or would be but for its last key, which is missing."""
    path = fault.partition(": ")[0]
    value, last = {"pgha": pgha}, None
    while path:
        if not isinstance(value, dict):
            return False
        known = [str(key) for key in value if path == str(key) or path.startswith(f"{key}:")]
        if not known:
            # A quoted key, or what is missing.
            return "'" in path or "…" in path or "(" in path or ":" not in path or missing(fault) or last is None
        last = max(known, key=len)
        value = next(inner for key, inner in value.items() if str(key) == last)
        path = path[len(last) + 1 :]
    return True


def missing(fault):
    return any(said in fault for said in ("no SHA-256", "has no ", "name one of", "must be a mapping"))


def marked(number):
    """The fast lane has one value of each type."""
    known = {type(value) for value in VALUES[:number]}
    return pytest.param(number, marks=[pytest.mark.thorough] if type(VALUES[number]) in known else [])


@pytest.mark.parametrize(
    "number", [marked(number) for number in range(len(VALUES))], ids=lambda number: repr(VALUES[number])[:20]
)
def test_no_value_at_any_place_makes_the_check_fail_or_hides_another_fault(loader_module, number):
    validate = loader_module("_utils/pghalib/pillar/validate.py")
    inventory = loader_module("_utils/pghalib/inventory.py")
    value = VALUES[number]
    for place in places():
        pgha = planted(copy.deepcopy(PGHA), place, value)
        others = [other for other in PLANTED if place and place[0] != other[0][0]]
        for where, other, _ in others:
            planted(pgha, where, other)
        found = validate.faults(pgha, DEFAULTS)
        assert isinstance(found, list)
        assert all(isinstance(fault, str) and fault.isprintable() for fault in found), (place, found)
        assert all(is_there(pgha, fault) for fault in found), (place, found)
        assert len(found) == len(set(found))
        for where, _, said in others:
            assert any(fault.startswith(said) for fault in found), (place, found)
            del pgha[where[0]]
        if len(found) == len(others):
            assert inventory.plan(pgha)["hosts"], place
            for host in ("dcs1", "db1"):
                assert inventory.settings(pgha, DEFAULTS, host)["role"], place
