"""
Checks of the answers of hosts, on the master. An intruder may control a host, so its answer is only data: the known
keys are taken from an answer and their values are checked; an unknown key is ignored.

Each kind of answer has a function that returns the checked answer, or raises CommandExecutionError that names the wrong
part; ``sort`` does that for the answers of many hosts. Pure functions.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

import pghalib.master.told
import pghalib.master.turns
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import NoReturn, TypeVar

    from pghalib.master.told import Authority, Consul, Job, Member, Node, RestartFacts, Server, Status, Tls, Token
    from pghalib.shapes import Json

    Value = TypeVar("Value")
    # Gets a value and its place in the answer, returns the checked value.
    Check = Callable[[Json, str], Value]

# The most items that a list in an answer may hold: hosts, sentences, jobs.
MOST = 500
# The most faults of one host that are shown: more would hide the faults of the other hosts.
SHOWN = 20
NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
ADDRESS = re.compile(r"[A-Za-z0-9._:%\[\]-]{1,255}")
WORDS = re.compile(r"[A-Za-z0-9 _.+~-]{0,60}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[0-9T:.+Z-]{0,30}")


#: How Salt begins its own words in place of the answer of a silent host.
SILENT = "Minion did not return"


def sort(
    hosts: Iterable[str], answers: Mapping[str, Json], check: Callable[[Json], Value]
) -> tuple[dict[str, Value], dict[str, str]]:
    """
    Return the answers of hosts, as ``({host: checked answer}, {host: sentence why there is none})``.

    hosts
        The hosts of the inventory; answers of other ids are ignored.
    answers
        Mapping of minion ids to their answers. A text is a message of Salt in place of an answer.
    check
        The function for this kind of answer.
    """
    told: dict[str, Value] = {}
    refused: dict[str, str] = {}
    for host in hosts:
        answer = answers.get(host)
        if isinstance(answer, str) and answer and not answer.startswith(SILENT):
            refused[host] = f"did not answer as it should: {pghalib.text.line(answer)}"
        # No answer is a boolean: Salt gives False when a host is silent, and in other places True for "it was asked".
        elif answer is None or isinstance(answer, (bool, str)):
            refused[host] = "did not answer; is the host on, and its salt-minion running?"
        else:
            try:
                told[host] = check(answer)
            except CommandExecutionError as error:
                refused[host] = str(error)
    return told, refused


def status(answer: Json) -> Status:
    """Return the checked answer of ``pgha.status``."""
    return _mapping(
        pghalib.master.told.Status,
        answer,
        "",
        role=_one_of("dcs", "db", "repository"),
        name=_like(NODE),
        pending=_optional(_pending),
        tls=_optional(_tls),
        consul=_optional(_consul),
        members=_optional(_list(_member)),
        paused=_optional(_truth),
        undeclared=_optional(_list(_sentence)),
        vip=_optional(_ip),
        holds_vip=_optional(_truth),
        proof=_optional(_proof),
        foreign_tokens=_optional(_list(_token)),
        faults=_optional(_faults),
    )


def restart_facts(answer: Json) -> RestartFacts:
    """Return the checked answer of ``pgha_restart.facts``."""
    shape = pghalib.master.told.RestartFacts
    return _mapping(shape, answer, "", pending=_pending, leads=_truth, synchronous=_truth, lowered=_lowered)


def untrusting(answer: Json) -> list[str]:
    """Return the checked sentences of ``pgha_tls.untrusting_services``."""
    return _list(_sentence)(answer, "")


def jobs(answer: Json) -> list[str]:
    """Return the names of the running functions from an answer of ``saltutil.is_running``."""
    return [job["fun"] for job in _list(_job)(answer, "")]


def _wrong(where: str) -> NoReturn:
    raise CommandExecutionError(f"answered nonsense ({where or 'all of it'})")


def _mapping(shape: Callable[..., Value], value: Json, where: str, **known: Check[object]) -> Value:
    """The known keys of a mapping, each with its checked value; a missing key is checked as None."""
    if not isinstance(value, dict):
        _wrong(where)
    return shape(**{key: check(value.get(key), f"{where}:{key}" if where else key) for key, check in known.items()})


def _optional(check: Check[Value]) -> Check[Value | None]:
    return lambda value, where: None if value is None else check(value, where)


def _list(check: Check[Value]) -> Check[list[Value]]:
    def checked(value: Json, where: str) -> list[Value]:
        if not isinstance(value, (list, tuple)) or len(value) > MOST:
            _wrong(where)
        return [check(one, f"{where}:{number}" if where else str(number)) for number, one in enumerate(value)]

    return checked


def _one_of(*choices: str) -> Check[str]:
    def checked(value: Json, where: str) -> str:
        if not isinstance(value, str) or value not in choices:
            _wrong(where)
        return value

    return checked


def _like(pattern: re.Pattern[str]) -> Check[str]:
    def checked(value: Json, where: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            _wrong(where)
        return value

    return checked


def _truth(value: Json, where: str) -> bool:
    if not isinstance(value, bool):
        _wrong(where)
    return value


def _number(value: Json, where: str) -> float:
    # No clock, log or timeline reaches this number. The comparison also refuses NaN.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**63:
        _wrong(where)
    return value


def _sentence(value: Json, where: str) -> str:
    if not isinstance(value, str):
        _wrong(where)
    return pghalib.text.line(value)


def _faults(value: Json, where: str) -> list[str]:
    told = [sentence for sentence in _list(_sentence)(value, where) if sentence]
    more = [f"and {len(told) - SHOWN} more faults; see salt HOST pgha.status"] if len(told) > SHOWN else []
    return told[:SHOWN] + more


def _ip(value: Json, where: str) -> str:
    try:
        return str(ipaddress.ip_address(_like(ADDRESS)(value, where)))
    except ValueError:
        return _wrong(where)


def _pending(value: Json, where: str) -> dict[str, list[str]]:
    if not isinstance(value, dict) or not set(value) <= set(pghalib.master.turns.SERVICES):
        _wrong(where)
    return {
        service: _list(_sentence)(value[service], f"{where}:{service}")
        for service in pghalib.master.turns.SERVICES
        if service in value
    }


def _lowered(value: Json, where: str) -> list[str]:
    if not isinstance(value, dict) or not set(value) <= set(pghalib.master.turns.AT_LEAST_THE_PRIMARYS):
        _wrong(where)
    return sorted(value)


def _tls(value: Json, where: str) -> Tls:
    told = _mapping(
        pghalib.master.told.Tls,
        value,
        where,
        until=_optional(_like(MOMENT)),
        days=_optional(_number),
        due=_truth,
        authority=_optional(_authority),
        outdated=_list(_one_of("Consul's API", "Patroni's REST API", "PostgreSQL", "pgBackRest")),
    )
    if told["until"] and (told["days"] is None or not math.isfinite(told["days"])):
        _wrong(f"{where}:days")
    return told


def _authority(value: Json, where: str) -> Authority:
    shape = pghalib.master.told.Authority
    return _mapping(shape, value, where, until=_like(MOMENT), days=_number, due=_truth, own=_truth)


def _proof(value: Json, where: str) -> pghalib.master.told.Proof:
    return _mapping(pghalib.master.told.Proof, value, where, proven=_optional(_number), since=_number)


def _consul(value: Json, where: str) -> Consul:
    return _mapping(
        pghalib.master.told.Consul,
        value,
        where,
        leader=_optional(_like(ADDRESS)),
        members=_optional(_list(_node)),
        # A voter may be None: of a server that Consul does not know yet, raft has only addresses.
        voters=_optional(_list(_optional(_sentence))),
        foreign_servers=_optional(_list(_server)),
    )


def _server(value: Json, where: str) -> Server:
    return _mapping(
        pghalib.master.told.Server,
        value,
        where,
        name=_optional(_sentence),
        address=_like(ADDRESS),
        raft_address=_optional(_like(ADDRESS)),
        voter=_optional(_truth),
    )


def _token(value: Json, where: str) -> Token:
    shape = pghalib.master.told.Token
    return _mapping(shape, value, where, accessor=_sentence, description=_sentence, management=_truth)


def _node(value: Json, where: str) -> Node:
    words = _like(WORDS)
    return _mapping(
        pghalib.master.told.Node,
        value,
        where,
        name=_like(NODE),
        address=_like(ADDRESS),
        type=_optional(words),
        status=words,
        build=_optional(words),
    )


def _member(value: Json, where: str) -> Member:
    words = _like(WORDS)
    return _mapping(
        pghalib.master.told.Member,
        value,
        where,
        name=_like(NODE),
        host=_optional(_like(ADDRESS)),
        role=words,
        state=words,
        timeline=_optional(_count),
        lag=_optional(_count),
    )


def _count(value: Json, where: str) -> float | str:
    """A number, or ``unknown``."""
    return value if value == "unknown" and isinstance(value, str) else _number(value, where)


def _job(value: Json, where: str) -> Job:
    return _mapping(pghalib.master.told.Job, value, where, fun=_like(ADDRESS))
