"""How a change gets into the dynamic configuration while every member may send the same change at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.patroni.dynamic
import pghalib.wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.shapes import Json

#: Seconds to try again when several members send the same change at the same moment.
_CONFLICT = 10


def send(declared: dict[str, Json], ask: Callable[[], Json], patch: Callable[[dict[str, Json]], Json]) -> Json:
    """
    Send the differences between the declared and the living configuration, and return the new living one.

    declared
        The result of ``pghalib.patroni.dynamic.with_note``.
    ask
        A function that returns the living configuration.
    patch
        A function that takes the differences, sends them and returns the new configuration, None when another member
        changed it at that moment.

    Raises CommandExecutionError when Patroni does not take the change.
    """

    def sent() -> Json:
        live = ask()
        differences = pghalib.patroni.dynamic.patch(declared, live)
        return patch(differences) if differences else live

    return pghalib.wait.until(sent, _CONFLICT, "Patroni takes the change of its dynamic configuration")
