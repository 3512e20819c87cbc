"""What a drill of half a minute could have seen, for tests of its report."""

HOSTILE = "<script>alert(1)</script>'\"&"


def history(host="test-db1", seconds=30):
    """Writes each 50 ms with a gap from 10 to 12 s; one host leads before it, the other one after it."""
    moments = [one * 50 * 10**6 for one in range(seconds * 20) if not 10 <= one * 0.05 < 12]
    writes = [
        {"kind": "write", "key": 1, "value": value, "start": at, "end": at + 10**6, "outcome": "ok"}
        for value, at in enumerate(moments, 1)
    ]
    looks = [
        {
            "kind": "look",
            "host": name,
            "start": at,
            "end": at + 1,
            "address": leads,
            "primary": leads,
            "timeline": timeline,
            "acknowledged": leads,
        }
        for at in moments
        for name, leads, timeline in ((host, at < 10**10, 1), ("test-db2", at > 10**10, 2))
    ]
    return {"writes": writes, "reads": [], "looks": looks, "marks": [], "final": {}}


def result(outage=2.0, host="test-db1"):
    moments = {"since": 10**10, "began": 10**10, "ended": 12 * 10**9}
    moments["phases"] = {"server": 1.5, "address": 0.25, "client": 0.25}
    return {"fault": "kill-postgres", "host": host, "outage": outage, "bound": 15, "connect": outage + 1, **moments}


def verdict(count=0):
    return {
        "rule": "every write is there once",
        "held": not count,
        "count": count,
        "examples": [HOSTILE] * min(count, 5),
    }


def outcome(results=(), verdicts=(), seen=None, early=None):
    """What came of such a drill."""
    return {"results": list(results), "verdicts": list(verdicts), "history": seen or history(), "early": early}
