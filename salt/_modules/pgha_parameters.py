"""
Whether the installed server would start on this host with its parameters. The server program itself is asked, on an
empty data directory; it exits before it starts.
"""

import os
import re
import shutil
from pathlib import Path

import pghalib.host.users
import pghalib.postgres.answered
import pghalib.postgres.asked
import pghalib.postgres.collations
import pghalib.postgres.hba
import pghalib.postgres.parameters
import pghalib.postgres.settings
import pghalib.text
from salt.exceptions import CommandExecutionError

#: The code searches the server's messages, so they must not be translated.
_ENVIRONMENT = {"LC_ALL": "C", "LANGUAGE": "C"}
#: The server computes this value after it has loaded its libraries and checked its parameters together (from 15 on).
_ASKED = "shared_memory_size"
#: Seconds for a start that cannot succeed; it takes 0.2.
TRIAL = 30
_LINES = "lines"


def faults(parameters):
    """
    Return the reasons why the server would not start with these parameters and with ``postgres:pg_hba`` on this host,
    as a list of sentences, or []. The server checks the parameters together, loads its libraries, and tells how much
    memory it needs. Libraries for a later moment are also loaded here. Servers before version 15 cannot be asked about
    parameters.

    parameters
        ``{name: value}`` as ``pghalib.postgres.parameters.effective`` returns it; the server must know each name.

    Raises CommandExecutionError when the server program cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_parameters.faults '{"shared_preload_libraries": "pg_stat_statements"}'
    """
    settings = __salt__["pgha.settings"]()["postgres"]

    def ask():
        with pghalib.host.users.scratch() as scratch:
            _prepare(settings, scratch)
            found = _faults(settings, scratch, parameters)
            found += _refused_lines(settings, scratch) if settings["pg_hba"] else []
            return [pghalib.text.line(one) for one in found]

    question = ("faults", settings["bin_dir"], parameters, settings["pg_hba"])
    return pghalib.postgres.answered.once(__context__, question, ask)


