"""
A program that is published as one binary in an archive: unpacked below /opt, linked to from where it is called.

Why not ``archive.extracted``: it looks at names only, so a run that was interrupted while it unpacked leaves half a
binary that the next run takes for a whole one; and it fetches the archive again, or keeps it, to compare lists.
"""

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pghalib.errors
import pghalib.host.descriptors
import pghalib.host.passage
from salt.exceptions import CommandExecutionError, SaltException

MODE = 0o755


@pghalib.errors.told
def unpacked(name, path, source, sha256):
    """
    The binary is there, whole, executable, and from the archive with this hash.

    name
        State ID; not used.
    path
        Where the binary belongs, e.g. ``/opt/consul/1.22.3/consul``. The version is part of it: a file that is there is
        taken to be right, since it is put there by a rename, after its archive passed the check, provided that it is
        root's alone. It may be executed by everybody, and so may the two directories above it be passed through.
    source
        URL of the archive (.zip or .tar.gz): ``https://``, ``http://``, ``file://`` or ``salt://``. It holds a file
        of the same name as the binary.
    sha256
        SHA-256 of the archive.

    The archive is removed from the minion's cache when the binary is out of it.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": f"{path} is there."}
    target = Path(path)
    try:
        # In a directory of another user's nothing is root's for long.
        with pghalib.host.descriptors.trusted(next(step for step in target.parents if step.is_dir())):
            pass
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    above = str(target.parent.parent)
    opened = pghalib.host.passage.made(str(target.parent), test=True, top=above) if target.parent.is_dir() else {}
    mode = _mode(target)
    if mode is not None:
        changes = {**opened, **({} if mode == MODE else {path: {"old": f"{mode:04o}", "new": f"{MODE:04o}"}})}
        if changes and not __opts__["test"]:
            pghalib.host.passage.made(str(target.parent), test=False, top=above)
            os.chmod(target, MODE)
        if changes:
            comment = f"{path} {'would be' if __opts__['test'] else 'was'} opened to other users."
            return {**ret, "result": None if __opts__["test"] else True, "changes": changes, "comment": comment}
        return ret
    if not sha256:
        comment = f"No SHA-256 is listed for {source}: add it to `hashes`, beside the version"
        return {**ret, "result": False, "comment": comment}
    changes = {path: {"old": None, "new": source}}
    if __opts__["test"]:
        return {**ret, "result": None, "changes": changes, "comment": f"{path} would be unpacked from {source}."}
    try:
        archive = _fetched(source, sha256)
        _extract(archive, target)
        _forget(archive)
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": str(error)}
    return {**ret, "changes": changes, "comment": f"{path} was unpacked from {source}."}


@pghalib.errors.told
def in_use(name, link, target):
    """
    The link points to the binary in use; one that was put there by hand makes way for it.

    ``file.symlink`` would do, but makes Salt load all of its modules anew when the path of a link has "bin" in it.

    name
        State ID; not used.
    link
        Where the program is called, e.g. ``/usr/bin/consul``.
    target
        Path of the binary.
    """
    place = Path(link)
    old = os.readlink(place) if place.is_symlink() else ("a file" if place.exists() else None)
    if old == target:
        return {"name": name, "result": True, "changes": {}, "comment": f"{link} points to {target}."}
    changes = {link: {"old": old, "new": target}}
    if __opts__["test"]:
        return {"name": name, "result": None, "changes": changes, "comment": f"{link} would point to {target}."}
    # A rename, so that at no moment there is no program.
    draft = place.with_name(f".{place.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(place)
    return {"name": name, "result": True, "changes": changes, "comment": f"{link} points to {target} now."}


def _mode(target):
    """The mode of a binary that is there; None when it is missing, or when another than root may have put it there."""
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
        raise CommandExecutionError(f"{source} could not be fetched: is the URL right, and reached from this host?")
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
    """Take the member with the target's name out of an archive; it appears under that name when it is complete."""
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
        with tarfile.open(archive) as packed:
            for member in packed:
                if member.isfile() and Path(member.name).name == wanted:
                    shutil.copyfileobj(packed.extractfile(member), out, 1 << 20)
                    return
    raise CommandExecutionError(f"{archive} holds no file {wanted}")


def _forget(cached):
    """Remove the minion's copy of an archive; a file:// source is not one."""
    if Path(cached).is_relative_to(__opts__["cachedir"]):
        Path(cached).unlink(missing_ok=True)
