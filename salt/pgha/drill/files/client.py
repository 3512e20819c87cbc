"""
The client of a drill: it writes, reads and connects all the time through an address, and notes every operation as a
line of JSON (see _utils/pghalib/drill/history.py for the shape and the meaning of each).

Its settings are JSON on standard input, its history is its standard output:

    {"connection": {libpq's keywords}, "table": "SCHEMA.NAME", "workers": 4, "pause": 0.01, "seconds": 60}

The table has the columns ``key`` (integer) and ``value`` (bigint), and no unique key: a row that is there twice is to
be seen, not to be refused. SIGTERM ends the client early, and so does the end of its parent. In the end it reads all
lists once more. Needs psycopg 3; knows nothing of Salt.

What a server sends is data: of another type, or without an end, it harms neither who reads the history nor this host.
"""

import itertools
import json
import os
import resource
import signal
import sys
import threading
import time

import psycopg
import psycopg.sql

# A lost server is noticed within two seconds, on a connection and on an attempt to connect. The server notices a lost
# client as soon: what it keeps of lost connections counts against the limit of the login. Whatever the server's setting
# is, it sends warnings: without them a write whose wait for a replica was given up counts as acknowledged.
IMPATIENT = {
    "connect_timeout": 2,
    "tcp_user_timeout": 2000,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "options": "-c statement_timeout=10s -c client_min_messages=warning"
    " -c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2",
}
# Errors of a server that has certainly not written: it is read-only, or it does not know the statement or the user.
CERTAIN = ("25006", "42", "28")
# Seconds to wait for the lists in the end, for the operations under way before that, and between two new connections.
PATIENCE, ENDING, VISIT = 120, 15, 0.1
# Bytes for the client itself, and for each write that it can make: of memory, and of its history. A write needs less
# than 170 in the history, with its share of the reads and the last lists, and as much of memory while these are read.
BASE, MEMORY, HISTORY = 2**30, 200, 1700
# Bytes for a thread's stack.
STACK = 2**20
# PostgreSQL's bigint is smaller.
LARGEST = 2**63

# What the clock of this host shows is taken once, and the seconds that pass are added: where somebody sets the clock
# back, a read would else come before the writes that it followed.
DIFFERENCE = time.time_ns() - time.monotonic_ns()


def now():
    """The moment in nanoseconds."""
    return DIFFERENCE + time.monotonic_ns()


def in_one_line(error):
    """The words of an error, perhaps a server's, as one line that is not too long."""
    return " ".join(str(error).split())[:1000]


