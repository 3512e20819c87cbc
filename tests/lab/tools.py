"""What every part of the lab uses: errors with a remedy, running commands, progress lines, locks, waiting."""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

START = time.monotonic()
# The package's parent, for `python3 -m lab.…`, and the checkout that the lab serves to its master.
PACKAGE_PARENT = Path(__file__).resolve().parent.parent
CHECKOUT = PACKAGE_PARENT.parent


PR_SET_PDEATHSIG = 1


def die_with_parent():
    """For ``preexec_fn``: the child is killed when the thread that started it ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class LabError(Exception):
    """Something that a person can correct; the message is one line and names the remedy."""


def say(text):
    """Print a progress line with the seconds since the command began."""
    print(f"[{time.monotonic() - START:6.1f} s] {text}", file=sys.stderr, flush=True)


def run(command, *, check=True, log=None, **kwargs):
    """
    Run ``command`` (a list) and return its CompletedProcess with text output.

    Args:
        check: raise when it exits with something other than 0.
        log: a file that gets the output (appended) instead of the caller. Such long work dies with this process.
        kwargs: passed to subprocess.run.

    Raises:
        LabError: with the end of what the command said, when ``check`` is on and it failed or is not installed.
    """
    kwargs.setdefault("stdin", None if "input" in kwargs else subprocess.DEVNULL)
    kwargs.setdefault("text", True)
    try:
        if log is None:
            kwargs.setdefault("stdout", subprocess.PIPE)
            kwargs.setdefault("stderr", subprocess.PIPE)
            done = subprocess.run(command, check=False, **kwargs)
        else:
            with open(log, "a", encoding="utf-8") as output:
                output.write(f"$ {' '.join(map(str, command))}\n")
                output.flush()
                kwargs.update(stdout=output, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
                done = subprocess.run(command, check=False, **kwargs)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed: run `tests/lab/lab deps` ({error})") from None
    if check and done.returncode:
        if log is None:
            said = " / ".join(((done.stderr or "") + (done.stdout or "")).strip().splitlines()[-4:])
        else:
            said = " / ".join(Path(log).read_text(encoding="utf-8").splitlines()[-4:])
        raise LabError(f"`{' '.join(map(str, command))[:300]}` failed with {done.returncode}: {said}")
    return done


@contextlib.contextmanager
def lock(path, *, waiting=None):
    """Hold an exclusive lock on ``path`` (a file that is made and kept); ``waiting`` is said when somebody has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting or f"waiting for the lock {path}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def wait_for(condition, *, timeout, what, interval=0.1):
    """
    Call ``condition`` until it returns something true, and return that.

    Args:
        timeout: seconds.
        what: the condition in words, for the message.
        interval: seconds between two calls.

    Raises:
        LabError: when the time is over.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"after {timeout} s still not true: {what}")
        time.sleep(interval)


def write(path, content, mode=0o644):
    """Write the text ``content`` to ``path`` (parents are made) with ``mode``, never readable wider in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as handle:
        os.fchmod(handle.fileno(), mode)
        handle.write(content)
