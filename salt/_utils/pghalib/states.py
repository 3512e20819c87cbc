"""
The one shape of a state: what it found and did becomes the mapping that Salt expects.

    @pghalib.states.state
    def started(ret, unit):
        if __salt__["service.status"](unit):
            return f"{unit} runs."
        ret.plan({unit: {"old": "stopped", "new": "running"}})
        if ret.test:
            return f"{unit} would be started."
        __salt__["service.start"](unit)
        return f"{unit} was started."

A state returns the last sentence of its comment, and fails by an exception. It raises :py:class:`Later` where a dry run
cannot tell.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.errors
import pghalib.secrets.served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pghalib.host.files import Done
    from pghalib.shapes import Json


class Later(CommandExecutionError):
    """A dry run cannot tell whether something is to be done. The message is the end of the comment."""


_EARLY = "The master has made no secrets yet; this would follow."


class Return:
    """
    What a state has found and done so far.

    ``name`` is its ID. ``test`` tells whether this is a dry run. ``changes`` has what was changed; it is kept when the
    state fails later, because it has happened.
    """

    def __init__(self, name: str, test: bool) -> None:
        self.name, self.test = name, test
        self.changes: dict[str, Json] = {}
        self._planned: dict[str, Json] = {}
        self._said: list[str] = []

    def plan(self, changes: dict[str, Json]) -> bool:
        """
        Note changes that follow now. They count when the state does not fail, and in a dry run. Returns whether there
        are any.
        """
        self._planned.update(changes)
        return bool(changes)

    def say(self, *sentences: str) -> None:
        """Add sentences to the comment."""
        self._said += [one for one in sentences if one]

    def add(self, done: Done, what: str | None = None) -> str:
        """
        Add the result of one thing.

        done
            ``{"result", "changes", "comment"}``, as ``pghalib.host.files.manage`` returns it.
        what
            The key of its changes, such as the path of a file. None: its changes have keys already.

        Returns its comment. Raises CommandExecutionError with its comment when it has failed.
        """
        if done["changes"]:
            self.changes.update(done["changes"] if what is None else {what: done["changes"]})
        if done["result"] is False:
            raise CommandExecutionError(done["comment"])
        return done["comment"]

    def mapping(self, failed: bool = False, later: bool = False) -> dict[str, Json]:
        """
        Return the mapping that Salt expects. Its result is None in a dry run that has something to do, or that cannot
        tell (``later``).
        """
        changes = self.changes if failed else {**self.changes, **self._planned}
        result = False if failed else None if later or (self.test and changes) else True
        return {"name": self.name, "result": result, "changes": changes, "comment": " ".join(self._said)}


def state(function: Callable[..., str | None]) -> Callable[..., dict[str, Json]]:
    """
    Decorator of a state, which gets a :py:class:`Return` in place of ``name``.

    An error that a person can correct (``pghalib.errors.REPAIRABLE``) becomes the end of the comment, and the result is
    False. It is no failure that there are no secrets in the very first dry run.
    """

    @functools.wraps(function)
    def wrapped(name: str, *args: Json, **kwargs: Json) -> dict[str, Json]:
        # The loader's dunders are in the module of the state, not in this one.
        ret = Return(name, bool(function.__globals__["__opts__"]["test"]))
        try:
            ret.say(function(ret, *args, **kwargs) or "")
        except pghalib.errors.REPAIRABLE as error:
            if ret.test and isinstance(error, (Later, pghalib.secrets.served.Unserved)):
                ret.say(str(error) if isinstance(error, Later) else _EARLY)
                return ret.mapping(later=True)
            ret.say(pghalib.errors.sentence(error))
            return ret.mapping(failed=True)
        return ret.mapping()

    # Salt reads a state's arguments from the signature of what it wraps, if it wraps anything.
    del wrapped.__wrapped__
    signature = inspect.signature(function)
    wrapped.__signature__ = signature.replace(parameters=_named(signature.parameters.values()))  # type: ignore[attr-defined]
    return wrapped


def _named(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    first, *others = parameters
    return [first.replace(name="name"), *others]
