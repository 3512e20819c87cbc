"""
Which parameters the installed server refuses. The server program itself is asked, on an empty directory; it exits
before it starts.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.host.users
import pghalib.postgres.parameters
import pghalib.postgres.settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pghalib.host.users import Ran
    from pghalib.sections import Postgres
    from pghalib.shapes import Json

    Run = Callable[[list[str]], Ran]


def refused(settings: Postgres, params: Mapping[str, Json], run: Run) -> dict[str, str]:
    """
    Return the parameters that the installed server refuses, as ``{name: its message}``. The server is asked first with
    all parameters, then again without each one that it refuses.

    settings
        The section ``postgres`` of the settings.
    params
        ``{name: value}``.
    run
        A function that runs a command (a list) as the user of PostgreSQL and returns the result of ``cmd.run_all``. The
        server's messages must not be translated.

    Raises CommandExecutionError when no server is installed, or when it refuses all parameters together and none alone;
    LookupError when the user of PostgreSQL does not exist.
    """
    postgres = f"{settings['bin_dir']}/postgres"
    if not os.path.exists(postgres):
        raise CommandExecutionError(f"{postgres} does not exist: apply pgha.postgres.install first")
    left = dict(params)
    found: dict[str, str] = {}
    with pghalib.host.users.scratch() as scratch:
        Path(scratch, "postgresql.conf").touch()
        shutil.chown(f"{scratch}/postgresql.conf", settings["user"], settings["group"])
        shutil.chown(scratch, settings["user"], settings["group"])
        while left:
            error = _ask(run, postgres, scratch, left)
            if error is None:
                break
            name = pghalib.postgres.settings.refused_name(error)
            if name not in left:
                # The message names none of the parameters: ask for each one alone to find the refused ones.
                single = {key: _ask(run, postgres, scratch, {key: value}) for key, value in left.items()}
                found.update({key: message for key, message in single.items() if message})
                if not any(single.values()):
                    raise CommandExecutionError(f"{postgres} cannot be asked about parameters: {error}")
                break
            found[name] = error
            del left[name]
    return found


def _ask(run: Run, postgres: str, scratch: str, params: Mapping[str, Json]) -> str | None:
    """The server's first error, None when it takes the parameters."""
    options = pghalib.postgres.parameters.options(params)
    result = run([postgres, "-C", "data_directory", *options, "-D", scratch])
    if result["retcode"] == 0:
        return None
    errors = [line for line in result["stderr"].splitlines() if "FATAL" in line or "ERROR" in line]
    return (errors[0].split(": ", 1)[-1] if errors else result["stderr"] or result["stdout"]).strip()