class Client:
    """The workers of one client, and what they share: the end, the output, and how far each list is."""

    def __init__(self, settings, over):
        self.settings, self.over = settings, over
        self.table = psycopg.sql.Identifier(*settings["table"].split("."))
        self.settled = dict.fromkeys(range(1, settings["workers"] + 1), 0)
        self._output = threading.Lock()
        self._troubles = set()
        # {key: (value, start)} of the writes that have no answer yet.
        self._waiting, self._given_up = {}, False

    def run(self):
        """Write and read until the time is over; then note all lists as they are in the end."""
        threads = [threading.Thread(target=self._writes, args=(key,), daemon=True) for key in self.settled]
        threads += [threading.Thread(target=work, daemon=True) for work in (self._reads, self._visits)]
        for thread in threads:
            thread.start()
        parent, deadline = os.getppid(), time.monotonic() + self.settings["seconds"]
        # Nobody would end the client of a drill that was killed.
        while not self.over.wait(0.5) and time.monotonic() < deadline and os.getppid() == parent:
            pass
        self.over.set()
        deadline = time.monotonic() + ENDING
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
        self._give_up()
        self._final()

    def _give_up(self):
        """
        Note the writes that still wait as open. A COMMIT may wait for a replica for ever, and no timeout of the server
        ends that; a server that serves reads is no reason to have no lists.
        """
        with self._output:
            self._given_up = True
            for key, (value, start) in self._waiting.items():
                record = {"kind": "write", "key": key, "value": value, "start": start, "end": now(), "outcome": "info"}
                sys.stdout.write(json.dumps(record) + "\n")
            sys.stdout.flush()

    def note(self, **record):
        """Write one line of the history. It is on its way before the next operation begins."""
        line = json.dumps(record) + "\n"
        with self._output:
            if self._given_up and record["kind"] != "final":
                # It was waited for in vain, and is noted as open.
                return
            sys.stdout.write(line)
            sys.stdout.flush()
            if record["kind"] == "write":
                self._waiting.pop(record["key"], None)

    def trouble(self, error):
        """Note why there is no connection, each reason once, as long as nobody has written: then it is the setting."""
        what = in_one_line(error)
        if what not in self._troubles and not any(self.settled.values()):
            self._troubles.add(what)
            self.note(kind="trouble", at=now(), what=what)

    def _connect(self):
        return psycopg.connect(**{**IMPATIENT, **self.settings["connection"]}, autocommit=True)

    def _writes(self, key):
        connection, warnings = None, []
        insert = psycopg.sql.SQL("INSERT INTO {} (key, value) VALUES (%s, %s)").format(self.table)
        for value in itertools.count(1):
            while connection is None and not self.over.is_set():
                try:
                    connection = self._connect()
                    connection.add_notice_handler(lambda notice, seen=warnings: seen.append(notice.severity))
                except psycopg.Error as error:
                    self.trouble(error)
                    self.over.wait(0.02)
            if self.over.is_set():
                return
            warnings.clear()
            start, outcome = now(), "ok"
            with self._output:
                self._waiting[key] = (value, start)
            try:
                connection.execute(insert, [key, value])
                # "Committed locally, but might not have been replicated": a failover may lose it.
                outcome = "info" if warnings else "ok"
            except psycopg.Error as error:
                outcome = "fail" if (error.sqlstate or "").startswith(CERTAIN) else "info"
                connection.close()
                connection = None
            self.note(kind="write", key=key, value=value, start=start, end=now(), outcome=outcome)
            self.settled[key] = value
            self.over.wait(self.settings["pause"])

    def _reads(self):
        """Read the lists in turn. A value that had been settled before a read of its list is in no later read."""
        connection, floors = None, dict.fromkeys(self.settled, 0)
        for key in itertools.cycle(self.settled):
            if self.over.is_set():
                return
            try:
                connection = connection or self._connect()
                settled, start = self.settled[key], now()
                values = self._values(connection, key, floors[key])
            # Memory is bounded: see below.
            except (psycopg.Error, MemoryError):
                if connection is not None:
                    connection.close()
                    connection = None
                self.over.wait(0.02)
                continue
            self.note(kind="read", key=key, floor=floors[key], values=values, start=start, end=now())
            floors[key] = settled
            self.over.wait(self.settings["pause"])

    def _visits(self):
        """Connect anew for each question: a server that lets nobody in may go on serving those who are connected."""
        while not self.over.is_set():
            start, outcome = now(), "ok"
            try:
                with self._connect() as connection:
                    connection.execute("SELECT")
            except psycopg.Error:
                outcome = "fail"
            self.note(kind="visit", start=start, end=now(), outcome=outcome)
            self.over.wait(VISIT)

    def _values(self, connection, key, floor):
        select = psycopg.sql.SQL("SELECT value FROM {} WHERE key = %s AND value > %s").format(self.table)
        values = [row[0] for row in connection.execute(select, [key, floor])]
        if any(type(value) is not int or abs(value) >= LARGEST for value in values):
            raise psycopg.DataError("the server has other values than numbers in the lists")
        return values

    def _final(self):
        if not any(self.settled.values()):
            # Nobody has written, so there is nothing to read.
            return
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self._connect() as connection:
                    lists = {key: self._values(connection, key, 0) for key in self.settled}
                break
            except psycopg.Error as error:
                if time.monotonic() > deadline:
                    sys.exit(f"The last lists cannot be read for {PATIENCE} s: {in_one_line(error)}")
                time.sleep(0.1)
        for key, values in lists.items():
            self.note(kind="final", key=key, values=values)


def bound(settings):
    """Bound the memory of this process and the size of its history by what a right server makes of them."""
    # The stacks of its threads count as well, and by default they are as large as the shell's limit says.
    threading.stack_size(STACK)
    writes = (settings["workers"] + 1) * (settings["seconds"] + PATIENCE) / max(settings["pause"], 0.001)
    for kind, each in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_FSIZE, HISTORY)):
        most, hard = BASE + int(writes * each), resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(kind, (most, hard))


def main():
    """Run the client with the settings on standard input."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    settings = json.load(sys.stdin)
    bound(settings)
    Client(settings, over).run()


if __name__ == "__main__":
    main()
