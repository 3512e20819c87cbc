"""
A client that keeps account: the drill's own, which writes and reads through the virtual IP all the time. What it notes
is judged by the drill's own checker.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg
from lab.tools import CHECKOUT, wait_for
from pghalib.drill import checker, history

CLIENT = CHECKOUT / "salt/pgha/drill/files/client.py"
WORKERS = 3
# Seconds; the client ends when it is told to. A longer work says so.
LONGEST = 3600


class Ledger:
    """Context manager: the client works from its entry to its exit in a table of its own."""

    _serial = itertools.count(1)

    def __init__(self, cluster, seconds=LONGEST):
        self.cluster, self.seconds = cluster, seconds
        self.table = f"ledger_{next(self._serial)}_{time.time_ns()}"

    def __enter__(self):
        wait_for(self._table_made, timeout=30, what="a client can write")
        settings = {
            "connection": self.cluster.client(),
            "table": self.table,
            "workers": WORKERS,
            "pause": 0.02,
            "seconds": self.seconds,
        }
        self._place = tempfile.TemporaryDirectory(prefix="pgha-ledger-")
        self._told, self._errors = (Path(self._place.name, name) for name in ("history.jsonl", "errors"))
        with self._told.open("w") as told, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, CLIENT], stdin=subprocess.PIPE, stdout=told, stderr=errors, text=True
            )
        try:
            self._process.stdin.write(json.dumps(settings))
            self._process.stdin.close()
            self.wait_for_writes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(150)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _table_made(self):
        try:
            with self.cluster.connect() as connection:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {self.table} (key int NOT NULL, value bigint NOT NULL)")
        except psycopg.Error:
            return False
        return True

    def history(self):
        """What the client has noted until now."""
        with self._told.open() as lines:
            return history.read(lines)

    def counts(self):
        """(how many writes were acknowledged, of how many nobody can know)"""
        outcomes = [write["outcome"] for write in self.history()["writes"]]
        return outcomes.count("ok"), outcomes.count("info")

    def wait_for_writes(self, timeout=120):
        """Wait until writes that begin from now on are acknowledged."""
        since = time.time_ns()

        def acknowledged():
            assert self._process.poll() is None, f"the client has ended: {self._complaint()}"
            new = [one for one in self.history()["writes"] if one["start"] > since and one["outcome"] == "ok"]
            return len(new) >= 2 * WORKERS

        wait_for(acknowledged, timeout=timeout, what="writes are acknowledged", interval=0.2)

    def outage(self):
        """Seconds of the longest time without an acknowledged write."""
        longest = checker.outage(self.history()["writes"])
        return (longest.end - longest.start) / 1e9

    def check(self):
        """Fail when what the client saw breaks a rule, such as that an acknowledged write is there exactly once."""
        assert self._process.returncode == 0, f"the client failed: {self._complaint()}"
        found = self.history()
        assert len(found["final"]) == WORKERS
        assert found["reads"], "the client has read nothing"
        # The rules about hosts are not judged: nobody observes the hosts here.
        judged = checker.check(found, overlap=None)[:-1]
        broken = [f"{one['rule']}: {one['examples']}" for one in judged if not one["held"]]
        assert not broken, broken

    def _complaint(self):
        return self._errors.read_text()


class Observer:
    """Context manager: looks all the time where the virtual IP is."""

    def __init__(self, cluster):
        self.cluster, self.looks, self.overlaps = cluster, 0, []
        self._since = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        alive = self._thread.is_alive()
        self._stop.set()
        self._thread.join(10)
        assert alive, "the observer has ended by itself"
        self._over()

    def _over(self):
        """Note the time that the address has been on two hosts, if it has."""
        if self._since:
            self.overlaps.append(round(time.monotonic() - self._since, 3))
        self._since = None

    def _watch(self):
        while not self._stop.wait(0.1):
            holders = self._holders()
            self.looks += 1
            # The hosts are asked one after another and the address may have moved in between: so the first is asked
            # again, and only an address that was there before and after is on both.
            if len(holders) > 1 and set(holders) <= set(self._holders()):
                self._since = self._since or time.monotonic()
            else:
                self._over()

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
