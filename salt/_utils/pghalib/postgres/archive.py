"""
What PostgreSQL archives. WAL is archived to nowhere from the first run on, as ``archive_mode`` takes a restart of every
server and ``archive_command`` only a reload: so a backup can be turned on later without an outage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pghalib.shapes import Json

#: A command that says of each file that it is safe, so that the server lets it go.
DEFAULTS = {"archive_mode": "on", "archive_command": "/bin/true"}
#: A server takes this or a command; with both it archives nothing, and says so in its log alone.
_LIBRARY = "archive_library"


def beside_others(
    parameters: Mapping[str, Json], declared: Collection[str], live: Mapping[str, Json], noted: Collection[str]
) -> dict[str, Json]:
    """
    Return parameters without those defaults that would take the place of another one's archive: where somebody archives
    already, the formula does not end that.

    parameters
        The parameters of all members, with :py:data:`DEFAULTS`.
    declared
        Names of parameters that the user has set in the pillar: they stay.
    live
        The parameters in the DCS, as ``{name: value}``.
    noted
        Names of those that the formula has put there. When another value is there now, somebody has changed it by hand:
        it is kept as if it were declared, as what is noted and not declared is removed.
    """
    result = dict(parameters)
    for name in DEFAULTS.keys() - set(declared):
        changed = live.get(name) is not None and live[name] != DEFAULTS[name]
        if changed and name in noted:
            result[name] = live[name]
        elif changed or (name == "archive_command" and _LIBRARY in {*declared, *live}):
            result.pop(name, None)
    return result
