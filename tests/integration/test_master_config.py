"""Masters that are set up otherwise than the README says, on a cluster that is there."""

import pytest
from integration import formula

EXTMODS = "/var/cache/salt/master/extmods"
CONFIG = "/etc/salt/master.d/pgha.conf"
ROOTS = "  base: [/srv/pgha/salt]\n"
# What a person has who keeps the formula in git.
GITFS = """\
fileserver_backend: [gitfs]
gitfs_provider: gitpython
gitfs_remotes:
  - file:///srv/formula:
    - root: salt
"""
REPOSITORY = """\
mkdir /srv/formula && cp -a /srv/pgha/salt /srv/formula && cd /srv/formula
git init -q -b master && git add . && git -c user.name=a -c user.email=a@example.org commit -qm x
"""
# At the end of pghalib.versions: a newer library, in which the master finds no fault of its own.
NEWER = """

def too_old(_salt, _python, who="minion"):
    return "Salt of this minion is older than 9999.1" if who == "minion" else None
"""


@pytest.fixture
def configure(cluster):
    """A function (old text, new text) that changes the master's configuration; it is as before afterwards."""
    master = cluster.lab.master
    before = master.run(["cat", CONFIG]).stdout

    def change(old, new):
        assert old in before
        master.write(CONFIG, before.replace(old, new))

    yield change
    master.write(CONFIG, before)


@pytest.fixture
def restart(cluster):
    """A function that starts the master anew, which serves files by its configuration then; afterwards once more."""
    lab = cluster.lab

    def begin():
        lab.master.run(["systemctl", "restart", "salt-master"])
        lab.wait_ready()

    yield begin
    begin()
    lab.salt("salt-run", "saltutil.sync_all")
    assert formula.run(lab).code == 0


def test_without_its_modules_the_main_job_names_the_command(cluster):
    lab = cluster.lab
    lab.master.run(["rm", "-rf", EXTMODS])
    try:
        run = formula.run(lab)
        assert run.code == 1
        assert "run salt-run saltutil.sync_all" in run.text
        assert "Traceback" not in run.text
    finally:
        lab.salt("salt-run", "saltutil.sync_all")
    assert formula.run(lab, "test=True").code == 0


def test_with_a_module_of_the_former_formula_no_host_is_touched(cluster):
    lab = cluster.lab
    lab.master.run(["sh", "-c", f"echo '# older' >> {EXTMODS}/utils/pghalib/words.py"])
    try:
        run = formula.run(lab)
        assert run.code == 1
        assert "works with other modules of the formula than it serves (utils/pghalib/words.py)" in run.text
        assert "Traceback" not in run.text
        assert not any(state["changes"] for state in run.states.values())
    finally:
        lab.salt("salt-run", "saltutil.sync_all")
    assert formula.run(lab, "test=True").code == 0


def test_without_the_ext_pillar_no_host_is_touched(cluster, configure):
    configure("  - pgha: true\n", "  []\n")
    run = formula.run(cluster.lab)
    assert run.code == 1
    assert "ext_pillar" in run.text
    assert "Traceback" not in run.text
    assert run.states, run.text
    assert not any(state["changes"] for state in run.states.values())


def test_a_formula_from_git_does_the_same(cluster, restart, configure):
    lab, before = cluster.lab, cluster.services()
    lab.master.run(["sh", "-ec", REPOSITORY])
    try:
        configure(f"file_roots:\n{ROOTS}", GITFS)
        lab.master.run(["rm", "-rf", EXTMODS])
        restart()
        lab.salt("salt-run", "saltutil.sync_all")
        formula.changes_nothing(lab)
        assert cluster.services() == before
    finally:
        lab.master.run(["rm", "-rf", "/srv/formula"])


def test_a_newer_library_counts_in_the_run_that_brings_it(cluster, restart, configure):
    """Minions that have imported the library before take no part of it for the new one."""
    lab, place = cluster.lab, "_utils/pghalib/versions.py"
    newer = lab.master.run(["cat", f"/srv/pgha/salt/{place}"]).stdout + NEWER
    lab.master.run(["mkdir", "-p", "/srv/newer/_utils/pghalib"])
    lab.master.write(f"/srv/newer/{place}", newer)
    try:
        configure(ROOTS, "  base: [/srv/newer, /srv/pgha/salt]\n")
        restart()
        lab.salt("salt-run", "saltutil.sync_all")
        run = formula.run(lab)
        assert run.code == 1
        assert "Salt of this minion is older than 9999.1" in run.text
        # What has failed names each host.
        summary = run.text[run.text.index("What has failed, and where to look") :]
        assert [host.name for host in cluster.hosts if host.name not in summary] == []
    finally:
        lab.master.run(["rm", "-rf", "/srv/newer"])
