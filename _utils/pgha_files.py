"""Files that the formula writes: compared, checked before anything is replaced, replaced at once, secrets masked."""

import grp
import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

from pgha_diff import diff, mask


def manage(path, content, *, user, group, mode, test, check=None, secrets=()):
    """
    Bring a file to the given content, owner and mode, and say what that changes.

    path
        Absolute path. Its directory must exist (in test mode it need not: the run would have made it).
    content
        The whole text.
    user, group
        Names of the owner. In test mode they need not exist yet.
    mode
        Permission bits as an octal string, e.g. ``"0600"``.
    test
        True: nothing is touched.
    check
        A function that gets the path of a temporary file with the new content, in the same directory and with the same
        owner and mode, and returns None when it is good, else the text of what is wrong. Not called in test mode or
        when the content is there already.
    secrets
        Strings that must not be seen in the changes.

    Returns the keys ``result``, ``changes`` and ``comment`` of a state. The file is replaced by a rename, so that a
    reader sees the old or the new one and never a part.
    """
    target = Path(path)
    old = _read(target)
    changes = {}
    if old != content:
        changes["diff"] = diff(old, content, secrets)
    changes.update(_ownership(target, user, group, mode))
    if not changes:
        return {"result": True, "changes": {}, "comment": f"{path} is as it should be."}
    if test:
        return {"result": None, "changes": changes, "comment": f"{path} would be written."}
    uid, gid = pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    if "diff" not in changes:
        os.chown(target, uid, gid)
        target.chmod(int(mode, 8))
        return {"result": True, "changes": changes, "comment": f"Owner and mode of {path} were set."}
    error = _replace(target, content, uid, gid, int(mode, 8), check)
    if error:
        comment = f"{path} was left as it is, because its new content is refused: {mask(error, secrets)}"
        return {"result": False, "changes": {}, "comment": comment}
    return {"result": True, "changes": changes, "comment": f"{path} was written."}


def changed_since(note, paths):
    """
    Return those of ``paths`` whose content is not what it was when a service was started, as a list.

    note
        File that the unit's ExecStartPre wrote: ``sha256sum PATH…``. What is not in it counts as changed: the service
        was started by an older unit.
    """
    lines = (_read(Path(note)) or "").splitlines()
    started = {path: digest for digest, path in (line.split(None, 1) for line in lines)}
    return [path for path in paths if started.get(path) != _digest(path)]


def write_private(path, content):
    """
    Write a file that only its owner may read (0600) in place of an old one, and see it safely on the disk.

    Returns nothing; raises OSError. For what must survive a crash of the host: file and directory are synced.
    """
    target = Path(path)
    _replace(target, content, os.geteuid(), os.getegid(), 0o600, None)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(target):
    try:
        return target.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _digest(path):
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _ownership(target, user, group, mode):
    """Changes of owner and mode, ``{}`` for a file that is not there (its diff says enough)."""
    try:
        info = target.stat()
    except FileNotFoundError:
        return {}
    changes = {}
    owner = f"{_name(pwd.getpwuid, info.st_uid)}:{_name(grp.getgrgid, info.st_gid)}"
    if owner != f"{user}:{group}":
        changes["owner"] = {"old": owner, "new": f"{user}:{group}"}
    bits = f"{stat.S_IMODE(info.st_mode):04o}"
    if int(bits, 8) != int(mode, 8):
        changes["mode"] = {"old": bits, "new": mode}
    return changes


def _name(lookup, number):
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)


def _replace(target, content, uid, gid, mode, check):
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chown(name, uid, gid)
        os.chmod(name, mode)
        error = check(name) if check else None
        if not error:
            os.replace(name, target)
        return error
    finally:
        Path(name).unlink(missing_ok=True)
