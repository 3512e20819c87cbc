"""
States of a program that is published as one binary in an archive: unpacked below /opt, with a link in the PATH.

Why not ``archive.extracted``: it compares names only. After an interruption during the unpacking, the next run takes
half a binary for a whole one. And it must fetch the archive again, or keep it, to compare lists of names.
"""

from pathlib import Path

import pghalib.host.release
import pghalib.states
from salt.exceptions import CommandExecutionError


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
    mode = pghalib.host.release.trusted_mode(target)
    if mode is not None:
        return _opened(ret, target, mode)
    if not sha256:
        raise CommandExecutionError(f"No SHA-256 is listed for {source}: add it to `hashes`, beside the version")
    changes = {path: {"old": None, "new": source}}
    if ret.test:
        ret.plan(changes)
        return f"{path} would be unpacked from {source}."
    cachedir = __opts__["cachedir"]
    archive = pghalib.host.release.fetched(source, sha256, __salt__["cp.cache_file"], cachedir)
    pghalib.host.release.unpack(archive, target)
    ret.changes.update(changes)
    pghalib.host.release.forget(archive, cachedir)
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
    old = pghalib.host.release.leads_to(link)
    if old == target:
        return f"{link} points to {target}."
    ret.plan({link: {"old": old, "new": target}})
    if ret.test:
        return f"{link} would point to {target}."
    pghalib.host.release.lead(link, target)
    return f"{link} points to {target} now."


def _opened(ret, target, mode):
    """Let other users pass the two directories above a binary that is there, and execute it."""
    ret.changes.update(pghalib.host.release.passable(target, test=ret.test))
    ret.changes.update(pghalib.host.release.executable(target, mode, test=ret.test))
    if not ret.changes:
        return f"{target} is there."
    return f"{target} {'would be' if ret.test else 'was'} opened to other users."
