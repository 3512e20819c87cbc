"""
The rules by which the server sorts text come from the system's C library or from ICU. Another version may sort in
another way, and then an index that was made by the former rules misses rows. PostgreSQL notes for each database which
version it was made with: its documentation, "ALTER DATABASE", REFRESH COLLATION VERSION.
"""

from __future__ import annotations

import pghalib.parse

#: The databases that were made with another version than the one of this host. Older servers than 15 note none.
QUESTION = r"""
SELECT current_setting('server_version_num')::int >= 150000 AS notes \gset
\if :notes
SELECT coalesce(json_agg(json_build_array(datname, datcollversion, here) ORDER BY datname), '[]')
  FROM pg_catalog.pg_database, LATERAL pg_catalog.pg_database_collation_actual_version(oid) AS here
  WHERE datcollversion <> here;
\else
SELECT '[]';
\endif
"""


def faults(said: str) -> list[str]:
    """Return the answer to ``QUESTION`` as sentences for the status."""
    return [
        f"the database {name} was made where text is sorted by version {made} of its collation, this host has version"
        f' {here}: an index may miss rows here, see "A new release of the system" in docs/runbooks.md'
        for name, made, here in pghalib.parse.from_json(said)
    ]
