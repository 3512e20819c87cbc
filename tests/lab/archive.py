"""Debian archives: fetching packages with an apt configuration of one's own, and writing a signed repository."""

import gzip
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from . import machine
from .tools import run, write

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Apt:
    """apt-get on packages of one Debian suite, apart from the machine's own packages, lists and sources."""

    def __init__(self, suite, place, status=None):
        """
        Args:
            suite: bullseye, bookworm, sid, …
            place: a directory for its lists; it may be removed afterwards.
            status: the dpkg status file of a system; what it has installed is not fetched again.
        """
        for directory in ("lists/partial", "archives/partial"):
            (place / directory).mkdir(parents=True)
        write(place / "sources.list", f"deb [signed-by={KEYRING}] {machine.debian_mirror()} {suite} main\n")
        if status is None:
            status = place / "status"
            write(status, "")
        self.place = place
        settings = {
            "Dir::Etc::sourcelist": place / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State": place,
            "Dir::State::lists": place / "lists",
            "Dir::State::status": status,
            "Dir::Cache": place,
            "Dir::Cache::archives": place / "archives",
            "APT::Sandbox::User": "root",
            "APT::Architecture": "amd64",
            "APT::Get::List-Cleanup": "false",
            "Debug::NoLocking": "true",
        }
        self.options = [f"-o{key}={value}" for key, value in settings.items()]
        self("update")

    def __call__(self, *arguments, **kwargs):
        return run(["apt-get", "-q", *self.options, *arguments], **kwargs)

    def download(self, package):
        """Fetch one package without what it depends on; returns the path of the .deb."""
        self("download", package, cwd=self.place / "archives")
        return next((self.place / "archives").glob(f"{package}_*.deb"))

    def closure(self, packages):
        """Fetch ``packages`` and all that they need beyond the given status; returns the paths of the .debs."""
        self("install", "-y", "--no-install-recommends", "--download-only", *packages)
        return sorted((self.place / "archives").glob("*.deb"))


def unpack(deb, place):
    """Unpack the files of a .deb into ``place``."""
    run(["dpkg-deb", "-x", deb, place])
    return place


def sha256(path):
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def packages_index(root, debs):
    """The text of a Packages file for ``debs``, with file names relative to ``root``."""
    stanzas = []
    for deb in sorted(debs):
        control = run(["dpkg-deb", "-f", deb]).stdout.rstrip("\n")
        stanzas.append(
            f"{control}\nFilename: {deb.relative_to(root)}\nSize: {deb.stat().st_size}\nSHA256: {sha256(deb)}\n"
        )
    return "\n".join(stanzas)


def release(place, suite, files):
    """The text of a Release file over ``files``, which lie under ``place``."""
    lines = "".join(f" {sha256(path)} {path.stat().st_size} {path.relative_to(place)}\n" for path in sorted(files))
    head = f"Origin: pgha lab\nLabel: pgha lab\nSuite: {suite}\nCodename: {suite}\n"
    return f"{head}Architectures: amd64 all\nComponents: main\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{lines}"


class Signer:
    """A throw-away OpenPGP key: it signs what the lab serves, and is forgotten with this object."""

    def __init__(self):
        # gpg-agent's socket has a short limit on its path, so not under the cache.
        self.home = tempfile.mkdtemp(prefix="gpg-", dir="/tmp")
        self.gpg = ["gpg", "--homedir", self.home, "--batch", "--yes", "--quiet"]
        new = ["--quick-gen-key", "pgha lab <lab@pgha.invalid>", "rsa3072", "sign", "never"]
        run([*self.gpg, "--passphrase", "", *new])
        self.key = run([*self.gpg, "--armor", "--export"]).stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def sign(self, directory):
        """Write InRelease and Release.gpg next to the Release file in ``directory``."""
        source = directory / "Release"
        run([*self.gpg, "--armor", "--detach-sign", "--output", directory / "Release.gpg", source])
        run([*self.gpg, "--clearsign", "--output", directory / "InRelease", source])


def flat(root, debs, signer):
    """Make ``root`` a flat repository ("deb URL ./") of ``debs`` (copied), with its key as ``key.asc``."""
    copies = []
    for deb in debs:
        # A colon of an epoch is %3a in apt's file names, which a web server would take for a colon.
        copies.append(root / re.sub("%3a", "-", deb.name))
        shutil.copyfile(deb, copies[-1])
    _index(root, root, root, "./", copies)
    signer.sign(root)
    write(root / "key.asc", signer.key)


def pooled(root, suite, signer):
    """Give the repository at ``root`` the suite ``suite`` with all packages of ``root/pool``."""
    place = root / "dists" / suite
    _index(root, place, place / "main/binary-amd64", suite, list(root.glob("pool/**/*.deb")))
    signer.sign(place)


def _index(root, place, binary, suite, debs):
    text = packages_index(root, debs)
    write(binary / "Packages", text)
    with open(binary / "Packages.gz", "wb") as handle:
        handle.write(gzip.compress(text.encode(), mtime=0))
    write(place / "Release", release(place, suite, [binary / "Packages", binary / "Packages.gz"]))


def scratch(place):
    """A directory for work under ``place`` (an entry that is being built)."""
    path = Path(place) / "scratch"
    os.makedirs(path, exist_ok=True)
    return path
