"""The files of the formula, which a host gets from the master's file server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal


def text(cache_file: Callable[[str], str | Literal[False]], url: str) -> str:
    """
    Return the text of a file of the formula.

    cache_file
        ``__salt__["cp.cache_file"]``.
    url
        ``salt://`` URL of the file.

    Raises CommandExecutionError when it is not served.
    """
    path = cache_file(url)
    if not path:
        raise CommandExecutionError(f"{url} is not served: the formula's salt/ directory must be a file root")
    return Path(path).read_text(encoding="utf-8")
