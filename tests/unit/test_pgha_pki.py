"""The authority of a datacenter, the certificates of its hosts, and those that a user brings."""

import datetime
import json
import ssl
import subprocess

import pghalib.secrets.names
import pghalib.secrets.pki
import pghalib.secrets.store
import pghalib.secrets.trust
import pghalib.secrets.x509
import pytest
import shipped
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from salt.exceptions import CommandExecutionError

DEFAULTS = shipped.defaults()
ENCRYPTED = {"dc": True, "plain": False}
NOW = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
BEGIN = "-----BEGIN"


def inventory(**over):
    return {
        "tls": True,
        "datacenters": {
            "dc": {"servers": {"dcs1": "192.0.2.1", "dcs2": "192.0.2.2", "dcs3.example.org": "192.0.2.3"}},
            "plain": {"tls": False, "servers": {"old1": "192.0.2.6"}},
        },
        "clusters": {
            "one": {
                "datacenter": "dc",
                "vip": {"address": "192.0.2.40/24", "name": "one-vip"},
                "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"},
            },
            "old": {"datacenter": "plain", "vip": "192.0.2.60/24", "hosts": {"old-db1": "192.0.2.16"}},
        },
        **over,
    }


@pytest.fixture
def now(monkeypatch):
    """A function that sets the clock to so many days after NOW."""

    def moved(days=0):
        monkeypatch.setattr(pghalib.secrets.x509, "_now", lambda: NOW + datetime.timedelta(days=days))

    moved()
    return moved


@pytest.fixture
def store(tmp_path, now):
    pghalib.secrets.store.write_index(tmp_path, {"tls": ENCRYPTED})
    return tmp_path


def stored(path, name="dc"):
    return json.loads((path / f"tls-{name}.json").read_text())


def test_everything_is_made_once_private_and_only_where_it_is_wanted(store):
    databases = ["dc/tls/db1", "dc/tls/db1/postgres", "dc/tls/db2", "dc/tls/db2/postgres"]
    wanted = ["dc/tls/authority", *databases, "dc/tls/dcs1", "dc/tls/dcs2", "dc/tls/dcs3"]
    assert pghalib.secrets.pki.missing(store, inventory(), DEFAULTS, ENCRYPTED) == wanted
    assert not (store / "tls-dc.json").exists()
    assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == wanted
    before = (store / "tls-dc.json").read_bytes()
    assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == []
    assert (store / "tls-dc.json").read_bytes() == before
    assert (store / "tls-dc.json").stat().st_mode & 0o777 == 0o600
    assert not (store / "tls-plain.json").exists()


def test_certificates_have_the_names_by_which_hosts_are_asked(store):
    extra = {"enabled": True, "names": ["pg.example.org", "203.0.113.9"]}
    pgha = inventory(tls=extra, hosts={"domain": "example.org"})
    pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
    hosts, loopback = stored(store)["hosts"], {"localhost", "127.0.0.1"}
    assert names_in(hosts["dcs3"]) == {"dcs3", "dcs3.example.org", "192.0.2.3", "server.dc.consul", *loopback}
    assert "services" not in hosts["dcs3"]
    vip = {"192.0.2.40", "one-vip", "one-vip.example.org", *extra["names"]}
    postgres = hosts["db1"]["services"]["postgres"]
    assert names_in(postgres) == {"db1", "db1.example.org", "192.0.2.11", *vip, *loopback}
    # Whoever has Consul's key cannot pose as the databases of the host, by no name that it is asked by from elsewhere.
    assert names_in(hosts["db1"]) == {"client.dc.consul", *loopback}
    assert postgres["key"] != hosts["db1"]["key"]


def names_in(own):
    return set(pghalib.secrets.x509.describe(own["certificate"])["names"])


