"""
Answers of the installed server, kept for the run: several states ask it the same, and each question starts half a dozen
programs.
"""

from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from pghalib.shapes import Json

#: apt writes here with each package that comes or goes; the next question is a new one then.
PACKAGES = "/var/lib/dpkg/status"


def once(context: MutableMapping[str, Json], question: Json, ask: Callable[[], Json]) -> Json:
    """
    Return what the server has answered to a question in this run, and ask it the first time.

    context
        Salt's ``__context__``, which lives as long as a run.
    question
        Everything that the answer depends on besides the host and its packages, as JSON.
    ask
        A function that asks. What it raises is raised, and asked again the next time.
    """
    packages = os.stat(PACKAGES)
    key = f"pgha.answered {packages.st_mtime_ns} {packages.st_ino} {json.dumps(question, sort_keys=True)}"
    if key not in context:
        context[key] = ask()
    return copy.deepcopy(context[key])
