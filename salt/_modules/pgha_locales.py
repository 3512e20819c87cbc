"""
The locales that a database of this host can use.
"""

import shutil
from pathlib import Path

import pgha_errors
from salt.exceptions import CommandExecutionError


def missing(locales):
    """
    Return which of the locales do not exist on this host, in the order given.

    locales
        Names such as ``ru_RU.UTF-8``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_locales.missing '[ru_RU.UTF-8, en_US.UTF-8]'
    """
    key = __utils__["pgha_postgres.locale_key"]
    result = __salt__["cmd.run_all"](["locale", "-a"], python_shell=False, env={"LC_ALL": "C", "LANGUAGE": "C"})
    present = {key(name) for name in result["stdout"].split()}
    return [name for name in locales if key(name) not in present]


def make(locales):
    """
    Make locales: they are enabled in /etc/locale.gen, so that an upgrade keeps them, and generated in one call that
    leaves the existing ones alone. Returns nothing; raises CommandExecutionError when one is missing afterwards.

    locales
        Names such as ``ru_RU.UTF-8``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_locales.make '[ru_RU.UTF-8]'
    """
    if not shutil.which("locale-gen"):
        raise CommandExecutionError("locale-gen is not there: install the package locales")
    enabled = Path("/etc/locale.gen")
    text = enabled.read_text(encoding="utf-8", errors="replace") if enabled.exists() else ""
    lines = [line.strip() for line in text.splitlines()]
    wanted = [f"{name} {name.partition('.')[2] or 'ISO-8859-1'}" for name in locales]
    new = [line for line in wanted if line not in lines]
    if new:
        # What others wrote there stays as it is, whatever its encoding.
        with pgha_errors.at(str(enabled)), enabled.open("a", encoding="utf-8") as stream:
            stream.write(("" if text.endswith("\n") or not text else "\n") + "\n".join(new) + "\n")
    result = __salt__["cmd.run_all"](["locale-gen", "--keep-existing"], python_shell=False)
    lacking = missing(locales)
    if lacking:
        raise CommandExecutionError(
            f"locale-gen did not make {', '.join(lacking)}: {result['stdout']} {result['stderr']}; see /etc/locale.gen"
            " and /usr/share/i18n/SUPPORTED for how it is spelt"
        )
