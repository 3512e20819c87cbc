"""Certificates as states: a service is told of a new one until it shows it."""

import pytest


@pytest.fixture
def state(loader_module):
    """A function: the module on a host whose service takes a new certificate at its n-th reload."""

    def build(reloads, test=False):
        done = []
        salt = {
            "pgha_tls.outdated": lambda _service: ["Patroni's REST API"] if len(done) < reloads else [],
            "service.reload": done.append,
            "service.status": lambda _unit: True,
        }
        module = loader_module("_states/pgha_tls.py", salt=salt, opts={"test": test})
        module.AGAIN = 0
        return module, done

    return build


@pytest.mark.parametrize("reloads", [1, 2])
def test_a_service_is_told_until_it_shows_the_certificate(state, reloads):
    module, done = state(reloads)
    ret = module.in_use("x", "postgres", timeout=5)
    assert (ret["result"], list(ret["changes"]), done) == (True, ["Patroni's REST API"], ["patroni"] * reloads)
    assert module.in_use("x", "postgres")["changes"] == {}


def test_a_service_that_never_shows_it_waits_for_a_restart_and_is_no_change(state):
    module, _ = state(10**9)
    ret = module.in_use("x", "postgres", timeout=0.1)
    assert (ret["result"], ret["changes"]) == (True, {})
    assert ret["comment"].startswith("Restart pending: patroni was told to read it")


def test_a_dry_run_tells_nobody(state):
    module, done = state(1, test=True)
    ret = module.in_use("x", "postgres")
    assert (ret["result"], list(ret["changes"]), done) == (None, ["Patroni's REST API"], [])
