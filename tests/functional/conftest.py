"""Real services that the functional tests share. What is missing is an error: no test here is ever skipped."""

from pathlib import Path

import pghalib.services
import pghalib.services.owed
import pytest
from functional.consul_hosts import Datacenter, released


@pytest.fixture(scope="session")
def loader(pytestconfig):
    """A function ``(path, salt, opts, pillar)``: ``loader_module`` for fixtures that live longer than a test."""
    shared = pytestconfig.pluginmanager.get_plugin(str(Path(__file__).resolve().parents[1] / "conftest.py"))

    def load(path, salt=None, opts=None, pillar=None):
        names = {"__salt__": salt or {}, "__opts__": {"test": False, **(opts or {})}, "__pillar__": pillar or {}}
        return shared.load(path, {**names, "__context__": {}})

    return load


@pytest.fixture(scope="session", autouse=True)
def notes(tmp_path_factory):
    """Notes of what is owed lie below the tests' directory, and not in this machine's /run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pghalib.services, "DIRECTORY", str(tmp_path_factory.mktemp("owed") / "pgha"))
        yield


@pytest.fixture(scope="session")
def unpack(tmp_path_factory, loader):
    """A function that applies the state which unpacks releases to a real archive."""

    def unpack(target, source, sha256, test=False):
        salt = {"cp.cache_file": lambda url, source_hash=None: url.removeprefix("file://")}
        opts = {"test": test, "cachedir": str(tmp_path_factory.getbasetemp() / "cache")}
        module = loader("_states/pgha_release.py", salt=salt, opts=opts)
        return module.unpacked("Consul is unpacked", str(target), f"file://{source}", sha256)

    return unpack


@pytest.fixture(scope="session")
def binary(tmp_path_factory, unpack):
    """Path of the real Consul, from the archive that the lab's hosts download."""
    archive, sha256 = released()
    target = tmp_path_factory.mktemp("opt") / "consul"
    ret = unpack(target, archive, sha256)
    assert ret["result"] is True, ret
    return target


@pytest.fixture
def datacenter(tmp_path, loader, binary):
    """A function that gives a fresh datacenter, not started."""
    made = []

    def build(**settings):
        made.append(Datacenter(tmp_path / str(len(made)), loader, binary, **settings))
        return made[-1]

    yield build
    for one in made:
        one.down()


@pytest.fixture(scope="module")
def running(tmp_path_factory, loader, binary):
    """Three servers and a database host, set up by the states; the tests leave them as they found them."""
    one = Datacenter(tmp_path_factory.mktemp("dc"), loader, binary, servers=3)
    try:
        yield one.up()
    finally:
        one.down()
