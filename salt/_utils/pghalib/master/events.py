"""
What the events of the master's bus tell about a running orchestration of the formula. A minion may put anything on the
bus, so an event is only data, as the answers of hosts are. Pure functions.
"""

import re

import pghalib.text

# The most hosts or states of one event that are read.
MOST = 500
ORCHESTRATIONS = {"pgha", "pgha.restart"}
# Three names of the same function of Salt.
RUNNERS = ("runner.state.orchestrate", "runner.state.orch", "runner.state.sls")


def read(tag, data):
    """
    Return the data of an event of the master's bus about an orchestration of the formula; None for any other event, and
    for one that Salt did not make. ``what`` is ``new`` (a job starts: ``jid``, ``sls``, ``hosts``), ``ret`` (a host
    returns: ``jid``, ``host``, ``done``) or ``end`` (the orchestration ends: ``done``).
    """
    # Salt gives every event that a minion made this `cmd`, whatever its tag.
    if not isinstance(tag, str) or not isinstance(data, dict) or data.get("cmd") == "_minion_event":
        return None
    parts = tag.split("/")
    done = data.get("retcode") == 0
    if parts[:2] == ["salt", "job"] and parts[3:] == ["new"] and data.get("fun") == "state.sls":
        sls = _sls(data.get("arg"))
        hosts = [pghalib.text.line(host, 100) for host in _as_list(data.get("minions"))[:MOST]]
        ours = sls and all(re.fullmatch(r"pgha(\.[a-z_]+)*", name) for name in sls)
        return {"what": "new", "jid": parts[2], "sls": sls, "hosts": hosts} if ours else None
    if parts[:2] == ["salt", "job"] and parts[3:4] == ["ret"] and len(parts) > 4:
        return {"what": "ret", "jid": parts[2], "host": pghalib.text.line(parts[4], 100), "done": done}
    ended = parts[:2] == ["salt", "run"] and parts[3:] == ["ret"] and data.get("fun") in RUNNERS
    if ended and set(_sls(data.get("fun_args"))) & ORCHESTRATIONS:
        returned = data.get("return") if isinstance(data.get("return"), dict) else {}
        return {"what": "end", "done": data.get("success") is True and returned.get("retcode", 0) == 0}
    return None


def _sls(arguments):
    """The names of states in the arguments of ``state.sls`` and similar functions, or []."""
    arguments = _as_list(arguments)
    if not arguments:
        return []
    first = arguments[0]
    if isinstance(first, dict):
        first = first.get("mods")
    names = first.split(",") if isinstance(first, str) else _as_list(first)
    return [pghalib.text.line(name, 100) for name in names[:MOST] if isinstance(name, str)]


def _as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else []
