"""What a host answers is data: each kind of answer with something wrong at each place, on its own and in the report."""

import copy
import math

import pghalib.master.told as shapes
import pytest
from salt.exceptions import CommandExecutionError

SERVER = {
    "role": "dcs",
    "name": "dcs1",
    "pending": {"Consul": ["changed settings: raft_multiplier"]},
    "tls": {
        "until": "2027-11-25T10:00:00+00:00",
        "days": 364.9,
        "due": False,
        "authority": {"until": "2036-11-25T10:00:00+00:00", "days": 3649.9, "due": False, "own": True},
        "outdated": ["Consul's API"],
    },
    "consul": {
        "leader": "dcs1",
        "members": [
            {"name": "dcs1", "address": "192.0.2.1", "type": "server", "status": "alive", "build": "1.22.3+ent"},
            {"name": "db1.example.org", "address": "192.0.2.11", "type": "client", "status": "left", "build": ""},
        ],
        "voters": ["dcs1", "(unknown)", None],
        "foreign_servers": [{"name": "db2", "address": "192.0.2.12", "raft_address": "192.0.2.12:8300", "voter": True}],
    },
    "foreign_tokens": [{"accessor": "1-2", "description": "Mine", "management": True}],
    "faults": ["consul.service starts only after /data is mounted"],
}
DATABASE = {
    "role": "db",
    "name": "db1",
    "pending": {"PostgreSQL": ["max_connections is 100, to be 150"], "vip-manager": ["/etc/x has changed"]},
    "tls": None,
    "members": [
        {"name": "db1", "host": "192.0.2.11", "role": "leader", "state": "running", "timeline": 1},
        {
            "name": "db2",
            "host": "db2.example.org",
            "role": "quorum_standby",
            "state": "in archive recovery",
            "timeline": 1,
            "lag": "unknown",
        },
    ],
    "paused": False,
    "vip": "192.0.2.40",
    "holds_vip": True,
    "proof": {"proven": 3600.5, "since": 86400},
}
ANSWERS = {
    "status": [SERVER, DATABASE],
    "restart_facts": [
        {
            "pending": {"Consul": ["x"], "Patroni": ["y"]},
            "leads": True,
            "synchronous": False,
            "lowered": {"max_connections": {"old": "150", "new": "100"}},
        }
    ],
    "untrusting": [["the authorities of this host are not those of the master: run the main job"]],
    "jobs": [[{"fun": "state.sls", "jid": "1", "pid": 7, "arg": ["x"]}]],
}
PLAN = {
    "hosts": ["dcs1", "db1", "db2"],
    "datacenters": {"dc": ["dcs1"]},
    "clusters": {"one": ["db1", "db2"]},
    "names": {"dcs1": "dcs1", "db1": "db1", "db2": "db2"},
}
EVIL = "evil\n  cmd.run:\n    - name: {{ 7 * 7 }}\x1b[2J\x9b1m\u202e\u2066\u2028\ud800'\": #"
WRONG = [
    None,
    True,
    7,
    -1.5,
    math.nan,
    math.inf,
    10**400,
    "",
    EVIL,
    "evil-db9",
    "x" * 100_000,
    b"evil",
    [],
    [EVIL],
    [[[[EVIL]]]],
    [EVIL] * 1000,
    {},
    {EVIL: EVIL},
    {EVIL: [EVIL]},
    {7: None},
]


def places(value, way=()):
    """The way to every place in a nested value, the top included."""
    yield way
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*way, key))


def spoiled(value):
    """The value once for each place and each wrong thing there, and with a strange key at each place."""
    for way in places(value):
        for wrong in WRONG:
            yield put(value, way, lambda _old, wrong=wrong: wrong)
        yield put(value, way, lambda old: {**old, EVIL: [EVIL]} if isinstance(old, dict) else [EVIL])


def put(value, way, change):
    if not way:
        return change(value)
    result = copy.deepcopy(value)
    at = result
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = change(at[way[-1]])
    return result


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts([*value, *value.values()])
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def keys(value):
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from keys(one)


@pytest.fixture
def answers(loader_module):
    return loader_module("_utils/pghalib/master/answers.py")


@pytest.fixture
def report(loader_module):
    return loader_module("_utils/pghalib/master/report.py")


