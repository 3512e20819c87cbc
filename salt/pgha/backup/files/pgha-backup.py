"""
Make the backup that is due, where this host leads the cluster: the timer pgha-backup starts this on every member. The
leader notes the time in its database as well, so that a restored copy tells how old it is.

    pgha-backup run [auto|full|diff|incr]    make one; auto: only when one is due
    pgha-backup told                         what the repositories have, as JSON
    pgha-backup replica --connstring=…       get the data of a new replica out of the newest backup (Patroni calls this)

Nothing is kept here: what is due follows from the times and from what the repository has. So what was missed, ended by
a failover or refused by a repository is made by the next start, on whichever host then leads. pgBackRest keeps two
backups of one server apart (a lock on the host, and an advisory lock in PostgreSQL).

Standard library alone: the host's Python runs it as the user of PostgreSQL.
"""

import datetime
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request

CONFIG = "/etc/pgha/backup.json"
BINARY = "/usr/bin/pgbackrest"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ROLES = ("primary", "master", "leader")
# Seconds for Patroni to answer, and for its whole answer; bytes of it that are read.
TIMEOUT, ALTOGETHER, LONGEST = 5, 15, 1 << 20
# Seconds for the server to take the note.
WRITE = 30
# Seconds between two notes of the time while a backup runs: those of the timer, which starts nothing meanwhile.
NOTED = 300
# A repository that answers nothing fails after so many seconds, where a person or the status waits.
PATIENCE = 4
# Seconds by which the clocks of hosts may differ: a backup that began later than that is of a clock that was ahead.
AHEAD = 3600


def heard(words, **how):
    """Run a command and hear what it says; ``how`` goes to subprocess.run."""
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **how)


def leads(url):
    """
    Whether Patroni says that this host's server is the primary, and runs. Neither its certificate nor its user is
    looked at: the answer decides only who tries, and pgBackRest itself looks whether the server is a primary. A
    stranger in Patroni's place can keep a backup from being made, which the status names then.
    """
    unverified = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())  # noqa: S323
    # No proxy of the environment has anything to do with it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), unverified)
    # An answer without an end ends this program, and the timer starts the next one.
    signal.alarm(ALTOGETHER)
    try:
        with opener.open(f"{url}/patroni", timeout=TIMEOUT) as answer:
            said = json.loads(answer.read(LONGEST))
    # RecursionError: thousands of nested brackets. Another program may listen there.
    except (OSError, ValueError, RecursionError):
        return False
    finally:
        signal.alarm(0)
    return isinstance(said, dict) and said.get("role") in ROLES and said.get("state") == "running"


