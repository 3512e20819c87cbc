"""Files that the formula writes: what a diff shows of them, and what not."""

import grp
import json
import os
import pwd

import pytest
import yaml

UUID = "0a5d1c1e-6d58-4c6e-8a3f-2f6d1c3b9e77"
OTHER = "5f0c2a44-93e7-4b0a-a0c6-d1a2b3c4d5e6"


@pytest.fixture
def files(loader_module):
    return loader_module("_utils/pgha_files.py")


def test_a_diff_shows_what_changes(files):
    assert files.diff("a\nb\n", "a\nc\n").splitlines()[3:] == [" a", "-b", "+c"]
    assert files.diff("a", "") == "--- old\n+++ new\n@@ -1 +0,0 @@\n-a"
    assert files.diff(None, "") == "the file is made, empty"


@pytest.mark.parametrize(
    ("old", "new", "secrets"),
    [
        # The secret that is there now, and the one that was there before.
        ('{\n  "encrypt": "OLDKEY="\n}', '{\n  "encrypt": "NEWKEY=",\n  "x": 1\n}', ["NEWKEY="]),
        # A key that nobody asks about any more.
        ('{\n  "x": 1,\n  "encrypt": "OLDKEY="\n}', '{\n  "x": 2\n}', []),
        ("a: 1\nconsul-token: OLDKEY\n", "a: 2\n", []),
        ("restapi:\n  password: OLDKEY and more\n", "restapi:\n  password: NEWKEY\n", ["NEWKEY"]),
        # Nothing but secrets.
        ("OLDKEY\n", "NEWKEY\n", ["NEWKEY"]),
        ("*:5433:*:rewind:OLDKEY\n", "*:5432:*:rewind:NEWKEY\n", ["NEWKEY"]),
        # A token under whatever name.
        (f'"default": "{OTHER}"', f'"agent": "{UUID}"', [UUID]),
        (json.dumps({"a": [OTHER]}, indent=1), "{}", []),
    ],
)
def test_a_diff_shows_neither_new_nor_old_secrets(files, old, new, secrets):
    shown = files.diff(old, new, secrets)
    for secret in ("OLDKEY", "NEWKEY", "and more", UUID, OTHER):
        assert secret not in shown, shown
    assert shown


def test_what_is_no_secret_is_shown_although_its_name_is_like_one(files):
    old = {"password_encryption": "md5", "acl": {"enable_token_persistence": False, "tokens": {"x": 1}}}
    new = {"password_encryption": "scram-sha-256", "acl": {"enable_token_persistence": True, "tokens": {"x": 2}}}
    for render in (lambda value: json.dumps(value, indent=1), yaml.safe_dump):
        shown = files.diff(render(old), render(new), [UUID])
        assert "scram-sha-256" in shown
        assert "*****" not in shown


def test_a_file_that_is_managed_shows_no_secret_and_is_replaced_at_once(files, tmp_path):
    path = tmp_path / "file"
    path.write_text(f"token: {OTHER}\nx: 1\n")
    owner = {"user": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
    new = f"token: {UUID}\nx: 2\n"
    for test in (True, False):
        done = files.manage(str(path), new, **owner, mode="0600", test=test, secrets=[UUID])
        assert done["result"] is (None if test else True)
        assert "+x: 2" in done["changes"]["diff"]
        assert UUID not in str(done)
        assert OTHER not in str(done)
    assert path.read_text() == new
    assert path.stat().st_mode & 0o777 == 0o600
    refused = files.manage(
        str(path), "x: 3", **owner, mode="0600", test=False, check=lambda name: f"no {UUID}", secrets=[UUID]
    )
    assert (refused["result"], UUID in str(refused)) == (False, False)
    assert path.read_text() == new