def test_a_store_that_knew_one_certificate_a_host_serves_it_until_it_is_filled(store):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    held = stored(store)
    # As it was: all names of a host in one certificate.
    signer, everything = (
        held["authorities"]["current"],
        set().union(*pghalib.secrets.names.wanted(inventory(), DEFAULTS, "dc")["db1"].values()),
    )
    held["hosts"]["db1"] = pghalib.secrets.x509.issue("db1", everything, signer, 365)
    (store / "tls-dc.json").write_text(json.dumps(held))
    served = pghalib.secrets.pki.of_host(store, "dc", "db1", "db")
    assert served["consul"] == served["postgres"]
    assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == ["dc/tls/db1", "dc/tls/db1/postgres"]
    served = pghalib.secrets.pki.of_host(store, "dc", "db1", "db")
    assert served["consul"] != served["postgres"]
    assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == []


def test_a_certificate_is_made_anew_when_its_names_change_and_others_are_left_alone(store):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    before = stored(store)
    pgha = inventory()
    pgha["clusters"]["one"]["hosts"]["db2"] = "192.0.2.13"
    pgha["clusters"]["one"]["hosts"]["db3"] = "192.0.2.14"
    assert pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED) == [
        "dc/tls/db2/postgres",
        "dc/tls/db3",
        "dc/tls/db3/postgres",
    ]
    after = stored(store)
    assert after["authorities"] == before["authorities"]
    assert after["hosts"]["db1"] == before["hosts"]["db1"]


def test_a_certificate_is_renewed_when_a_third_of_its_time_is_left(store, now):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    before = stored(store)
    now(days=240)
    assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == []
    now(days=246)
    assert "dc/tls/authority" not in pghalib.secrets.pki.missing(store, inventory(), DEFAULTS, ENCRYPTED)
    assert len(pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)) == 7
    after = stored(store)
    assert after["authorities"] == before["authorities"]
    assert after["hosts"]["db1"]["key"] != before["hosts"]["db1"]["key"]
    about = pghalib.secrets.x509.describe(after["hosts"]["db1"]["certificate"])
    assert (about["days"], about["due"]) == (365.0, False)


def test_force_makes_all_certificates_anew_and_never_an_authority(store):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    before = stored(store)
    assert len(pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED, force=True)) == 7
    assert stored(store)["authorities"] == before["authorities"]


def test_a_certificate_does_not_outlive_its_authority(store, now):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    now(days=3600)
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    assert pghalib.secrets.x509.describe(stored(store)["hosts"]["db1"]["certificate"])["until"].startswith("2039-12-30")


def test_a_host_gets_its_own_key_and_nobody_gets_an_authoritys(store):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    held = stored(store)
    db1 = pghalib.secrets.pki.of_host(store, "dc", "db1", "db")
    assert set(db1) == {"ca", "revision", "consul", "postgres"}
    assert db1["ca"] == held["authorities"]["current"]["certificate"] == pghalib.secrets.pki.authorities(store, "dc")
    assert held["hosts"]["db1"]["key"] in db1["consul"]
    assert held["hosts"]["db1"]["services"]["postgres"]["key"] in db1["postgres"]
    others = [
        held["authorities"]["current"]["key"],
        held["hosts"]["db2"]["services"]["postgres"]["key"],
        *(own["key"] for name, own in held["hosts"].items() if name != "db1"),
    ]
    assert not [key for key in others if key in json.dumps(db1) or key in "".join(map(str, db1.values()))]
    assert pghalib.secrets.pki.of_host(store, "dc", "dcs3", "dcs")["consul"].count(BEGIN) == 2
    assert set(pghalib.secrets.pki.of_host(store, "dc", "dcs3", "dcs")) == {"ca", "revision", "consul"}
    assert pghalib.secrets.pki.of_host(store, "plain", "old-db1", "db") is None
    assert pghalib.secrets.pki.of_host(store, "dc", "somebody", "db") is None
    assert pghalib.secrets.pki.authorities(store, "plain") is None


def test_a_damaged_store_is_never_replaced(store):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    (store / "tls-dc.json").write_text('{"authorities": {')
    with pytest.raises(CommandExecutionError, match="restore the store from its backup"):
        pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    assert (store / "tls-dc.json").read_text() == '{"authorities": {'


