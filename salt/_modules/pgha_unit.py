"""
The units of this host's services: whether systemd accepts a unit file, and which units it refuses.
"""

import os
import tempfile
from pathlib import Path

import pghalib.host.shipped

# States of a unit (LoadState) in which systemd does not start it.
REFUSED = {
    "bad-setting": "has a setting that systemd refuses",
    "error": "cannot be read by systemd",
    "masked": "is masked",
}
# Seconds. systemd-analyze only reads some files.
PATIENCE = 30


def rendered(source, context):
    """
    Return the text of a template of the formula.

    source
        ``salt://`` URL of a Jinja template.
    context
        Its variables, a mapping.

    Raises CommandExecutionError when the template is not served or cannot be rendered.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_unit.rendered salt://pgha/vip/files/sudoers.j2 '{"user": "postgres"}'
    """
    text = pghalib.host.shipped.text(__salt__["cp.cache_file"], source)
    return __salt__["slsutil.renderer"](string=text, default_renderer="jinja", context=context)


def verify(path, unit=None):
    """
    Return None when ``systemd-analyze`` accepts a unit file without a warning, else its messages in one line. Also None
    where ``systemd-analyze`` is not installed.

    path
        Path of the file. The programs that the unit starts must be installed: systemd looks for them.
    unit
        The later name of the unit, such as ``consul.service``; default: the name of the file.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_unit.verify /etc/systemd/system/consul.service
    """
    unit = unit or os.path.basename(path)
    program = __salt__["cmd.which"]("systemd-analyze")
    if not program:
        return None
    # The name tells systemd the kind of unit. Only root can enter this directory.
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
    # Lines about other units are left out. A setting that systemd only ignores is a fault too, even with exit code 0.
    lines = f"{ran['stderr']}\n{ran['stdout']}".splitlines()
    words = [line.replace(f"{directory}/", "") for line in lines if unit in line]
    return "; ".join(dict.fromkeys(line.strip() for line in words)) or None


def faults():
    """
    Return a sentence for each unit of the formula on this host that systemd would not start, or not at a boot. A
    running service goes on; the fault would show only then.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_unit.faults
    """
    names = {
        "dcs": ["consul.service"],
        "repository": ["pgha-repository.service"],
        "db": [
            *(f"{name}.service" for name in ("consul", "patroni", "pgha-guard", "vip-manager", "pgha-backup")),
            *("pgha-proof.service", "pgha-backup.timer", "pgha-proof.timer"),
        ],
    }[__salt__["pgha.settings"]()["role"]]
    found = []
    for name, shown in zip(names, _shown(names), strict=True):
        state = shown.get("LoadState")
        if state in REFUSED:
            remedy = (
                f"systemctl unmask {name}" if state == "masked" else f"see systemctl status {name}, run the main job"
            )
            found.append(f"{name} {REFUSED[state]} ({state}), so it would not start again: {remedy}")
        elif state == "loaded" and shown.get("UnitFileState") == "disabled":
            found.append(f"{name} is disabled, so it does not start at a boot: systemctl enable {name}")
    return found


def _shown(names):
    """What systemd says of each of some units: mappings of its properties. One question, and not one for each unit."""
    command = ["systemctl", "show", "--property=LoadState,UnitFileState", *names]
    said = __salt__["cmd.run_stdout"](command, python_shell=False, ignore_retcode=True)
    # A blank line is between two units.
    shown = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in said.split("\n\n")]
    return shown if len(shown) == len(names) else [{}] * len(names)
