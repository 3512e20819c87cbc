"""Every SLS is rendered by Salt itself, over a matrix of pillars, and its requisites are resolved."""

import copy
import json
from pathlib import Path

import pytest
import salt.client
import salt.config
import yaml

ROOT = Path(__file__).resolve().parents[2]
PILLAR = yaml.safe_load((ROOT / "pillar/pgha/test-dcs.sls").read_text())["pgha"]
PILLAR["clusters"] = yaml.safe_load((ROOT / "pillar/pgha/test.sls").read_text())["pgha"]["clusters"]
PILLAR["vip"] = {"hashes": {"4.0.0": "0" * 64}}
CANARY = "canary-that-no-sls-may-show"
TOKEN = {"accessor": "00000000-0000-4000-8000-000000000000", "secret": CANARY}
SECRETS = {
    "test-dcs1": {"gossip_key": CANARY, "agent": TOKEN, "management": TOKEN, "tokens": {"agent-test-dcs1": TOKEN}},
    "test-db2": {
        **dict.fromkeys(("gossip_key", "superuser", "replication", "rewind", "restapi"), CANARY),
        **dict.fromkeys(("agent", "patroni", "vip"), TOKEN),
    },
}
VARIANTS = {
    "defaults": {},
    "debian": {"postgres": {"distribution": "debian", "version": 15}},
    "callback": {"vip": {"manager": "callback", "interface": "eth1"}},
    "no-vip": {"vip": {"manager": "none"}},
    "synchronous": {"patroni": {"synchronous_mode": True, "synchronous_mode_strict": True}},
    "quorum": {"patroni": {"synchronous_mode": "quorum", "synchronous_node_count": 2}},
    "mirror": {
        "consul": {"url": "salt://mirror/consul_{version}.zip"},
        "vip": {"url": "https://mirror.example.org/vip-manager_{version}.tar.gz", "hashes": {"4.0.0": "0" * 64}},
        "patroni": {"find_links": "https://mirror.example.org/wheels"},
        "postgres": {"repo": {"name": "deb https://mirror.example.org/apt ./", "key_url": "salt://mirror/key.asc"}},
    },
    "own-names": {"hosts": {"manage": False, "domain": "example.org"}, "consul": {"config_dir": "/srv/consul.d"}},
}
NOT_FOR_MINIONS = {"pgha", "pgha.map", "pgha.restart"}


def sls_names():
    base = ROOT / "salt"
    names = {".".join(path.relative_to(base).with_suffix("").parts) for path in (base / "pgha").rglob("*.sls")}
    names = {name.removesuffix(".init") for name in names}
    return sorted(name for name in names - NOT_FOR_MINIONS if not name.startswith("pgha.orchestrate"))


def merged(given, over):
    for key, value in over.items():
        if isinstance(value, dict):
            merged(given.setdefault(key, {}), value)
        else:
            given[key] = value
    return given


def pillar_of(variant, minion_id):
    return {"pgha": merged(copy.deepcopy(PILLAR), VARIANTS[variant]), "pgha_secrets": SECRETS[minion_id]}


@pytest.fixture(scope="module")
def caller_of(tmp_path_factory):
    """Salt's own caller without a master, for a minion id; its pillar is set by the test."""
    callers = {}

    def build(minion_id):
        if minion_id not in callers:
            home = tmp_path_factory.mktemp(minion_id)
            opts = salt.config.minion_config(None)
            opts.update(
                id=minion_id,
                root_dir=str(home),
                cachedir=str(home / "cache"),
                pki_dir=str(home / "pki"),
                sock_dir=str(home / "sock"),
                extension_modules=str(home / "extmods"),
                file_client="local",
                file_roots={"base": [str(ROOT / "salt")]},
                pillar_roots={"base": [str(home / "pillar")]},
                module_dirs=[str(ROOT / "_modules")],
                utils_dirs=[str(ROOT / "_utils")],
                states_dirs=[str(ROOT / "_states")],
                grains_dirs=[str(ROOT / "_grains")],
            )
            callers[minion_id] = salt.client.Caller(mopts=opts)
        return callers[minion_id]

    return build


def sls_of(role):
    """What can be applied to a host of a role."""
    of_others = {
        "dcs": ("pgha.postgres", "pgha.patroni", "pgha.vip", "pgha.db", "pgha.packages"),
        "db": ("pgha.dcs", "pgha.consul.acl"),
    }
    return [name for name in sls_names() if not name.startswith(of_others[role])]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("minion_id", SECRETS)
def test_every_sls_renders_and_shows_no_secret(caller_of, minion_id, variant):
    caller = caller_of(minion_id)
    pillar = pillar_of(variant, minion_id)
    role = "dcs" if "dcs" in minion_id else "db"
    # Each by itself once, since it has to include what it requires; the whole host, which includes them, every time.
    whole = [f"pgha.{role}", *(name for name in sls_of(role) if name.endswith(".clean"))]
    for name in sls_of(role) if variant == "defaults" else whole:
        low = caller.cmd("state.show_low_sls", name, pillar=pillar)
        assert all(isinstance(chunk, dict) for chunk in low), (name, low)
        assert CANARY not in json.dumps(low), name
        for chunk in low:
            assert f"{chunk['state']}.{chunk['fun']}" in caller.sminion.states, chunk


def test_highstate_gives_each_role_its_states(caller_of):
    for role, minion_id in (("dcs", "test-dcs1"), ("db", "test-db2")):
        top = yaml.safe_load((ROOT / "salt/top.sls").read_text())["base"]
        assert top[f"pgha:role:{role}"] == [{"match": "grain"}, f"pgha.{role}"]
        low = caller_of(minion_id).cmd("state.show_low_sls", f"pgha.{role}", pillar=pillar_of("defaults", minion_id))
        assert {chunk["state"] for chunk in low} >= {"grains", "pgha_consul", "pgha_hosts"}, low
