"""
Virtual environments as files: the packages of a requirements file, the packages in site-packages, and the replacement
of an old environment by a new one. No process is started.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from pghalib.host.diff import Change

#: The file with the fingerprint of an environment. It is written last: when it is missing, a build was interrupted.
MARKER = ".pgha-requirements"


class Requirement(TypedDict):
    """A pinned package of a requirements file."""

    name: str
    version: str
    text: str


class State(TypedDict):
    """The packages that an environment should have and those that it has (name: version), and whether it is whole."""

    wanted: dict[str, str]
    installed: dict[str, str]
    complete: bool


def normal(name: str) -> str:
    """Return the normal form of a package's name, the same for all its spellings (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(text: str) -> list[Requirement]:
    """
    Return the pinned packages of a requirements file, in its order: a list of ``name`` (normal), ``version`` and
    ``text`` (the requirement with its hashes). Lines without ``==`` are not pinned and not returned.
    """
    joined = re.sub(r"\\\s*\n", " ", text)
    found: list[Requirement] = []
    for line in joined.splitlines():
        match = re.match(r"^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;#]+)", line)
        if match:
            found.append({"name": normal(match.group(1)), "version": match.group(2), "text": line.strip()})
    return found


def is_hashed(text: str) -> bool:
    """Return True when every requirement of a file has a hash: then the file names all packages, pip resolves none."""
    pinned = requirements(text)
    joined = re.sub(r"\\\s*\n", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and line.lstrip()[0] not in "#-"]
    return bool(pinned) and len(pinned) == len(lines) and all("--hash=" in entry["text"] for entry in pinned)


def installed(venv: str) -> dict[str, str]:
    """Return the packages of a virtual environment as ``{normal name: version}``, from the names of their folders."""
    found = {}
    for folder in Path(venv).glob("lib/python3*/site-packages/*.dist-info"):
        match = re.fullmatch(r"([\w.]+)-([\w.!+]+)\.dist-info", folder.name)
        if match:
            found[normal(match.group(1))] = match.group(2)
    return found


def differing(found: State) -> dict[str, Change]:
    """
    Return the packages that are not there in the version required, as ``{name: {"old": version or None, "new":…}}``.

    found
        The result of ``pgha_patroni_env.venv_state``.
    """
    old, new = found["installed"], found["wanted"]
    return {key: {"old": old.get(key), "new": new[key]} for key in new if old.get(key) != new[key]}


def fingerprint(text: str, python: str) -> str:
    """Return the content of MARKER for an environment of this requirements file and this (resolved) Python."""
    return hashlib.sha256(f"{python}\n{text}".encode()).hexdigest()


def pip_wheel(python: str) -> str | None:
    """
    Return the path of a wheel of pip that comes with Python: so no pip is needed on the host or in the environment. It
    is from Debian's python3-pip-whl (python3-venv depends on it), else from ensurepip. None when there is neither.

    python
        The resolved path of the interpreter, e.g. ``/usr/bin/python3.11``.
    """
    prefix = Path(python).parent.parent
    for folder in (Path("/usr/share/python-wheels"), *sorted(prefix.glob("lib/python3*/ensurepip/_bundled"))):
        wheels = sorted(folder.glob("pip-*.whl"))
        if wheels:
            return str(wheels[-1])
    return None


def mark(venv: str | Path, content: str) -> None:
    """
    Write the fingerprint of an environment, as its last file: all others have to be on the disk. When this returns, it
    is there as well.

    venv
        The environment.
    content
        See :py:func:`fingerprint`.
    """
    with Path(venv, MARKER).open("w", encoding="utf-8") as marker:
        marker.write(content + "\n")
        os.fchmod(marker.fileno(), 0o644)
        marker.flush()
        os.fsync(marker.fileno())


def built_from(venv: str | Path) -> str | None:
    """Return the content that :py:func:`mark` wrote, or None."""
    try:
        return Path(venv, MARKER).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None


def scratch(venv: str) -> Path:
    """Return the directory beside an environment in which the next one is built; nothing is made."""
    return Path(venv).with_name(f".{Path(venv).name}.build")


def new(venv: str) -> Path:
    """Return the path in the scratch where the next one is built. Its last name is the final one, which shells show."""
    return scratch(venv) / "new" / Path(venv).name


def relocate(venv: str) -> None:
    """
    Write the final path into the environment that was built in the scratch: into its programs (their first line), the
    scripts that shells source, and its configuration. Python finds everything else from there.
    """
    built = new(venv)
    for path in [built / "pyvenv.cfg", *(built / "bin").iterdir()]:
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if bytes(built) in content:
            path.write_bytes(content.replace(bytes(built), os.fsencode(venv)))


def exchange(venv: str) -> None:
    """
    Move the old environment to the scratch, and the new one from there to its final place. A process that runs from the
    old one keeps its open files. When a run stops between the two renames, :py:func:`settle` ends the work.
    """
    old = _old(venv)
    old.parent.mkdir()
    if os.path.lexists(venv):
        os.rename(venv, old)
    os.rename(new(venv), venv)


def settle(venv: str) -> None:
    """
    Clean up after an interrupted build: when the environment is missing, the new one takes its place if it is complete,
    else the old one. Then the scratch is removed.
    """
    finished = [new(venv)] if built_from(new(venv)) else []
    for candidate in [*finished, _old(venv)]:
        if os.path.lexists(candidate) and not os.path.lexists(venv):
            os.rename(candidate, venv)
    # A process of the old owner may still write into the old one; then the next run removes the rest.
    shutil.rmtree(scratch(venv), ignore_errors=True)


def _old(venv: str) -> Path:
    return scratch(venv) / "old" / Path(venv).name
