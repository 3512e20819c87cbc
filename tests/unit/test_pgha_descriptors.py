"""Files among strangers: where root writes, what it reads, what it never follows, what killed writers leave."""

import fcntl
import grp
import hashlib
import os
import pwd
import stat
import time
from pathlib import Path

import pghalib.host.lock
import pghalib.services.started
import pytest
from salt.exceptions import CommandExecutionError

# Of files of other users, which only root can make.
pytestmark = pytest.mark.root

STRANGER = 65534
SHADOW = "root:a-secret-of-root\n"


@pytest.fixture
def files(loader_module):
    return loader_module("_utils/pghalib/host/files.py")


@pytest.fixture
def managed(files, tmp_path):
    """A function (name, content, test, **options) -> what came of a file of root's, 0600, below tmp_path."""

    def manage(name, content="new\n", test=False, mode="0600", user="root", group="root", **options):
        return files.manage(str(tmp_path / name), content, user=user, group=group, mode=mode, test=test, **options)

    return manage


@pytest.fixture
def shadow(tmp_path):
    """A file that only root may read, elsewhere."""
    path = tmp_path / "shadow"
    path.write_text(SHADOW)
    path.chmod(0o600)
    yield path
    info = path.stat()
    assert (path.read_text(), info.st_uid, stat.S_IMODE(info.st_mode)) == (SHADOW, 0, 0o600)


@pytest.fixture
def theirs(tmp_path):
    """A directory of another user's."""
    path = tmp_path / "theirs"
    path.mkdir()
    os.chown(path, STRANGER, STRANGER)
    return path


@pytest.mark.parametrize(
    ("uid", "gid", "mode"),
    [(STRANGER, 0, 0o700), (0, STRANGER, 0o770), (0, STRANGER, 0o1770), (0, 0, 0o777), (0, 0, 0o1777)],
)
def test_nothing_is_written_where_another_user_may_write(files, managed, tmp_path, uid, gid, mode):
    place = tmp_path / "place"
    (place / "below").mkdir(parents=True)
    os.chown(place, uid, gid)
    place.chmod(mode)
    with pytest.raises(CommandExecutionError, match=f"Root writes nothing in {place}: others .* chmod go-w {place}"):
        managed("place/file")
    for write in (
        lambda: files.write_private(str(place / "file"), ""),
        lambda: pghalib.host.lock.take(str(place / "file"), 0),
    ):
        with pytest.raises(CommandExecutionError):
            write()
    # Not below either, unless nobody else can move what is there.
    if mode & stat.S_ISVTX:
        assert managed("place/below/file")["result"] is True
    else:
        with pytest.raises(CommandExecutionError, match=f"others than root may change {place} "):
            managed("place/below/file")
    assert not (place / "file").exists()
    # A dry run before the states have put the directory right is no failure.
    assert managed("place/file", test=True)["result"] is None


def test_a_sticky_directory_of_roots_is_taken_where_that_is_said(managed, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 0, STRANGER)
    place.chmod(0o1770)
    assert managed("place/file", sticky=True)["result"] is True
    place.chmod(0o770)
    with pytest.raises(CommandExecutionError):
        managed("place/file", sticky=True)


def test_links_of_roots_are_followed_and_others_are_not(files, managed, tmp_path, theirs, shadow):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert managed("link/file")["result"] is True
    assert (tmp_path / "real/file").read_text() == "new\n"
    assert files.read_foreign(str(tmp_path / "link/file")) == "new\n"
    # A link that another user made when the directory was still his.
    os.lchown(tmp_path / "link", STRANGER, STRANGER)
    with pytest.raises(CommandExecutionError):
        managed("link/file", "newer\n")
    with pytest.raises(CommandExecutionError):
        files.read_foreign(str(tmp_path / "link/file"))
    # And one of root's in a directory of another's, who can have put it there.
    (theirs / "link").symlink_to(tmp_path)
    with pytest.raises(CommandExecutionError):
        files.read_foreign(str(theirs / "link/shadow"))


def test_directories_that_are_missing_or_none_are_named(files, managed, tmp_path):
    assert managed("missing/file", test=True)["result"] is None
    with pytest.raises(CommandExecutionError, match=r"missing/file: No such file or directory"):
        managed("missing/file")
    assert files.remove(str(tmp_path / "missing/file"), test=False) == []
    (tmp_path / "file").touch()
    with pytest.raises(CommandExecutionError, match="file/x"):
        managed("file/x")


