"""Unpacking a released binary: whole or not at all, checked, and linked to."""

import hashlib
import io
import os
import subprocess
import tarfile
import zipfile

import pytest
from salt.exceptions import CommandExecutionError

CONTROL = b"Package: tool\nVersion: 1.2.3\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
CONTENT = b"#!/bin/sh\necho 1.2.3\n" * 1000


def zipped(path, name="tool"):
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("LICENSE.txt", "text")
        # A folder of the same name is not the program.
        packed.writestr(f"{name}/", b"")
        packed.writestr(f"{name}/{name}", CONTENT)


def tarred(path, name="tool_1.2.3_Linux/tool"):
    with tarfile.open(path, "w:gz") as packed:
        info = tarfile.TarInfo(name)
        info.size = len(CONTENT)
        packed.addfile(info, io.BytesIO(CONTENT))


def packaged(path):
    """A Debian package with the program, and with other files of the same name."""
    tree = path.parent.parent / "tree"
    for name, text in (("etc/logrotate.d/tool", b"text"), ("usr/bin/tool", CONTENT), ("DEBIAN/control", CONTROL)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(text)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, path], check=True, capture_output=True)


@pytest.fixture
def release(tmp_path, loader_module):
    """A function: the state module, with what the minion fetched as ``cached``."""
    cache = tmp_path / "cache"
    cache.mkdir()

    def build(cached, test=False):
        def fetch(_url, source_hash=None):
            if isinstance(cached, Exception):
                raise cached
            return str(cached) if cached else False

        opts = {"test": test, "cachedir": str(cache)}
        return loader_module("_states/pgha_release.py", salt={"cp.cache_file": fetch}, opts=opts)

    build.cache = cache
    return build


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.root
@pytest.mark.parametrize(("pack", "name"), [(zipped, "tool.zip"), (tarred, "tool.tar.gz"), (packaged, "tool.deb")])
def test_binary_is_unpacked_once_and_the_archive_forgotten(release, tmp_path, pack, name):
    archive = release.cache / name
    pack(archive)
    sha256, target = digest(archive), tmp_path / "opt/tool/1.2.3/tool"
    dry = release(archive, test=True).unpacked("n", str(target), "https://x/t", sha256)
    assert (dry["result"], dry["changes"]) == (None, {str(target): {"old": None, "new": "https://x/t"}})
    assert not target.parent.exists()
    ret = release(archive).unpacked("n", str(target), "https://x/t", sha256.upper())
    assert (ret["result"], ret["changes"]) == (True, dry["changes"]), ret
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o755
    assert os.listdir(target.parent) == ["tool"]
    assert not archive.exists()
    for test in (True, False):
        again = release(None, test=test).unpacked("n", str(target), "https://x/t", sha256)
        assert (again["result"], again["changes"]) == (True, {})


@pytest.fixture
def closed():
    """The umask of a minion that lets nobody else read what it makes."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def modes(target):
    return [path.stat().st_mode & 0o777 for path in (target, target.parent, target.parent.parent)]


@pytest.mark.root
def test_others_can_run_it_whatever_the_umask(release, tmp_path, closed):
    archive, target = tmp_path / "tool.zip", tmp_path / "opt/tool/1.2.3/tool"
    zipped(archive)
    assert release(archive).unpacked("n", str(target), f"file://{archive}", digest(archive))["result"] is True
    assert modes(target) == [0o755] * 3


@pytest.mark.root
def test_what_an_earlier_run_left_closed_is_opened(release, tmp_path, closed):
    target = tmp_path / "opt/tool/1.2.3/tool"
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    expected = {
        str(path): {"old": old, "new": "0755"}
        for path, old in zip((target.parent.parent, target.parent, target), ("0700", "0700", "0600"), strict=True)
    }
    dry = release(None, test=True).unpacked("n", str(target), "https://x/t", "0" * 64)
    assert (dry["result"], dry["changes"], modes(target)) == (None, expected, [0o600, 0o700, 0o700])
    ret = release(None).unpacked("n", str(target), "https://x/t", "0" * 64)
    assert (ret["result"], ret["changes"], modes(target)) == (True, expected, [0o755] * 3)
    assert release(None).unpacked("n", str(target), "https://x/t", "0" * 64)["changes"] == {}


@pytest.mark.root
def test_what_was_done_before_a_failure_is_told(release, tmp_path, monkeypatch):
    def refuse(path, *_args, **_how):
        raise OSError(30, "Read-only file system", str(path))

    archive, target = tmp_path / "tool.zip", tmp_path / "opt/tool/1.2.3/tool"
    zipped(archive)
    module = release(archive)
    monkeypatch.setattr("pghalib.host.release.forget", refuse)
    ret = module.unpacked("n", str(target), "https://x/t", digest(archive))
    assert (ret["result"], ret["changes"]) == (False, {str(target): {"old": None, "new": "https://x/t"}})
    assert target.read_bytes() == CONTENT
    target.chmod(0o600)
    target.parent.chmod(0o700)
    monkeypatch.setattr(os, "chmod", refuse)
    ret = release(None).unpacked("n", str(target), "https://x/t", "0" * 64)
    assert (ret["result"], ret["changes"]) == (False, {str(target.parent): {"old": "0700", "new": "0755"}})
    assert ret["comment"].startswith(f"{target}: Read-only file system")


def test_a_link_that_could_not_be_set_is_no_change(release, tmp_path):
    link = tmp_path / "none/tool"
    ret = release(None).in_use("n", str(link), "/opt/tool")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert str(link.parent) in ret["comment"]


@pytest.mark.root
def test_a_binary_that_another_user_put_there_is_replaced(release, tmp_path):
    archive, target = tmp_path / "tool.zip", tmp_path / "opt/tool/1.2.3/tool"
    zipped(archive)
    target.parent.mkdir(parents=True)
    for spoil in (lambda: os.chown(target, 65534, 0), lambda: target.chmod(0o777)):
        target.write_text("not ours")
        target.chmod(0o755)
        spoil()
        assert release(archive).unpacked("n", str(target), f"file://{archive}", digest(archive))["changes"]
        assert (target.read_bytes(), target.stat().st_uid) == (CONTENT, 0)


@pytest.mark.root
def test_nothing_is_unpacked_in_a_directory_of_another_user(release, tmp_path):
    """HashiCorp's package gives /opt/consul to the user consul: it could exchange what root runs."""
    archive, target = tmp_path / "tool.zip", tmp_path / "opt/tool/1.2.3/tool"
    zipped(archive)
    target.parent.parent.mkdir(parents=True)
    os.chown(target.parent.parent, 65534, 65534)
    ret = release(archive).unpacked("n", str(target), f"file://{archive}", digest(archive))
    assert (ret["result"], ret["changes"], os.listdir(target.parent.parent)) == (False, {}, [])
    assert f"others than root may change {target.parent.parent}" in ret["comment"], ret


