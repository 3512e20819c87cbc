"""What a host notes of the secrets that it works with, and how it finds a store that is not theirs."""

import copy
import json

import pghalib.secrets.served
import pytest
from salt.exceptions import CommandExecutionError

TOKEN = {"accessor": "a", "secret": "s"}
DB = {"name": "db1", "datacenter": {"name": "dc"}, "cluster": {"name": "one"}}
DCS = {"name": "dcs1", "datacenter": {"name": "dc"}, "cluster": None}
OF_DB = {"gossip_key": "g", "agent": TOKEN, "patroni": TOKEN, "superuser": "p", "tls": {"ca": "c", "revision": 2}}
OF_DCS = {"gossip_key": "g", "agent": TOKEN, "management": TOKEN, "tokens": {"agent-db1": TOKEN}}


@pytest.mark.parametrize(
    ("settings", "secrets", "names"),
    [
        (DB, OF_DB, {"dc/gossip_key", "dc/tls/authority", "one/agents/db1", "one/patroni", "one/superuser"}),
        (DCS, OF_DCS, {"dc/gossip_key", "dc/agents/dcs1", "dc/management"}),
    ],
)
def test_the_note_has_the_names_of_the_store_and_no_secret(settings, secrets, names):
    text = pghalib.secrets.served.note(settings, secrets)
    assert set(json.loads(text)) == names
    secret = json.dumps(OF_DB)
    noted = json.loads(text)
    assert noted.pop("dc/tls/authority", 2) == 2
    assert not [value for value in noted.values() if value in secret or len(value) != 16]


def test_another_store_is_found_and_what_is_to_be_new_is_not_held_against_it():
    note = pghalib.secrets.served.note(DB, OF_DB)
    other = {**copy.deepcopy(OF_DB), "superuser": "q", "tls": {"ca": "renewed", "revision": 2}}
    assert pghalib.secrets.served.faults(note, DB, OF_DB, []) == []
    assert pghalib.secrets.served.faults(None, DB, other, []) == []
    (fault,) = pghalib.secrets.served.faults(note, DB, other, [])
    assert "(one/superuser)" in fault
    assert "restore the store" in fault
    assert pghalib.secrets.served.faults(note, DB, other, ["one"]) == []
    assert pghalib.secrets.served.faults(note, DB, other, ["one/superuser"]) == []
    assert pghalib.secrets.served.faults(note, DB, other, ["on", "one/super"]) == [fault]
    # A new kind of secret was never used here.
    assert pghalib.secrets.served.faults(note, DB, {**OF_DB, "vip": TOKEN}, []) == []


def test_a_host_that_was_away_while_a_secret_was_made_anew_is_not_told_to_bring_the_old_one_back_first():
    """An older store would have the secret that has leaked, and lock out the members that were there."""
    note = pghalib.secrets.served.note(DB, OF_DB)
    (fault,) = pghalib.secrets.served.faults(note, DB, {**OF_DB, "superuser": "q"}, [])
    assert 0 < fault.find("if no other host says so") < fault.find("; else restore the store")
    # Authorities of a host that was away are no fault: here the store is the older one.
    older = {**OF_DB, "superuser": "q", "tls": {"ca": "c", "revision": 1}}
    (fault,) = pghalib.secrets.served.faults(note, DB, older, [])
    assert "no other host" not in fault
    assert "(dc/tls/authority, one/superuser): restore the store" in fault


@pytest.mark.parametrize(("noted", "served", "older"), [(3, 2, True), (2, 2, False), (1, 2, False), (0, 0, False)])
def test_a_store_of_before_a_change_of_the_authority_is_found(noted, served, older):
    """Its certificates are of an authority that no other host trusts any more. A host that was away is no such case."""
    note = pghalib.secrets.served.note(DB, {"tls": {"revision": noted}})
    found = pghalib.secrets.served.faults(note, DB, {"tls": {"revision": served}}, [])
    assert ["(dc/tls/authority)" in fault for fault in found] == [True] * older
    assert pghalib.secrets.served.faults(note, DB, {"tls": {"revision": served}}, ["dc/tls"]) == []
    # Of a version that counts them not yet.
    assert pghalib.secrets.served.faults("{}", DB, {"tls": {"revision": served}}, []) == []
    assert pghalib.secrets.served.faults('{"dc/tls/authority": "x"}', DB, {"tls": {}}, []) == []


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "null", "[" * 9000])
def test_a_damaged_note_is_named(text):
    assert "is damaged" in pghalib.secrets.served.faults(text, DB, OF_DB, [])[0]


def test_without_secrets_the_remedy_is_said():
    with pytest.raises(CommandExecutionError, match="db1: add 'pgha: true' to ext_pillar"):
        pghalib.secrets.served.own({}, {"id": "db1"})
    assert pghalib.secrets.served.own({"pgha_secrets": OF_DB}, {"id": "db1"}) is OF_DB
