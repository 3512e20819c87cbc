"""Encryption as it is chosen: by the pillar, else as the datacenter was built; and what is warned of without it."""

import contextlib
import datetime
import json
import logging
import socket
import ssl
import struct
import threading

import pghalib.secrets.x509
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
    module.unknown = lambda: None
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
    assert module.untrusting_services("PEM") == [
        "the authorities of this host are not those of the master: salt-run state.orchestrate pgha"
    ]
    (tmp_path / "ca.pem").write_text("PEM")
    assert module.untrusting_services("PEM") == []
    (tmp_path / "postgres.unread").touch()
    pending.append(str(tmp_path / "ca.pem"))
    assert module.untrusting_services("PEM") == [
        "Patroni has not read the authorities yet: salt-run state.orchestrate pgha",
        "vip-manager was started with others: salt-run state.orchestrate pgha.restart",
    ]


@pytest.mark.parametrize(("minutes", "enabled", "said"), [(130, True, 70), (50, True, None), (130, False, None)])
def test_a_host_whose_clock_is_so_far_behind_that_its_certificate_is_none_yet_is_told(
    loader_module, monkeypatch, minutes, enabled, said
):
    made = pghalib.secrets.x509.authority("dc", 1)
    host = pghalib.secrets.x509.issue("db1", {"db1"}, made, 1)
    later = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes)
    monkeypatch.setattr(pghalib.secrets.x509, "_now", lambda: later)
    module = loader_module(
        "_modules/pgha_tls.py",
        salt={"pgha.settings": lambda: {"role": "db", "tls": {"enabled": enabled}}},
        pillar={"pgha_secrets": {"tls": {"ca": made["certificate"], "consul": host["certificate"]}}},
    )
    found = module.not_yet()
    assert len(found) == (1 if said else 0)
    assert not said or f"at least {said} minutes behind that of whoever made its certificate" in found[0]


@pytest.mark.parametrize("text", ['{"ca_file": ', "[" * 9000, "7", "null", "[[]]"])
def test_a_configuration_that_cannot_be_read_tells_nothing_of_tls(host, tmp_path, text):
    module = host(False, ENCRYPTED)
    assert module.speaks() is True
    (tmp_path / "config.json").write_text(text)
    assert module.speaks() is None
    assert module.stays() is True


@pytest.mark.parametrize(
    ("enabled", "served", "found"),
    [
        (True, {"tls": {"ca": "PEM"}}, "PEM"),
        (True, {"agent": 1}, None),
        (True, None, None),
        (False, {"tls": {"ca": "PEM"}}, None),
    ],
)
def test_the_authorities_that_the_master_serves_are_for_a_host_with_tls(loader_module, enabled, served, found):
    module = loader_module(
        "_modules/pgha_tls.py",
        salt={"pgha.settings": lambda: {"tls": {"enabled": enabled}}},
        pillar={"pgha_secrets": served},
    )
    assert module.bundle() == found


class Port:
    """A port that shows the certificate of a file as it was at its start, as a service does that is never reloaded."""

    def __init__(self, path, answer=None):
        self.answer = answer
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(path)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.number = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self.listener.accept()
                with raw, contextlib.suppress(OSError):
                    self.show(raw)

    def show(self, raw):
        if self.answer:
            # What a client of PostgreSQL says first; whoever says something else gets no certificate.
            if raw.recv(8) != struct.pack("!II", 8, 80877103):
                return
            raw.sendall(self.answer)
        self.context.wrap_socket(raw, server_side=True).close()


