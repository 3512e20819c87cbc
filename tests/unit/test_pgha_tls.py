"""Encryption as it is chosen: by the pillar, else as the datacenter was built; and what is warned of without it."""

import json

import pytest
from salt.exceptions import CommandExecutionError

PLAIN, ENCRYPTED = {"datacenter": "dc"}, {"datacenter": "dc", "ca_file": "/etc/pgha/tls/ca.pem"}


@pytest.fixture
def host(loader_module, tmp_path):
    """A function: the module on a host with this config.json (None: without), with or without data of Consul's."""

    def build(enabled, config, data=True, pid=None):
        (tmp_path / "data").mkdir(exist_ok=True)
        if data:
            (tmp_path / "data/raft").mkdir(exist_ok=True)
        if config is not None:
            (tmp_path / "config.json").write_text(json.dumps(config))
        settings = {
            "consul": {"config_dir": str(tmp_path), "data_dir": str(tmp_path / "data")},
            "tls": {"enabled": enabled},
        }
        salt = {"pgha.settings": lambda: settings, "pgha_consul.pid": lambda: pid}
        return loader_module("_modules/pgha_tls.py", salt=salt)

    return build


@pytest.mark.parametrize(("enabled", "config"), [(True, PLAIN), (False, ENCRYPTED), (False, {"tls": {}})])
@pytest.mark.parametrize("living", [{"data": True}, {"data": False, "pid": 7}], ids=["stopped", "runs"])
def test_a_living_host_is_not_switched_whether_its_consul_runs_or_not(host, enabled, config, living):
    with pytest.raises(CommandExecutionError, match="living cluster whose traffic is"):
        host(enabled, config, **living).stays()


@pytest.mark.parametrize(
    ("enabled", "config", "data"),
    [(True, ENCRYPTED, True), (False, PLAIN, True), (True, PLAIN, False), (True, None, True), (False, None, False)],
)
def test_a_host_stays_as_it_is_and_a_new_one_may_be_what_it_likes(host, enabled, config, data):
    assert host(enabled, config, data).stays() is True


@pytest.mark.parametrize(
    ("said", "secrets", "encrypted"),
    [
        (None, None, True),
        (None, {"agent": 1, "tls": {"ca": "x"}}, True),
        (None, {"agent": 1}, False),
        (False, {"agent": 1, "tls": {"ca": "x"}}, False),
        (True, {"agent": 1}, True),
    ],
)
def test_where_the_pillar_is_silent_a_host_does_what_the_master_serves(loader_module, said, secrets, encrypted):
    found = {"tls": {"enabled": said}}
    module = loader_module(
        "_modules/pgha.py",
        utils={"pghalib.inventory.settings": lambda *_: found},
        pillar={"pgha": {}, **({"pgha_secrets": secrets} if secrets else {})},
        opts={"id": "db1"},
        context={"pgha.defaults": {}},
    )
    assert module.settings()["tls"]["enabled"] is encrypted


@pytest.mark.parametrize(
    ("enabled", "version", "said"),
    [
        (False, "1.22.3", "is not encrypted"),
        (True, "1.22.3", None),
        (True, "1.11.0", None),
        (True, "1.8.7", "set consul:version to 1.8.15"),
        (True, "1.8.15", None),
        (True, "1.9.8", "1.9.9"),
        (True, "1.10.1", "1.10.2"),
        (True, "1.10.2", None),
        (True, "1.7.3", "1.8.15"),
    ],
)
def test_what_is_trusted_is_warned_of(loader_module, enabled, version, said):
    trust = loader_module("_utils/pghalib/preflight/verdicts.py").trust
    warnings = trust({"tls": {"enabled": enabled}, "consul": {"version": version}})
    assert len(warnings) == (1 if said else 0)
    assert not said or said in warnings[0]


def test_a_host_is_behind_until_its_services_have_read_the_authorities(loader_module, tmp_path):
    pending = []
    module = loader_module(
        "_modules/pgha_tls.py",
        salt={"pgha.settings": lambda: {"role": "db"}, "pgha_vip.restart_pending": lambda: pending},
        utils={
            "pghalib.tls.authorities": lambda _settings: str(tmp_path / "ca.pem"),
            "pghalib.tls.unread": lambda service: str(tmp_path / f"{service}.unread"),
        },
    )
    assert module.behind("PEM") == ["it has other authorities than the master: salt-run state.orchestrate pgha"]
    (tmp_path / "ca.pem").write_text("PEM")
    assert module.behind("PEM") == []
    (tmp_path / "postgres.unread").touch()
    pending.append(str(tmp_path / "ca.pem"))
    assert module.behind("PEM") == [
        "Patroni has not read the authorities yet: salt-run state.orchestrate pgha",
        "vip-manager was started with others: salt-run state.orchestrate pgha.restart",
    ]
