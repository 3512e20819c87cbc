"""
Questions to hosts from the master. What a host answers is data: an error of a host becomes one printable sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import salt.client
from salt.exceptions import CommandExecutionError

import pghalib.master.answers
import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pghalib.shapes import Json

#: Seconds in which a present host must answer; after them Salt asks again.
PRESENT = 3


def status(opts: Mapping[str, Json], hosts: list[str], timeout: int) -> dict[str, Json]:
    """
    Return ``{minion id: answer of pgha.status}`` of the hosts that answer, not yet checked.

    opts
        The master's options.
    hosts
        Minion ids.
    timeout
        Seconds to wait for the answers of present hosts; an absent host is known sooner.
    """
    how = {"tgt_type": "list", "timeout": timeout, "gather_job_timeout": PRESENT}
    with salt.client.get_local_client(mopts=opts) as client:
        # A host answers by the pillar in its memory, so the pillar is refreshed first: somebody may have edited it.
        # A busy host says so to Salt, and Salt waits for it; absent hosts are known in seconds.
        fresh = client.cmd(hosts, "saltutil.refresh_pillar", kwarg={"wait": True}, **{**how, "timeout": PRESENT})
        told = client.cmd([host for host in hosts if fresh.get(host) is True], "pgha.status", **how)
    # Silent hosts are not asked again: that would take the same time once more.
    return {**told, **{host: answer for host, answer in fresh.items() if answer is not True}}


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
    with salt.client.get_local_client(mopts=opts) as client:
        answers = client.cmd([host], function, list(arguments), tgt_type="list", timeout=timeout, full_return=True)
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
    with salt.client.get_local_client(mopts=opts) as client:
        answers = client.cmd(hosts, "pgha_tls.behind", [authorities], tgt_type="list", timeout=30)
    told, refused = pghalib.master.answers.sort(hosts, answers, pghalib.master.answers.behind)
    found: dict[str, list[str]] = {}
    for host in hosts:
        for why in [refused[host]] if host in refused else told[host]:
            found.setdefault(why, []).append(host)
    return [f"{', '.join(its)}: {why}" for why, its in found.items()]