class Services:
    """A database host with a certificate of each service on the disk, and what listens on its ports."""

    def __init__(self, loader_module, path):
        self.path, self.listening = path, []
        self.settings = {
            "role": "db",
            "address": "127.0.0.1",
            "tls": {"enabled": True, "ca": None},
            "consul": {},
            "patroni": {},
            "postgres": {},
        }
        self.authority()
        utils = {
            "pghalib.tls.pem": lambda service: str(path / f"{service}.pem"),
            "pghalib.tls.authorities": lambda asked: str(path / "ca.pem") if asked["tls"]["enabled"] else None,
            "pghalib.tls.unread": lambda service: str(path / f"{service}.unread"),
            "pghalib.consul.client.api": lambda asked: {"address": f"https://127.0.0.1:{asked['consul']['port']}"},
        }
        self.module = loader_module("_modules/pgha_tls.py", salt={"pgha.settings": lambda: self.settings}, utils=utils)

    def authority(self):
        """The master has another authority, and the host trusts that one alone."""
        self.signer = pghalib.secrets.x509.authority("dc", 3000)
        (self.path / "ca.pem").write_text(self.signer["certificate"])

    def install(self, service, signer=None, names=("127.0.0.1",), days=365):
        own = pghalib.secrets.x509.issue("db1", set(names), signer or self.signer, days)
        (self.path / f"{service}.pem").write_text(own["key"] + own["certificate"])

    def start(self, section, key, answer=None):
        port = Port(self.path / ("consul.pem" if section == "consul" else "postgres.pem"), answer)
        self.listening.append(port)
        self.settings[section][key] = port.number

    def start_all(self):
        self.start("consul", "port")
        self.start("patroni", "restapi_port")
        self.start("postgres", "port", answer=b"S")


@pytest.fixture
def services(loader_module, tmp_path):
    found = Services(loader_module, tmp_path)
    for service in ("consul", "postgres"):
        found.install(service)
    yield found
    for port in found.listening:
        port.listener.close()


def test_a_port_is_outdated_while_it_shows_another_certificate_than_the_disk_has(services):
    services.start_all()
    assert services.module.outdated("consul") == services.module.outdated("postgres") == []
    services.install("postgres")
    assert services.module.outdated("postgres") == ["Patroni's REST API", "PostgreSQL"]
    assert services.module.outdated("consul") == []
    services.start("patroni", "restapi_port")
    assert services.module.outdated("postgres") == ["PostgreSQL"]
    services.start("postgres", "port", answer=b"S")
    assert services.module.outdated("postgres") == []
    (services.path / "consul.pem").unlink()
    assert services.module.outdated("consul") == ["Consul's API"]


def test_a_port_that_shows_no_certificate_to_be_trusted_is_an_error(services):
    services.start("patroni", "restapi_port")
    services.start("postgres", "port", answer=b"N")
    with pytest.raises(
        CommandExecutionError, match=r"^PostgreSQL at 127.0.0.1:\d+ cannot be .*: the service does not speak TLS$"
    ):
        services.module.outdated("postgres")
    for wrong in ({"signer": pghalib.secrets.x509.authority("a stranger", 9)}, {"names": ["192.0.2.11"]}):
        services.install("consul", **wrong)
        services.start("consul", "port")
        with pytest.raises(CommandExecutionError, match="^Consul's API at .* with TLS: .*certificate verify failed"):
            services.module.outdated("consul")


ALL = {"consul": ["Consul's API"], "postgres": ["Patroni's REST API", "PostgreSQL"]}


def test_a_port_that_shows_a_certificate_that_has_ended_is_outdated(services):
    for service in ALL:
        services.install(service, days=0)
    services.start_all()
    for service in ALL:
        services.install(service)
    assert {service: services.module.outdated(service) for service in ALL} == ALL
    assert {service: services.module.refused(service) for service in ALL} == ALL
    services.start_all()
    assert {service: services.module.outdated(service) for service in ALL} == {service: [] for service in ALL}
    assert {service: services.module.refused(service) for service in ALL} == {service: [] for service in ALL}


def test_a_certificate_of_a_former_authority_is_outdated_while_the_authorities_are_unread_alone(services):
    services.start_all()
    services.authority()
    for service in ALL:
        services.install(service)
        assert services.module.refused(service) == []
        with pytest.raises(CommandExecutionError, match="certificate verify failed"):
            services.module.outdated(service)
    (services.path / "postgres.unread").touch()
    assert services.module.outdated("postgres") == services.module.refused("postgres") == ALL["postgres"]
    with pytest.raises(CommandExecutionError, match="certificate verify failed"):
        services.module.outdated("consul")