@pytest.mark.parametrize(("kind", "answer"), [(kind, one) for kind, several in ANSWERS.items() for one in several])
def test_an_answer_as_it_should_be_is_taken_as_it_is(answers, kind, answer):
    taken = getattr(answers, kind)({**answer, "more": 1} if isinstance(answer, dict) else answer)
    if kind == "status":
        assert {key: taken[key] for key in answer if key not in ("members", "consul")} == {
            key: value for key, value in answer.items() if key not in ("members", "consul")
        }
        assert "more" not in taken
        for member, given in zip(taken["members"] or [], answer.get("members") or [], strict=True):
            assert {**member, **given} == member
        assert (taken["consul"] or None) == answer.get("consul")
    elif kind == "restart_facts":
        assert taken == {**answer, "lowered": ["max_connections"]}
    else:
        assert taken == (["state.sls"] if kind == "jobs" else answer)


@pytest.mark.parametrize(("kind", "answer"), [(kind, one) for kind, several in ANSWERS.items() for one in several])
def test_nothing_wrong_at_any_place_gets_through(answers, kind, answer):
    count = 0
    for given in spoiled(answer):
        told, refused = answers.sort(["db1"], {"db1": given, EVIL: answer}, getattr(answers, kind))
        assert set(told) | set(refused) == {"db1"}
        for text in texts([told, refused]):
            assert text.isprintable(), (text, given)
            assert len(text) <= 1100
        assert not any(key.startswith("evil") for key in keys(told) if isinstance(key, str)), given
        count += 1
    assert count > 20


def test_a_checked_answer_has_the_keys_of_its_shape(answers):
    server, database = answers.status(SERVER), answers.status(DATABASE)
    for answer, shape in (
        (server, shapes.Status),
        (server["tls"], shapes.Tls),
        (server["tls"]["authority"], shapes.Authority),
        (server["consul"], shapes.Consul),
        (server["consul"]["members"][0], shapes.Node),
        (server["consul"]["foreign_servers"][0], shapes.Server),
        (server["foreign_tokens"][0], shapes.Token),
        (database["members"][0], shapes.Member),
        (answers.restart_facts(ANSWERS["restart_facts"][0]), shapes.RestartFacts),
    ):
        assert answer.keys() == shape.__annotations__.keys(), shape


@pytest.mark.parametrize("host", ["dcs1", "db1"])
def test_the_report_bears_everything_and_tells_of_the_others(report, host):
    good = {"dcs1": SERVER, "db1": DATABASE, "db2": {**DATABASE, "name": "db2", "holds_vip": False}}
    lines = report.text(report.summary(PLAN, good)).splitlines()
    assert any("db2.example.org" in line for line in lines)
    for given in spoiled(good[host]):
        state = report.summary(PLAN, {**good, host: given})
        text = report.text(state)
        assert all(line.isprintable() and len(line) < 10_000 for line in text.splitlines()), given
        assert "db2.example.org" in text
        for cluster in state["clusters"].values():
            assert {member["name"] for member in cluster["members"]} <= {"db1", "db2"}
            assert set(cluster["vip_holders"]) <= {"db1", "db2"}


def test_a_host_is_told_by_which_part_of_its_answer(answers):
    told = {
        "db1": {**DATABASE, "vip": "192.0.2.40\n"},
        "db2": put(DATABASE, ("members", 1, "state"), lambda _old: "\x1b[2Jrunning"),
        "db3": "Traceback:\n  \x1b[31mKeyError",
        "db4": None,
        "db5": 7,
        "db6": True,
        "db7": False,
    }
    _told, refused = answers.sort([*told], told, answers.status)
    assert refused == {
        "db1": "answered nonsense (vip)",
        "db2": "answered nonsense (members:1:state)",
        "db3": "did not answer as it should: Traceback: ?[31mKeyError",
        "db4": "did not answer; is the host on, and its salt-minion running?",
        "db5": "answered nonsense (all of it)",
        "db6": "did not answer; is the host on, and its salt-minion running?",
        "db7": "did not answer; is the host on, and its salt-minion running?",
    }
    with pytest.raises(CommandExecutionError, match="all of it"):
        answers.untrusting({})


def test_the_faults_of_one_host_do_not_hide_those_of_the_others(answers):
    told = answers.status({**DATABASE, "faults": ["x" * 5000, "", "two\nlines", *map(str, range(100))]})["faults"]
    assert len(told) == 21
    assert len(told[0]) == 1000
    assert told[1] == "two lines"
    assert told[-1] == "and 82 more faults; see salt HOST pgha.status"


def test_a_sentence_is_one_printable_line(loader_module):
    text = loader_module("_utils/pghalib/text.py")
    assert text.line("a\n\tb  c\r\x1b[1m\u202ed\x00\ud800") == "a b c ?[1m?d??"
    assert text.printable("/data\n") == "/data?"
    assert text.printable("x" * 300) == "x" * 199 + "…"
    assert len(text.line(" x" * 10**6)) == 1000
