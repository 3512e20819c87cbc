"""What a change of a file is shown as: enough for a DBA, and no secret of now or of before."""

import json

import pytest
import yaml

UUID = "0a5d1c1e-6d58-4c6e-8a3f-2f6d1c3b9e77"
OTHER = "5f0c2a44-93e7-4b0a-a0c6-d1a2b3c4d5e6"
# What a person may have put into a file, under whatever name: nothing of it is ever shown.
HIDDEN = [
    "hunter2",
    "hunter2 and more",
    "first line of a key\nhunter2\n",
    "postgres://app:hunter2@db.example.org/app",
    "host all all 0.0.0.0/0 ldap ldapbindpasswd=hunter2",
    f"-----BEGIN PRIVATE KEY-----\n{UUID}\n",
    ["hunter2"],
    {"x": "hunter2"},
    [{"x": "hunter2"}],
]
FORMS = [lambda value: json.dumps(value, indent=1), lambda value: "# head\n" + yaml.safe_dump(value)]


@pytest.fixture
def pgha_diff(loader_module):
    return loader_module("_utils/pghalib/host/diff.py")


@pytest.mark.parametrize("render", FORMS)
def test_settings_show_key_by_key_what_comes_goes_and_changes(pgha_diff, render):
    old = {"ttl": 30, "gone": 1, "log": {"level": "INFO", "file": "a"}, "list": ["a", "b"], "on": False}
    new = {"ttl": 20, "log": {"level": "DEBUG", "file": "a"}, "list": ["b", "c"], "on": True, "come": {"x": 1}}
    assert pgha_diff.diff(render(old), render(new)).splitlines() == [
        "+ come.x: 1",
        "- gone",
        "+ list: c",
        "- list: 1 of 2, **********",
        "log.level: INFO -> DEBUG",
        "on: false -> true",
        "ttl: 30 -> 20",
    ]
    assert pgha_diff.diff(render(old), render(old) + "\n") == "the same settings, written otherwise"


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("render", FORMS)
def test_nothing_of_a_persons_own_is_shown(pgha_diff, render, hidden):
    new = {"ttl": 20, "list": [1], "password": UUID, "nested": {"a": "b"}, "url": "http://x", "pg_hba": ["local"]}
    for key in ("mine", "list", "password", "nested", "pg_hba"):
        old = {**new, "ttl": 30, key: hidden}
        shown = pgha_diff.diff(render(old), render(new), [UUID])
        assert "hunter2" not in shown, shown
        assert UUID not in shown, shown
        assert "ttl: 30 -> 20" in shown


@pytest.mark.parametrize(
    "hidden",
    [
        "postgres://app:hunter2@x/y",
        "http://hunter2@x",
        "user=app passwd='hunter2'",
        "x" * 60 + "hunter2",
        "a\x1b[2Jhunter2",
        OTHER,
        "Zk3hunter2Zk3hunter2Zk3hunter2",
    ],
)
def test_an_old_value_that_may_be_a_secret_is_not_shown_where_a_plain_one_would_be(pgha_diff, hidden):
    shown = pgha_diff.diff(json.dumps({"url": hidden}), json.dumps({"url": "http://new"}))
    assert shown == "url: ********** -> http://new"


@pytest.mark.parametrize("key", ["pwd", "passwd", "consul-token", "ldapbindpasswd", "encrypt", "api_key", "db_pass"])
def test_under_the_name_of_a_secret_nothing_is_shown(pgha_diff, key):
    shown = pgha_diff.diff(json.dumps({key: "hunter2"}), json.dumps({key: "hunter3"}))
    assert shown == f"{key}: ********** -> **********"
    assert pgha_diff.diff(None, json.dumps({key: "hunter3"})) == f"+ {key}: **********"
    shown = pgha_diff.diff(json.dumps({"a": {key: {"x": 12345}}}), json.dumps({"a": {key: {"x": 54321}}}))
    assert "345" not in shown


def test_a_secret_of_ours_is_not_shown_wherever_it_stands(pgha_diff):
    new = {"url": f"x{UUID}x", "list": ["a", UUID], "tree": [{"y": UUID}]}
    for old in (None, "{}", json.dumps({"url": "y", "list": [], "tree": []}), "no: [settings"):
        shown = pgha_diff.diff(old, json.dumps(new), [UUID])
        assert UUID not in shown
        assert "url" in shown


def test_old_text_that_is_no_settings_is_not_shown(pgha_diff):
    whole = '{"a":' * 900 + '"hunter2"' + "}" * 900
    broken = ("a: [hunter2", '{"a": hunter2', "a: 2024-13-45\nb: hunter2", "[" * 9000, "a: &a {b: *a, c: hunter2}")
    for old in ("hunter2", "- hunter2", *broken, whole):
        shown = pgha_diff.diff(old, '{"ttl": 20}')
        assert "hunter2" not in shown
        assert "+ ttl: 20" in shown


def test_old_names_that_may_be_secrets_are_not_shown(pgha_diff):
    shown = pgha_diff.diff(json.dumps({"Zk3hunter2Zk3hunter2Zk3": 1, f"{OTHER}": 2, "plain": 3}), '{"ttl": 20}')
    assert "hunter2" not in shown
    assert OTHER not in shown
    assert "- plain" in shown


def test_what_is_no_secret_is_shown_although_its_name_is_like_one(pgha_diff):
    old = {"password_encryption": "md5", "acl": {"enable_token_persistence": False}, "tokens": {"on": False}}
    new = {"password_encryption": "scram-sha-256", "acl": {"enable_token_persistence": True}, "tokens": {"on": True}}
    for render in FORMS:
        shown = pgha_diff.diff(render(old), render(new), [UUID])
        assert "md5 -> scram-sha-256" in shown
        assert pgha_diff.MASK not in shown


def test_of_another_text_with_secrets_the_new_lines_alone_are_shown(pgha_diff):
    shown = pgha_diff.diff("*:5433:*:rewind:old\n# mine: hunter2\n", f"*:5432:*:rewind:{UUID}\n", [UUID])
    assert shown.splitlines() == ["-**********", "-**********", "+*:5432:*:rewind:**********"]
    assert pgha_diff.diff("old\n", f"{UUID}\n", [UUID]).splitlines() == ["-**********", "+**********"]


def test_a_text_without_secrets_is_shown_in_the_unified_form(pgha_diff):
    assert pgha_diff.diff("a\nb\n", "a\nc\n").splitlines()[3:] == [" a", "-b", "+c"]
    assert pgha_diff.diff("a", "") == "--- old\n+++ new\n@@ -1 +0,0 @@\n-a"
    assert pgha_diff.diff(None, "") == "the file is made, empty"


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("ttl", 20, 30, {"old": 20, "new": 30}),
        ("ttl", None, 30, {"old": None, "new": 30}),
        ("a.password", "hunter2", "hunter3", {"old": "**********", "new": "**********"}),
        ("a.url", "http://x:hunter2@y", "http://y", {"old": "**********", "new": "http://y"}),
        ("a.hba", ["x", "hunter2"], ["x", "y"], {"old": ["x", "**********"], "new": ["x", "y"]}),
        ("a.hba", "hunter2", ["x"], {"old": "**********", "new": ["x"]}),
        ("a.hba", ["hunter2"], None, {"old": "**********", "new": None}),
    ],
)
def test_a_setting_that_changes(pgha_diff, name, old, new, expected):
    assert pgha_diff.changes(name, old, new) == expected
