"""
How a runner function refuses or fails: text for a person, no traceback, and exit code 1.
"""

from __future__ import annotations

import functools
import re
import sys
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import ParamSpec, TypeVar

    from pghalib.shapes import Json

    Given = ParamSpec("Given")
    Value = TypeVar("Value")


def told(function: Callable[Given, Value]) -> Callable[Given, Value | dict[str, Json]]:
    """
    Decorator of a runner function: its CommandExecutionError is printed as text to the standard error stream, and
    ``salt-run`` ends with 1. Without it Salt shows the exception with its traceback, and the same with Ctrl-C.

    The text is still seen when the standard output goes to a file.
    """

    @functools.wraps(function)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Value | dict[str, Json]:
        try:
            return function(*args, **kwargs)
        except CommandExecutionError as error:
            print(error, file=sys.stderr, flush=True)
            return _one()
        except (KeyboardInterrupt, SystemExit):
            # Salt makes an exit of Ctrl-C.
            print("Interrupted", file=sys.stderr, flush=True)
            return _one()

    return wrapped


def ended(text: str, good: object) -> str | dict[str, Json]:
    """
    Return what a runner function returns that shows a text: the text, where all is ``good``. If not, the text is
    printed and ``salt-run`` ends with 1. Salt would show an exception with its traceback; so it shows only the text.
    """
    if good:
        return text
    print(text)
    return _one()


def one_of(what: str, given: object, known: Collection[str]) -> str:
    """
    Return the known word that a person has given. Raises CommandExecutionError when it is not among the known ones.

    what, given
        What the word names, and what Salt has made of it: a number where it is made of digits.
    """
    if type(given) in (str, int) and str(given) in known:
        return str(given)
    raise CommandExecutionError(f"There is no {what} {given!r}; there is {', '.join(known)}")


def truths(what: str, **given: object) -> None:
    """
    Raise CommandExecutionError that names each argument that is neither True nor False. Salt has made these of the
    words yes, no, on, off; any other word, such as ``n``, would count as True.

    what
        What was not done, as the begin of the sentence.
    given
        What a person gave, by the names of the arguments.
    """
    wrong = [
        f"{name}={pghalib.text.printable(value, 80)} is neither True nor False"
        for name, value in given.items()
        if not isinstance(value, bool)
    ]
    if wrong:
        raise CommandExecutionError(f"{what}: {'; '.join(wrong)}")


def whole(name: str, given: object, most: int = 86400) -> int:
    """
    Return a number that a person gave. Raises CommandExecutionError when it is no whole number from 1 to ``most``.

    name, given
        The argument's name, and what was given: a number, or a text.
    """
    if not is_whole(given, most):
        raise CommandExecutionError(f"{name}={pghalib.text.printable(given, 80)} is no whole number from 1 to {most}")
    return int(str(given))


def is_whole(given: object, most: int) -> bool:
    """Return whether what a person gave is a whole number from 1 to ``most``, or the text of one."""
    text = str(given)
    return bool(re.fullmatch(r"[0-9]{1,9}", text)) and 1 <= int(text) <= most


def _one() -> dict[str, Json]:
    # `salt-run` takes its exit code from this.
    return {"data": {"retcode": 1}, "outputter": "txt"}
