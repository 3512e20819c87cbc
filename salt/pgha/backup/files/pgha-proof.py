"""
Prove that a backup can be restored: fetch the newest one into a directory of its own, recover it to the end of the
archive, read all of it, go back to a moment before, and throw it away. The timer pgha-proof starts this on every
member; one replica does it.

    pgha-proof run [auto|now]    auto: only on the replica whose turn it is
    pgha-proof result            what the last proof on this host has shown, as JSON

The copy listens on no network, archives nothing, and is stopped and removed in the end, whatever happens. Its WAL names
the places of tablespaces, where the files of the server beside it are: the unit lets it write nowhere but in the
directory of the proof. What it shows is kept in RESULT: it is data of PostgreSQL's user, and read as such.

Standard library alone: the host's Python runs it as the user of PostgreSQL.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

CONFIG = "/etc/pgha/backup.json"
BINARY = "/usr/bin/pgbackrest"
RESULT = "/var/spool/pgbackrest/proof.json"
# This directory is locked while a proof runs here: the next one would remove its files.
LOCK = "/var/spool/pgbackrest"
# Seconds for Patroni to answer; for the copy to recover; for one check of it; by which the newest note may be old.
TIMEOUT, RECOVERY, CHECK, OLD = 5, 2 * 86400, 86400, 3600
# Seconds for Patroni's whole answer, and bytes of it that are read.
ALTOGETHER, LONGEST = 15, 1 << 20
WEEK = 7 * 86400
# Seconds for the copy to answer: the databases of the host come first.
ANSWER = 300


class Failed(Exception):
    """The proof has failed; the message says why."""


def members(url):
    """
    The members as Patroni tells them, [] when it does not. It decides only who makes the proof. Neither its certificate
    nor its user is looked at: see pgha-backup.
    """
    unverified = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())  # noqa: S323
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), unverified)
    signal.alarm(ALTOGETHER)
    try:
        with opener.open(f"{url}/cluster", timeout=TIMEOUT) as answer:
            said = json.loads(answer.read(LONGEST))
    # RecursionError: thousands of nested brackets. Another program may listen there.
    except (OSError, ValueError, RecursionError):
        return []
    finally:
        signal.alarm(0)
    return said.get("members", []) if isinstance(said, dict) else []


def turn(config):
    """Whether it is this host's turn: the first replica by its name, else the leader that has none."""
    found = members(config["url"])
    replicas = sorted(one["name"] for one in found if one.get("state") == "streaming")
    leaders = [one["name"] for one in found if one.get("role") in ("leader", "standby_leader")]
    return (replicas or leaders)[:1] == [config["name"]]


def run(words, what, timeout=CHECK, stdout=subprocess.PIPE):
    """Run a command, and return what it says, None when ``stdout`` is elsewhere. Raises Failed with its last words."""
    # The owner of a database may have set these for it; they would end a check that takes its time.
    options = "-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off"
    how = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": subprocess.PIPE, "text": True, "errors": "replace",
           "env": {**os.environ, "PGOPTIONS": options}}  # fmt: skip
    try:
        done = subprocess.run(words, check=False, timeout=timeout, **how)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{what}: {error}") from None
    if done.returncode:
        said = " ".join((done.stderr.strip() or (done.stdout or "").strip()).split("\n")[-3:])
        raise Failed(f"{what}: {said[-500:] or f'exit code {done.returncode}'}")
    return done.stdout


