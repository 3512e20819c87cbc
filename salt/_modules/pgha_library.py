"""
The formula's own modules in one figure: a minion with the master's figure has them all, and asks for none again.

Nothing of the library is imported here: a minion asks before it gets a newer one, and what was imported then would be
used beside what comes.
"""

import hashlib
import os

# Kinds of modules, and how the names of the formula's begin.
KINDS = {"utils": "pghalib/", "grains": "pgha", "modules": "pgha", "states": "pgha"}
# What a master works with.
OF_MASTER = {**KINDS, "pillar": "pgha", "runners": "pgha"}


def here():
    """
    Return the figure of the formula's own modules on this host, or "" while the minion works with the grains of before:
    a job that was killed between the files and the refresh has left it so. A file that cannot be read counts as another
    one.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_library.here
    """
    # What the formula's own grains change. Without them Salt has no packages there, and nothing else would load them.
    if __grains__.get("os_family") == "Astra":
        return ""
    return _figure({path: _hash(path) for path in _files()})


def served(saltenv="base"):
    """
    Return the figure of the modules that this master serves, or "" when it does not hash its files by SHA-256
    (``hash_type``). Then it has all files of the formula at hand.

    saltenv
        The environment that the formula is served from.

    CLI Example:

    .. code-block:: bash

        salt-run salt.cmd pgha_library.served
    """
    hashes = {}
    for path in __salt__["cp.list_master"](saltenv):
        if path.startswith("pgha/"):
            # gitfs makes a directory of its cache when the first of its files is asked for. Where two hosts ask in the
            # same moment, one of them is told that there is none (Salt 3008.3, ``find_file`` of utils/gitfs.py).
            __salt__["cp.hash_file"](f"salt://{path}", saltenv)
        elif path.startswith("_") and _ours(path[1:]):
            hashes[path[1:]] = _served_hash(path, saltenv)
    return "" if None in hashes.values() else _figure(hashes)


def older(saltenv="base"):
    """
    Return the files of the formula that this master serves and has not taken over for itself (``salt-run
    saltutil.sync_all``), or has in another version: a list of paths in its ``extension_modules``. A kind of modules of
    which nothing is there is not looked at, as the master has it from elsewhere (``module_dirs``, ``runner_dirs``, …);
    nothing is, where the master does not hash its files by SHA-256.

    saltenv
        The environment that the formula is served from.

    CLI Example:

    .. code-block:: bash

        salt-run salt.cmd pgha_library.older
    """
    kinds, found = {kind: begin for kind, begin in OF_MASTER.items() if _has(kind, begin.rstrip("/"))}, []
    # More than is served may be there: not every master removes it (``clean_dynamic_modules``).
    for path in __salt__["cp.list_master"](saltenv) if kinds else ():
        if path.startswith("_") and _ours(path[1:], kinds):
            told = _served_hash(path, saltenv)
            if told is None:
                return []
            if told != _hash(path[1:]):
                found.append(path[1:])
    return found


def _served_hash(path, saltenv):
    """The SHA-256 of a file that this master serves; None when the master does not hash its files so."""
    told = __salt__["cp.hash_file"](f"salt://{path}", saltenv)
    if told.get("hash_type") != "sha256":
        return None
    # gitfs gives bytes, but the first time (Salt 3008.3, ``file_hash`` of utils/gitfs.py).
    return told["hsum"].decode("ascii", "replace") if isinstance(told["hsum"], bytes) else told["hsum"]


def _has(kind, begin):
    try:
        names = os.listdir(os.path.join(__opts__["extension_modules"], kind))
    except OSError:
        return False
    return any(name.startswith(begin) for name in names)


def _figure(hashes):
    lines = "".join(f"{found}  {path}\n" for path, found in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _ours(path, kinds=KINDS):
    """Whether a file, ``KIND/NAME.py`` with a nested name for utils, is one of the formula's modules."""
    kind, _, name = path.partition("/")
    return kind in kinds and name.startswith(kinds[kind]) and name.endswith(".py")


def _files():
    directory = __opts__["extension_modules"]
    for kind in KINDS:
        for place, _, names in os.walk(os.path.join(directory, kind)):
            yield from filter(_ours, (os.path.relpath(os.path.join(place, name), directory) for name in names))


def _hash(path):
    try:
        with open(os.path.join(__opts__["extension_modules"], path), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""