def test_the_authority_is_changed_in_three_steps_and_nobody_meets_a_stranger(store):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    trusted, certificates = (
        [pghalib.secrets.pki.authorities(store, "dc")],
        [stored(store)["hosts"]["db1"]["certificate"]],
    )
    revisions = [pghalib.secrets.pki.of_host(store, "dc", "db1", "db")["revision"]]
    for step in ("add", "use", "drop"):
        for wrong in {"add", "use", "drop"} - {step}:
            with pytest.raises(CommandExecutionError, match=f"is {step}, not {wrong}"):
                pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", wrong)
        pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", step)
        assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == []
        own = stored(store)["hosts"]["db1"]
        revisions.append(pghalib.secrets.pki.of_host(store, "dc", "db1", "db")["revision"])
        trusted.append(pghalib.secrets.pki.authorities(store, "dc"))
        certificates.append(own["certificate"])
        # Host by host: who has what the step before gave and who has what this one gives trust each other.
        for certificate in certificates[-2:]:
            for known in trusted[-2:]:
                wrong = pghalib.secrets.x509.faults_of("db1", known, certificate, own["key"], set())
                assert not [line for line in wrong if "lead to" in line], step
    assert revisions == [1, 2, 3, 4], "an older copy of the store is known by it"
    assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED, force=True) != []
    assert stored(store)["revision"] == 4, "new certificates of the same authority are no change of it"
    assert [text.count(BEGIN) for text in trusted] == [1, 2, 2, 1]
    assert trusted[0] != trusted[3]
    assert len(set(certificates)) == 4
    with pytest.raises(CommandExecutionError, match="plain has no authority: its traffic is not encrypted"):
        pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "plain", "add")


def test_a_step_is_taken_back_and_nobody_meets_a_stranger(store):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    before, seen = pghalib.secrets.pki.authorities(store, "dc"), [snapshot(store)]
    for step in ("add", "use", "back", "back"):
        pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", step)
        seen.append(snapshot(store))
    assert pghalib.secrets.pki.authorities(store, "dc") == before
    assert_neighbours_trust_each_other(seen)
    with pytest.raises(CommandExecutionError, match="is add, not back"):
        pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", "back")


def test_where_a_change_stands_is_told_by_who_signs_who_will_and_who_did(store):
    def told():
        found = pghalib.secrets.pki.authority_change(store, inventory(), DEFAULTS, "dc")
        return found["steps"], *(len(found[use]) for use in ("signs", "next", "former"))

    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    assert told() == (["add"], 1, 0, 0)
    pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", "add")
    assert told() == (["use", "back"], 1, 1, 0)
    pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", "use")
    assert told() == (["drop", "back"], 1, 0, 1)
    before = stored(store)
    with pytest.raises(CommandExecutionError, match="is drop, not add; back takes the last one back"):
        pghalib.secrets.pki.authority_change(store, inventory(), DEFAULTS, "dc", "add")
    assert stored(store) == before


def test_an_authority_does_not_change_while_another_process_has_the_lock_of_the_store(store, monkeypatch):
    pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
    before = stored(store)
    monkeypatch.setattr(pghalib.secrets.store, "LOCKED", 0.02)
    with pghalib.secrets.store.locked(store):
        with pytest.raises(CommandExecutionError, match="Another process has had the lock"):
            pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", "add")
        # To see where it stands takes no lock.
        assert pghalib.secrets.pki.authority_change(store, inventory(), DEFAULTS, "dc")["steps"] == ["add"]
    assert stored(store) == before


def test_without_a_stored_authority_no_step_is_taken(store):
    for step in (None, "add"):
        with pytest.raises(CommandExecutionError, match="No authority is stored for dc: run salt-run state.orch"):
            pghalib.secrets.pki.authority_change(store, inventory(), DEFAULTS, "dc", step)
    with pytest.raises(CommandExecutionError, match="No authority is stored for dc"):
        pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", "add")
    assert not (store / "tls-dc.json").exists()


def snapshot(path):
    """What a host is served: whom it trusts, and what it shows."""
    own = stored(path)["hosts"]["db1"]
    return pghalib.secrets.pki.authorities(path, "dc"), own["certificate"], own["key"]


