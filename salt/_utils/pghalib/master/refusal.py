"""
The message when a runner function refuses: one sentence, no traceback.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    from pghalib.shapes import Json

    Given = ParamSpec("Given")
    Value = TypeVar("Value")


def told(function: Callable[Given, Value]) -> Callable[Given, Value | dict[str, Json]]:
    """
    Decorator of a runner function: its CommandExecutionError is printed as text to the standard error stream, and
    ``salt-run`` ends with 1. Without it Salt shows the exception with its traceback.

    The text is still seen when the standard output goes to a file.
    """

    @functools.wraps(function)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Value | dict[str, Json]:
        try:
            return function(*args, **kwargs)
        except CommandExecutionError as error:
            print(error, file=sys.stderr, flush=True)
            # `salt-run` takes its exit code from this.
            return {"data": {"retcode": 1}, "outputter": "txt"}

    return wrapped
