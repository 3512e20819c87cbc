"""
Files that an agent of Consul would read besides our configuration, and remains of a package of Consul on a host.
Nothing is ever removed: a person decides.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pghalib.consul.client
import pghalib.consul.config
import pghalib.host.files
import pghalib.host.users
import pghalib.parse
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pghalib.shapes import Json, Settings

OURS = ("config.json", "acl-bootstrap.json")
HOME = "/opt/consul"
# Sections where a key that ours does not have contradicts too: it changes addresses, trust, or rights.
WHOLE = ("acl", "addresses", "ports", "tls")
# Keys of other names that contradict our configuration.
# fmt: off
OTHER_WORDS = frozenset(
    (
        "acl_agent_token", "acl_datacenter", "acl_default_policy", "acl_down_policy", "acl_master_token", "acl_token",
        "auto_config", "auto_encrypt", "bootstrap", "bootstrap_expect", "ca_file", "ca_path", "cert_file", "key_file",
        "start_join", "verify_incoming", "verify_incoming_https", "verify_incoming_rpc", "verify_outgoing",
        "verify_server_hostname",
    )
)
# fmt: on
_SPACE = re.compile(r"(?:\s|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_TOKEN = re.compile(
    r'<<-?(?P<mark>\w+)\n.*?\n\s*(?P=mark)\b|"(?:\\.|[^"\\\n])*"|[{}\[\],=:]|[\w.+-]+', re.DOTALL | re.ASCII
)


class Facts(TypedDict):
    """What :py:func:`found` tells of one file."""

    datacenter: str | None
    contradicts: list[str]
    understood: bool


def is_ours(name: str) -> bool:
    """Return whether a file in Consul's directory is one of ours, or the leftover of an interrupted write of ours."""
    return name in OURS or name.startswith(tuple(f".{one}." for one in OURS))


def found(settings: Settings) -> dict[str, Facts]:
    """
    Return facts about the configuration files in Consul's directory, as ``{path: {"datacenter", "contradicts",
    "understood"}}``: the datacenter that the file names or None, the keys in which a foreign file contradicts ours, and
    whether the file could be read and parsed. Other values are left out: they may be secrets.

    settings
        The result of ``pgha.settings``.
    """
    home = Path(settings["consul"]["config_dir"])
    files: dict[str, Facts] = {}
    printable = pghalib.text.printable
    for path in sorted([*home.glob("*.json"), *home.glob("*.hcl")]):
        # Consul reads no directory in its own one.
        if path.is_dir():
            continue
        # The states check the owner of the directory later.
        text = pghalib.host.files.peek(str(path))
        said = None if text is None else understood(text)
        named, ours = (said or {}).get("datacenter"), is_ours(path.name)
        keys = [] if ours else contradictions(said or {}, settings)
        files[str(path)] = {
            "datacenter": printable(named) if isinstance(named, str) else None,
            "contradicts": [printable(key) for key in keys],
            # A damaged file of the formula is written anew.
            "understood": ours or said is not None,
        }
    return files


def understood(text: str) -> dict[str, Json] | None:
    """
    Return a configuration file of Consul as nested mappings, None when it is neither JSON nor plain HCL.

    text
        Its content. Several blocks of one name become one mapping; a here-document becomes None.
    """
    try:
        try:
            found = pghalib.parse.from_json(text)
        except ValueError:
            tokens = _tokens(text)
            found = _mapping(tokens, None)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def contradictions(found: dict[str, Json], settings: Settings) -> list[str]:
    """
    Return the keys of another file that contradict our configuration, as a sorted list such as
    ``["data_dir", "ports.http"]``. Consul reads all files of its directory, and the last one wins.

    found
        The result of :py:func:`understood`.
    settings
        The result of ``pgha.settings``.
    """
    # Secrets play no part: null stands in their place.
    nulls: Json = {"gossip_key": None, "agent": {"secret": None}}
    ours = pghalib.consul.config.config(settings, nulls)
    return sorted(set(_differing(found, ours, ())))


def verdict(files: dict[str, Facts], settings: Settings) -> tuple[list[str], list[str]]:
    """
    Return (faults, warnings) on the configuration files that an agent would read besides ours.

    files
        The result of :py:func:`found`.
    """
    ours = (settings["consul"]["config"] or {}).get("datacenter") or settings["datacenter"]["name"]
    faults, warnings = [], []
    for path, said in sorted(files.items()):
        if said["datacenter"] not in (None, ours):
            faults.append(
                f"{path} is of the datacenter {said['datacenter']}, the pillar says {ours}: move it away or set"
                " consul:config_dir"
            )
        elif said["contradicts"]:
            faults.append(
                f"{path} says otherwise than the formula's configuration ({', '.join(said['contradicts'])}), and Consul"
                " reads both: move it away, or take these keys out of it and set them under consul:config"
            )
        elif not said["understood"]:
            warnings.append(f"{path} cannot be understood here, but Consul reads it: look whether it belongs there")
    return faults, warnings


