"""The page of a drill: whole, alone, and harmless whatever a host calls itself."""

import html.parser
import re

import pghalib.drill.report
import pytest

HOSTILE = "<script>alert(1)</script>'\"&"
VOID = {"meta", "link", "br"}


class Parser(html.parser.HTMLParser):
    """Collects tags and texts; fails on a tag that is not closed in its turn."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


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
    return {"fault": "kill-postgres", "host": host, "outage": outage, "bound": 15, **moments}


def verdict(count=0):
    return {
        "rule": "every write is there once",
        "held": not count,
        "count": count,
        "examples": [HOSTILE] * min(count, 5),
    }


def parsed(*arguments):
    text = pghalib.drill.report.page(*arguments)
    parser = Parser()
    parser.feed(text)
    assert parser.open == []
    return text, parser


def test_a_page_is_whole_and_needs_nothing_else():
    text, parser = parsed("test", [result()], [verdict()], history(), {"Consul": "1.22.3"})
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in parser.tags}
    assert not re.search(r"https?:|url\(|@import", text)
    assert "Every rule held, and no outage was longer than promised." in parser.texts
    assert {"kill-postgres", "2.00 s", "15 s", "held", "1.22.3", "test-db1", "test-db2"} <= set(parser.texts)
    # Who led and who had the address: a bar each for the one before and the one after.
    assert len([attrs for tag, attrs in parser.tags if tag == "rect" and "fill" in attrs]) == 4


@pytest.mark.parametrize(("outage", "count"), [(16.0, 0), (2.0, 7)])
def test_what_is_broken_is_said_first(outage, count):
    _, parser = parsed("test", [result(outage)], [verdict(count)], history(), {})
    assert "A rule or a promise was broken." in parser.texts
    if count:
        assert {"broken 7 times", "and 2 more"} <= set(parser.texts)


def test_names_of_hosts_are_text():
    text, parser = parsed(HOSTILE, [result(host=HOSTILE)], [verdict(1)], history(HOSTILE), {HOSTILE: HOSTILE})
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in parser.tags}


def test_a_drill_in_which_nobody_wrote_has_a_page_too():
    nothing = {"writes": [], "reads": [], "looks": [], "marks": [], "final": {}}
    _, parser = parsed("test", [], [verdict()], nothing, {})
    assert "No client wrote." in parser.texts


def test_a_long_drill_has_no_more_steps_than_a_picture_can_show():
    long, _ = parsed("test", [result()], [verdict()], history(seconds=600), {})
    (points,) = {len(one.split()) for one in re.findall(r'<polyline class="curve" points="([^"]*)"', long)}
    assert points <= pghalib.drill.report.STEPS + 1
