"""Paths of the library that stand as they are in states, and in files of hosts that are not rendered."""

import re
from pathlib import Path

import pghalib.backup.proof
import pghalib.patroni.config
import pghalib.postgres.archive
import pghalib.vip
import pytest

SALT = Path(__file__).resolve().parents[2] / "salt/pgha"


@pytest.mark.parametrize(
    ("file", "paths"),
    [
        (
            "vip/parts.jinja",
            {pghalib.vip.PROGRAM, pghalib.vip.CONFIG, pghalib.vip.HELPER, pghalib.patroni.config.CALLBACK},
        ),
        ("vip/files/pgha-vip-callback", {pghalib.vip.HELPER}),
        ("backup/parts.jinja", {pghalib.postgres.archive.PROGRAM, pghalib.backup.proof.PROGRAM}),
        ("backup/files/pgha-backup.py", {pghalib.postgres.archive.PGBACKREST}),
        ("backup/files/pgha-proof.py", {pghalib.postgres.archive.PGBACKREST, pghalib.backup.proof.RESULT}),
        ("repository/files/pgha-repository.service.jinja", {pghalib.postgres.archive.PGBACKREST}),
    ],
)
def test_a_path_is_the_librarys_wherever_it_stands(file, paths):
    assert paths - set(re.findall(r"/[\w./-]+", (SALT / file).read_text(encoding="utf-8"))) == set()