def moved(settings: Settings) -> list[str]:
    """
    Return a fault, as a list, when the pillar moves the HTTP API of an agent that runs to another address. Consul and
    Patroni read it at their start alone: until then nobody would find the agent.

    settings
        The result of ``pgha.settings``.
    """
    consul = settings["consul"]
    try:
        found = pghalib.parse.from_json(Path(consul["config_dir"], OURS[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(found, dict):
        return []
    before: Settings = {**settings, "consul": {**consul, "config": found}}
    now, wanted = pghalib.consul.client.api(before)["address"], pghalib.consul.client.api(settings)["address"]
    if now == wanted:
        return []
    return [
        f"Consul runs here with its API at {pghalib.text.line(now)}, and the pillar moves it to {wanted}, where nobody"
        " would find it before a restart of all: set consul:client_addr and consul:config (ports, client_addr) as they"
        " were"
    ]


def home() -> list[str]:
    """
    Return a fault, as a list, when others than root may change the data directory of HashiCorp's package: it lies where
    the formula unpacks its own programs.
    """
    exposed = pghalib.host.users.exposed(HOME) if os.path.exists(HOME) else None
    if not exposed:
        return []
    return [
        f"others than root may change {exposed}, which HashiCorp's package has for data and the formula for the"
        f" programs that root runs: move it away (mv {HOME} {HOME}.old), or if nobody needs what is in it: chown"
        f" root: {exposed}; chmod go-w {exposed}"
    ]


def _differing(found: dict[str, Json], ours: Json, path: tuple[str, ...]) -> Iterator[str]:
    for key, value in found.items():
        at = (*path, key)
        known = ours.get(key) if isinstance(ours, dict) else None
        here = isinstance(ours, dict) and key in ours
        value = _merged(value)
        if isinstance(value, dict) and (isinstance(known, dict) or at[0] in WHOLE):
            yield from _differing(value, known if isinstance(known, dict) else {}, at)
        elif (here and value != known) or (not here and (at[0] in WHOLE or key in OTHER_WORDS and not path)):
            yield ".".join(at)


def _merged(value: Json) -> Json:
    """A list of mappings as one mapping, as Consul takes it where it expects a mapping; other values as they are."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return {key: item for one in value for key, item in one.items()}
    return value


def _tokens(text: str) -> list[str]:
    found, at = [], _past_space(text, 0)
    while at < len(text):
        word = _TOKEN.match(text, at)
        if not word:
            raise ValueError(text[at : at + 20])
        found.append(word.group())
        at = _past_space(text, word.end())
    # Reversed: the parser pops from the end.
    return found[::-1]


def _past_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _mapping(tokens: list[str], end: str | None) -> dict[str, Json]:
    found: dict[str, Json] = {}
    while tokens and tokens[-1] != end:
        key = _plain(tokens.pop())
        labels = []
        while tokens and tokens[-1][0] == '"':
            labels.append(_plain(tokens.pop()))
        if tokens and tokens[-1] in "=:":
            tokens.pop()
        elif not tokens or tokens[-1] != "{":
            raise ValueError(key)
        value = _value(tokens)
        for label in reversed(labels):
            value = {label: value}
        old = found.get(key)
        found[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        if tokens and tokens[-1] == ",":
            tokens.pop()
    if end and not tokens:
        raise ValueError(f"no {end}")
    if end:
        tokens.pop()
    return found


def _value(tokens: list[str]) -> Json:
    if not tokens:
        raise ValueError("no value")
    word = tokens.pop()
    if word == "{":
        return _mapping(tokens, "}")
    if word == "[":
        items = []
        while tokens and tokens[-1] != "]":
            items.append(_value(tokens))
            if tokens and tokens[-1] == ",":
                tokens.pop()
        if not tokens:
            raise ValueError("no ]")
        tokens.pop()
        return items
    if word in "}],=:":
        raise ValueError(word)
    if word.startswith("<<"):
        return None
    return _plain(word) if word[0] == '"' else json.loads(word)


def _plain(word: str) -> Json:
    if word[0] == '"':
        return json.loads(word)
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", word, re.ASCII):
        raise ValueError(word)
    return word
