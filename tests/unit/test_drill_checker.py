"""The checker of the drill: a right history passes, and for each rule a history that is wrong on purpose does not."""

import copy
import json

import pytest
from pghalib.drill import checker, history, outcome
from salt.exceptions import CommandExecutionError

MS = 10**6
LOST, PHANTOM, TWICE, STALE, VANISHED, PRIMARIES, ADDRESSES = range(7)


def write(value, at, key=1, outcome="ok", took=2):
    return {
        "kind": "write",
        "key": key,
        "value": value,
        "start": at * MS,
        "end": (at + took) * MS,
        "outcome": outcome,
    }


def read(values, at, key=1, floor=0):
    return {"kind": "read", "key": key, "floor": floor, "values": values, "start": at * MS, "end": (at + 1) * MS}


def look(host, at, address=False, acknowledged=False, timeline=1):
    return {
        "kind": "look",
        "host": host,
        "start": at * MS,
        "end": (at + 1) * MS,
        "address": address,
        "primary": acknowledged,
        "timeline": timeline,
        "acknowledged": acknowledged,
        "synchronous": None,
    }


# Two clients; db1 leads, then db2 on the next timeline. A write in between is open, and is not there in the end.
RIGHT = [
    *(write(value, 10 * value) for value in range(1, 11)),
    *(write(value, 10 * value + 5, key=2) for value in range(1, 11)),
    write(11, 110, outcome="info"),
    write(12, 130, outcome="fail"),
    write(13, 5000),
    read([1, 2, 3, 4], 45),
    read([6, 7, 8], 86, floor=5),
    {"kind": "mark", "at": 105 * MS, "what": "the leader is killed"},
    *(look("db1", at, address=True, acknowledged=True) for at in range(0, 110, 10)),
    *(look("db1", at) for at in range(110, 6000, 500)),
    *(look("db2", at, timeline=1) for at in range(0, 2000, 500)),
    *(look("db2", at, address=True, acknowledged=True, timeline=2) for at in range(2000, 6000, 500)),
    {"kind": "final", "key": 1, "values": [*range(1, 11), 13]},
    {"kind": "final", "key": 2, "values": list(range(1, 11))},
]


def told(records):
    return history.read(json.dumps(record) + "\n" for record in records)


def broken(records):
    """The rules that a history breaks, by their number."""
    return [number for number, one in enumerate(checker.check(told(records))) if not one["held"]]


def final(records, key, values):
    return [
        {**record, "values": values} if record["kind"] == "final" and record["key"] == key else record
        for record in copy.deepcopy(records)
    ]


def test_a_right_history_breaks_no_rule():
    assert broken(RIGHT) == []
    assert broken(list(reversed(RIGHT))) == []


@pytest.mark.parametrize(
    ("rules", "records"),
    [
        ([LOST], final(RIGHT, 1, [*range(1, 10), 13])),
        ([LOST], final(RIGHT, 2, [])),
        # A write that may or may not be there is neither.
        ([], final(RIGHT, 1, [*range(1, 12), 13])),
        # One that failed for certain.
        ([PHANTOM], final(RIGHT, 1, [*range(1, 11), 12, 13])),
        ([PHANTOM], final(RIGHT, 2, [*range(1, 11), 99])),
        # The last one of a client that was killed.
        ([], final(RIGHT, 2, list(range(1, 12)))),
        ([TWICE], final(RIGHT, 2, [*range(1, 11), 10])),
        ([STALE], [*RIGHT, read([1, 2, 3, 4, 5, 6, 7, 8, 9], 115)]),
        # Ended after the read had begun.
        ([], [*RIGHT, read([1, 2, 3, 4, 5, 6, 7, 8, 9], 101)]),
        ([VANISHED], [*RIGHT, read([11], 115, floor=10)]),
        ([LOST, VANISHED], final(RIGHT, 1, [1, 2, 3, 5, 6, 7, 8, 9, 10, 13])),
        ([PRIMARIES], [*RIGHT, look("db1", 2100, acknowledged=True)]),
        # It leads once more, on another timeline, after the other one.
        ([], [*RIGHT, look("db1", 7000, acknowledged=True, timeline=3)]),
        ([ADDRESSES], [*RIGHT, look("db3", 2200, address=True), look("db3", 2460, address=True)]),
        ([], [*RIGHT, look("db3", 2200, address=True), look("db3", 2400, address=True), look("db3", 2401)]),
    ],
)
def test_a_wrong_history_breaks_its_rule_and_no_other(rules, records):
    assert broken(records) == rules