def test_owner_and_mode_are_there_before_the_content(managed, tmp_path, monkeypatch):
    """Whoever watches the directory never finds a file with a secret in it that he may open."""
    seen = []
    chown, chmod = os.fchown, os.fchmod

    def look(what):
        def call(handle, *args):
            info = os.fstat(handle)
            seen.append((what, info.st_size, stat.S_IMODE(info.st_mode)))
            return {"chown": chown, "chmod": chmod}[what](handle, *args)

        return call

    monkeypatch.setattr(os, "fchown", look("chown"))
    monkeypatch.setattr(os, "fchmod", look("chmod"))
    for name in ("chown", "chmod"):
        # By name nothing is given away.
        monkeypatch.setattr(os, name, lambda *_args, **_kwargs: pytest.fail("by name"))
    assert managed("file", "secret", mode="0640", group="daemon")["result"] is True
    assert seen == [("chown", 0, 0o600), ("chmod", 0, 0o600)]
    info = (tmp_path / "file").stat()
    assert (info.st_gid, stat.S_IMODE(info.st_mode)) == (grp.getgrnam("daemon").gr_gid, 0o640)


def test_a_draft_that_is_swapped_for_a_link_leads_nowhere(managed, tmp_path, shadow):
    """The moment that an attacker would wait for: the draft is there, and not yet in its place."""
    name = pwd.getpwuid(STRANGER).pw_name

    def swap(draft):
        assert draft.startswith(f"{tmp_path}/.file.json.")
        assert not draft.endswith(".json")
        os.rename(draft, draft + ".away")
        os.symlink(shadow, draft)

    managed("file.json", "{}", user=name, check=swap)
    assert shadow.stat().st_uid == 0


@pytest.mark.parametrize("content", ["new\n", SHADOW])
def test_a_link_in_the_place_of_a_file_is_replaced_itself(managed, tmp_path, shadow, content):
    (tmp_path / "file").symlink_to(shadow)
    name = pwd.getpwuid(STRANGER).pw_name
    dry = managed("file", content, user=name, test=True)
    ret = managed("file", content, user=name)
    assert (dry["result"], ret["result"]) == (None, True)
    assert dry["changes"] == ret["changes"]
    assert ret["changes"]["kind"] == {"old": "a symbolic link", "new": "a regular file"}
    assert "a-secret-of-root" not in str(ret["changes"]) or content == SHADOW
    info = (tmp_path / "file").lstat()
    assert (stat.S_ISREG(info.st_mode), info.st_uid) == (True, STRANGER)
    assert managed("file", content, user=name)["changes"] == {}


def test_a_pipe_is_replaced_and_not_waited_for_and_a_directory_is_named(managed, tmp_path):
    os.mkfifo(tmp_path / "file")
    begun = time.monotonic()
    assert managed("file")["changes"]["kind"]["old"] == "a pipe, socket or device"
    assert time.monotonic() - begun < 5
    assert (tmp_path / "file").read_text() == "new\n"
    (tmp_path / "other").mkdir()
    with pytest.raises(CommandExecutionError, match="other: Is a directory"):
        managed("other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]


def test_owner_of_a_file_that_lies_elsewhere_too_is_not_given_away(managed, tmp_path, shadow):
    os.link(shadow, tmp_path / "file")
    ret = managed("file", SHADOW, user=pwd.getpwuid(STRANGER).pw_name)
    assert ret["result"] is True
    assert (tmp_path / "file").stat().st_uid == STRANGER


def test_owner_and_mode_are_set_without_a_new_file(managed, tmp_path):
    managed("file")
    before = (tmp_path / "file").stat().st_ino
    ret = managed("file", mode="0640")
    assert (ret["changes"], ret["comment"]) == (
        {"mode": {"old": "0600", "new": "0640"}},
        f"Owner and mode of {tmp_path}/file were set.",
    )
    after = (tmp_path / "file").stat()
    assert (after.st_ino, stat.S_IMODE(after.st_mode)) == (before, 0o640)


def test_an_owner_alone_is_set_without_a_new_file_and_a_dry_run_sets_none(managed, tmp_path):
    path, user, group = tmp_path / "file", pwd.getpwuid(STRANGER).pw_name, grp.getgrgid(STRANGER).gr_name
    managed("file", mode="0640")
    before = path.stat()
    changes = {"owner": {"old": "root:root", "new": f"{user}:{group}"}}
    never = {"check": lambda _draft: pytest.fail("the content is as it was")}
    dry = managed("file", mode="0640", user=user, group=group, test=True)
    assert (dry["result"], dry["changes"], path.stat().st_uid) == (None, changes, 0)
    ret = managed("file", mode="0640", user=user, group=group, **never)
    assert (ret["result"], ret["changes"], ret["comment"]) == (True, changes, f"Owner and mode of {path} were set.")
    after = path.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (STRANGER, STRANGER, before.st_mode)
    assert (after.st_ino, path.read_text()) == (before.st_ino, "new\n")
    for test in (True, False):
        ret = managed("file", mode="0640", user=user, group=group, test=test, **never)
        assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, f"{path} is as it should be.")


