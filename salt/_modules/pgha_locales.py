"""
The locales that a database of this host can use.
"""

import os
import shutil
from pathlib import Path

import pghalib.errors
import pghalib.host.descriptors
import pghalib.host.files
import pghalib.postgres.locales
import pghalib.postgres.settings
from salt.exceptions import CommandExecutionError

ENABLED = "/etc/locale.gen"


def missing(locales):
    """
    Return which of the locales do not exist on this host, in the order given.

    locales
        Names such as ``ru_RU.UTF-8``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_locales.missing '[ru_RU.UTF-8, en_US.UTF-8]'
    """
    key = pghalib.postgres.settings.locale_key
    result = __salt__["cmd.run_all"](["locale", "-a"], python_shell=False, env={"LC_ALL": "C", "LANGUAGE": "C"})
    present = {key(name) for name in result["stdout"].split()}
    return [name for name in locales if key(name) not in present]


def faults():
    """
    Return a sentence for each locale of the settings that this host does not have and could not make.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_locales.faults
    """
    settings = __salt__["pgha.settings"]()["postgres"]
    named = dict.fromkeys(filter(None, (settings["locale"], *settings["locales"], settings["lc_messages"])))
    return pghalib.postgres.locales.faults(missing(named), pghalib.postgres.locales.supported())


def make(locales):
    """
    Enable locales in /etc/locale.gen, so that an upgrade keeps them, and generate them in one call. Existing locales
    are not generated again. Returns nothing; raises CommandExecutionError when a locale is missing afterwards.

    locales
        Names such as ``ru_RU.UTF-8``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_locales.make '[ru_RU.UTF-8]'
    """
    if not shutil.which("locale-gen"):
        raise CommandExecutionError("locale-gen is not there: install the package locales")
    known = pghalib.postgres.locales.supported() or {}
    _enable(dict.fromkeys(filter(None, (pghalib.postgres.locales.line(name, known) for name in locales))))
    result = __salt__["cmd.run_all"](["locale-gen", "--keep-existing"], python_shell=False, umask="022")
    lacking = missing(locales)
    if lacking:
        raise CommandExecutionError(
            f"locale-gen did not make {', '.join(lacking)}: {result['stdout']} {result['stderr']}; see /etc/locale.gen"
            " and /usr/share/i18n/SUPPORTED for how it is spelt"
        )


def _enable(wanted):
    """Add lines to /etc/locale.gen. A UTF-8 file is replaced by a rename: a reader sees the old or the new file."""
    path = Path(os.path.realpath(ENABLED))
    with pghalib.errors.at(ENABLED):
        there = path.exists()
        content = path.read_bytes() if there else b""
    # Lines of others stay as they are, whatever their encoding.
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    new = "".join(f"{line}\n" for line in wanted if line not in lines)
    if not new:
        return
    owner = pghalib.host.descriptors.owner(path) if there else {"user": "root", "group": "root", "mode": "0644"}
    gap = "\n" if content and not content.endswith(b"\n") else ""
    try:
        pghalib.host.files.manage(str(path), content.decode() + gap + new, **owner, test=False)
    except UnicodeDecodeError:
        with pghalib.errors.at(ENABLED), path.open("ab") as stream:
            stream.write((gap + new).encode())