def test_a_host_that_was_frozen_had_the_address_all_the_time():
    """There is no look while it is frozen; the first one afterwards still sees the address."""
    frozen = [look("db1", 100, address=True), look("db2", 5000, address=True), look("db2", 9000, address=True)]
    (verdict,) = [
        one for one in checker.check(told([*frozen, look("db1", 8000, address=True)])) if one["held"] is False
    ]
    assert verdict["examples"] == ["db1 and db2 both had the virtual IP for 3000 ms"]


def test_a_look_says_whether_the_address_is_there_at_its_end():
    """A new leader's own write waits for a replica, and the former leader gives the address up meanwhile."""
    looks = [look("db1", at, address=at < 1000) for at in range(0, 4000, 100)]
    looks += [look("db2", at, address=at > 1000) for at in range(0, 4000, 100)]
    waited = {**look("db2", 510, address=True, acknowledged=True, timeline=2), "end": 3000 * MS}
    assert checker.check(told([*looks, waited]))[ADDRESSES]["held"]
    # The other way round, a look without the address does not cut a time in two that went on after its begin.
    lost = {**look("db1", 10), "end": 990 * MS}
    spans = checker.addresses(told([*(look("db1", at, address=True) for at in range(0, 900, 100)), lost])["looks"])
    assert [(span.start // MS, span.end // MS) for span in spans] == [(1, 801)]


def test_examples_are_few_and_all_are_counted():
    lost = checker.check(told(final(RIGHT, 1, [])))[LOST]
    assert (lost["count"], len(lost["examples"])) == (11, checker.SHOWN)
    assert lost["examples"][0] == "client 1: 1 is lost"


def test_the_outage_is_the_longest_time_without_an_acknowledged_write():
    outage = checker.outage(told(RIGHT)["writes"])
    # From the last write of client 2 to that after the failover; what is open counts as none.
    assert (outage.start, outage.end) == (107 * MS, 5002 * MS)
    # It may last to the end of the drill.
    ended = [*RIGHT, *(write(value, 6000 + value, outcome="info", took=6000) for value in (14, 15))]
    assert checker.outage(told(ended)["writes"]).end == 12015 * MS


def test_an_outage_goes_on_where_every_client_waits():
    """Who waits has no line yet."""
    outage = checker.outage([write(1, 10)], since=5 * MS, until=9000 * MS)
    assert (outage.start, outage.end) == (12 * MS, 9000 * MS)
    assert checker.outage([], since=5 * MS, until=9000 * MS) == (5 * MS, 9000 * MS, "")
    # What came later is another one's.
    assert checker.outage([write(1, 10), write(2, 9100)], since=5 * MS, until=9000 * MS).end == 9000 * MS


def test_each_outage_is_in_the_time_of_one_fault():
    writes = [write(value, at) for value, at in enumerate((10, 20, 30, 530, 540, 2000, 2010, 5000), 1)]
    spans = outcome.outages(reversed(writes), [5 * MS, 535 * MS, 2005 * MS], 6000 * MS)
    assert [(span.start // MS, span.end // MS) for span in spans] == [(32, 532), (542, 2002), (2012, 5002)]
    assert outcome.outages(writes, [5 * MS, 7000 * MS], 6000 * MS)[1] == (7000 * MS, 7000 * MS, "")


def test_a_rule_is_not_judged_by_lists_that_are_missing():
    """A client that died with its lists is no cluster that lost everything; the list of the other one is judged."""
    whole = [one for one in RIGHT if one["kind"] != "final"]
    ends = {"kind": "final", "key": 2, "values": list(range(1, 11))}
    held = [one["held"] for one in checker.check(told([*whole, ends]))]
    assert held == [None, None, None, True, None, True, True]
    verdicts = checker.check(told([*whole, {**ends, "values": [*range(1, 10), 77, 9]}]))
    assert [one["held"] for one in verdicts] == [False, False, False, True, None, True, True]
    assert verdicts[LOST]["examples"] == ["client 2: 10 is lost"]
    assert verdicts[VANISHED]["examples"] == ["the last lists of clients 1 are missing"]


def test_rules_about_hosts_are_not_judged_without_what_one_saw():
    found = checker.check(told(RIGHT), unseen=["db3"])
    assert [one["held"] for one in found] == [True] * 5 + [None] * 2
    assert found[ADDRESSES]["examples"] == ["something that the observers of db3 saw is missing"]
    # What was seen all the same is said.
    twice = [*RIGHT, *(look("db3", at, address=True) for at in range(2000, 6000, 500))]
    assert checker.check(told(twice), unseen=["db3"])[ADDRESSES]["held"] is False


def test_a_rule_that_nothing_could_have_broken_is_not_held():
    def held(*records, **given):
        return [one["held"] for one in checker.check(told(records), **given)]

    ends = {"kind": "final", "key": 1, "values": [1]}
    assert held(write(1, 1), ends) == [True, True, True, None, None, None, None]
    assert held(write(1, 1), ends, read([1], 5), look("db1", 1)) == [True] * 5 + [None, None]
    assert held(write(1, 1), ends, read([1], 5), look("db1", 1, acknowledged=True)) == [True] * 6 + [None]
    assert held(write(1, 1, outcome="info"), read([], 5), look("db1", 1, address=True, acknowledged=True)) == [
        *(None, None, None, True, None),
        *(True, True),
    ]
    reasons = {one["examples"][0] for one in checker.check(told([write(1, 1), ends]))[STALE:]}
    assert reasons == {
        "no client has read anything",
        "no observer had a write acknowledged",
        "no observer saw the virtual IP",
    }


def test_a_cluster_without_a_virtual_ip_has_no_rule_about_it():
    rules = [one["rule"] for one in checker.check(told(RIGHT), overlap=None)]
    assert rules == [one["rule"] for one in checker.check(told(RIGHT))][:ADDRESSES]


def test_for_whom_commits_wait_is_told_by_each_primary():
    """While two hosts think that they lead, each of them waits for others."""

    def primary(host, at, *names):
        return {**look(host, at, acknowledged=True), "synchronous": list(names)}

    looks = [primary("db1", at, "db2", "db3") for at in (0, 100)] + [
        primary("db1", at, "db2") for at in (200, 300, 500)
    ]
    looks += [primary("db3", at, "db2") for at in (250, 400)] + [look("db2", 450), primary("db1", 600)]
    spans = [(one.host, one.start // MS, one.end // MS) for one in checker.awaited(told(looks)["looks"])]
    assert sorted(spans) == [("db2", 0, 501), ("db2", 250, 401), ("db3", 0, 101)]


def test_an_outage_is_told_in_its_phases():
    gap = checker.Span(105 * MS, 5002 * MS, "")
    looks = [
        # The former leader still takes one, and loses its address later than the new one has it.
        look("db1", 106, address=True, acknowledged=True),
        look("db1", 2100, address=True),
        *(look("db2", at, acknowledged=True, timeline=2) for at in range(1999, 5000, 500)),
        look("db2", 2799, address=True),
    ]
    found = checker.phases(told(looks), gap)
    assert found == {"server": 1.895, "address": 0.8, "client": 2.202}
    assert sum(found.values()) == pytest.approx((gap.end - gap.start) / 1e9)
    assert checker.phases(told([look("db1", 2000, address=True)]), gap) is None
    # A server that never stopped: its address came back.
    kept = [look("db1", at, acknowledged=True, address=at > 4000) for at in range(100, 5000, 100)]
    assert checker.phases(told(kept), gap) == {"server": 0.096, "address": 3.9, "client": 0.901}


def test_without_a_virtual_ip_the_whole_reconnection_is_the_clients_phase():
    gap = checker.Span(105 * MS, 5002 * MS, "")
    looks = [look("db2", at, acknowledged=True, timeline=2) for at in range(1999, 5000, 500)]
    assert checker.phases(told(looks), gap) == {"server": 1.895, "address": None, "client": 3.002}
    # The address was there before and did not come: that is its phase.
    before = look("db1", 50, address=True)
    assert checker.phases(told([before, *looks]), gap) == {"server": 1.895, "address": 3.002, "client": 0}


def _counted(name):
    def asked(self, *other):
        Number.asked += 1
        return getattr(int, name)(self, *other)

    return asked


# A number that counts how often any of its kind is hashed or compared.
_ASKED = ("__hash__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
Number = type("Number", (int,), {"asked": 0, **{name: _counted(name) for name in _ASKED}})


def counting(value):
    """The same records with numbers that count."""
    if isinstance(value, dict):
        return {key: counting(one) for key, one in value.items()}
    if isinstance(value, list):
        return [counting(one) for one in value]
    return Number(value) if type(value) is int else value


def cost(writes):
    """How often the numbers of a right history of so many writes are looked at; another host leads ever so often."""
    records = [write(value, 10 * value, key=key) for value in range(1, writes // 4 + 1) for key in range(4)]
    records += [
        read(list(range(value - 19, value + 1)), 10 * value + 5, key=key, floor=value - 20)
        for value in range(20, writes // 4 + 1, 20)
        for key in range(4)
    ]
    for at in range(0, 10 * writes // 4, 100):
        turn = at // 200
        leads = [turn % 3 == host for host in range(3)]
        records += [look(f"db{host}", at, *[leads[host]] * 2, timeline=turn) for host in range(3)]
    records += [{"kind": "final", "key": key, "values": list(range(1, writes // 4 + 1))} for key in range(4)]
    found = {key: counting(value) for key, value in told(records).items() if key != "final"}
    found["final"] = {Number(key): counting(values) for key, values in told(records)["final"].items()}
    Number.asked = 0
    assert all(one["held"] for one in checker.check(found))
    return Number.asked


def test_twice_as_long_a_history_costs_twice_as_much():
    few, many = cost(4000), cost(8000)
    assert few > 4000
    assert many < 2.1 * few


def test_a_line_that_its_writer_did_not_end_is_passed_over():
    lines = [json.dumps(record) + "\n" for record in RIGHT]
    assert history.read([*lines, '{"kind": "wri'])["final"].keys() == {1, 2}


def test_a_look_that_lacks_what_it_may_lack_is_judged():
    """What a host says ends no drill."""
    seen = {"kind": "look", "host": "db1", "start": 1, "end": 2, "address": False, "acknowledged": True}
    assert checker.check(told([seen]))[PRIMARIES]["held"]
    gap = checker.Span(0, 9, "")
    assert checker.phases(told([seen]), gap)["server"] == 2e-9
    assert checker.awaited(told([seen])["looks"]) == []


def test_a_long_history_has_each_word_in_memory_once():
    one, other = told([write(1, 1), write(2, 2)])["writes"]
    assert list(map(id, one)) == list(map(id, other))
    assert one["outcome"] is other["outcome"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 2 of the history is not JSON"),
        ("[" * 9000, "line 2 of the history is not JSON"),
        ("[]", "line 2 of the history: it has no known kind"),
        ('{"kind": ["a"]}', "it has no known kind"),
        (f'{{"kind": "mark", "at": {10**400}, "what": "x"}}', "a number is not below 9223372036854775808"),
        (f'{{"kind": "final", "key": 1, "values": [-{2**63}]}}', "a number is not below 9223372036854775808"),
        (
            '{"kind": "look", "start": 1, "end": 2, "address": true, "acknowledged": false, "timeline": []}',
            "host, timeline of a look is missing or of another type",
        ),
        ('{"kind": "write", "key": true}', "key, value, start, end, outcome of a write is missing or of another type"),
        (json.dumps({**write(1, 1), "outcome": "maybe"}), "the outcome of a write is one of ok, fail, info"),
        (
            json.dumps({**look("a", 1), "synchronous": ["x" * 64]}),
            "names of members are texts of at most 63 characters",
        ),
        (json.dumps({**look("a", 1), "synchronous": [["a"]]}), "names of members are texts of at most 63 characters"),
        (json.dumps({**look("a", 1), "synchronous": "a"}), "synchronous of a look is missing or of another type"),
        ('{"kind": "visit", "start": 1, "end": 2, "outcome": "info"}', "the outcome of a visit is one of ok, fail"),
        (json.dumps(read([1, "2"], 1)), "values are whole numbers"),
    ],
)
def test_a_line_that_is_no_record_is_named(line, fault):
    with pytest.raises(CommandExecutionError, match=fault):
        history.read([json.dumps(write(1, 1)) + "\n", line + "\n"])
