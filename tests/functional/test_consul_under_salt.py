"""
The states of Consul loaded by Salt itself, on a real server that has no leader yet when they begin.

The loader decides what ``__salt__`` is in a function that is called from another kind of module; no
test that sets them by hand can see that.
"""

from pathlib import Path

import pytest
import salt.client
import salt.config
from functional.consul_hosts import ACL_STATES

ROOT = Path(__file__).resolve().parents[2]
#: Consul is no service of this machine here.
SERVICE = """
def show(name):
    return {"MainPID": "1", "ActiveState": "active"}
"""


@pytest.fixture
def server(datacenter):
    return datacenter().servers[0]


@pytest.fixture
def call(server, tmp_path):
    """A function of Salt on that server: its own loader, settings from the pillar by the formula's own rules."""
    opts = salt.config.minion_config(None)
    opts.update(
        id=server.name,
        root_dir=str(tmp_path),
        cachedir=str(tmp_path / "cache"),
        pki_dir=str(tmp_path / "pki"),
        sock_dir=str(tmp_path / "sock"),
        extension_modules=str(tmp_path / "extmods"),
        file_client="local",
        file_roots={"base": [str(ROOT / "salt"), str(tmp_path / "sls")]},
        pillar_roots={"base": [str(tmp_path / "pillar")]},
        module_dirs=[str(tmp_path / "modules"), str(ROOT / "_modules")],
        states_dirs=[str(ROOT / "_states")],
        utils_dirs=[str(ROOT / "_utils")],
    )
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/service.py").write_text(SERVICE)
    names = ("version", "user", "data_dir", "config_dir", "log_dir", "client_addr")
    own = {key: server.settings["consul"][key] for key in names}
    pillar = {
        "pgha": {
            "datacenters": {
                "dc-1": {"servers": {server.name: server.address}, "consul": {**own, "startup_timeout": 30}}
            },
            "clusters": {"test": {"vip": "198.51.100.40/24", "hosts": {"db1": server.datacenter.database["address"]}}},
        },
        "pgha_secrets": server.secrets(),
    }
    (tmp_path / "sls").mkdir()
    for name in ACL_STATES:
        (tmp_path / f"sls/{name}.sls").write_text(f"a sentence:\n  pgha_consul.{name}: []\n")
    caller = salt.client.Caller(mopts=opts)

    def call(name, **kwargs):
        (ret,) = caller.cmd("state.apply", name, pillar=pillar, **kwargs).values()
        return ret

    return call


def test_states_find_their_names_wherever_they_are_called_from(server, call):
    for name in ACL_STATES:
        ret = call(name, test=True)
        assert ret["result"] is None, ret
    server.state("configured")
    server.start()
    for name in ACL_STATES:
        assert call(name)["result"] is True
    for name in ACL_STATES:
        for test in (False, True):
            ret = call(name, test=test)
            assert (ret["result"], ret["changes"]) == (True, {}), ret