def test_what_was_left_is_removed_beside_an_owner_that_is_set(managed, tmp_path, interrupted):
    (tmp_path / "file.json").write_text("new\n")
    (tmp_path / "file.json").chmod(0o644)
    ret = managed("file.json")
    assert set(ret["changes"]) == {"leftovers", "mode"}
    assert not [name for name in interrupted[0] if (tmp_path / name).is_symlink() or (tmp_path / name).exists()]
    # And beside a content that is refused: then that is all that has happened.
    (tmp_path / interrupted[0][0]).write_text("secret")
    ret = managed("file.json", "bad\n", check=lambda _draft: "it is bad")
    assert (ret["result"], list(ret["changes"])) == (False, ["leftovers"])
    assert (tmp_path / "file.json").read_text() == "new\n"


def test_the_content_is_on_the_disk_before_it_takes_the_place_of_the_old_one(managed, tmp_path, monkeypatch):
    """After a crash there is the old file or the new one, never an empty one."""
    managed("file", "old\n")
    synced, sync = [], os.fsync

    def look(handle):
        is_file = stat.S_ISREG(os.fstat(handle).st_mode)
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        synced.append((place.read_text() if is_file else place, (tmp_path / "file").read_text()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", look)
    managed("file", "new\n")
    assert synced == [("new\n", "old\n"), (tmp_path, "new\n")]


def test_a_file_that_is_larger_than_can_be_right_is_not_read(files, managed, tmp_path):
    with open(tmp_path / "file", "wb") as stream:
        stream.truncate(files.LIMIT + 1)
    with pytest.raises(CommandExecutionError, match="file: a file of 16777217 bytes"):
        managed("file")


@pytest.fixture
def interrupted(tmp_path):
    """What writers that were killed have left, as it is called now and as it was; and what others put there."""
    ours = [".file.json.pgha-0123456789abcdef", ".file.json.ab_1cdef.json"]
    others = [
        ".file.json.swp",
        ".file.json.bak",
        ".other.json.ab_1cdef.json",
        "file.json.orig",
        ".file.json.ab_1cdef.x",
    ]
    for name in (*ours, *others):
        (tmp_path / name).write_text("secret")
    # A link there leads nowhere, and a directory is nobody's draft.
    (tmp_path / ".file.json.linkedto.json").symlink_to(tmp_path / "others")
    (tmp_path / "others").touch()
    (tmp_path / ".file.json.director.json").mkdir()
    others += ["others", ".file.json.director.json"]
    return sorted([*ours, ".file.json.linkedto.json"]), others


@pytest.mark.parametrize("there", [True, False])
def test_what_killed_writers_left_is_removed(managed, tmp_path, interrupted, there):
    ours, others = interrupted
    if there:
        (tmp_path / "file.json").write_text("new\n")
        (tmp_path / "file.json").chmod(0o600)
    dry = managed("file.json", test=True)
    assert dry["changes"]["leftovers"] == {"old": ours, "new": None}
    assert (tmp_path / ours[0]).is_symlink() or (tmp_path / ours[0]).exists()
    ret = managed("file.json")
    assert (ret["result"], ret["changes"]) == (True, dry["changes"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "file.json"])
    assert managed("file.json")["changes"] == {}


def test_a_private_file_and_a_removed_one_leave_nothing_either(files, tmp_path, interrupted):
    ours, others = interrupted
    files.write_private(str(tmp_path / "file.json"), "{}")
    assert stat.S_IMODE((tmp_path / "file.json").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "file.json"])
    (tmp_path / ours[0]).touch()
    for test in (True, False):
        assert files.remove(str(tmp_path / "file.json"), test=test) == [ours[0], "file.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    assert files.remove(str(tmp_path / "file.json"), test=False) == []


def test_what_another_user_wrote_is_read_as_data(files, theirs, shadow):
    path = theirs / "file"
    assert files.read_foreign(str(path)) is None
    assert files.read_foreign(str(theirs / "missing/file")) is None
    path.write_bytes(b"one\ntwo\n\xff")
    assert files.read_foreign(str(path)) == "one\ntwo\n\ufffd"
    assert files.read_foreign(str(path), 4, tail=True) == "wo\n\ufffd"
    with pytest.raises(CommandExecutionError, match="not read: it is a file of 9 bytes"):
        files.read_foreign(str(path), 8)
    path.unlink()
    path.symlink_to(shadow)
    with pytest.raises(CommandExecutionError, match="not read: it is a symbolic link"):
        files.read_foreign(str(path))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CommandExecutionError, match="a pipe, socket or device"):
        files.read_foreign(str(path))


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The notes of services, with the notes and the units below tmp_path."""
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(pghalib.services, "UNITS", str(tmp_path))
    return pghalib.services.started


@pytest.mark.parametrize(
    "content", [b"", b"oneword\n", b"\n \n\n", b"\xff\xfe\n", b"a b c d\n", b"x" * 100_000, b"0 /unit extra"]
)
def test_a_note_of_whatever_content_raises_nothing(started, tmp_path, content):
    (tmp_path / "consul.started-with").write_bytes(content)
    (tmp_path / "consul.service").touch()
    assert str(tmp_path / "consul.service") in started.changed("consul")


def test_a_file_is_compared_with_its_note_whatever_its_path_is(started, tmp_path):
    unit, other = tmp_path / "consul.service", tmp_path / "a name with blanks"
    for path in (unit, other):
        path.write_text(path.name)
    paths = (str(unit), str(other))
    note = "".join(f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()}  {path}\n" for path in paths)
    (tmp_path / "consul.started-with").write_text(note)
    assert started.noted("consul") is True
    assert started.noted("patroni") is False
    assert started.changed("consul", [str(other)]) == []
    other.write_text("another")
    assert started.changed("consul", [str(other)]) == [str(other)]
    # Of what the service did not read when it was started, nothing is known.
    assert started.changed("consul", [str(tmp_path / "new")]) == []
    (tmp_path / "new").write_text("")
    assert started.changed("consul", [str(tmp_path / "new")]) == [str(tmp_path / "new")]
    started.by_an_older_unit("consul")
    assert started.changed("consul") == [str(unit)]
    assert (tmp_path / "consul.started-with").read_text().endswith(note.splitlines()[1] + "\n")
    started.by_an_older_unit("patroni")
    assert not (tmp_path / "patroni.started-with").exists()


def test_a_note_that_is_missing_or_none_names_the_unit_alone(started, tmp_path, shadow):
    unit, other = tmp_path / "consul.service", tmp_path / "other"
    unit.write_text("a")
    other.write_text("b")
    assert started.changed("consul", [str(other)]) == [str(unit)]
    (tmp_path / "consul.started-with").symlink_to(shadow)
    assert started.changed("consul", [str(other)]) == [str(unit)]


def test_a_lock_is_roots_and_waits_for_a_bounded_time(tmp_path):
    path = tmp_path / "lock"
    # As an older version left it.
    path.touch(0o644)
    with pghalib.host.lock.held(str(path), 1) as handle:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not os.get_inheritable(handle)
        begun = time.monotonic()
        with pytest.raises(CommandExecutionError, match=f"has had the lock {path} for 0.2 s"):
            pghalib.host.lock.take(str(path), 0.2)
        assert 0.2 <= time.monotonic() - begun < 5
    os.close(pghalib.host.lock.take(str(path), 0))
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandExecutionError):
        pghalib.host.lock.take(str(path), 0)
    assert not (tmp_path / "elsewhere").exists()
    with open(tmp_path / "other", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(CommandExecutionError):
            pghalib.host.lock.take(str(tmp_path / "other"), 0)


def test_where_a_path_leads_is_told_by_links_of_roots_alone(loader_module, tmp_path, theirs):
    real = loader_module("_utils/pghalib/host/descriptors.py").real
    (tmp_path / "disk/data").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk")
    (tmp_path / "far").symlink_to(tmp_path / "link/data")
    (tmp_path / "dangling").symlink_to("nowhere")
    (theirs / "link").symlink_to(tmp_path / "disk")
    assert real(f"{tmp_path}/link/data/") == f"{tmp_path}/disk/data"
    assert real(f"{tmp_path}/far") == f"{tmp_path}/disk/data"
    # A file, or what is still to be made, in such a directory.
    assert real(f"{tmp_path}/link/new") == f"{tmp_path}/disk/new"
    for same in ("dangling", "theirs/link", "theirs/link/data", "none/of/it"):
        assert real(f"{tmp_path}/{same}") == f"{tmp_path}/{same}"
