"""
The registration of policies and tokens by the first server: the sentences about it, and when the other servers no
longer wait for it.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypedDict, TypeVar

from salt.exceptions import CommandExecutionError

import pghalib.consul.drift

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pghalib.consul.drift import Foreign

T = TypeVar("T")

#: Seconds: when the first server has failed for so long, the others no longer wait for it.
STANDS = 10


class Seen(TypedDict, total=False):
    """
    What is known of the first server's failure: the sentence, the time since when it is the same, and the time of the
    next question (both of the monotonic clock). ``visible`` stands alone: all tokens are known.
    """

    why: str | None
    since: float
    ask: float
    visible: bool


def register(apply: Callable[[], T], note: Callable[..., object]) -> T:
    """
    Register policies and tokens, and return what ``apply`` does. After a failure, leave a note for the servers that
    wait for them.

    apply
        A function that registers them and returns the differences.
    note
        A function that takes the failure as a sentence and leaves the note; without an argument it removes the note.

    Raises the error of ``apply``, and CommandExecutionError when the note of an earlier run cannot be removed.
    """
    note()
    try:
        return apply()
    except CommandExecutionError as error:
        with contextlib.suppress(CommandExecutionError):
            note(str(error))
        raise


def sentences(changes: Collection[str], foreign: Iterable[Foreign], test: bool) -> list[str]:
    """
    Return what a state says about the registration, as a list of sentences.

    changes
        The differences that were written, or would be, as ``pgha_consul_acl.differences`` returns them.
    foreign
        Tokens of others, as ``pgha_consul_acl.foreign_tokens`` returns them. They are left alone.
    test
        Whether this is a dry run.
    """
    written, taken = ("would be written", "would be") if test else ("written", "were")
    said = [f"{', '.join(changes)} {written}." if changes else "The policies and tokens are as they should be."]
    if "anonymous token" in changes:
        said.append(f"The anonymous token gave rights to anybody; these rights {taken} taken away.")
    return said + [f"WARNING: {pghalib.consul.drift.token_sentence(token)}." for token in foreign]


def visible(
    unseen: list[str], works: Callable[[str], bool], seen: Seen, failed: Callable[[], str | None] | None
) -> Seen:
    """
    Return ``{"visible": True}`` when this server knows all tokens, and ``{"why": …}`` when they are no longer waited
    for (see :py:func:`stands`).

    unseen
        List of the names of tokens that this server may not know yet. Those that it knows are removed from it.
    works
        A function that returns whether the token of a name is known.
    seen, failed
        As for :py:func:`stands`; ``failed`` is None where nobody waits.

    Raises CommandExecutionError that names the unknown tokens.
    """
    # One after another: a known token is not asked again, and the first unknown token ends the round.
    while unseen and works(unseen[0]):
        unseen.pop(0)
    if not unseen:
        return {"visible": True}
    if failed and stands(seen, failed):
        return seen
    raise CommandExecutionError(f"not known to this server: {', '.join(unseen)}")


def stands(seen: Seen, failed: Callable[[], str | None]) -> bool:
    """
    Return whether the first server has had the same failure (``seen["why"]``) for STANDS seconds. The note of an
    earlier run is removed when the first server registers again, so a short failure does not count.

    seen
        A mapping that is empty at first; it keeps the failure between two calls.
    failed
        A function that returns the failure as a sentence, or None. It is asked once a second at most.
    """
    if time.monotonic() < seen.get("ask", 0):
        return False
    seen["ask"] = time.monotonic() + 1
    why = failed()
    if why != seen.get("why"):
        seen["why"], seen["since"] = why, time.monotonic()
    return bool(why) and time.monotonic() >= seen["since"] + STANDS
