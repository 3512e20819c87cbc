"""One figure says whether a minion has the modules that the master serves."""

import hashlib
import re
from pathlib import Path

import pytest

SALT = Path(__file__).resolve().parents[2] / "salt"


@pytest.fixture
def minion(tmp_path):
    """A minion's directory of modules, with the formula's own, another formula's, and byte code."""
    for kind in ("utils", "grains", "modules", "states"):
        for path in (SALT / f"_{kind}").rglob("*.py"):
            target = tmp_path / kind / path.relative_to(SALT / f"_{kind}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "modules/nginx.py").write_text("another formula's")
    (tmp_path / "utils/pghalib/__pycache__").mkdir()
    (tmp_path / "utils/pghalib/__pycache__/wait.cpython-311.pyc").write_bytes(b"byte code")
    return tmp_path


def hashed(url, kind, git):
    """What Salt tells of a file of this checkout; gitfs tells it as bytes."""
    found = hashlib.sha256((SALT / url.removeprefix("salt://")).read_bytes()).hexdigest()
    return {"hsum": found.encode() if git else found, "hash_type": kind}


@pytest.fixture
def master(loader_module):
    """``pgha_library.served`` of a master that serves this checkout, and a module of another formula."""

    def call(kind="sha256", git=False):
        def hash_file(url, saltenv):
            assert saltenv == "base"
            return hashed(url, kind, git)

        served = [str(path.relative_to(SALT)) for path in SALT.rglob("*") if path.is_file()]
        salt = {"cp.list_master": lambda _saltenv: served, "cp.hash_file": hash_file}
        return loader_module("_modules/pgha_library.py", salt=salt).served()

    return call


@pytest.fixture
def figure(minion, loader_module):
    return loader_module("_modules/pgha_library.py", opts={"extension_modules": str(minion)}).here


@pytest.mark.parametrize("git", [False, True])
def test_a_minion_with_the_masters_modules_has_the_masters_figure(figure, master, git):
    assert figure() == master(git=git)


def test_a_minion_that_has_not_loaded_the_grains_asks_for_the_modules_again(loader_module, minion, master):
    def figure(**grains):
        opts = {"extension_modules": str(minion)}
        return loader_module("_modules/pgha_library.py", opts=opts, grains=grains).here()

    # On Astra Linux, as Salt names the family itself, and as the formula's grain does.
    assert [figure(os_family="Astra"), figure(os_family="Debian")] == ["", master()]


@pytest.mark.parametrize(
    "change",
    [
        lambda place: (place / "utils/pghalib/consul/acl.py").write_text("older"),
        lambda place: (place / "utils/pghalib/wait.py").unlink(),
        lambda place: (place / "modules/pgha_gone.py").write_text("taken out since"),
        lambda place: (place / "states/pgha_unit.py").rename(place / "states/pgha_units.py"),
        # Unreadable.
        lambda place: ((place / "modules/pgha.py").unlink(), (place / "modules/pgha.py").symlink_to("nowhere")),
    ],
)
def test_whatever_differs_gives_another_figure(minion, figure, master, change):
    change(minion)
    assert figure() != master()


def test_a_minion_without_modules_has_a_figure_of_its_own(tmp_path, master, loader_module):
    assert loader_module("_modules/pgha_library.py", opts={"extension_modules": str(tmp_path)}).here() != master()


@pytest.fixture
def older(minion, loader_module):
    """``pgha_library.older`` of a master that serves this checkout and has its modules, as the minion has."""
    for kind in ("pillar", "runners"):
        (minion / kind).mkdir()
        (minion / kind / "pgha.py").write_bytes((SALT / f"_{kind}/pgha.py").read_bytes())

    def call(kind="sha256", git=False):
        def hash_file(url, _saltenv):
            return hashed(url, kind, git)

        served = sorted(str(path.relative_to(SALT)) for path in SALT.rglob("*") if path.is_file())
        salt = {"cp.list_master": lambda _saltenv: [*served, "_modules/nginx.py"], "cp.hash_file": hash_file}
        return loader_module("_modules/pgha_library.py", salt=salt, opts={"extension_modules": str(minion)}).older()

    return call


def test_a_master_is_told_what_it_serves_and_has_not_taken_over(minion, older):
    assert older() == []
    # Of another formula, or taken out of this one: not every master removes it.
    (minion / "modules/pgha_gone.py").write_text("")
    assert older() == []
    (minion / "runners/pgha.py").write_text("of the former formula")
    (minion / "utils/pghalib/wait.py").unlink()
    assert older() == ["runners/pgha.py", "utils/pghalib/wait.py"]
    assert older(git=True) == ["runners/pgha.py", "utils/pghalib/wait.py"]
    assert older("md5") == []


def test_modules_that_a_master_has_from_elsewhere_are_not_looked_at(minion, older):
    for kind in ("runners", "pillar", "grains", "states", "modules"):
        (minion / kind).rename(minion / f"no-{kind}")
    assert older() == []
    (minion / "utils/pghalib").rename(minion / "utils/others")
    assert older() == []


def test_nothing_of_the_library_is_imported_before_a_newer_one_comes():
    """What was imported before would be used beside what comes."""
    assert "pghalib" not in re.sub('".*"', "", (SALT / "_modules/pgha_library.py").read_text())


def test_a_master_that_hashes_otherwise_has_none(master, figure):
    assert master("md5") == ""
    assert figure() != ""


def test_the_master_has_every_file_at_hand_before_hosts_ask_for_it_side_by_side(loader_module):
    """The cache of gitfs bears no two first questions for files of one directory."""
    asked = []
    listed = ["pgha/packages/updates.sls", "pgha/guard/files/pgha-guard/host.py", "_modules/pgha.py", "top.sls"]

    def hash_file(path, _saltenv):
        asked.append(path)
        return {"hsum": "0" * 64, "hash_type": "sha256"}

    salt = {"cp.list_master": lambda _saltenv: listed, "cp.hash_file": hash_file}
    loader_module("_modules/pgha_library.py", salt=salt).served()
    assert asked == [f"salt://{path}" for path in listed[:3]]