def canary(config):
    """
    Note the time in the database; say so when that fails, and go on: a backup matters more.

    The note is a setting of the database postgres, which only a superuser or its owner can change: at a table, a
    trigger of somebody else's would run with a superuser's rights.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    words = [f"{config['bin_dir']}/psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-h", config["socket_dir"],
             "-p", str(config["port"]), "-U", config["user"], "-d", "postgres",
             "-c", f"ALTER DATABASE postgres SET pgha.canary = '{now}'"]  # fmt: skip
    # No synchronous replica is waited for: it may be away.
    environment = {**os.environ, "PGOPTIONS": "-c search_path=pg_catalog -c synchronous_commit=local"
                   " -c lock_timeout=10s -c default_transaction_read_only=off"}  # fmt: skip
    try:
        done = heard(words, env=environment, timeout=WRITE)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"the time is not noted in the database: {error}", flush=True)
        return
    if done.returncode:
        print(f"the time is not noted in the database: {done.stderr.strip()}", flush=True)


def info(config, *options):
    """What pgBackRest knows of the stanza: its mapping of ``info --output=json``."""
    words = [BINARY, f"--stanza={config['stanza']}", "--output=json", "--log-level-console=off", *options, "info"]
    done = heard(words)
    if done.returncode:
        sys.exit((done.stderr or done.stdout).strip() or f"pgbackrest info failed with {done.returncode}")
    found = json.loads(done.stdout)
    return found[0] if found else {}


def planned(config, now, number):
    """
    The last times (datetime, local) up to ``now`` for which backups are planned, the latest first. Moments are
    compared, not clocks: a time that summer time leaves out comes an hour later, one that comes twice counts once.
    """
    found = []
    for back in range(number // max(1, len(config["times"])) + 2):
        day = now.date() - datetime.timedelta(days=back)
        moments = [datetime.datetime.combine(day, datetime.time.fromisoformat(text)) for text in config["times"]]
        found += [moment for moment in moments if moment.timestamp() <= now.timestamp()]
    return sorted(found, key=datetime.datetime.timestamp, reverse=True)[:number]


def kind(config, moment):
    """The type of the backup of a planned time: full at the first time of such a day."""
    first = moment.strftime("%H:%M") == min(config["times"])
    return "full" if first and DAYS[moment.weekday()] in config["full"] else config["between"]


def split(backups, now):
    """The backups that began before now, and those of a time to come, which tell nothing of what was made until now."""
    latest = now.timestamp() + AHEAD
    return [one for one in backups if one["start"] <= latest], [one for one in backups if one["start"] > latest]


def due(config, backups, now):
    """
    The type of the backup that is missing, or None. ``backups`` are those of one repository.

    A full one is missing when none began since the last time of a full one: also when that time was missed. The very
    first one is due at once.
    """
    if not config["times"]:
        return None
    backups, _ = split(backups, now)
    if not backups:
        return "full"
    starts = {"any": max(one["start"] for one in backups)}
    starts["full"] = max((one["start"] for one in backups if one["type"] == "full"), default=0)
    moments = planned(config, now, 8 * max(1, len(config["times"])))
    full = next((one for one in moments if kind(config, one) == "full"), None)
    if full and starts["full"] < full.timestamp():
        return "full"
    if moments and starts["any"] < moments[0].timestamp():
        return config["between"]
    return None


def late(config, backups, now):
    """
    The planned time (seconds since 1970) after which there should be a backup and is none, or None. A time counts when
    the next one has come as well: until then a backup may run, or be tried again.
    """
    moments = planned(config, now, 2)
    newest = max((one["stop"] for one in split(backups, now)[0]), default=0)
    if len(moments) == 2 and newest < moments[1].timestamp():
        return moments[1].timestamp()
    return None


def kept(found):
    """The backups in ``info`` that are whole, the oldest first."""
    return [
        {
            "label": one["label"],
            "type": one["type"],
            "start": one["timestamp"]["start"],
            "stop": one["timestamp"]["stop"],
            "size": one["info"]["size"],
            "stored": one["info"]["repository"].get("delta", 0),
            "repository": one["database"]["repo-key"],
        }
        for one in found.get("backup", [])
        if not one.get("error")
    ]


def told(config):
    """What the repositories have."""
    found = info(config, f"--io-timeout={PATIENCE}")
    backups, now = kept(found), datetime.datetime.now()
    repositories = []
    for one in found.get("repo", []):
        # 1, 3: the cluster has no place there yet; 2: no backup.
        code, message = one["status"]["code"], one["status"]["message"]
        own = [backup for backup in backups if backup["repository"] == one["key"]]
        fault = message if code not in (0, 2) else None
        missed = None if fault else late(config, own, now)
        ahead = max((backup["label"] for backup in split(own, now)[1]), default=None)
        repositories.append(
            {"number": one["key"], "fault": fault, "unknown": code in (1, 3), "late": missed, "ahead": ahead}
        )
    # The last one is that of now: a stanza may have been upgraded.
    systems = {one["repo-key"]: str(one["system-id"]) for one in found.get("db", [])}
    archive = [{"min": one.get("min"), "max": one.get("max")} for one in found.get("archive", [])]
    running = found.get("status", {}).get("lock", {}).get("backup", {})
    return {"repositories": repositories, "backups": backups, "archive": archive, "running": running,
            "systems": [systems.get(one["number"]) for one in repositories]}  # fmt: skip


def backed_up(config, words):
    """Make one backup, and note the time while it is made; return the exit code."""
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as running:
        while True:
            try:
                return running.wait(NOTED)
            except subprocess.TimeoutExpired:
                canary(config)


def make(config, wanted):
    """
    Make a backup in each repository where one is due (``wanted`` auto), or in all; return the exit code. What a
    repository lacks is known only of one that answers: nothing is due in another one.
    """
    if not leads(config["url"]):
        print("this host does not lead the cluster: its leader makes the backup")
        return 0 if wanted == "auto" else 3
    canary(config)
    if wanted == "auto" and not config["times"]:
        return 0
    found = info(config)
    status = {one["key"]: one["status"] for one in found.get("repo", [])}
    failed = 0
    for number, name in enumerate(config["repositories"], 1):
        if wanted == "auto" and number in status and status[number]["code"] not in (0, 2):
            print(f"repository {name} does not tell what it has: {status[number]['message']}", flush=True)
            failed = failed or 1
            continue
        own = [one for one in kept(found) if one["repository"] == number]
        what = due(config, own, datetime.datetime.now()) if wanted == "auto" else wanted
        if what is None:
            continue
        print(f"repository {name}: a {what} backup begins", flush=True)
        words = [BINARY, f"--stanza={config['stanza']}", f"--repo={number}", f"--type={what}", "backup"]
        failed = backed_up(config, words) or failed
    return failed


def identified(config, connstring):
    """The system identifier (text) and the timeline (number) of the server that Patroni would copy."""
    words = [f"{config['bin_dir']}/psql", "-XAtqw", "-d", f"{connstring} replication=1", "-c", "IDENTIFY_SYSTEM"]
    try:
        done = heard(words, timeout=WRITE)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"the server to copy does not tell its timeline: {error}")
    if done.returncode:
        sys.exit(f"the server to copy does not tell its timeline: {done.stderr.strip()}")
    system, timeline = done.stdout.strip().split("|")[:2]
    return system, int(timeline)


def source(found, system, timeline):
    """
    The number of the repository whose backup is the newest of all in ``info``, when that is of this system and of its
    timeline of now, else None: only then it certainly has nothing that the cluster has dropped.
    """
    whole = [one for one in found.get("backup", []) if not one.get("error")]
    if not whole:
        return None
    newest = max(whole, key=lambda one: one["timestamp"]["stop"])
    number, database = newest["database"]["repo-key"], newest["database"]["id"]
    systems = {(one["repo-key"], one["id"]): str(one["system-id"]) for one in found.get("db", [])}
    last = newest["archive"]["stop"] or "0"
    return number if (systems.get((number, database)), int(last[:8], 16)) == (system, timeline) else None


def replica(config, words):
    """
    Get the data of a new replica; return the exit code. With any but 0 Patroni goes on with a copy of the leader.

    Files that are there and equal are kept. The server fetches the WAL after the backup by its restore_command.
    """
    given = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    system, timeline = identified(config, given["connstring"])
    number = source(info(config, f"--io-timeout={PATIENCE}"), system, timeline)
    if number is None:
        print(f"the newest backup is not of system {system}, timeline {timeline}: the leader is copied", flush=True)
        return 1
    words = [BINARY, f"--stanza={config['stanza']}", f"--repo={number}", "--delta", "--type=standby", "restore"]
    return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode


def main(words):
    """Do what the command line says, and return the exit code."""
    with open(CONFIG, encoding="utf-8") as stream:
        config = json.load(stream)
    os.chdir("/")
    if words[:1] == ["told"]:
        print(json.dumps(told(config)))
        return 0
    if words[:1] == ["run"] and words[1:2] in ([], ["auto"], ["full"], ["diff"], ["incr"]):
        return make(config, (words[1:] or ["auto"])[0])
    if words[:1] == ["replica"]:
        return replica(config, words[1:])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
