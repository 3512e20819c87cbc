"""Certificates as states: a service is told of a new one until it shows it."""

from pathlib import Path

import pghalib.secrets.x509
import pytest
from salt.exceptions import CommandExecutionError


def written(path, content, test):
    """In place of pghalib.host.files.manage, which gives files to users of a host."""
    same = Path(path).exists() and Path(path).read_text() == content
    if not (same or test):
        Path(path).write_text(content)
    return {"result": True, "changes": {} if same else {"diff": "+new"}, "comment": f"{path} was written."}


@pytest.fixture
def served():
    """What the master serves to this host."""
    return {"ca": "first", "consul": "own", "postgres": "own", "repository": "own"}


@pytest.fixture
def state(loader_module, monkeypatch, tmp_path, served):
    """A function: the module on a host whose service takes a new certificate at its n-th reload."""

    def build(reloads, test=False, services=("consul", "postgres", "repository")):
        done = []
        salt = {
            "pgha_tls.outdated": lambda _service: ["Patroni's REST API"] if len(done) < reloads else [],
            "pgha_tls.refused": lambda _service: ["Patroni's REST API"] if len(done) < reloads else [],
            "service.reload": done.append,
            "service.status": lambda _unit: True,
        }
        salt.update(
            {
                "pgha_tls.services": lambda: list(services),
                "pgha_tls.stays": lambda: True,
                "pgha.settings": lambda: {"tls": {"enabled": True}},
            }
        )
        salt["service.reload"] = lambda unit: done.append(unit) or True
        utils = {
            "pghalib.tls.unread": lambda service: str(tmp_path / f"run/{service}.unread"),
            "pghalib.tls.authorities": lambda _settings: str(tmp_path / "ca.pem"),
            "pghalib.tls.files": lambda _settings, own, service: {
                str(tmp_path / "ca.pem"): {"content": own["ca"]},
                str(tmp_path / f"{service}.pem"): {"content": own[service]},
            },
            "pghalib.host.files.manage": written,
        }
        module = loader_module("_states/pgha_tls.py", salt=salt, utils=utils, opts={"test": test})
        monkeypatch.setattr(module.pghalib.secrets.served, "own", lambda *_: {"tls": served})
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
    assert ret["comment"].startswith("Restart pending: patroni was told to read its TLS files; Not within 0.1 s: ")


def test_a_dry_run_tells_nobody(state):
    module, done = state(1, test=True)
    ret = module.in_use("x", "postgres")
    assert (ret["result"], list(ret["changes"]), done) == (None, ["Patroni's REST API"], [])
    assert ret["comment"] == "patroni would be told to read its TLS files (Patroni's REST API)."
    module.__salt__["service.status"] = lambda _unit: False
    ret = module.in_use("x", "postgres")
    assert (ret["result"], ret["changes"]) == (None, {})
    assert ret["comment"] == "The certificate would be looked at when patroni runs."


def test_a_service_that_does_not_answer_fails(state):
    module, done = state(0)

    def refuse(_service):
        raise CommandExecutionError("Connection refused")

    module.__salt__["pgha_tls.outdated"] = refuse
    ret = module.in_use("x", "consul", timeout=0)
    assert (ret["result"], ret["changes"], done) == (False, {}, [])
    assert "consul answers with TLS. Last answer: Connection refused" in ret["comment"]


def test_a_dry_run_waits_for_no_service_that_does_not_answer(state, clock):
    module, done = state(0, test=True)

    def refuse(_service):
        raise CommandExecutionError("certificate has expired")

    module.__salt__["pgha_tls.outdated"] = refuse
    ret = module.in_use("x", "consul")
    assert (ret["result"], ret["changes"], done, clock.now) == (None, {}, [], 0)
    assert ret["comment"] == "The certificate would be looked at when consul answers with TLS."


@pytest.mark.parametrize("reloads", [1, 2])
def test_a_service_with_a_certificate_that_has_ended_is_told_before_anything_waits_for_its_answer(state, reloads):
    module, done = state(reloads)
    ret = module.accepted("x", "postgres", timeout=5)
    assert (ret["result"], list(ret["changes"]), done) == (True, ["Patroni's REST API"], ["patroni"] * reloads)
    assert module.accepted("x", "postgres")["changes"] == {}
    module, done = state(reloads, test=True)
    ret = module.accepted("x", "postgres")
    assert (ret["result"], list(ret["changes"]), done) == (None, ["Patroni's REST API"], [])


def test_a_service_that_goes_on_showing_a_certificate_that_has_ended_fails_and_is_named_with_the_way_out(state):
    module, _ = state(10**9)
    ret = module.accepted("x", "postgres", timeout=0.1)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "systemctl restart patroni" in ret["comment"]