def assert_neighbours_trust_each_other(seen):
    """Who has what a step gave and who still has what the one before gave know each other, both ways."""
    for before, after in zip(seen, seen[1:], strict=False):
        for known, _, _ in (before, after):
            for _, certificate, key in (before, after):
                wrong = pghalib.secrets.x509.faults_of("db1", known, certificate, key, set())
                assert not [line for line in wrong if "lead to" in line]


@pytest.mark.parametrize("minutes", [-59, 0])
def test_what_was_made_just_now_is_valid_on_a_host_whose_clock_is_behind(now, minutes):
    signer = pghalib.secrets.x509.authority("dc", 10)
    own = pghalib.secrets.x509.issue("db1", {"db1"}, signer, 5)
    now(days=minutes / 1440)
    assert pghalib.secrets.x509.faults_of("db1", signer["certificate"], own["certificate"], own["key"], {"db1"}) == []


def test_openssl_takes_what_is_made_for_server_and_client(tmp_path):
    signer = pghalib.secrets.x509.authority("dc", 10)
    own = pghalib.secrets.x509.issue("db1", {"db1", "192.0.2.11"}, signer, 5)
    (tmp_path / "ca.pem").write_text(signer["certificate"])
    # As a service reads it: key and certificate in one file.
    (tmp_path / "own.pem").write_text(own["key"] + own["certificate"])
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem").load_cert_chain(
        tmp_path / "own.pem"
    )
    for purpose in ("sslserver", "sslclient"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-verify_ip", "192.0.2.11"]
        done = subprocess.run(
            [*command, "-CAfile", tmp_path / "ca.pem", tmp_path / "own.pem"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


class TestBrought:
    """Certificates that the user brings."""

    @pytest.fixture
    def signer(self, now):
        return pghalib.secrets.x509.authority("a company", 3650)

    @pytest.fixture
    def files(self, tmp_path, signer):
        """A function that writes what the user has and returns the pillar; ``own`` replaces a host's pair."""

        def write(ca=None, **own):
            place = tmp_path / "brought"
            place.mkdir(exist_ok=True)
            tls = {"enabled": True, "ca": f"{place}/ca.pem", "certificate": f"{place}/{{name}}.pem"}
            pgha = inventory(tls={**tls, "key": f"{place}/{{id}}.key"})
            (place / "ca.pem").write_text(ca or signer["certificate"])
            ids = {"dcs3": "dcs3.example.org"}
            for name, services in pghalib.secrets.names.wanted(pgha, DEFAULTS, "dc").items():
                pair = own.get(name) or pghalib.secrets.x509.issue(name, set().union(*services.values()), signer, 365)
                (place / f"{name}.pem").write_text(pair["certificate"])
                (place / f"{ids.get(name, name)}.key").write_text(pair["key"])
            return pgha

        return write

    def test_they_are_taken_over_and_need_not_stay(self, store, files, tmp_path, signer):
        pgha = files()
        assert len(pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)) == 7
        assert pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED) == []
        own = pghalib.secrets.pki.of_host(store, "dc", "dcs3", "dcs")
        assert own["ca"] == signer["certificate"]
        assert (tmp_path / "brought/dcs3.example.org.key").read_text() in own["consul"]
        assert "authorities" not in stored(store)

    def test_there_may_be_one_for_each_service(self, store, files, tmp_path, signer):
        pgha, place = files(), tmp_path / "brought"
        pgha["tls"].update(certificate=f"{place}/{{service}}/{{name}}.pem", key=f"{place}/{{service}}/{{name}}.key")
        for name, services in pghalib.secrets.names.wanted(pgha, DEFAULTS, "dc").items():
            for service, names in services.items():
                pair = pghalib.secrets.x509.issue(name, names, signer, 365)
                (place / service).mkdir(exist_ok=True)
                (place / service / f"{name}.pem").write_text(pair["certificate"])
                (place / service / f"{name}.key").write_text(pair["key"])
        assert len(pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)) == 7
        own = pghalib.secrets.pki.of_host(store, "dc", "db1", "db")
        for service in ("consul", "postgres"):
            assert (place / service / "db1.key").read_text() in own[service]
        assert own["consul"] != own["postgres"]

    def test_the_users_authority_is_added_first_and_those_before_stay_until_dropped(self, store, files, signer):
        pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
        seen = [snapshot(store)]
        own = stored(store)["authorities"]["current"]["certificate"]
        pgha = files()
        # The main job has everyone trust it, and has nobody show a certificate of it.
        assert "dc/tls/ca" in pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        seen.append(snapshot(store))
        assert pghalib.secrets.pki.authorities(store, "dc") == own + signer["certificate"]
        assert pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED) == []
        for step in ("use", "drop"):
            pghalib.secrets.pki.rotate(store, pgha, DEFAULTS, "dc", step)
            seen.append(snapshot(store))
            assert pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED) == []
        assert pghalib.secrets.pki.authorities(store, "dc") == signer["certificate"]
        assert_neighbours_trust_each_other(seen)
        with pytest.raises(CommandExecutionError, match="set tls:ca to the next one first"):
            pghalib.secrets.pki.rotate(store, pgha, DEFAULTS, "dc", "add")

    def test_the_users_next_authority_is_added_first(self, store, files, signer):
        pghalib.secrets.pki.fill(store, files(), DEFAULTS, ENCRYPTED)
        seen, following = [snapshot(store)], pghalib.secrets.x509.authority("next year", 3650)
        pgha = files(ca=following["certificate"], **self.pairs(following))
        # As if nothing but its authority had come: his old certificates serve on.
        assert pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED) == ["dc/tls/ca"]
        seen.append(snapshot(store))
        assert seen[1][1] == seen[0][1]
        for step in ("use", "drop"):
            pghalib.secrets.pki.rotate(store, pgha, DEFAULTS, "dc", step)
            seen.append(snapshot(store))
        assert pghalib.secrets.pki.authorities(store, "dc") == following["certificate"]
        assert_neighbours_trust_each_other(seen)

    def pairs(self, signer):
        wanted = pghalib.secrets.names.wanted(inventory(), DEFAULTS, "dc")
        return {
            name: pghalib.secrets.x509.issue(name, set().union(*names.values()), signer, 365)
            for name, names in wanted.items()
        }

    def test_the_formulas_own_take_their_place_in_the_same_steps(self, store, files, signer):
        pghalib.secrets.pki.fill(store, files(), DEFAULTS, ENCRYPTED)
        seen = [snapshot(store)]
        with pytest.raises(CommandExecutionError, match="is add, not use"):
            pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", "use")
        assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == ["dc/tls/authority", "dc/tls/ca"]
        seen.append(snapshot(store))
        for step in ("use", "drop"):
            pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", step)
            seen.append(snapshot(store))
            assert pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED) == []
        assert signer["certificate"] not in pghalib.secrets.pki.of_host(store, "dc", "db1", "db")["ca"]
        assert_neighbours_trust_each_other(seen)
        assert pghalib.secrets.pki.authority_change(store, inventory(), DEFAULTS, "dc")["steps"] == ["add"]

    def test_a_change_of_mind_is_the_pillar_as_it_was(self, store, files, signer):
        pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
        before, pgha = pghalib.secrets.pki.authorities(store, "dc"), files()
        # Before it signs: it is forgotten.
        pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        assert "dc/tls/ca" in pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
        assert pghalib.secrets.pki.authorities(store, "dc") == before
        # After: those before are trusted still, so they may sign at once.
        pghalib.secrets.pki.rotate(store, pgha, DEFAULTS, "dc", "add")
        pghalib.secrets.pki.rotate(store, pgha, DEFAULTS, "dc", "use")
        seen = [snapshot(store)]
        pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
        seen.append(snapshot(store))
        for step in ("use", "drop"):
            pghalib.secrets.pki.rotate(store, inventory(), DEFAULTS, "dc", step)
            seen.append(snapshot(store))
        assert pghalib.secrets.pki.authorities(store, "dc") == before
        assert_neighbours_trust_each_other(seen)

    def test_a_host_that_comes_in_the_middle_needs_a_certificate_that_the_others_know(self, store, files):
        pghalib.secrets.pki.fill(store, files(), DEFAULTS, ENCRYPTED)
        pgha = inventory()
        pgha["clusters"]["one"]["hosts"]["db3"] = "192.0.2.14"
        with pytest.raises(CommandExecutionError, match="db3: has no certificate of the authority that signs now"):
            pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)

    @pytest.mark.parametrize(
        ("make", "fault"),
        [
            (
                lambda names, signer: pghalib.secrets.x509.issue("db1", {"db1"}, signer, 9),
                "lacks the names 127.0.0.1, client.dc",
            ),
            (
                lambda names, signer: pghalib.secrets.x509.issue(
                    "db1", names, pghalib.secrets.x509.authority("other", 9), 9
                ),
                "does not lead to the CA",
            ),
            (
                lambda names, signer: {
                    **pghalib.secrets.x509.issue("db1", names, signer, 9),
                    "key": pghalib.secrets.x509.issue("db1", names, signer, 9)["key"],
                },
                "the key is not that of the certificate",
            ),
            (lambda names, signer: pghalib.secrets.x509.issue("db1", names, signer, -0.02), "and not today"),
            (lambda names, signer: {"certificate": "no", "key": "no"}, "cannot be read as PEM"),
        ],
        ids=["names", "chain", "key", "dates", "text"],
    )
    def test_what_is_wrong_is_refused_and_nothing_is_stored(self, store, files, signer, make, fault):
        names = set().union(*pghalib.secrets.names.wanted(inventory(), DEFAULTS, "dc")["db1"].values())
        pgha = files(db1=make(names, signer))
        with pytest.raises(CommandExecutionError, match=f"db1: .*{fault}"):
            pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        assert not (store / "tls-dc.json").exists()

    def test_all_faults_are_named_at_once(self, store, files, tmp_path):
        pgha = files(db1={"certificate": "no", "key": "no"})
        (tmp_path / "brought/dcs2.key").unlink()
        with pytest.raises(CommandExecutionError) as raised:
            pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        assert "db1: " in str(raised.value)
        assert "dcs2: " in str(raised.value)
        assert "dcs2.key" in str(raised.value)

    def test_an_authority_in_between_comes_with_the_certificate(self, signer):
        # An authority of the formula signs hosts only; so this one is the trusted one, and the chain repeats it.
        own = pghalib.secrets.x509.issue("db1", {"db1"}, signer, 9)
        chain = own["certificate"] + signer["certificate"]
        assert pghalib.secrets.x509.faults_of("db1", signer["certificate"], chain, own["key"], {"db1"}) == []

    def test_an_authority_file_that_cannot_be_read_is_named(self, store, files, tmp_path):
        pgha = files()
        (tmp_path / "brought/ca.pem").unlink()
        with pytest.raises(CommandExecutionError, match=r"  - dc: .*No such file.*ca\.pem"):
            pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        assert not (store / "tls-dc.json").exists()

    @pytest.mark.parametrize("lost", ["ca.pem", "db1.pem", "db1.key"])
    def test_no_step_is_taken_with_files_that_cannot_be_used(self, store, files, tmp_path, lost):
        pghalib.secrets.pki.fill(store, inventory(), DEFAULTS, ENCRYPTED)
        pgha = files()
        pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        before = stored(store)
        (tmp_path / "brought" / lost).unlink()
        for function, step in ((pghalib.secrets.pki.authority_change, None), (pghalib.secrets.pki.rotate, "use")):
            with pytest.raises(CommandExecutionError, match=rf"^The certificates cannot be used:\n  - .*{lost}"):
                function(store, pgha, DEFAULTS, "dc", step)
        assert stored(store) == before

    def test_the_same_authority_in_another_text_changes_the_text_alone(self, store, files, signer):
        pghalib.secrets.pki.fill(store, files(), DEFAULTS, ENCRYPTED)
        before = stored(store)
        text = "# of the company\n" + signer["certificate"]
        own = {name: pghalib.secrets.certificates.pair(held, "consul") for name, held in before["hosts"].items()}
        pgha = files(ca=text, **{name: pair for name, pair in own.items() if name.startswith("dcs")})
        made = pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        assert "dc/tls/ca" in made
        assert not [name for name in made if "dcs" in name]
        assert pghalib.secrets.pki.authorities(store, "dc") == text
        assert stored(store)["hosts"]["dcs1"] == before["hosts"]["dcs1"]

    def test_a_next_authority_that_the_pillar_took_back_is_no_change_under_way(self, store, files, signer):
        pghalib.secrets.pki.fill(store, files(), DEFAULTS, ENCRYPTED)
        following = pghalib.secrets.x509.authority("next year", 3650)
        pghalib.secrets.pki.fill(
            store, files(ca=following["certificate"], **self.pairs(following)), DEFAULTS, ENCRYPTED
        )
        pgha = files()
        # Until the main job has run, the hosts trust it still.
        for trusted in (["CN=pgha next year"], []):
            change = pghalib.secrets.pki.authority_change(store, pgha, DEFAULTS, "dc")
            assert change["steps"] == []
            assert len(change["former"]) == len(trusted)
            said = pghalib.secrets.trust.text("dc", change, [])
            assert "No change is under way." in said
            assert "To change it, set tls:ca" in said
            pghalib.secrets.pki.fill(store, pgha, DEFAULTS, ENCRYPTED)
        assert pghalib.secrets.pki.authorities(store, "dc") == signer["certificate"]


