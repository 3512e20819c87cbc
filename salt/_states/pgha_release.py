"""
States of a program that is published as one binary in an archive: unpacked below /opt, with a link in the PATH.

Why not ``archive.extracted``: it compares names only. After an interruption during the unpacking, the next run takes
half a binary for a whole one. And it must fetch the archive again, or keep it, to compare lists of names.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pghalib.host.descriptors
import pghalib.host.passage
import pghalib.states
from salt.exceptions import CommandExecutionError, SaltException

MODE = 0o755


@pghalib.states.state
def unpacked(ret, path, source, sha256):
    """
    The binary is there, complete, executable, and from the archive with this hash.

    name
        State ID; not used.
    path
        Path of the binary, e.g. ``/opt/consul/1.22.3/consul``; the version is part of it. A file with this path that
        only root can change counts as correct: it was put there by a rename, after its archive had passed the check.
        Everybody may execute the file and pass through the two directories above it.
    source
        URL of the archive (.zip, .tar.gz or .deb): ``https://``, ``http://``, ``file://`` or ``salt://``. The archive
        must hold a file with the binary's name. Of a package nothing else is taken: no script of it runs, and nothing
        that it depends on is installed.
    sha256
        SHA-256 of the archive.

    The archive is removed from the minion's cache after the unpacking.
    """
    target = Path(path)
    # In a directory of another user, that user can exchange root's files.
    with pghalib.host.descriptors.trusted(next(step for step in target.parents if step.is_dir())):
        pass
    mode = _mode(target)
    if mode is not None:
        return _opened(ret, target, mode)
    if not sha256:
        raise CommandExecutionError(f"No SHA-256 is listed for {source}: add it to `hashes`, beside the version")
    changes = {path: {"old": None, "new": source}}
    if ret.test:
        ret.plan(changes)
        return f"{path} would be unpacked from {source}."
    archive = _fetched(source, sha256)
    _extract(archive, target)
    ret.changes.update(changes)
    _forget(archive)
    return f"{path} was unpacked from {source}."


@pghalib.states.state
def in_use(ret, link, target):
    """
    The link points to the binary in use. A link or file that somebody put there by hand is replaced.

    ``file.symlink`` is not used: Salt loads all of its modules again when the path of a link contains "bin".

    name
        State ID; not used.
    link
        Path by which the program is called, e.g. ``/usr/bin/consul``.
    target
        Path of the binary.
    """
    place = Path(link)
    old = os.readlink(place) if place.is_symlink() else ("a file" if place.exists() else None)
    if old == target:
        return f"{link} points to {target}."
    ret.plan({link: {"old": old, "new": target}})
    if ret.test:
        return f"{link} would point to {target}."
    # By a rename, so that the program is never missing.
    draft = place.with_name(f".{place.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(place)
    return f"{link} points to {target} now."


def _opened(ret, target, mode):
    """Let other users pass the two directories above a binary that is there, and execute it."""
    ret.changes.update(pghalib.host.passage.made(str(target.parent), test=ret.test, top=str(target.parent.parent)))
    if mode != MODE:
        if not ret.test:
            os.chmod(target, MODE)
        ret.changes[str(target)] = {"old": f"{mode:04o}", "new": f"{MODE:04o}"}
    if not ret.changes:
        return f"{target} is there."
    return f"{target} {'would be' if ret.test else 'was'} opened to other users."


def _mode(target):
    """The mode of the binary; None when it is missing, or when another user than root may have put it there."""
    try:
        info = os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return None
    mine = stat.S_ISREG(info.st_mode) and info.st_uid in (0, os.geteuid()) and not info.st_mode & 0o022
    return stat.S_IMODE(info.st_mode) if mine else None


def _fetched(source, sha256):
    try:
        cached = __salt__["cp.cache_file"](source, source_hash=sha256)
    except (SaltException, OSError) as error:
        raise CommandExecutionError(f"{source} could not be fetched: {error}") from None
    if not cached or not Path(cached).is_file():
        raise CommandExecutionError(
            f"{source} could not be fetched: is the URL right, and reached from this host? Salt"
            " takes a proxy from the minion's configuration alone (docs/settings.md, Behind a proxy)"
        )
    digest = hashlib.sha256()
    with open(cached, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    found = digest.hexdigest()
    if found != sha256.lower():
        _forget(cached)
        raise CommandExecutionError(
            f"{source} has the SHA-256 {found}, expected is {sha256}: the download is damaged or is not what was"
            " meant. Nothing was installed"
        )
    return cached


def _extract(archive, target):
    """Unpack the member with the target's name from an archive. The target appears only when it is complete."""
    pghalib.host.passage.made(str(target.parent), test=False, top=str(target.parent.parent))
    handle, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            _copy_member(archive, target.name, out)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(draft, MODE)
        os.replace(draft, target)
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise CommandExecutionError(f"{archive} could not be unpacked to {target}: {error}") from None
    finally:
        Path(draft).unlink(missing_ok=True)


def _copy_member(archive, wanted, out):
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                if not member.is_dir() and Path(member.filename).name == wanted:
                    with packed.open(member) as stream:
                        shutil.copyfileobj(stream, out, 1 << 20)
                    return
    else:
        with _tar(archive) as packed:
            for member in packed:
                if member.isfile() and Path(member.name).name == wanted and "bin" in _folders(archive, member):
                    shutil.copyfileobj(packed.extractfile(member), out, 1 << 20)
                    return
    raise CommandExecutionError(f"{archive} holds no file {wanted}")


@contextlib.contextmanager
def _tar(archive):
    """The members of a tar, or of the files of a Debian package."""
    if not _is_package(archive):
        with tarfile.open(archive) as packed:
            yield packed
        return
    command = ["dpkg-deb", "--fsys-tarfile", archive]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as packed:
                yield packed
        finally:
            unpacking.kill()


def _folders(archive, member):
    """The directories of a member. A package has other files of the program's name: its logrotate.d, say."""
    return Path(member.name).parent.parts if _is_package(archive) else ("bin",)


def _is_package(archive):
    with open(archive, "rb") as stream:
        return stream.read(8) == b"!<arch>\n"


def _forget(cached):
    """Remove the minion's copy of an archive. The file of a file:// source is not a copy and stays."""
    if Path(cached).is_relative_to(__opts__["cachedir"]):
        Path(cached).unlink(missing_ok=True)
