"""When the authority of a host's certificate ends, and whether that is to be told."""

import datetime

import pytest
from salt.exceptions import CommandExecutionError

DAY = datetime.timedelta(days=1)


@pytest.fixture
def x509(loader_module):
    return loader_module("_utils/pghalib/secrets/x509.py")


def host(x509, authority, days=365):
    return x509.issue("db1", {"db1"}, authority, days)["certificate"]


@pytest.mark.parametrize(
    ("life", "later", "due"),
    [(3650, 0, False), (3650, 3280, False), (3650, 3290, True), (30, 0, False), (30, 19, False), (30, 21, True)],
)
def test_it_is_due_within_a_year_or_the_last_third_of_its_time(x509, monkeypatch, life, later, due):
    authority = x509.authority("dc", life)
    own, now = host(x509, authority), x509._now()
    monkeypatch.setattr(x509, "_now", lambda: now + later * DAY)
    found = x509.end_of_authority(authority["certificate"], own)
    assert found["due"] is due
    assert abs(found["days"] - (life - later)) < 0.2
    assert found["until"].startswith(f"{now + life * DAY:%Y-%m-%d}")


def test_the_authority_that_signed_the_certificate_counts(x509):
    old, new = x509.authority("dc", 10), x509.authority("dc", 3650)
    both = old["certificate"] + new["certificate"]
    assert x509.end_of_authority(both, host(x509, new))["days"] > 3000
    assert x509.end_of_authority(both, host(x509, old))["days"] < 11
    # Nobody of them: the first that ends.
    assert x509.end_of_authority(both, host(x509, x509.authority("dc", 99)))["days"] < 11


@pytest.mark.parametrize("wrong", ["", "x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_what_is_no_authority_is_an_error(x509, wrong):
    with pytest.raises(ValueError, match="."):
        x509.end_of_authority(wrong, host(x509, x509.authority("dc", 10)))


@pytest.mark.parametrize("ca", [None, "/root/ca.pem"])
def test_a_host_tells_it_with_its_certificate(loader_module, x509, tmp_path, ca):
    authority = x509.authority("dc", 300)
    (tmp_path / "ca.pem").write_text(authority["certificate"])
    (tmp_path / "consul.pem").write_text(host(x509, authority))
    settings = {"role": "dcs", "tls": {"enabled": True, "ca": ca}, "consul": {"client_addr": "127.0.0.1", "config": {}}}
    module = loader_module(
        "_modules/pgha_tls.py",
        salt={"pgha.settings": lambda: settings},
        utils={
            "pghalib.tls.pem": lambda service: str(tmp_path / f"{service}.pem"),
            "pghalib.tls.authorities": lambda _settings: str(tmp_path / "ca.pem"),
        },
    )
    module.outdated = lambda _service: []
    told = module.status()
    assert told["authority"] == {**told["authority"], "due": False, "own": ca is None}
    assert 299 < told["authority"]["days"] < 301
    (tmp_path / "ca.pem").write_bytes(b"\xff")
    with pytest.raises(CommandExecutionError, match=r"ca\.pem holds no authority"):
        module.status()
    (tmp_path / "ca.pem").unlink()
    assert module.status()["authority"] is None
