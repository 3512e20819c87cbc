"""
What the hosts still do for others. Runs in the orchestration, on the master.
"""

import pgha_errors
import pgha_wait
import salt.client
from salt.exceptions import CommandExecutionError

#: Seconds in which a host that is there says what it does.
ANSWER = 5


@pgha_errors.told
def finished(name, hosts, timeout=900):
    """
    No host applies states. An interrupted orchestration leaves its jobs to the minions, which end them; the hosts look
    at each other in the preflight, so all of them have to be free at its beginning.

    name
        A sentence; nothing is read from it.
    hosts
        List of minion ids. One that does not answer, or not as it should, is left to the first job proper, which names
        it.
    timeout
        Seconds to wait.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "No host is busy."}

    def idle():
        told, _refused = __utils__["pgha_answers.sort"](hosts, _ask(hosts), __utils__["pgha_answers.jobs"])
        busy = sorted(host for host, jobs in told.items() if jobs)
        if busy:
            raise CommandExecutionError(f"{', '.join(busy)} (salt HOST saltutil.is_running 'state.*' shows the jobs)")
        return True

    try:
        pgha_wait.until(idle, timeout, "hosts end what an earlier job started", interval=1)
    except CommandExecutionError as error:
        ret.update(result=False, comment=str(error))
    return ret


def _ask(hosts):
    """
    {minion id: its jobs} of those that answer. `saltutil.cmd` would ask for half a minute about a silent one, and
    LocalClient.get_returns waits for an event of a name that a master no longer sends (Salt 3008.3).
    """
    found = {}
    with salt.client.get_local_client(mopts=__opts__) as client:
        job = client.run_job(hosts, "saltutil.is_running", ["state.*"], tgt_type="list", listen=True)
        if job:
            for answer in client.get_event_iter_returns(job["jid"], job["minions"], timeout=ANSWER):
                found.update({host: said.get("ret") for host, said in answer.items()})
                if len(found) == len(job["minions"]):
                    break
    return found