@pytest.mark.root
def test_local_archive_is_not_removed(release, tmp_path):
    archive = tmp_path / "tool.zip"
    zipped(archive)
    assert release(archive).unpacked("n", str(tmp_path / "opt/tool"), f"file://{archive}", digest(archive))["result"]
    assert archive.exists()


@pytest.mark.parametrize(
    ("cached", "expected"),
    [
        (CommandExecutionError("HTTP 404"), "could not be fetched: HTTP 404"),
        (OSError("timed out"), "could not be fetched: timed out"),
        (None, "is the URL right"),
    ],
)
def test_what_cannot_be_fetched_is_an_error(release, tmp_path, cached, expected):
    ret = release(cached).unpacked("n", str(tmp_path / "opt/tool"), "https://x/t", "0" * 64)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert ret["comment"].startswith("https://x/t")
    assert expected in ret["comment"]


def test_without_a_listed_hash_nothing_is_fetched(release, tmp_path):
    ret = release(AssertionError("fetched")).unpacked("n", str(tmp_path / "opt/tool"), "https://x/t", "")
    assert ret["result"] is False
    assert "No SHA-256 is listed" in ret["comment"]


def test_damaged_archive_installs_nothing_and_is_fetched_again(release, tmp_path):
    archive = release.cache / "tool.zip"
    zipped(archive)
    good = digest(archive)
    archive.write_bytes(archive.read_bytes()[:-1])
    ret = release(archive).unpacked("n", str(tmp_path / "opt/tool"), "https://x/t", good)
    assert ret["result"] is False
    assert good in ret["comment"]
    assert not (tmp_path / "opt").exists()
    assert not archive.exists()


@pytest.mark.parametrize("content", [b"no archive", None])
def test_archive_without_the_binary_installs_nothing(release, tmp_path, content):
    archive = release.cache / "tool.zip"
    if content:
        archive.write_bytes(content)
    else:
        zipped(archive, name="other")
    target = tmp_path / "opt/tool"
    ret = release(archive).unpacked("n", str(target), "https://x/t", digest(archive))
    assert ret["result"] is False
    assert os.listdir(target.parent) == []


def test_link_points_to_the_binary_in_use(release, tmp_path):
    link, one, two = tmp_path / "tool", str(tmp_path / "1/tool"), str(tmp_path / "2/tool")
    link.write_text("put there by hand")
    for old, new in (("a file", one), (one, two)):
        dry = release(None, test=True).in_use("n", str(link), new)
        assert (dry["result"], dry["changes"]) == (None, {str(link): {"old": old, "new": new}})
        assert not link.is_symlink() or os.readlink(link) == old
        ret = release(None).in_use("n", str(link), new)
        assert (ret["result"], ret["changes"]) == (True, dry["changes"])
        assert os.readlink(link) == new
        assert release(None).in_use("n", str(link), new)["changes"] == {}
    link.unlink()
    assert release(None).in_use("n", str(link), one)["changes"] == {str(link): {"old": None, "new": one}}
    assert os.listdir(tmp_path) == ["cache", "tool"] or sorted(os.listdir(tmp_path)) == ["cache", "tool"]
