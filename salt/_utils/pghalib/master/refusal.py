"""
What a person reads when a runner function refuses: the sentence, and no traceback.
"""

import functools
import sys

from salt.exceptions import CommandExecutionError


def told(function):
    """
    Return a runner function with its CommandExecutionError told as text on the standard error stream; ``salt-run`` ends
    with 1. Salt shows an exception of a runner function with its traceback.

    Whoever leads the standard output to a file sees it all the same.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except CommandExecutionError as error:
            print(error, file=sys.stderr, flush=True)
            # What `salt-run` takes for its exit code.
            return {"data": {"retcode": 1}, "outputter": "txt"}

    return wrapped