def emptied(place):
    """Remove everything in the directory of the proof, which root has made."""
    for name in os.listdir(place):
        path = os.path.join(place, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def alone(config):
    """Fail when this program could write to the data of the server beside the copy: then it is not run by its unit."""
    live = config["proof"].removesuffix(".proof")
    if os.access(live, os.W_OK):
        raise Failed(f"a proof must not be able to write to {live}: begin it by salt-run pgha.proof, or systemctl start"
                     " pgha-proof; where it was, systemd has no mount namespaces on this host")  # fmt: skip


def chosen(config):
    """
    Return what there is to restore: the number of the repository whose turn it is, its newest backup (label, size), and
    when its oldest one was whole. Several repositories take turns, a week each. Fail when it does not fit.
    """
    said = run([BINARY, f"--stanza={config['stanza']}", "--output=json", "--log-level-console=off", "info"], "info")
    found = [one for stanza in json.loads(said) for one in stanza.get("backup", []) if not one.get("error")]
    if not found:
        raise Failed("there is no backup")
    numbers = sorted({one["database"]["repo-key"] for one in found})
    number = numbers[int(time.time() // WEEK) % len(numbers)]
    found = [one for one in found if one["database"]["repo-key"] == number]
    newest = max(found, key=lambda one: one["timestamp"]["stop"])
    size, free = newest["info"]["size"], shutil.disk_usage(config["proof"]).free
    # And as much as recovery may add.
    if free < 1.2 * size:
        raise Failed(f"the newest backup takes {size >> 20} MB, and {free >> 20} MB are free for {config['proof']}")
    return number, newest["label"], size, min(one["timestamp"]["stop"] for one in found)


class Copy:
    """The server of the copy, which only this user reaches, by a socket in a directory of its own."""

    def __init__(self, config):
        self.config, self.process, self.socket = config, None, tempfile.mkdtemp(prefix="pgha-proof-")
        self.repository = None
        # pgBackRest puts no tablespace below the data.
        self.data = f"{config['proof']}/data"
        # Locks and files on their way are its own: those of the server beside it go on. Recovery gets the same options.
        self.words = [BINARY, f"--stanza={config['stanza']}", f"--pg1-path={self.data}", "--archive-mode=off",
                      f"--lock-path={self.socket}/lock", f"--spool-path={self.socket}/spool",
                      "--log-level-console=warn"]  # fmt: skip

    def fetch(self, *options):
        """Restore a backup into the directory of the copy, over what is there."""
        os.makedirs(self.data, 0o700, exist_ok=True)
        # Else those would be restored to their own places, over the files of the server beside the copy.
        own = (f"--tablespace-map-all={self.config['proof']}/tablespaces", f"--repo={self.repository}")
        run([*self.words, *options, *own, "restore"], "the backup is not fetched", RECOVERY)

    def note(self):
        """The newest note of the time in it, in seconds since 1970, or None."""
        said = self.ask("SELECT extract(epoch FROM current_setting('pgha.canary', true)::timestamptz)")
        return float(said) if said else None

    def start(self):
        """Start it."""
        config = self.config
        over = {"listen_addresses": "", "unix_socket_directories": self.socket, "port": "5432", "archive_mode": "off",
                "shared_buffers": "64MB", "huge_pages": "off", "synchronous_standby_names": "",
                "logging_collector": "off", "external_pid_file": "",
                # Its last words are read.
                "lc_messages": "C",
                # What works by itself and reaches others: subscriptions take the slots of the true ones at their
                # publishers, and jobs run a second time. PostgreSQL takes the names of extensions that are not there.
                "max_logical_replication_workers": "0", "cron.launch_active_jobs": "off",
                "timescaledb.max_background_workers": "0"}  # fmt: skip
        words = [f"{config['bin_dir']}/postgres", "-D", self.data]
        words += [word for key, value in over.items() for word in ("-c", f"{key}={value}")]
        with open(os.path.join(self.socket, "log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(self, sql):
        """What a statement says, None when the server takes none yet. Raises Failed when it does not answer in time."""
        words = [f"{self.config['bin_dir']}/psql", "-XAtqw", "-h", self.socket, "-d", "postgres", "-c", sql]
        # Names without a schema are PostgreSQL's own, as this is a superuser's session in a database of others.
        own = {**os.environ, "PGOPTIONS": "-c search_path=pg_catalog"}
        how = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "env": own}
        try:
            done = subprocess.run(words, check=False, timeout=ANSWER, **how)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the copy does not answer: {error}") from None
        return done.stdout.strip() if done.returncode == 0 else None

    def recovered(self):
        """Wait until it takes writes."""
        end = time.monotonic() + RECOVERY
        while self.ask("SELECT pg_is_in_recovery()") != "f":
            if self.process.poll() is not None:
                with open(os.path.join(self.socket, "log"), encoding="utf-8", errors="replace") as log:
                    fatal = [line.strip() for line in log if "FATAL" in line or "PANIC" in line]
                why = " ".join(fatal[-3:])[-500:] or "it has ended"
                if "Read-only file system" in why:
                    why += ". A tablespace was made after the backup, and a proof cannot make it: make a new backup"
                raise Failed(f"the copy does not recover: {why}")
            if time.monotonic() > end:
                raise Failed(f"the copy does not recover within {RECOVERY} s")
            time.sleep(0.5)

    def stop(self):
        """End its server."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def forget(self):
        """End its server, and remove its files."""
        self.stop()
        shutil.rmtree(self.socket, ignore_errors=True)
        with contextlib.suppress(OSError):
            emptied(self.config["proof"])


def checked(config, copy):
    """Read all of the copy; return which checks were made."""
    made = []
    where = ["-h", copy.socket, "-w"]
    if os.path.exists(f"{config['bin_dir']}/pg_amcheck") and copy.ask(
        "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'"
    ):
        run([f"{config['bin_dir']}/pg_amcheck", *where, "--all", "--install-missing"], "pg_amcheck finds faults")
        made.append("pg_amcheck")
    run([f"{config['bin_dir']}/pg_dumpall", *where], "pg_dumpall", stdout=subprocess.DEVNULL)
    return [*made, "pg_dumpall"]


def gone_back(config, copy, shown, oldest):
    """
    Restore a moment before the end of the archive, over the same files: what was noted before it has to be there, and
    what came after it not. Nothing is done when no backup is that old.
    """
    moment = int(shown["newest"] or 0) - config["back"]
    if moment <= oldest:
        return
    text = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(moment))
    copy.stop()
    copy.fetch("--type=time", f"--target={text}", "--target-action=promote")
    copy.start()
    copy.recovered()
    noted = copy.note()
    if noted is None or noted > moment:
        what = "nothing is noted" if noted is None else "there is what was noted later"
        raise Failed(f"restored to {text}, the copy is not of that moment: {what} (pgha.canary)")
    shown["back"], shown["noted"] = moment, noted


def proved(config):
    """Make a proof, and return what it has shown, as a mapping."""
    began, copy = time.time(), Copy(config)
    shown = {"at": began, "host": config["name"], "fault": None}
    try:
        alone(config)
        emptied(config["proof"])
        copy.repository, label, shown["size"], oldest = chosen(config)
        shown["backup"] = f"{label} of the repository {config['repositories'][copy.repository - 1]}"
        copy.fetch()
        shown["fetched"] = round(time.time() - began, 1)
        copy.start()
        copy.recovered()
        shown["recovered"] = round(time.time() - began, 1)
        newest = copy.ask("SELECT extract(epoch FROM pg_last_xact_replay_timestamp())")
        shown["newest"] = float(newest) if newest else None
        shown["checks"] = checked(config, copy)
        shown["checked"] = round(time.time() - began, 1)
        shown["canary"] = copy.note()
        if shown["canary"] is None:
            raise Failed("the copy has no time that the leader has noted (pgha.canary); it does every five minutes, and"
                         " after backups were turned on it takes ten until such a time is in the archive")  # fmt: skip
        if began - shown["canary"] > OLD:
            raise Failed("the leader notes the time every five minutes (pgha.canary), and the copy lacks the last hour")
        if config["back"]:
            gone_back(config, copy, shown, oldest)
    except (Failed, OSError, ValueError, KeyError) as error:
        shown["fault"] = str(error)
    finally:
        copy.forget()
    return shown


def main(words):
    """Do what the command line says, and return the exit code."""
    with open(CONFIG, encoding="utf-8") as stream:
        config = json.load(stream)
    os.chdir("/")
    if words == ["result"]:
        with contextlib.suppress(FileNotFoundError), open(RESULT, encoding="utf-8") as stream:
            print(stream.read())
        return 0
    if words not in (["run"], ["run", "auto"], ["run", "now"]):
        sys.exit(__doc__)
    by_hand = words[1:] == ["now"]
    # Until this process ends.
    lock = os.open(LOCK, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another proof runs here")
        return 1 if by_hand else 0
    if not by_hand and not turn(config):
        print("another member makes the proof")
        # What one that was killed has left: this host's turn may never come again.
        try:
            emptied(config["proof"])
        except OSError as error:
            sys.exit(f"what an earlier proof has left is not removed: {error}")
        return 0
    # Ended by systemd, it cleans up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    shown = proved(config)
    draft = f"{RESULT}.new"
    with open(draft, "w", encoding="utf-8") as stream:
        json.dump(shown, stream)
    os.replace(draft, RESULT)
    print(json.dumps(shown, indent=2))
    return 1 if shown["fault"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