class Company:
    """Certificates as other programs than the formula make them: ``extensions`` may leave out what ours have."""

    def __init__(self, name, above=None, extensions=()):
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).public_key(self.key.public_key())
        builder = builder.issuer_name(above.certificate.subject if above else subject).serial_number(1)
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        self.certificate = builder.sign(above.key if above else self.key, hashes.SHA256())
        form = serialization.PrivateFormat.PKCS8
        private = self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.private = private.decode()


AUTHORITY = [x509.BasicConstraints(ca=True, path_length=None)]
NAMED = [x509.SubjectAlternativeName([x509.DNSName("db1")])]
SERVER_ONLY = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
LEADS_NOWHERE = "db1: the certificate does not lead to the CA; put the authorities in between after it"


def faults_of_chain(root, own, *between):
    chain = "".join(one.pem for one in (own, *between))
    return pghalib.secrets.x509.faults_of("db1", root.pem, chain, own.private, {"db1"})


def test_a_chain_leads_to_the_authority_through_those_that_come_with_it():
    root = Company("root", extensions=AUTHORITY)
    middle = Company("middle", root, AUTHORITY)
    issuing = Company("issuing", middle, AUTHORITY)
    own = Company("db1", issuing, NAMED)
    assert faults_of_chain(root, own, issuing, middle) == []
    assert faults_of_chain(middle, own, issuing) == []
    for between in ([], [issuing], [middle, issuing], [middle]):
        assert faults_of_chain(root, own, *between) == [LEADS_NOWHERE]


@pytest.mark.parametrize("extensions", [[], [x509.BasicConstraints(ca=False, path_length=None)]])
def test_whoever_is_no_authority_vouches_for_nobody(extensions):
    root = Company("root", extensions=AUTHORITY)
    host = Company("a host", root, extensions)
    assert faults_of_chain(root, Company("db1", host, NAMED), host) == [LEADS_NOWHERE]
    alone = Company("root", extensions=extensions)
    assert faults_of_chain(alone, Company("db1", alone, NAMED)) == [LEADS_NOWHERE]


def test_a_certificate_is_for_servers_and_clients_or_says_nothing_about_it():
    root = Company("root", extensions=AUTHORITY)
    assert faults_of_chain(root, Company("db1", root, NAMED)) == []
    assert faults_of_chain(root, Company("db1", root, [*NAMED, SERVER_ONLY])) == [
        "db1: the certificate must be for servers and for clients (extended key usage)"
    ]


def test_a_common_name_is_no_name():
    root = Company("root", extensions=AUTHORITY)
    assert faults_of_chain(root, Company("db1", root)) == [
        "db1: the certificate lacks the names db1 (subject alternative names)"
    ]
