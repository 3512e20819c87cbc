"""
Running jobs of the hosts, and the age of their pillars. Runs in the orchestration, on the master.
"""

import pghalib.master.answers
import pghalib.master.asking
import pghalib.states
import pghalib.text
import pghalib.wait
import salt.key
from salt.exceptions import CommandExecutionError

#: Seconds to wait for a host's answer about its jobs, and how often it is asked: a busy host may be late.
ANSWER, TRIES = 5, 3
#: Seconds to wait for busy hosts.
BUSY = 900


@pghalib.states.state
def finished(ret, hosts):
    """
    Every host answers, and no host is applying states. After an interrupted orchestration the minions still finish its
    jobs. In the preflight the hosts check each other, so all of them must be free before it.

    name
        State ID; not used.
    hosts
        List of minion ids. A senseless answer is ignored here; the first real job names it.
    """
    tries = dict.fromkeys(hosts, 0)

    def idle():
        answers = _ask(hosts)
        told, _refused = pghalib.master.answers.sort(hosts, answers, pghalib.master.answers.jobs)
        busy = sorted(host for host, jobs in told.items() if jobs)
        for host in hosts:
            tries[host] = 0 if host in answers else tries[host] + 1
        silent = [host for host, count in tries.items() if count]
        if any(tries[host] == TRIES for host in silent):
            return {"silent": silent}
        if silent or busy:
            states = f"{', '.join(busy)} (salt HOST saltutil.is_running 'state.*' shows the jobs)"
            raise CommandExecutionError(states if busy else f"no answer from {', '.join(silent)}")
        return {"silent": []}

    found = pghalib.wait.until(idle, BUSY, "hosts answer, and end what an earlier job started", interval=1)
    if found["silent"]:
        raise CommandExecutionError("\n".join(_missing(found["silent"])))
    return "All hosts answer, and none is busy."


@pghalib.states.state
def pillars_fresh(ret, hosts):
    """
    The master serves the hosts their current pillar. Only a master with ``pillar_cache`` can serve an older one.

    name
        State ID; not used.
    hosts
        List of minion ids.
    """
    if not __opts__.get("pillar_cache"):
        return "The master keeps no pillars."
    late = pghalib.master.asking.refresh(__opts__, hosts)
    if late:
        raise CommandExecutionError(
            "The pillar_cache of the master gives an old pillar to hosts that did not fetch theirs anew:"
            f" {', '.join(late)}"
        )
    return "All hosts have fetched their pillar past pillar_cache of the master."


def _missing(hosts):
    """Sentences about hosts that do not answer, by the state of their keys on the master."""
    keys = salt.key.get_key(__opts__).list_keys()
    kind = {
        host: name
        for name in ("minions_pre", "minions_rejected", "minions_denied", "minions")
        for host in keys.get(name, ())
    }
    said = {
        "minions": "does not answer: is the host on, and does salt-minion run there? To do the rest without it, add"
        ' pillar=\'{{"pgha": {{"without": ["{0}"]}}}}\'',
        "minions_pre": "its key is not accepted: compare what salt-key -p {0} prints with"
        " /etc/salt/pki/minion/minion.pub on the host, then accept it (salt-key -a {0})",
        "minions_rejected": "its key was rejected (salt-key -L shows it)",
        "minions_denied": "its key was denied, as another minion has that id (salt-key -L shows it)",
        None: "the master knows no such minion: correct the id in the inventory, or start salt-minion there with this"
        " id (salt-key -L shows all)",
    }
    return [f"{host}: {said[kind.get(host)].format(pghalib.text.line(host))}" for host in hosts]


def _ask(hosts):
    """
    {minion id: its jobs} of the hosts that answer. `saltutil.cmd` would ask for half a minute about a silent host, and
    LocalClient.get_returns waits for an event that the master no longer sends under that name (Salt 3008.3).
    """
    function = "saltutil.is_running"
    with pghalib.master.asking.client(__opts__) as client, pghalib.master.asking.logged(function, hosts) as found:
        job = client.run_job(hosts, function, ["state.*"], tgt_type="list", listen=True)
        if job:
            for answer in client.get_event_iter_returns(job["jid"], job["minions"], timeout=ANSWER):
                found.update({host: said.get("ret") for host, said in answer.items()})
                if len(found) == len(job["minions"]):
                    break
    return found
