"""
Questions to hosts from the master. What a host answers is data: an error of a host becomes one printable sentence.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

import salt.client
from salt.exceptions import CommandExecutionError, SaltException

import pghalib.master.answers
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pghalib.shapes import Json

log = logging.getLogger(__name__)
#: Seconds in which a present host must say that it still works on its answer.
PRESENT = 3
#: Seconds for a host to fetch its pillar.
REFRESH = 30
#: The most hosts that a line of the log names.
NAMED = 3


@contextlib.contextmanager
def client(opts: Mapping[str, Json]) -> Iterator[salt.client.LocalClient]:
    """
    Salt's client of this master, for a block.

    opts
        The master's options.

    Raises CommandExecutionError with the remedy when the master takes no job, as while it is restarted.
    """
    try:
        with salt.client.get_local_client(mopts=opts) as made:
            yield made
    except CommandExecutionError:
        raise
    except SaltException as error:
        why = pghalib.text.line(error)
        raise CommandExecutionError(f"the master takes no job ({why}): see systemctl status salt-master") from error


@contextlib.contextmanager
def logged(function: str, hosts: list[str]) -> Iterator[dict[str, Json]]:
    """
    Log in one line, with neither arguments nor answers, which function which hosts were asked for, how many answered,
    and how long it took. To be put around one question, which fills in the answers.

    function
        Name of the function.
    hosts
        Minion ids.
    """
    answers: dict[str, Json] = {}
    began = time.monotonic()
    try:
        yield answers
    finally:
        more = f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else ""
        who = pghalib.text.line(", ".join(hosts[:NAMED]) + more)
        passed = (time.monotonic() - began) * 1000
        log.debug("%s on %s: %d of %d answered, %d ms", function, who, len(answers), len(hosts), passed)


def status(opts: Mapping[str, Json], hosts: list[str], timeout: int) -> dict[str, Json]:
    """
    Return ``{minion id: answer of pgha.status}`` of the hosts that answer, not yet checked.

    opts
        The master's options.
    hosts
        Minion ids.
    timeout
        Seconds after which Salt asks the hosts that have not answered whether they still work on it, again and again.
        One that does not say so within ``PRESENT`` seconds is absent.
    """
    how = {"tgt_type": "list", "timeout": timeout, "gather_job_timeout": PRESENT}
    with client(opts) as asked, logged("pgha.status", hosts) as answers:
        answers.update(asked.cmd(hosts, "pgha.status", **how))
    return answers


def refresh(opts: Mapping[str, Json], hosts: list[str]) -> list[str]:
    """
    Let hosts fetch their pillar past the master's ``pillar_cache``, and return those that did not.

    opts
        The master's options.
    hosts
        Minion ids.
    """
    # The minion's request says whether the master must compile its cached pillar anew; by default it does.
    how = {"tgt_type": "list", "timeout": REFRESH, "kwarg": {"wait": True, "timeout": REFRESH}}
    with client(opts) as asked, logged("saltutil.refresh_pillar", hosts) as answers:
        answers.update(asked.cmd(hosts, "saltutil.refresh_pillar", **how))
    return [host for host in hosts if answers.get(host) is not True]


def call(opts: Mapping[str, Json], timeout: int, host: str, function: str, *arguments: Json) -> Json:
    """
    Call a function on one host and return what it returned.

    opts
        The master's options.
    timeout
        Seconds after which Salt asks whether the host still works on it.
    host
        Minion id.

    Raises CommandExecutionError when the host does not answer, and with the host's own words when the function fails.
    """
    how = {"tgt_type": "list", "timeout": timeout, "full_return": True}
    with client(opts) as asked, logged(function, [host]) as answers:
        answers.update(asked.cmd([host], function, list(arguments), **how))
    answer = answers.get(host)
    if not isinstance(answer, dict) or "ret" not in answer:
        raise CommandExecutionError(f"{host} did not answer to {function}")
    if answer.get("retcode"):
        raise CommandExecutionError(f"{host}: {pghalib.text.printable(str(answer['ret'])[:500])}")
    return answer["ret"]


def late(opts: Mapping[str, Json], hosts: list[str], authorities: str | None) -> list[str]:
    """
    Return sentences about hosts where the host or a service has other authorities than the master; [] when none has.

    opts
        The master's options.
    hosts
        Minion ids.
    authorities
        The master's own, as PEM.
    """
    with client(opts) as asked, logged("pgha_tls.untrusting_services", hosts) as answers:
        answers.update(asked.cmd(hosts, "pgha_tls.untrusting_services", [authorities], tgt_type="list", timeout=30))
    told, refused = pghalib.master.answers.sort(hosts, answers, pghalib.master.answers.untrusting)
    found: dict[str, list[str]] = {}
    for host in hosts:
        for why in [refused[host]] if host in refused else told[host]:
            found.setdefault(why, []).append(host)
    return [f"{', '.join(its)}: {why}" for why, its in found.items()]