@pytest.mark.parametrize("what", ["the certificate has ended", "the authority has ended", "none is there", "no PEM"])
def test_a_port_is_not_outdated_while_the_disk_has_nothing_better_to_show(services, what):
    if what == "the authority has ended":
        services.signer = pghalib.secrets.x509.authority("dc", 0)
        (services.path / "ca.pem").write_text(services.signer["certificate"])
    services.install("consul", days=0)
    services.start("consul", "port")
    file = services.path / "consul.pem"
    if what == "none is there":
        file.unlink()
    elif what == "no PEM":
        file = services.path / "ca.pem"
        file.write_text(file.read_text() + "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    assert services.module.refused("consul") == []
    with pytest.raises(CommandExecutionError, match="cannot be asked with TLS"):
        services.module.outdated("consul")


def test_a_certificate_that_has_ended_counts_for_nothing_when_it_was_never_good_here(services):
    """Of a stranger, or of another host: neither is taken for one of this host's, and nothing is reloaded for it."""
    for wrong in ({"signer": pghalib.secrets.x509.authority("a stranger", 9)}, {"names": ["192.0.2.11"]}):
        services.install("consul", days=0, **wrong)
        services.start("consul", "port")
        services.install("consul")
        assert services.module.refused("consul") == []
        with pytest.raises(CommandExecutionError, match="certificate verify failed"):
            services.module.outdated("consul")


def test_a_port_that_does_not_answer_hides_none_that_is_refused(services):
    services.install("postgres", days=0)
    services.start("patroni", "restapi_port", answer=b"N")
    services.start("postgres", "port", answer=b"S")
    services.install("postgres")
    assert services.module.refused("postgres") == ["PostgreSQL"]


def test_each_port_that_is_asked_for_its_certificate_is_one_line_of_the_log(services, caplog):
    services.start_all()
    services.start("postgres", "port", answer=b"N")
    with caplog.at_level(logging.DEBUG), pytest.raises(CommandExecutionError, match="does not speak TLS"):
        services.module.outdated("postgres")
    ports = services.settings["patroni"]["restapi_port"], services.settings["postgres"]["port"]
    lines = [line.rpartition(",") for line in caplog.messages if line.startswith("127.0.0.1:")]
    assert [line[0] for line in lines] == [
        f"127.0.0.1:{ports[0]}: a certificate",
        f"127.0.0.1:{ports[1]}: no certificate",
    ]
    assert all(line[2].endswith(" ms") for line in lines)


def test_the_status_tells_the_certificate_that_ends_first_and_the_ports_that_are_late(services):
    services.install("postgres", days=30)
    services.start_all()
    told = services.module.status()
    assert (round(told["days"]), told["due"], told["outdated"]) == (30, False, [])
    assert told["until"] == services.module.certificate("postgres")["until"]
    # A service that does not answer is told elsewhere, and hides no other.
    services.settings["consul"]["port"] = services.settings["postgres"]["port"]
    services.install("postgres", days=3000)
    told = services.module.status()
    assert (round(told["days"]), told["outdated"]) == (365, ["Patroni's REST API", "PostgreSQL"])
    (services.path / "postgres.pem").unlink()
    told = services.module.status()
    assert (told["until"], told["days"], told["due"]) == (None, None, True)
    services.settings["role"] = "dcs"
    assert round(services.module.status()["days"]) == 365
    services.settings["tls"]["enabled"] = False
    assert services.module.status() is None


def test_a_file_that_holds_a_key_alone_is_named(services):
    own = pghalib.secrets.x509.issue("db1", {"db1"}, services.signer, 9)
    (services.path / "consul.pem").write_text(own["key"])
    with pytest.raises(CommandExecutionError, match="holds no certificate: run the main job"):
        services.module.certificate("consul")
