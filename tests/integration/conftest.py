"""The lab, the cluster on it, and the table of outages that the run ends with."""

import pytest
from integration import formula, ground
from integration.ledger import Ledger, Observer
from lab import Lab

OUTAGES = []
# Seconds.
OVERLAP = 0.25 + 0.3


@pytest.fixture(scope="session")
def lab():
    """The lab that `tests/lab/lab run --clusters 2` brought up around this process."""
    lab = Lab()
    assert lab.inside(), "run it in the lab: tests/run tests/integration"
    assert "test2-db3" in lab.hosts, "the lab has one cluster; these tests need `lab run --clusters 2`"
    return lab


@pytest.fixture(scope="session")
def pillar(lab):
    """
    The pillar on the master; every module finds nothing over the lab's own, but that Patroni's next loop, for which
    tests wait again and again, comes soon.
    """
    return formula.Pillar(lab, loop_wait=2)


@pytest.fixture(scope="module")
def bare(lab, pillar):
    """A lab in which nothing is deployed."""
    pillar.put({})
    ground.bare(lab)
    return lab


@pytest.fixture(scope="module")
def cluster(lab, pillar):
    """The first cluster, as the lab's pillar has it: as it was left by other modules, or deployed here."""
    return ground.plain(lab, pillar)


@pytest.fixture
def ledger(cluster):
    """A ledger that writes during the test; at its end every acknowledged write has to be there exactly once."""
    cluster.wait_healthy()
    with Ledger(cluster) as ledger:
        yield ledger
    ledger.check()


@pytest.fixture
def observer(cluster):
    """
    Looks during the test where the virtual IP is. Two hosts must not have had it for longer than two daemons that each
    look for themselves can take (vip:interval, and what two looks take here).
    """
    with Observer(cluster) as observer:
        yield observer
    assert observer.looks > 0
    assert all(one <= OVERLAP for one in observer.overlaps), f"on two hosts for {observer.overlaps} s"


@pytest.fixture
def measured(request, ledger, observer):
    """A function: notes the outage that the ledger saw, for the table at the end; fails when it is over ``limit`` s."""

    def note(what, limit):
        outage = ledger.outage()
        OUTAGES.append((what, outage, limit, *ledger.counts(), observer.looks, observer.overlaps))
        assert outage <= limit, f"{what}: {outage:.1f} s without a write, {limit} s at most were promised"

    return note


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Keep how the cluster was when a test failed: its hosts are gone when a person reads of it."""
    report = (yield).get_result()
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and cluster:
        try:
            said = cluster.diagnosis()
        except Exception as error:  # noqa: BLE001
            # Raised here it would end the whole session.
            said = f"not to be had: {error!r}"
        report.sections.append(("the cluster at that moment", said))


#: What the lab is before a module of tests and after it (``GROUND`` of the module): bare hosts, bare hosts that become
#: a cluster, a cluster without encryption, one with.
GROUNDS = ("bare", "built", "plain", "encrypted")


def pytest_collection_modifyitems(items):
    """Put modules with the same ground together: so the hosts are made new as seldom as can be."""
    items.sort(key=lambda item: GROUNDS.index(getattr(item.module, "GROUND", "plain")))


def pytest_terminal_summary(terminalreporter):
    """Print what the faults cost."""
    if not OUTAGES:
        return
    terminalreporter.section("outages as a client saw them")
    terminalreporter.write_line(
        f"{'fault':58} {'outage':>8} {'limit':>7} {'acked':>7} {'open':>5} {'looks at the VIP':>17}"
    )
    for what, outage, limit, ok, info, looks, overlaps in OUTAGES:
        line = f"{what:58} {outage:6.2f} s {limit:5.0f} s {ok:7} {info:5} {looks:17}"
        terminalreporter.write_line(line + (f"  on two hosts for {overlaps} s" if overlaps else ""))
