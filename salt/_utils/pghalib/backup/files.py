"""The files of pgBackRest's configuration on a host: written, and known as the formula's by their first line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.backup.config
import pghalib.host.files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.host.files import Done
    from pghalib.shapes import Json, RepositorySecrets


def write(
    path: str,
    document: Mapping[str, Mapping[str, Json]],
    group: str,
    test: bool,
    secrets: Mapping[str, RepositorySecrets] | None = None,
) -> Done:
    """
    Give a configuration its file, which root owns and a group may read; the changes hold no secret.

    path, document, group
        The file, its content as ``pghalib.backup.config.document`` returns it, the name of the group.
    test
        True: nothing is written.
    secrets
        The secrets in it, by repository.
    """
    return pghalib.host.files.manage(
        path,
        pghalib.backup.config.render(document),
        user="root",
        group=group,
        mode="0640",
        test=test,
        secrets=pghalib.backup.config.secret_values(secrets or {}),
    )


def foreign(remedy: str) -> list[str]:
    """
    Return the fault of a configuration of somebody else's in the formula's place: a list of one line, or [].

    remedy
        What to do with what is in it, as the end of the sentence.
    """
    path = pghalib.backup.config.PATH
    text = pghalib.host.files.peek(path)
    if text is None or text.startswith(pghalib.backup.config.HEAD):
        return []
    return [f"{path} is not the formula's, which would write it anew: move it away, and {remedy}"]
