"""
The failures of an orchestration, taken from Salt's own results: hosts, states, reasons, and where to look. Text from a
host is not trusted. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

    # Host, title, lines of the reason, where to look.
    Failure = tuple[str, str, tuple[str, ...], str | None]

# The most lines of one reason, and characters of one line: Salt's full output stands above it.
LINES, WIDTH = 20, 400
# Salt's comment on a state that did not run because another one failed.
NOT_TRIED = "One or more requisite failed"
# Where a host logs the reason of a failure, by the module of the state.
LOOK = {
    "pgha_consul": "journalctl -u consul",
    "pgha_patroni": "journalctl -u patroni, and Patroni's log in patroni:log_dir",
    "pgha_restart": "journalctl -u patroni -u consul, and Patroni's log in patroni:log_dir",
    "pgha_vip": "journalctl -u vip-manager -u patroni -t pgha-vip",
    "pkg": "/var/log/apt/term.log",
}


def failures(running: Mapping[str, Json]) -> list[str]:
    """
    Return the lines that tell what failed, [] when nothing did.

    running
        The results of the states of the orchestration by their tags, as a state sees them in ``__running__``.
    """
    reasons: dict[tuple[str, tuple[str, ...], str | None], list[str]] = {}
    for tag, state in running.items():
        # Salt gives a frozen copy, whose mappings are no dict.
        if not hasattr(state, "get") or state.get("result") is not False:
            continue
        told = _of_hosts(state)
        if not told and not _text(state.get("comment")).startswith(NOT_TRIED):
            told = [("the master", _title(tag, state), _reason(state.get("comment")), None)]
        for host, title, reason, look in told:
            reasons.setdefault((title, reason, look), []).append(host)
    lines: list[str] = []
    for (title, reason, look), hosts in reasons.items():
        lines += [f"{', '.join(sorted(hosts))}: {title}", *(f"    {line}" for line in reason)]
        lines += [f"    Look there: {look}"] if look else []
    return lines


def _of_hosts(stage: Json) -> list[Failure]:
    """(host, title, reason, where to look) of each failed state on each host of a stage."""
    found: list[Failure] = []
    answers: Json = (stage.get("changes") or {}).get("ret")
    for host, states in answers.items() if hasattr(answers, "items") else ():
        if not hasattr(states, "items"):
            # The states cannot be rendered, or another error of the minion.
            lines = [states] if isinstance(states, str) or not hasattr(states, "__iter__") else states
            if states is not True:
                found.append((_word(host), "its states did not run", _reason("\n".join(map(_text, lines))), None))
            continue
        for tag, state in states.items():
            failed = hasattr(state, "get") and state.get("result") is False
            if failed and not _text(state.get("comment")).startswith(NOT_TRIED):
                look = LOOK.get(_text(tag).split("_|-")[0])
                found.append((_word(host), _title(tag, state), _reason(state.get("comment")), look))
    return found


def _title(tag: object, state: Json) -> str:
    return _word(state.get("__id__") or (_text(tag).split("_|-") + [""])[1])


def _reason(comment: object) -> tuple[str, ...]:
    lines = [line for line in map(pghalib.text.line, _text(comment).splitlines()) if line]
    more = [f"… {len(lines) - LINES} lines more above"] if len(lines) > LINES else []
    return tuple([pghalib.text.printable(line, WIDTH) for line in lines[:LINES]] + more)


def _word(value: object) -> str:
    return pghalib.text.line(value, pghalib.text.WORD)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
