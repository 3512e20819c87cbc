"""
The repositories of backups in the pillar (``backup:repositories``): the correct form of each, and its options of
pgBackRest. Pure functions.

A repository has a name here and a number in pgBackRest: its place in the pillar, from 1 on. The number is in no file of
the repository, so another order does no harm.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pghalib.inventory
import pghalib.tls
import pghalib.words
from pghalib.text import at, guess, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pghalib.shapes import Json, RepositorySecrets

#: The correct form of an access key, in words.
KEY_FORM = "one line of printable characters without blanks around it"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")
#: The cipher is never changed for a repository: pgBackRest cannot.
CIPHER = "aes-256-cbc"
#: Where in a bucket the files of a cluster are, when nothing is said.
PATH = "/{cluster}"
# In words, and as a pattern for the whole text.
_ENDPOINT = (
    "HOST or HOST:PORT of the S3 server, http:// before it where it has no TLS",
    re.compile(r"(https?://)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"),
)
_BUCKET = ("a name of 3 to 63 lower case letters, digits, . and -", re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"))
_REGION = ("a name of letters, digits and -", re.compile(r"[A-Za-z0-9-]+"))
_STYLE = ("path or host", re.compile(r"path|host"))
_HOST = ("the minion id of a repository host (repository_hosts of the datacenter)", re.compile(r"[^\s/]+"))
_PATH = (pghalib.words.PATH[0], re.compile(rf"(?:/|{pghalib.words.PATH[1].pattern})"))
_TEXTS = {
    "s3": {
        "endpoint": _ENDPOINT, "bucket": _BUCKET, "region": _REGION, "path": _PATH, "ca": pghalib.words.PATH,
        "style": _STYLE,
    },
    "posix": {"path": pghalib.words.PATH},
    "host": {"host": _HOST, "path": pghalib.words.PATH},
}  # fmt: skip
_NEEDED = {"s3": ("endpoint", "bucket"), "posix": ("path",), "host": ("host", "path")}
#: Where pgBackRest of a repository host answers: its own default.
PORT = 8432
#: The first version that makes a backup in a repository of another host (pgbackrest pull request 2512).
REMOTE = "2.55"


def faults(path: str, given: Mapping[Json, Json]) -> list[str]:
    """
    Return the faults of the repositories in one place of the pillar, as lines.

    path, given
        The place, and the mapping there. A place may have a part of a repository; :py:func:`lacking` sees the whole.
    """
    found = []
    for name, repository in given.items():
        where = at(path, name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            found.append(f"{where}: the name of a repository is made of letters, digits, - and _, 31 at most")
        if not isinstance(repository, dict):
            found.append(f"{where}: must be a mapping, such as {{type: s3, endpoint: HOST, bucket: NAME}}")
            continue
        found += _faults(where, repository)
    return found


def _faults(where: str, repository: dict[Json, Json]) -> list[str]:
    kind = repository.get("type")
    if kind is not None and not (isinstance(kind, str) and kind in _TEXTS):
        return [f"{at(where, 'type')}: {shown(kind)} is none of {', '.join(_TEXTS)}"]
    known = _TEXTS[kind] if kind else {key: form for one in _TEXTS.values() for key, form in one.items()}
    names = {"type", "encrypted", *known, *(pghalib.inventory.ACCESS if kind in (None, "s3") else ())}
    found = [f"{at(where, key)}: unknown setting{guess(key, names)}" for key in repository if key not in names]
    if "encrypted" in repository and not isinstance(repository["encrypted"], bool):
        found.append(f"{at(where, 'encrypted')}: {shown(repository['encrypted'])} should be true or false")
    # What is wrong with these is never shown.
    found += [
        f"{at(where, key)}: must be {KEY_FORM}"
        for key in pghalib.inventory.ACCESS
        if key in repository and not sound(repository[key])
    ]
    for key, (right, pattern) in known.items():
        value = repository.get(key)
        text = value.replace("{cluster}", "x") if isinstance(value, str) else None
        if key in repository and (text is None or not pattern.fullmatch(text)):
            found.append(f"{at(where, key)}: must be {right}, not {shown(value)}")
    return found


def lacking(place: str, repositories: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """Return what sound repositories of a cluster lack, as lines; ``place`` is their path in the pillar."""
    found = []
    for name, repository in repositories.items():
        kind = repository.get("type")
        if kind is None:
            found.append(f"{at(place, name)}: has no type; give one of {', '.join(_TEXTS)}")
            continue
        missing = ", ".join(key for key in _NEEDED[kind] if key not in repository)
        if brought(repository) != any(key in repository for key in pghalib.inventory.ACCESS):
            found.append(
                f"{at(place, name)}: has one of {' and '.join(pghalib.inventory.ACCESS)}, and needs both or none"
            )
        if missing:
            found.append(f"{at(place, name)}: has no {missing}, without which a repository of type {kind} is not found")
    return found


def hosted(
    place: str, repositories: Mapping[str, Mapping[str, Json]], hosts: Collection[str], tls: Mapping[str, Json]
) -> list[str]:
    """
    Return the faults of a cluster's repositories on repository hosts, as lines.

    place, repositories
        As for :py:func:`lacking`; the repositories are sound.
    hosts
        The minion ids of the repository hosts of the cluster's datacenter.
    tls
        The section of that name.
    """
    found = []
    for name, repository in repositories.items():
        if repository.get("type") != "host":
            continue
        host = repository.get("host")
        if host is not None and host not in hosts:
            found.append(
                f"{at(at(place, name), 'host')}: there is no repository host {shown(host)}{guess(host, hosts)}; name it"
                " with its address in repository_hosts of the datacenter"
            )
        if not encrypted(repository):
            found.append(
                f"{at(at(place, name), 'encrypted')}: a repository host gives each of its clusters all that lies there,"
                " and only what is encrypted cannot be read, or changed unseen, by another: leave it at true. One that"
                " has backups without encryption needs another name and another path (docs/backup.md)"
            )
        if tls["enabled"] is False:
            found.append(
                f"{at(at(place, name), 'type')}: a repository host is reached by TLS alone, and tls:enabled is false"
            )
        if tls["ca"]:
            found.append(
                f"{at(at(place, name), 'type')}: a repository host knows its clients by certificates of the formula's"
                " authority, and tls:ca names another"
            )
    return found


def sound(value: object) -> bool:
    """Return whether a value can be the id of an access key, or its secret."""
    return isinstance(value, str) and bool(value) and value.isprintable() and value == value.strip()


def brought(repository: Mapping[str, Json]) -> bool:
    """Return whether the pillar has the access key of a repository."""
    return all(key in repository for key in pghalib.inventory.ACCESS)


def encrypted(repository: Mapping[str, Json]) -> bool:
    """Return whether pgBackRest encrypts what it puts into a repository."""
    return bool(repository.get("encrypted", True))


def needs_credential(repository: Mapping[str, Json]) -> bool:
    """Return whether nobody may write to a repository without a key."""
    return bool(repository["type"] == "s3")


def hosts(repositories: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """Return the minion ids of the repository hosts that keep repositories; ``repositories`` by name."""
    return [one["host"] for one in repositories.values() if one["type"] == "host"]


def options(
    number: int,
    cluster: str,
    repository: Mapping[str, Json],
    secrets: RepositorySecrets,
    days: int,
    keepers: Mapping[str, str],
) -> dict[str, Json]:
    """
    Return the options of pgBackRest for one repository, in the order of its file.

    number
        From 1 on.
    cluster
        The name of the cluster.
    repository, secrets
        The settings of the repository, and its secrets.
    days
        As long any moment can be restored.
    keepers
        The names of repository hosts by minion id.
    """
    kind = "posix" if repository["type"] == "host" else repository["type"]
    found: dict[str, Json] = {"type": kind, "path": repository.get("path", PATH).replace("{cluster}", cluster)}
    if repository["type"] == "host":
        own = pghalib.tls.pem("postgres")
        # By its name: pgBackRest does not look at the addresses in a certificate.
        found["host"] = keepers[repository["host"]]
        found.update({"host-type": "tls", "host-port": PORT, "host-ca-file": pghalib.tls.CA})
        found.update({"host-cert-file": own, "host-key-file": own})
    if repository["type"] == "s3":
        found["s3-endpoint"] = repository["endpoint"].removeprefix("https://")
        found["s3-bucket"] = repository["bucket"]
        # Servers other than Amazon's do not look at it, but it is part of what is signed.
        found["s3-region"] = repository.get("region", "us-east-1")
        found["s3-uri-style"] = repository.get("style", "path")
        found["s3-key"], found["s3-key-secret"] = secrets.get("key"), secrets.get("key_secret")
        if "ca" in repository:
            found["storage-ca-file"] = repository["ca"]
    if encrypted(repository):
        found["cipher-type"], found["cipher-pass"] = CIPHER, secrets.get("passphrase")
    # Small files together, and of large ones only the parts that have changed.
    found.update({"bundle": "y", "block": "y", "retention-full-type": "time", "retention-full": days})
    return {f"repo{number}-{key}": value for key, value in found.items()}
