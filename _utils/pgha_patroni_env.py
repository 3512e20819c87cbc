"""Virtual environments as files: what a requirements file asks for, what is in site-packages. No process is started."""

import hashlib
import re
from pathlib import Path

#: Written last, with what the environment was built from: without it a build was interrupted.
MARKER = ".pgha-requirements"


def normal(name):
    """Return the name of a package in the one form that all its spellings have in common (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(text):
    """
    Return the pinned packages of a requirements file, in its order: a list of ``name`` (normal), ``version`` and
    ``text`` (the requirement with its hashes). Lines without ``==`` are not pinned and not returned.
    """
    joined = re.sub(r"\\\s*\n", " ", text)
    found = []
    for line in joined.splitlines():
        match = re.match(r"^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;#]+)", line)
        if match:
            found.append({"name": normal(match.group(1)), "version": match.group(2), "text": line.strip()})
    return found


def is_hashed(text):
    """Return True when every requirement of a file has a hash: it then names everything, and nothing is resolved."""
    pinned = requirements(text)
    joined = re.sub(r"\\\s*\n", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and line.lstrip()[0] not in "#-"]
    return bool(pinned) and len(pinned) == len(lines) and all("--hash=" in entry["text"] for entry in pinned)


def installed(venv):
    """
    Return the packages of a virtual environment as ``{normal name: version}``, read from the names of their folders. A
    package whose installation was interrupted (no INSTALLER in its folder, which pip writes last) is not among them.
    """
    found = {}
    for folder in Path(venv).glob("lib/python3*/site-packages/*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        if (folder / "INSTALLER").exists():
            found[normal(name)] = version
    return found


def interrupted(venv):
    """Return True when a package of the environment was left half installed."""
    return any(
        not (folder / "INSTALLER").exists() for folder in Path(venv).glob("lib/python3*/site-packages/*.dist-info")
    )


def fingerprint(text, python):
    """Return what MARKER holds for an environment of this requirements file and this (resolved) Python."""
    return hashlib.sha256(f"{python}\n{text}".encode()).hexdigest()


def pip_wheel(python):
    """
    Return the path of a wheel of pip that comes with Python itself, so that neither a pip on the host nor one in the
    environment is needed: Debian's python3-pip-whl (python3-venv depends on it), else the one that ensurepip carries.
    None when there is neither.

    python
        The resolved path of the interpreter, e.g. ``/usr/bin/python3.11``.
    """
    prefix = Path(python).parent.parent
    for folder in (Path("/usr/share/python-wheels"), *sorted(prefix.glob("lib/python3*/ensurepip/_bundled"))):
        wheels = sorted(folder.glob("pip-*.whl"))
        if wheels:
            return str(wheels[-1])
    return None
