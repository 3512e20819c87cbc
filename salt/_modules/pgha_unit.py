"""
The units of this host's services: whether systemd would take one, and which it refuses.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from salt.exceptions import CommandExecutionError

# States of a unit (LoadState) in which systemd starts nothing of it.
REFUSED = {
    "bad-setting": "has a setting that systemd refuses",
    "error": "cannot be read by systemd",
    "masked": "is masked",
}
# Seconds. It reads some files, and asks nobody.
PATIENCE = 30


def rendered(source, context):
    """
    Return the text of a template of the formula.

    source
        ``salt://`` URL of a Jinja template.
    context
        Its variables, a mapping.

    Raises CommandExecutionError when it is not served or cannot be rendered.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_unit.rendered salt://pgha/vip/files/sudoers.j2 '{"user": "postgres"}'
    """
    path = __salt__["cp.cache_file"](source)
    if not path:
        raise CommandExecutionError(f"{source} is not served: the formula's salt/ directory must be a file root")
    text = Path(path).read_text(encoding="utf-8")
    return __salt__["slsutil.renderer"](string=text, default_renderer="jinja", context=context)


def verify(path, unit=None):
    """
    Return None when systemd would take a file as a unit without a word against it, else its words in one line. Where
    there is no ``systemd-analyze`` nobody can be asked, and it is None as well.

    path
        Of the file. What it starts has to be there: systemd looks for the programs.
    unit
        The name it will have, such as ``consul.service``; by default the one it has.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_unit.verify /etc/systemd/system/consul.service
    """
    unit = unit or os.path.basename(path)
    program = __salt__["cmd.which"]("systemd-analyze")
    if not program:
        return None
    # By its name systemd knows what kind of unit it is. Only root can come into such a directory.
    with tempfile.TemporaryDirectory(prefix="pgha-unit-") as directory:
        copy = os.path.join(directory, unit)
        Path(copy).write_bytes(Path(path).read_bytes())
        ran = __salt__["cmd.run_all"](
            [program, "verify", "--man=no", copy],
            python_shell=False,
            ignore_retcode=True,
            clean_env=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            timeout=PATIENCE,
        )
    # It speaks of other units as well; and what it passes over is a mistake, whatever its exit code says.
    lines = f"{ran['stderr']}\n{ran['stdout']}".splitlines()
    words = [line.replace(f"{directory}/", "") for line in lines if unit in line]
    return "; ".join(dict.fromkeys(line.strip() for line in words)) or None


def faults():
    """
    Return a sentence for each unit of the formula on this host that systemd would not start: it shows at the next start
    or boot only, and what runs by then goes on.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_unit.faults
    """
    names = ["consul.service"]
    if __salt__["pgha.settings"]()["role"] == "db":
        names += ["patroni.service", "vip-manager.service"]
    found = []
    for name in names:
        shown = {}
        with contextlib.suppress(CommandExecutionError):
            shown = __salt__["service.show"](name)
        state = shown.get("LoadState")
        if state in REFUSED:
            remedy = (
                f"systemctl unmask {name}" if state == "masked" else f"see systemctl status {name}, run the main job"
            )
            found.append(f"{name} {REFUSED[state]} ({state}), so it would not start again: {remedy}")
    return found
