"""The page of a drill: whole, alone, and harmless whatever a host calls itself."""

import html.parser
import re

import pghalib.drill.report
import pytest
from drill_sample import HOSTILE, history, outcome, result, verdict

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


def parsed(*arguments):
    text = pghalib.drill.report.page(*arguments)
    parser = Parser()
    parser.feed(text)
    assert parser.open == []
    return text, parser


def test_a_page_is_whole_and_needs_nothing_else():
    text, parser = parsed("test", outcome([result()], [verdict()]), {"Consul": "1.22.3"})
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in parser.tags}
    assert not re.search(r"https?:|url\(|@import", text)
    assert "Every rule held, and no outage was longer than promised." in parser.texts
    assert {"kill-postgres", "2.00 s", "15 s", "1.50 s", "0.25 s", "held", "1.22.3", "test-db1", "test-db2"} <= set(
        parser.texts
    )
    # Who led and who had the address: a bar each for the one before and the one after.
    assert len([attrs for tag, attrs in parser.tags if tag == "rect" and "fill" in attrs]) == 4


@pytest.mark.parametrize(("outage", "count"), [(16.0, 0), (2.0, 7)])
def test_what_is_broken_is_said_first(outage, count):
    _, parser = parsed("test", outcome([result(outage)], [verdict(count)]), {})
    assert "A rule or a promise was broken." in parser.texts
    if count:
        assert {"broken 7 times", "and 2 more"} <= set(parser.texts)


def test_a_cluster_without_a_virtual_ip_has_no_phase_of_an_address():
    _, parser = parsed("test", outcome([result()], [verdict()]), {})
    assert {"server", "address", "client"} <= set(parser.texts)
    assert any("until the virtual IP is on its host" in one for one in parser.texts)
    alone, unseen = result(), result()
    alone["phases"], unseen["phases"] = {"server": 1.5, "address": None, "client": 0.5}, None
    text, parser = parsed("test", outcome([unseen, alone], [verdict()]), {})
    assert "address" not in parser.texts
    explained = "An outage lasts until a server takes writes (server) and until a client has written (client), as the"
    assert any(one.startswith(explained) for one in parser.texts)
    table = text.partition("<h2>Outages</h2>")[2].partition("</table>")[0]
    assert [row.count("<td") + row.count("<th") for row in table.split("<tr>")[1:]] == [7, 7, 7]


def test_names_of_hosts_are_text():
    text, parser = parsed(
        HOSTILE, outcome([result(host=HOSTILE)], [verdict(1)], history(HOSTILE), early=HOSTILE), {HOSTILE: HOSTILE}
    )
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in parser.tags}


def test_no_control_character_of_a_host_reaches_the_page_or_the_terminal():
    seen = history()
    for look in seen["looks"]:
        look["synchronous"] = ["\x1b]0;owned\x07\ud800"]
    hostile = {**verdict(1), "examples": ["\x1b]0;owned\x07 and db1 both\nhad \u202eit"]}
    told = outcome([result()], [hostile], seen, early="\x1b[2J")
    page, text = parsed("test", told, {"Patroni": "\x1b[2J"})[0], pghalib.drill.outcome.text("test", told, "/x")
    for one in (page, text):
        assert [letter for letter in one if not letter.isprintable() and letter != "\n"] == []
        assert "?]0;owned? and db1 both had ?it" in one
        assert "?[2J" in one


def test_a_drill_in_which_nobody_wrote_has_a_page_too():
    nothing = {"writes": [], "reads": [], "looks": [], "marks": [], "final": {}}
    _, parser = parsed("test", outcome([], [verdict()], nothing), {})
    assert "No client wrote." in parser.texts


@pytest.mark.parametrize(
    ("seconds", "last", "count"),
    [(1.0, 0, 1), (9.5, 9, 10), (80.4, 70, 8), (600.0, 540, 10), (200000.0, 180000, 6)]
    # A host that tells of any moment: two of them may be 584 years apart.
    + [(2.0**64 / 1e9, 16602069663, 10)],
)
def test_the_axis_has_round_numbers(seconds, last, count):
    ticks = pghalib.drill.report._ticks(seconds)
    assert (ticks[0], ticks[-1], len(ticks)) == (0, last, count)


def test_the_last_label_of_the_axis_is_not_cut_off():
    whole, _ = parsed("test", outcome([result()], [verdict()], history(seconds=122)), {})
    anchors = re.findall(r'text-anchor="(\w+)">(\d+) s', whole)
    assert [anchor for anchor, second in anchors if second == "120"] == ["end"]
    assert {anchor for anchor, second in anchors if second != "120"} == {"middle"}


def test_a_long_drill_has_no_more_steps_than_a_picture_can_show():
    long, _ = parsed("test", outcome([result()], [verdict()], history(seconds=600)), {})
    (points,) = {len(one.split()) for one in re.findall(r'<polyline class="curve" points="([^"]*)"', long)}
    assert points <= pghalib.drill.report.STEPS + 1


UNJUDGED = {**verdict(), "held": None}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (outcome([result()], [verdict()]), "Every rule held, and no outage was longer than promised."),
        (outcome([result()], [verdict(1)], early="x"), "A rule or a promise was broken."),
        (outcome([result(16.0)], [verdict()], early="x"), "A rule or a promise was broken."),
        (outcome([result()], [UNJUDGED], early="x"), "The drill ended early. Nothing that was judged was broken."),
        (outcome([result()], [verdict()], early="x"), "The drill ended early. Nothing that was judged was broken."),
        (outcome([result()], [UNJUDGED]), "Not every rule could be judged. Nothing that was judged was broken."),
    ],
)
def test_the_first_line_of_a_page_says_broken_only_where_something_was(made, said):
    _, parser = parsed("test", made, {})
    assert said in parser.texts
    assert ("A rule or a promise was broken." in parser.texts) is (said == "A rule or a promise was broken.")
