"""
Patroni's virtual environment: its state, and how it is built.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pghalib.errors
import pghalib.host.users
import pghalib.patroni.environment
from salt.exceptions import CommandExecutionError

# The largest of the packages that Patroni's daemon does not import.
_RARELY_RUN = "/(setuptools|wcwidth|click|prettytable|ydiff)/"


def venv_state():
    """
    Return the state of the virtual environment: ``wanted`` and ``installed`` (``{package: version}``; ``installed``
    lists only wanted packages) and ``complete`` (it was built from these requirements, only root can write to it, and
    no interrupted build has left files).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni_env.venv_state
    """
    patroni = __salt__["pgha.settings"]()["patroni"]
    venv = patroni["venv"]
    text = _requirements(patroni)
    present = pghalib.patroni.environment.installed(venv)
    wanted = {entry["name"]: entry["version"] for entry in pghalib.patroni.environment.requirements(text)}
    return {
        "wanted": wanted,
        "installed": {name: present[name] for name in wanted if name in present},
        "complete": not os.path.lexists(pghalib.patroni.environment.scratch(venv))
        and pghalib.host.users.roots_alone(venv)
        and pghalib.patroni.environment.built_from(venv) == _fingerprint(patroni, text),
    }


def build():
    """
    Build a new virtual environment beside the old one, then exchange them. Processes from the old environment keep
    running. Returns nothing. Raises CommandExecutionError with pip's message, or with the path to the environment that
    others than root can change.

    The environment belongs to root: root runs pip, and an attacker who has taken the database server must not be able
    to change the programs that start it. pip comes from the wheel that Python brings along, and runs on the
    environment's own interpreter. So pip need not be installed, and an environment without pip is made in a fraction of
    a second. The wheel is unpacked first: otherwise each call would compile pip again (a third of the time). An
    interrupted earlier build is first completed or removed.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_patroni_env.build
    """
    patroni = __salt__["pgha.settings"]()["patroni"]
    venv = patroni["venv"]
    text = _requirements(patroni)
    python = os.path.realpath(patroni["python"])
    pip = pghalib.patroni.environment.pip_wheel(python)
    if not pip:
        raise CommandExecutionError(f"{python} has no wheel of pip with it: install python3-venv")
    _check_places(venv, patroni["python"])
    pghalib.patroni.environment.settle(venv)
    if venv_state()["complete"]:
        return
    scratch = str(pghalib.patroni.environment.scratch(venv))
    try:
        os.mkdir(scratch, 0o700)
        # venv writes the scratch path into its files; relocate() replaces that path afterwards. The alternative, to
        # mount the scratch at the final path in a mount namespace, needs a right that containers do not have.
        new = str(pghalib.patroni.environment.new(venv))
        _run([python, "-I", "-m", "venv", "--without-pip", new], scratch, "make the virtual environment")
        shutil.unpack_archive(pip, f"{scratch}/pip", "zip")
        _install(patroni, text, new, scratch)
        # Compiled files save Patroni 0.25 s of processor time at each start; Patroni itself may not write them. The
        # packages that it does not import are skipped. Errors are ignored: some files may not be for this Python.
        compiled = [f"{new}/bin/python", "-I", "-m", "compileall", "-qq", "-x", _RARELY_RUN, f"{new}/lib"]
        _run(compiled, scratch)
        pghalib.patroni.environment.relocate(venv)
        # A host that loses its power must not come back with an environment that is marked and has empty files. Other
        # file systems, such as that of the data, are not waited for.
        _run(["sync", "-f", new], scratch, "bring the environment to the disk")
        pghalib.patroni.environment.mark(new, _fingerprint(patroni, text))
        pghalib.patroni.environment.exchange(venv)
    except OSError as error:
        raise CommandExecutionError(f"The environment cannot be built: {pghalib.errors.sentence(error, scratch)}")
    finally:
        pghalib.patroni.environment.settle(venv)


def _check_places(venv, python):
    """Root runs the programs there, so nobody but root may be able to exchange them."""
    above = Path(venv).parent
    there = next(place for place in (above, *above.parents) if os.path.lexists(place))
    for path, setting in ((there, "venv"), (python, "python")):
        try:
            exposed = pghalib.host.users.exposed(path)
        except OSError as error:
            raise CommandExecutionError(f"{error}: correct pgha:patroni:{setting}")
        if exposed:
            raise CommandExecutionError(
                f"{exposed} must belong to root, and nobody else may write to it, because root runs what is below it:"
                f" correct that, or set another path under pgha:patroni:{setting}"
            )
    if os.path.ismount(venv):
        raise CommandExecutionError(
            f"{venv} is a mount point, and a new environment could not take its place: set pgha:patroni:venv to a"
            " directory in it"
        )
    if there != above:
        made = __salt__["cmd.run_all"](["install", "-d", "-m", "0755", str(above)], python_shell=False)
        if made["retcode"] != 0:
            raise CommandExecutionError(f"{above} cannot be made: {made['stderr']}")


def _fingerprint(patroni, text):
    return pghalib.patroni.environment.fingerprint(text, os.path.realpath(patroni["python"]))


def _requirements(patroni):
    path = patroni["requirements"]
    local = __salt__["cp.cache_file"](path) if "://" in path else path
    if not local or not os.path.exists(local):
        raise CommandExecutionError(f"{path} is not there: correct pgha:patroni:requirements")
    with pghalib.errors.at(path):
        return Path(local).read_text(encoding="utf-8")


def _install(patroni, text, new, scratch):
    where = _sources(patroni)
    hashed = pghalib.patroni.environment.is_hashed(text)
    command = [f"{new}/bin/python", "-I", f"{scratch}/pip/pip", "install", "--quiet", "--no-input", "--no-compile"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-warn-script-location", *where]
    if hashed:
        command += ["--require-hashes", "--no-deps", "--no-build-isolation", "--use-pep517", *_trusted(where)]
        tools = [
            entry["text"]
            for entry in pghalib.patroni.environment.requirements(text)
            if entry["name"] in ("setuptools", "wheel")
        ]
        if tools:
            _pip(command, scratch, "\n".join(tools))
    _pip(command, scratch, text)


def _sources(patroni):
    """pip's options for its sources. find_links without index_url means: use no index (air gap)."""
    options = ["--index-url", patroni["index_url"]] if patroni["index_url"] else []
    links = patroni["find_links"]
    if not links:
        return options
    if links.startswith("salt://"):
        cached = __salt__["cp.cache_dir"](links)
        if not cached:
            raise CommandExecutionError(f"The master serves nothing under {links}: correct pgha:patroni:find_links")
        folders = sorted({os.path.dirname(path) for path in cached})
        return [*(options or ["--no-index"]), *(word for folder in folders for word in ("--find-links", folder))]
    return [*(options or ["--no-index"]), "--find-links", links]


def _trusted(options):
    """pip ignores plain http unless the host is trusted. Only for files with hashes: a changed file is refused."""
    hosts = {urlsplit(option).hostname for option in options if option.startswith("http://")}
    return [item for host in sorted(hosts) for item in ("--trusted-host", host)]


def _pip(command, scratch, text):
    file = Path(scratch, "requirements.txt")
    file.write_text(text + "\n", encoding="utf-8")
    _run([*command, "-r", str(file)], scratch, "install Patroni with pip")


def _run(command, scratch, what=None):
    """
    Python and pip must not read the settings of the user who called Salt, so the home is the scratch. With ``what`` a
    failure of the program is an error; without it, a failure is ignored.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
    result = __salt__["cmd.run_all"](
        command,
        python_shell=False,
        cwd="/",
        umask="022",
        stdin="",
        clean_env=True,
        env={**kept, "HOME": scratch, "TMPDIR": scratch},
        ignore_retcode=True,
    )
    if what and result["retcode"] != 0:
        said = "\n".join((result["stderr"] or result["stdout"]).strip().splitlines()[-15:])
        raise CommandExecutionError(f"Could not {what}: {said}")