def test_authorities_are_unread_until_no_port_shows_the_certificate_of_a_former_one(state, served, tmp_path):
    """Patroni takes its certificate at the second reload alone: until then its port is outdated by the note."""
    module, done = state(2)
    module.installed("x", "postgres")
    served["ca"] = "second"
    module.installed("x", "postgres")
    note = tmp_path / "run/postgres.unread"

    def outdated(_service):
        if len(done) < 2 and not note.exists():
            raise CommandExecutionError("unable to get local issuer certificate")
        return ["Patroni's REST API"] if len(done) < 2 else []

    module.__salt__["pgha_tls.outdated"] = outdated
    ret = module.in_use("x", "postgres", timeout=5)
    assert (ret["result"], list(ret["changes"]), done) == (True, ["Patroni's REST API", "authorities"], ["patroni"] * 2)
    assert not note.exists()


def test_authorities_alone_are_read_too_by_each_service_once(state, served, tmp_path):
    module, done = state(0)
    module.installed("x", "consul")
    assert not (tmp_path / "run").exists(), "a new host reads them at its start"
    served["ca"] = "first and second"
    assert list(module.installed("x", "consul")["changes"]) == [str(tmp_path / "ca.pem")]
    module.installed("x", "postgres")
    for service, unit in module.UNITS.items():
        ret = module.in_use("x", service)
        assert (ret["result"], list(ret["changes"]), done.pop()) == (True, ["authorities"], unit)
        assert (module.in_use("x", service)["changes"], done) == ({}, [])


def test_a_reload_of_the_authorities_that_failed_is_made_up_for(state, served):
    module, done = state(0)
    module.installed("x", "consul")
    served["ca"] = "second"
    module.installed("x", "consul")
    module.__salt__["service.reload"] = lambda _unit: False
    ret = module.in_use("x", "consul", timeout=0.1)
    assert (ret["result"], ret["changes"]) == (True, {})
    assert "systemctl reload consul failed" in ret["comment"]
    module.__salt__["service.reload"] = lambda unit: done.append(unit) or True
    assert module.in_use("x", "consul")["changes"]
    assert done == ["consul"]


def test_a_server_of_consul_notes_no_service_that_it_has_not(state, served, tmp_path):
    module, _ = state(0, services=["consul"])
    module.installed("x", "consul")
    served["ca"] = "second"
    module.installed("x", "consul")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["consul.unread"]


def test_a_dry_run_notes_nothing(state, served, tmp_path):
    state(0)[0].installed("x", "consul")
    served["ca"] = "second"
    assert state(0, test=True)[0].installed("x", "consul")["result"] is None
    assert not (tmp_path / "run").exists()


def test_what_is_installed_is_named_without_its_content(state, tmp_path):
    module, _ = state(0)
    ret = module.installed("x", "consul")
    expected = {str(tmp_path / name): {"old": None, "new": "no certificate"} for name in ("ca.pem", "consul.pem")}
    assert (ret["result"], ret["changes"]) == (True, expected)
    assert ret["comment"] == " ".join(f"{path} was written." for path in expected)
    ret = module.installed("x", "consul")
    assert (ret["result"], ret["changes"]) == (True, {})
    assert ret["comment"] == "The certificate and the authorities are those of the master."


def test_a_file_that_was_installed_before_another_failed_is_told(state, monkeypatch, tmp_path):
    module, _ = state(0)

    def full(path, content, test):
        if path.endswith("consul.pem"):
            raise CommandExecutionError(f"{path}: No space left on device")
        return written(path, content, test)

    monkeypatch.setattr("pghalib.host.files.manage", full)
    ret = module.installed("x", "consul")
    assert (ret["result"], list(ret["changes"])) == (False, [str(tmp_path / "ca.pem")])
    assert ret["comment"].endswith("consul.pem: No space left on device")


@pytest.mark.parametrize(("test", "result"), [(True, None), (False, False)])
def test_without_a_certificate_on_the_master_only_a_dry_run_goes_on(state, served, tmp_path, test, result):
    module, _ = state(0, test=test)
    served.clear()
    ret = module.installed("x", "consul")
    assert (ret["result"], ret["changes"], list(tmp_path.iterdir())) == (result, {}, [])
    assert "no certificate" in ret["comment"]


def test_a_certificate_in_the_changes_is_told_by_its_serial_and_never_with_its_key(state, served, tmp_path):
    module, _ = state(0)
    signer, told = pghalib.secrets.x509.authority("dc", 300), []
    for _ in range(2):
        own = pghalib.secrets.x509.issue("db1", {"db1"}, signer, 30)
        served.update(ca=signer["certificate"], consul=own["key"] + own["certificate"])
        ret = module.installed("x", "consul")
        about = pghalib.secrets.x509.describe(own["certificate"])
        told.append(f"CN=db1, serial {about['serial'][:8]}, until {about['until'][:10]}")
        assert ret["changes"][str(tmp_path / "consul.pem")]["new"] == told[-1]
        assert "BEGIN" not in str(ret)
    # The authorities are as they were.
    assert ret["changes"] == {str(tmp_path / "consul.pem"): {"old": told[0], "new": told[1]}}
