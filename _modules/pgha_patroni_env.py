"""
The virtual environment that Patroni runs in: what it is, what it should be, and how it is built.
"""

import glob
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from salt.exceptions import CommandExecutionError


def state():
    """
    Return what the virtual environment is and should be: ``wanted`` and ``installed`` (``{package: version}``, the
    latter reduced to the wanted ones) and ``complete`` (the last build from these requirements came to its end).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni_env.state
    """
    patroni = __salt__["pgha.settings"]()["patroni"]
    text = _requirements(patroni)
    present = __utils__["pgha_patroni_env.installed"](patroni["venv"])
    wanted = {entry["name"]: entry["version"] for entry in __utils__["pgha_patroni_env.requirements"](text)}
    marker = Path(patroni["venv"], ".pgha-requirements")
    expected = __utils__["pgha_patroni_env.fingerprint"](text, os.path.realpath(patroni["python"]))
    return {
        "wanted": wanted,
        "installed": {name: present[name] for name in wanted if name in present},
        "complete": marker.exists() and marker.read_text().strip() == expected,
    }


def build():
    """
    Build the virtual environment, or bring it to what is required, as the user of PostgreSQL. Returns nothing; raises
    CommandExecutionError with what pip said.

    pip is run from the wheel that Python brings along, by the environment's own interpreter: no pip has to be installed
    anywhere, and an environment without pip in it is made in a fraction of a second. It is unpacked for that, with its
    byte code beside it: run from the wheel itself, each call would compile it anew (a third of the time). The
    environment's byte code is left to be written on first use. What an interrupted build left half installed is built
    anew.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni_env.build
    """
    settings = __salt__["pgha.settings"]()
    patroni, venv = settings["patroni"], settings["patroni"]["venv"]
    text = _requirements(patroni)
    python = os.path.realpath(patroni["python"])
    pip = __utils__["pgha_patroni_env.pip_wheel"](python)
    if not pip:
        raise CommandExecutionError(f"{python} has no wheel of pip with it: install python3-venv")
    if __utils__["pgha_patroni_env.interrupted"](venv):
        shutil.rmtree(f"{venv}/lib")
    if not os.path.exists(f"{venv}/bin/python") or not glob.glob(f"{venv}/lib/python3*/site-packages"):
        _as_user([python, "-m", "venv", "--without-pip", venv], "make the virtual environment")
    scratch = tempfile.mkdtemp(prefix=".build-", dir=venv)
    try:
        shutil.unpack_archive(pip, f"{scratch}/pip", "zip")
        _own(scratch)
        where = _sources(patroni, scratch)
        hashed = __utils__["pgha_patroni_env.is_hashed"](text)
        command = [f"{venv}/bin/python", f"{scratch}/pip/pip", "install", "--quiet", "--no-input", "--no-compile"]
        command += ["--no-cache-dir", "--disable-pip-version-check", "--no-warn-script-location", *where]
        if hashed:
            command += ["--require-hashes", "--no-deps", "--no-build-isolation", "--use-pep517", *_trusted(where)]
        present = __utils__["pgha_patroni_env.installed"](venv)
        tools = [
            entry
            for entry in __utils__["pgha_patroni_env.requirements"](text)
            if entry["name"] in ("setuptools", "wheel") and present.get(entry["name"]) != entry["version"]
        ]
        if hashed and tools:
            _pip(command, scratch, "\n".join(entry["text"] for entry in tools))
        _pip(command, scratch, text)
        fingerprint = __utils__["pgha_patroni_env.fingerprint"](text, python)
        Path(scratch, "marker").write_text(fingerprint + "\n")
        os.replace(f"{scratch}/marker", f"{venv}/.pgha-requirements")
    finally:
        shutil.rmtree(scratch)


def _requirements(patroni):
    path = patroni["requirements"]
    local = __salt__["cp.cache_file"](path) if "://" in path else path
    if not local or not os.path.exists(local):
        raise CommandExecutionError(f"{path} is not there: correct pgha:patroni:requirements")
    return Path(local).read_text(encoding="utf-8")


def _sources(patroni, scratch):
    """pip's options for where to look. A find_links without an index_url means that there is no index (air gap)."""
    options = ["--index-url", patroni["index_url"]] if patroni["index_url"] else []
    links = patroni["find_links"]
    if not links:
        return options
    if links.startswith("salt://"):
        cached = __salt__["cp.cache_dir"](links)
        if not cached:
            raise CommandExecutionError(f"The master serves nothing under {links}: correct pgha:patroni:find_links")
        # Salt's cache is root's alone.
        links = f"{scratch}/wheels"
        os.mkdir(links)
        for path in cached:
            shutil.copy(path, links)
    return [*options, *([] if options else ["--no-index"]), "--find-links", links]


def _trusted(options):
    """pip passes over plain http unless the host is trusted. Only for hashed files: nobody can change those."""
    hosts = {urlsplit(option).hostname for option in options if option.startswith("http://")}
    return [item for host in sorted(hosts) for item in ("--trusted-host", host)]


def _pip(command, scratch, text):
    file = Path(scratch, "requirements.txt")
    file.write_text(text + "\n", encoding="utf-8")
    _as_user([*command, "-r", str(file)], "install Patroni with pip", PYTHONPYCACHEPREFIX=f"{scratch}/bytecode")


def _own(path):
    user = __salt__["pgha.settings"]()["postgres"]
    shutil.chown(path, user["user"], user["group"])


def _as_user(command, what, **environment):
    settings = __salt__["pgha.settings"]()
    result = __salt__["cmd.run_all"](
        ["runuser", "-u", settings["postgres"]["user"], "--", *command],
        python_shell=False,
        cwd="/",
        umask="022",
        env={"HOME": settings["patroni"]["venv"], **environment},
        ignore_retcode=True,
    )
    if result["retcode"] != 0:
        said = "\n".join((result["stderr"] or result["stdout"]).strip().splitlines()[-15:])
        raise CommandExecutionError(f"Could not {what}: {said}")
