"""
A program that is published as one binary in an archive: fetched, compared with its hash, and unpacked whole or not at
all; and the link by which it is called.
"""

from __future__ import annotations

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
from typing import IO, TYPE_CHECKING

from salt.exceptions import CommandExecutionError, SaltException

import pghalib.host.descriptors
import pghalib.host.passage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    from pghalib.host.diff import Change

MODE = 0o755


def trusted_mode(target: Path) -> int | None:
    """
    Return the permission bits of a binary; None when it is missing, or when another user than root may have put it
    there.

    target
        Its absolute path.

    Raises CommandExecutionError when another user can change the directory, or the next one above it that exists: that
    user can exchange root's files. Raises OSError when the directory cannot be opened.
    """
    with pghalib.host.descriptors.trusted(next(step for step in target.parents if step.is_dir())):
        pass
    try:
        info = os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return None
    mine = stat.S_ISREG(info.st_mode) and info.st_uid in (0, os.geteuid()) and not info.st_mode & 0o022
    return stat.S_IMODE(info.st_mode) if mine else None


def passable(target: Path, *, test: bool) -> dict[str, Change]:
    """
    Make the two directories above a binary, or let other users pass them.

    target
        Absolute path of the binary.
    test
        True: nothing is touched.

    Returns the changes, and raises, as ``pghalib.host.passage.made``.
    """
    return pghalib.host.passage.made(str(target.parent), test=test, top=str(target.parent.parent))


def executable(target: Path, mode: int, *, test: bool) -> dict[str, Change]:
    """
    Let everybody execute a binary.

    target
        Its absolute path.
    mode
        Its permission bits of now.
    test
        True: nothing is touched.

    Returns the changes, ``{path: {"old": mode, "new": mode}}``. Raises OSError when the mode cannot be set.
    """
    if mode == MODE:
        return {}
    if not test:
        os.chmod(target, MODE)
    return {str(target): {"old": f"{mode:04o}", "new": f"{MODE:04o}"}}


def fetched(source: str, sha256: str, cache_file: Callable[..., str | Literal[False]], cachedir: str) -> str:
    """
    Fetch an archive and return its path on this host.

    source
        Its URL.
    sha256
        Its SHA-256, as hexadecimal digits.
    cache_file
        ``__salt__["cp.cache_file"]``.
    cachedir
        The minion's cache: an archive with another hash is removed from it, so that it is fetched again.

    Raises CommandExecutionError when it cannot be fetched, and when its hash is another one.
    """
    try:
        cached = cache_file(source, source_hash=sha256)
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
        forget(cached, cachedir)
        raise CommandExecutionError(
            f"{source} has the SHA-256 {found}, expected is {sha256}: the download is damaged or is not what was"
            " meant. Nothing was installed"
        )
    return cached


def unpack(archive: str, target: Path) -> None:
    """
    Unpack the file with the target's name from an archive. The target appears only when it is complete.

    archive
        Path of a .zip, a .tar.gz or a .deb, the hash of which was compared. No script of a package runs.
    target
        Absolute path of the binary. Everybody may execute it, and pass the two directories above it.

    Raises CommandExecutionError when the archive holds no such file, and when it cannot be unpacked.
    """
    passable(target, test=False)
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


def forget(archive: str, cachedir: str) -> None:
    """
    Remove the minion's copy of an archive. The file of a ``file://`` source is not a copy and stays.

    archive
        Path of the archive.
    cachedir
        The minion's cache.

    Raises OSError when the copy cannot be removed.
    """
    if Path(archive).is_relative_to(cachedir):
        Path(archive).unlink(missing_ok=True)


def leads_to(link: str) -> str | None:
    """
    Return where a link leads, without looking whether something is there; ``"a file"`` for what is no link, None where
    there is nothing.

    link
        Its path.
    """
    place = Path(link)
    return os.readlink(place) if place.is_symlink() else ("a file" if place.exists() else None)


def lead(link: str, target: str) -> None:
    """
    Let a link lead to a binary, in place of another link or file. By a rename, so that the program is never missing.

    link
        Path of the link.
    target
        Path of the binary.

    Raises OSError when the link cannot be set.
    """
    place = Path(link)
    draft = place.with_name(f".{place.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(place)


def _copy_member(archive: str, wanted: str, out: IO[bytes]) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir() and Path(entry.filename).name == wanted:
                    with packed.open(entry) as stream:
                        shutil.copyfileobj(stream, out, 1 << 20)
                    return
    else:
        with _tar(archive) as files:
            for member in files:
                named = member.isfile() and Path(member.name).name == wanted and "bin" in _folders(archive, member)
                if named and (content := files.extractfile(member)):
                    shutil.copyfileobj(content, out, 1 << 20)
                    return
    raise CommandExecutionError(f"{archive} holds no file {wanted}")


@contextlib.contextmanager
def _tar(archive: str) -> Iterator[tarfile.TarFile]:
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


def _folders(archive: str, member: tarfile.TarInfo) -> tuple[str, ...]:
    """The directories of a member. A package has other files of the program's name: its logrotate.d, say."""
    return Path(member.name).parent.parts if _is_package(archive) else ("bin",)


def _is_package(archive: str) -> bool:
    with open(archive, "rb") as stream:
        return stream.read(8) == b"!<arch>\n"
