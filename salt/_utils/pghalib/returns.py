"""The return of a state that does several things: their changes, results and sentences put together. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from pghalib.shapes import Json


class Done(TypedDict):
    """What was done to one thing. The result is None when it would be done, in test mode."""

    result: bool | None
    changes: dict[str, Json]
    comment: str


class Return(Done):
    """The return of a state: what it did, and its name."""

    name: str


def say(ret: Done, sentence: str) -> None:
    """Add a sentence to the comment of a state's return."""
    ret["comment"] = f"{ret['comment']} {sentence}".strip()


def would(ret: Done, changes: dict[str, Json], sentence: str) -> None:
    """Make a state's return that of a dry run that has something to do, and add a sentence to its comment."""
    ret["result"], ret["changes"] = None, changes
    say(ret, sentence)


def add(ret: Done, what: str, done: Done) -> bool:
    """
    Add the result of one thing to a state's return: its changes, its comment, and its result.

    what
        The key of its changes, such as the path of a file.
    done
        ``{"result", "changes", "comment"}``, as ``pghalib.host.files.manage`` returns it.

    Returns False when the thing has failed, else True.
    """
    if done["changes"]:
        ret["changes"][what] = done["changes"]
        # The results are combined: False wins over None, and None over True.
        ret["result"] = ret["result"] and done["result"]
    if done["result"] is False:
        ret["result"] = False
    say(ret, done["comment"])
    return done["result"] is not False
