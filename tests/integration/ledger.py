"""
A client that keeps account: it writes through the virtual IP all the time and knows what was acknowledged.

An operation is ``ok`` when the server acknowledged it without any doubt. A lost connection leaves it open whether the
row is there; so does a COMMIT with a WARNING ("committed locally, but might not have been replicated"): both are
``info`` and may or may not be in the table.
"""

import itertools
import json
import threading
import time

import psycopg

WORKERS = 3


class Ledger:
    """Context manager: workers write from its entry to its exit into a table of their own."""

    _serial = itertools.count(1)

    def __init__(self, cluster):
        self.cluster = cluster
        self.table = f"ledger_{next(self._serial)}_{time.time_ns()}"
        self.ok, self.info, self.errors = [], set(), []
        self._ids, self._stop = itertools.count(1), threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]

    def __enter__(self):
        with self.cluster.connect() as connection:
            # No key: a row that is there twice is to be seen, not to be refused.
            connection.execute(f"CREATE TABLE {self.table} (id bigint NOT NULL)")
        self.started = time.monotonic()
        for thread in self._threads:
            thread.start()
        self.wait_for_writes()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _connect(self):
        return self.cluster.connect(
            connect_timeout=2, tcp_user_timeout=2000, keepalives_idle=1, keepalives_interval=1, keepalives_count=2,
            options="-c statement_timeout=10s",
        )  # fmt: skip

    def _work(self):
        connection = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    warnings = []
                    connection = self._connect()
                    connection.add_notice_handler(lambda notice, seen=warnings: seen.append(notice.severity))
                self._write(connection, warnings)
            except psycopg.Error as error:
                self.errors.append(str(error).strip())
                if connection is not None:
                    connection.close()
                    connection = None
            self._stop.wait(0.02)
        if connection is not None:
            connection.close()

    def _write(self, connection, warnings):
        number = next(self._ids)
        self.info.add(number)
        warnings.clear()
        connection.execute(f"INSERT INTO {self.table} VALUES (%s)", [number])
        if not warnings:
            self.ok.append((time.monotonic(), number))
            self.info.discard(number)

    def wait_for_writes(self, timeout=120):
        """Wait until writes that begin from now on are acknowledged."""
        count, deadline = len(self.ok), time.monotonic() + timeout
        while len(self.ok) < count + 2 * WORKERS:
            assert time.monotonic() < deadline, (
                f"no write within {timeout} s; {len(self.info)} are open; the last errors: {self.errors[-2:]}"
            )
            time.sleep(0.02)

    def outage(self):
        """Seconds of the longest time without an acknowledged write."""
        moments = sorted([self.started, *(moment for moment, _ in self.ok)])
        return max(after - before for before, after in itertools.pairwise(moments))

    def check(self):
        """Fail when an acknowledged write is not there exactly once, or one is there that nobody sent."""
        with self.cluster.connect() as connection:
            there = [row[0] for row in connection.execute(f"SELECT id FROM {self.table}")]
        acknowledged = {number for _, number in self.ok}
        lost, final = sorted(acknowledged - set(there)), set(there)
        assert not lost, f"{len(lost)} acknowledged writes are lost, such as {lost[:5]}"
        assert len(there) == len(final), f"{len(there) - len(final)} rows are there twice"
        assert final <= acknowledged | self.info, "rows are there that nobody wrote"


class Observer:
    """Context manager: looks all the time where the virtual IP is."""

    def __init__(self, cluster):
        self.cluster, self.looks, self.overlaps = cluster, 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(10)

    def _watch(self):
        since = None
        while not self._stop.wait(0.1):
            holders = self._holders()
            self.looks += 1
            # The hosts are asked one after another and the address may have moved in between: so the first is asked
            # again, and only an address that was there before and after is on both.
            if len(holders) > 1 and set(holders) <= set(self._holders()):
                since = since or time.monotonic()
            elif since:
                self.overlaps.append(round(time.monotonic() - since, 3))
                since = None

    def _holders(self):
        script = 'for host; do echo "$host $(ip -n $host -j -4 addr show dev eth0 2>/dev/null)"; done'
        names = [host.name for host in self.cluster.db]
        said = self.cluster.lab.client(["sh", "-c", script, "sh", *names], check=False).stdout
        found = []
        for line in said.splitlines():
            name, _, listing = line.partition(" ")
            entries = [entry for link in json.loads(listing or "[]") for entry in link.get("addr_info", [])]
            found += [name] if any(entry["local"] == self.cluster.vip for entry in entries) else []
        return found
