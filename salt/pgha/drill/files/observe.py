"""
The observer of a drill on one member's host: many times a second it notes as a line of JSON whether the host has the
virtual IP, whether its PostgreSQL leads and acknowledges a write, and for whom that write waits (see
_utils/pghalib/drill/history.py).

    observe.py '{"host": NAME, "address": VIRTUAL IP or null, "interval": SECONDS, "connection": {libpq's keywords}}'

It runs as PostgreSQL's own user with Patroni's Python, which has psycopg and psutil, and comes in through the socket.
A server that does not answer must not keep it from seeing the address, so these are two threads. It knows nothing of
Salt, and runs until it is stopped.
"""

import json
import os
import sys
import threading
import time
import traceback

import psutil
import psycopg

# A write whose wait for a replica was given up comes with a warning, which not every setting of the server sends.
IMPATIENT = {"connect_timeout": 2, "options": "-c statement_timeout=1s -c client_min_messages=warning"}
# A message in the WAL: it waits for a synchronous replica like any other write, and leaves nothing in a table.
WRITE = "SELECT pg_catalog.pg_logical_emit_message(true, 'pgha', 'drill')"
# The timeline of a primary (NULL of a replica), and the members that its commits wait for.
STANDING = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
       ARRAY(SELECT application_name FROM pg_catalog.pg_stat_replication
             WHERE sync_state IN ('sync', 'quorum') ORDER BY application_name)
"""


class Observer:
    """One observer: its settings, and the line that two threads write to."""

    def __init__(self, settings):
        self.settings = settings
        self._output = threading.Lock()

    def note(self, start, **seen):
        """Write one look of the history."""
        nothing = {"primary": None, "timeline": None, "acknowledged": False, "synchronous": None}
        look = {"kind": "look", "host": self.settings["host"], "start": start, **nothing, **seen}
        look |= {"address": self.has_address(), "end": time.time_ns()}
        with self._output:
            sys.stdout.write(json.dumps(look) + "\n")
            sys.stdout.flush()

    def has_address(self):
        """Whether any interface of this host has the virtual IP."""
        wanted = self.settings["address"]
        return any(one.address == wanted for card in psutil.net_if_addrs().values() for one in card)

    def watch_address(self):
        """Look at the address, for ever. When that fails, the whole observer ends: nobody would miss half of it."""
        try:
            while True:
                self.note(time.time_ns())
                time.sleep(self.settings["interval"])
        finally:
            traceback.print_exc()
            os._exit(1)

    def watch_server(self):
        """Ask the server, for ever."""
        connection, warnings = None, []
        while True:
            start = time.time_ns()
            try:
                if connection is None:
                    connection = psycopg.connect(**IMPATIENT, **self.settings["connection"], autocommit=True)
                    connection.add_notice_handler(lambda notice, seen=warnings: seen.append(notice.severity))
                self._ask(connection, warnings)
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                    connection = None
                self.note(start)
            time.sleep(self.settings["interval"])

    def _ask(self, connection, warnings):
        timeline, synchronous = connection.execute(STANDING).fetchone()
        if timeline is None:
            self.note(time.time_ns(), primary=False)
            return
        warnings.clear()
        start, acknowledged = time.time_ns(), False
        try:
            connection.execute(WRITE)
            acknowledged = not warnings
        finally:
            # For whom a write has waited in vain, too.
            self.note(start, primary=True, timeline=timeline, acknowledged=acknowledged, synchronous=synchronous)


def main():
    """Observe with the settings in the argument."""
    observer = Observer(json.loads(sys.argv[1]))
    threading.Thread(target=observer.watch_address, daemon=True).start()
    observer.watch_server()


if __name__ == "__main__":
    main()