def control_version():
    """
    Return the version number of pg_control in the data that the installed server would make, None while none is
    installed. Editions of Postgres Pro have one of their own.

    Raises CommandExecutionError when the server's programs do not tell it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_parameters.control_version
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    if not os.path.exists(f"{settings['bin_dir']}/pg_resetwal"):
        return None
    with pghalib.host.users.scratch() as scratch:
        _prepare(settings, scratch)
        done = _run(settings, ["pg_controldata", "-D", scratch])
    number = pghalib.postgres.settings.control_data(done["stdout"]).get("pg_control version number", "")
    if not number.isdecimal():
        raise CommandExecutionError(f"pg_controldata does not tell: {pghalib.text.line(done['stderr'])}")
    return int(number)


def server_faults():
    """
    Return what this host's running server tells that is wrong, as sentences for the status: lines of its
    ``pg_hba.conf`` that it cannot read (it works with the file of before, and its next start fails; ``postgres:pg_hba``
    is tried before it is written, but others may write too), and databases whose text was sorted by other rules than
    this host has.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_parameters.server_faults
    """
    settings = __salt__["pgha.settings"]()
    if settings["role"] != "db" or (__salt__["pgha_patroni.member"]() or {}).get("state") != "running":
        return []
    # One program that asks both: the status is asked for often.
    questions = pghalib.postgres.hba.QUESTION + pghalib.postgres.collations.QUESTION
    said = pghalib.postgres.asked.sql(__salt__["cmd.run_all"], settings["postgres"], questions)
    lines, databases = pghalib.postgres.asked.rows(said)
    found = pghalib.postgres.hba.unread(lines) + pghalib.postgres.collations.faults(databases)
    return [pghalib.text.line(one) for one in found]


def last_words(lines=3):
    """
    Return the last recent errors of this host's server, as a list of lines. They come from its log (if written in the
    last minute) and from the journal of the last two minutes, where the server writes before it opens its log.

    lines
        How many at most.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_parameters.last_words
    """
    command = ["journalctl", "--unit=patroni", "--since=-2min", "--lines=500", "--output=cat", "--no-pager", "--quiet"]
    said = __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True)["stdout"]
    text = "\n".join([*__salt__["pgha_postgres.log_errors"](int(lines)), said])
    return pghalib.postgres.parameters.last_words(text, int(lines))


def _faults(settings, scratch, parameters):
    value, said = _ask(settings, scratch, _ASKED, parameters)
    if value is None and f'unrecognized configuration parameter "{_ASKED}"' in said:
        return []
    found = []
    if value is None:
        libraries = parameters.get("shared_preload_libraries")
        where = (
            f" (shared_preload_libraries = {libraries!r})" if pghalib.postgres.parameters.about_library(said) else ""
        )
        found.append(said + where)
    else:
        found += _beyond(settings, scratch, parameters, int(value))
    for name in pghalib.postgres.parameters.LATER:
        for library in pghalib.postgres.parameters.libraries(name, parameters.get(name) or ""):
            alone = {name: value for name, value in parameters.items() if name == "dynamic_library_path"}
            _, said = _ask(settings, scratch, _ASKED, {**alone, "shared_preload_libraries": f'"{library}"'})
            if pghalib.postgres.parameters.about_library(said):
                found.append(f"{said} ({name} = {parameters[name]!r})")
    return found


def _beyond(settings, scratch, parameters, megabytes):
    """Sentences about memory that the server needs and this host does not have."""
    has = __grains__["mem_total"]
    if megabytes >= has:
        takes = {name: parameters[name] for name in ("shared_buffers", "max_connections") if name in parameters}
        set_to = ", ".join(f"{name} = {value}" for name, value in takes.items())
        return [f"it would take {megabytes} MB of shared memory ({set_to}), and this host has {has} MB in all"]
    if str(parameters.get("huge_pages")) == "on":
        wanted, _ = _ask(settings, scratch, "shared_memory_size_in_huge_pages", parameters)
        match = re.search(r"HugePages_Total:\s*(\d+)", Path("/proc/meminfo").read_text())
        pages = int(match.group(1)) if match else 0
        if wanted and int(wanted) > pages:
            return [f"it would take {wanted} huge pages (huge_pages = on), and this host has {pages} (vm.nr_hugepages)"]
    return []


def _refused_lines(settings, scratch):
    file = f"{scratch}/{_LINES}"
    # The server reads this file before it looks at its data. Here it has none, so it ends in any case.
    words = ["postgres", "-D", scratch, *pghalib.postgres.parameters.options(pghalib.postgres.hba.options(file))]
    said = _run(settings, words, timeout=TRIAL)["stderr"]
    return [f"pgha:postgres:pg_hba, {one}" for one in pghalib.postgres.hba.refused(said, file)]


def _prepare(settings, scratch):
    """Make the part of a data directory without which the server does not check its parameters."""
    for name in ("global", "pg_notify", "pg_wal", "pg_wal/archive_status", "pg_wal/summaries"):
        os.mkdir(f"{scratch}/{name}", 0o700)
    contents = {"PG_VERSION": f"{settings['version']}\n", "postgresql.conf": "", "postgresql.auto.conf": ""}
    lines = pghalib.postgres.hba.trial(settings["pg_hba"] or [])
    # All of it now: from the end of this on the directory is another user's, and root writes nothing there.
    for name, text in {**contents, "global/pg_control": "", _LINES: lines}.items():
        Path(scratch, name).write_text(text, encoding="utf-8")
    for place, folders, files in os.walk(scratch, topdown=False):
        for name in [*folders, *files]:
            shutil.chown(os.path.join(place, name), settings["user"], settings["group"])
    shutil.chown(scratch, settings["user"], settings["group"])
    # pg_resetwal writes a control file with made-up values, because the one here is empty.
    done = _run(settings, ["pg_resetwal", "-f", "-D", scratch])
    if done["retcode"]:
        said = pghalib.text.line(done["stderr"] or done["stdout"])
        raise CommandExecutionError(f"{settings['bin_dir']}/postgres cannot be asked whether it would start: {said}")


def _ask(settings, scratch, what, parameters):
    """Return ``(value, "")`` when the server answers, else ``(None, complaint)``."""
    over = {"lc_messages": "C", "log_min_messages": "fatal", "log_destination": "stderr", "log_line_prefix": ""}
    words = ["postgres", "-D", scratch, "-C", what, *pghalib.postgres.parameters.options(parameters, **over)]
    done = _run(settings, words)
    if done["retcode"] == 0:
        return done["stdout"].strip(), ""
    return None, pghalib.postgres.parameters.complaint(done["stderr"]) or f"exit code {done['retcode']}"


def _run(settings, words, **options):
    command = [f"{settings['bin_dir']}/{words[0]}", *words[1:]]
    return pghalib.host.users.run(__salt__["cmd.run_all"], settings["user"], command, env=_ENVIRONMENT, **options)
