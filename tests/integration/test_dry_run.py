"""The first dry run, on bare hosts: it says what would be done, and does nothing of it."""

import pytest
from integration import formula, ground

GROUND = "bare"

# What a cluster can be made of: each has states of its own.
PILLARS = {
    "plain": {},
    "callback": {"tls": True, "vip": {"manager": "callback"}},
    "vanilla": {"vip": {"manager": "none"}, "postgres": {"distribution": "debian", "version": 15}},
}


@pytest.fixture(scope="module")
def without_a_home(bare):
    """A host on which a person has made the server's user before, without a home, as for a user of the network."""
    host = bare["test-db3"]
    script = "groupadd --system postgres; useradd --system -g postgres --no-create-home --home-dir /home/gone postgres"
    host.run(["sh", "-c", script])
    return host


@pytest.mark.parametrize("variant", PILLARS)
def test_it_names_everything_and_touches_nothing(bare, pillar, without_a_home, variant):
    pillar.put(PILLARS[variant])
    try:
        run = formula.run(bare, "test=True")
    finally:
        pillar.put({})
    failed = [f"{name}: {state['comment']}" for name, state in run.states.items() if state["result"] is False]
    assert run.code == 0, "\n".join([*failed, *run.changed()]) or run.text
    assert not failed
    said = "\n".join(run.changed())
    for host in ("test-dcs1", "test-dcs2", "test-dcs3", "test-db1", "test-db2", "test-db3"):
        assert f"{host}: Consul is configured as the pillar says" in said
    assert ground.touched(bare) == []
    assert bare.master.run(["find", formula.STORE, "-name", "*.json"], check=False).stdout == ""
    installed = ["ls", "-d", "/opt/pgpro", "/usr/lib/postgresql", "/var/lib/consul", "/home/gone", "/etc/pgha"]
    assert without_a_home.run(installed, check=False).stdout == ""
