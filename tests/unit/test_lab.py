"""The parts of the test lab that need no machine: who is where, reading apt's sources, what names a cache entry."""

import concurrent.futures
import hashlib
import threading

import pytest
from lab import Lab, LabError, cache, core, keeper, machine, mirror, tools, topology

DEB822 = """\
Types: deb deb-src
# a comment between fields
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
"""


def test_the_hosts_have_names_and_addresses_of_their_own():
    hosts = topology.topology(clusters=2)
    assert len({host.name for host in hosts}) == len({host.address for host in hosts}) == 10
    assert not {host.address for host in hosts} & {topology.CLIENT, *topology.VIPS.values()}
    assert [host.name for host in hosts if host.system == "astra"] == ["test-db3"]


def test_link_names_fit_the_kernel():
    assert all(len(host.link) <= 15 for host in topology.topology(clusters=2))


def test_a_number_of_clusters_without_a_plan_is_refused():
    with pytest.raises(LabError, match="1 to 2"):
        topology.topology(clusters=3)


@pytest.mark.parametrize(
    ("text", "deb822", "suites"), [(DEB822, True, ["bookworm", "bookworm-updates"]), (ONE_LINE, False, ["bookworm"])]
)
def test_mirrors_are_read_from_both_forms_of_sources(text, deb822, suites):
    assert machine.parse_sources(text, deb822) == [("http://mirror.example/debian", suite) for suite in suites]


def test_a_recipe_names_its_entry():
    def build(place):
        place.mkdir()

    key = cache.key_of({"version": 1}, build)
    assert key == cache.key_of({"version": 1}, build)
    assert key != cache.key_of({"version": 2}, build)
    assert key != cache.key_of({"version": 1}, test_link_names_fit_the_kernel)


def test_an_interrupted_build_leaves_no_entry(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "CACHE", tmp_path)

    def build(place):
        (place / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.entry("part", {}, build)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("name", ["part_1_linux_amd64.zip", "part_1_Linux_x86_64.tar.gz"])
def test_an_archive_is_the_same_each_time(tmp_path, name):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x7fELF")
    sums = []
    for turn in ("a", "b"):
        (tmp_path / turn).mkdir()
        mirror.pack(binary, "part", tmp_path / turn / name)
        sums.append(hashlib.sha256((tmp_path / turn / name).read_bytes()).hexdigest())
    assert sums[0] == sums[1]


def test_a_lab_waits_until_the_former_one_is_removed_by_its_guard(tmp_path, monkeypatch):
    waits = threading.Event()
    monkeypatch.setattr(tools, "say", lambda _text: waits.set())
    monkeypatch.setattr(core, "STATE", tmp_path)
    monkeypatch.setattr(keeper.cgroups, "remove", lambda _name: True)
    lab = Lab(tmp_path)
    lab.state.mkdir()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with keeper.watched(lab.state):
            end = pool.submit(lab.down)
            assert waits.wait(30)
            assert lab.state.exists()
        assert end.result(30) is True
    assert not lab.state.exists()
