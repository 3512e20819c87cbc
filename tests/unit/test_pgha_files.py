"""Files that the formula writes."""

import grp
import os
import pwd

import pytest

UUID = "0a5d1c1e-6d58-4c6e-8a3f-2f6d1c3b9e77"
OTHER = "5f0c2a44-93e7-4b0a-a0c6-d1a2b3c4d5e6"


@pytest.fixture
def files(loader_module):
    return loader_module("_utils/pghalib/host/files.py")


def test_a_file_that_is_managed_shows_no_secret_and_is_replaced_at_once(files, tmp_path):
    path = tmp_path / "file"
    path.write_text(f"token: {OTHER}\nx: 1\n")
    owner = {"user": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
    new = f"token: {UUID}\nx: 2\n"
    for test in (True, False):
        done = files.manage(str(path), new, **owner, mode="0600", test=test, secrets=[UUID])
        assert done["result"] is (None if test else True)
        assert "x: 1 -> 2" in done["changes"]["diff"]
        assert UUID not in str(done)
        assert OTHER not in str(done)
    assert path.read_text() == new
    assert path.stat().st_mode & 0o777 == 0o600
    refused = files.manage(
        str(path), "x: 3", **owner, mode="0600", test=False, check=lambda name: f"no {UUID}", secrets=[UUID]
    )
    assert (refused["result"], UUID in str(refused)) == (False, False)
    assert path.read_text() == new


@pytest.mark.root
def test_a_file_that_is_removed_does_not_come_back_after_a_power_cut(files, tmp_path, monkeypatch):
    done, sync, unlink = [], os.fsync, os.unlink
    monkeypatch.setattr("os.fsync", lambda handle: (done.append(os.fstat(handle).st_ino), sync(handle))[1])
    monkeypatch.setattr("os.unlink", lambda name, **how: (done.append(name), unlink(name, **how))[1])
    path = tmp_path / "note.json"
    path.touch()
    assert files.remove(str(path), test=True) == ["note.json"]
    assert done == []
    assert files.remove(str(path), test=False) == ["note.json"]
    assert done == ["note.json", tmp_path.stat().st_ino]
    assert files.remove(str(path), test=False) == []
    assert len(done) == 2
