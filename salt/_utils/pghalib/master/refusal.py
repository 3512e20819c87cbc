"""
The message when a runner function refuses: one sentence, no traceback.
"""

import functools
import sys

from salt.exceptions import CommandExecutionError


def told(function):
    """
    Decorator of a runner function: its CommandExecutionError is printed as text to the standard error stream, and
    ``salt-run`` ends with 1. Without it Salt shows the exception with its traceback.

    The text is still seen when the standard output goes to a file.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except CommandExecutionError as error:
            print(error, file=sys.stderr, flush=True)
            # `salt-run` takes its exit code from this.
            return {"data": {"retcode": 1}, "outputter": "txt"}

    return wrapped
