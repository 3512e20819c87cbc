"""Moments that a person is shown: one form, with the offset from UTC, that a restore takes as its target."""

import re

import pghalib.backup.proof
import pghalib.backup.target
import pghalib.backup.told
import pghalib.drill.command
import pghalib.inventory
import pghalib.master.alone
import pghalib.master.asking
import pghalib.master.backups
import pghalib.master.restore
import pghalib.text
import pytest
import shipped

NOW = 1795942800
# Zones also on a host without their files; the offset of POSIX is that to the west. Where clocks go back at NOW, the
# hour before it and the hour after it have the same numbers.
ZONES = ["UTC0", "MSK-3", "NST3:30", "<+1245>-12:45", "A-2B-3,M3.5.0,J333/12"]
SHOWN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?:\s?[+-]\d{4}|\s?[A-Z]{2,5})?")


def target(text):
    return pghalib.backup.target.parsed({"target": text})["moment"]


@pytest.mark.parametrize("place", ZONES)
@pytest.mark.parametrize("seconds", [0, 1, NOW - 3600, NOW - 1800, NOW, NOW + 1800, 2**33 - 1])
def test_a_shown_moment_is_a_target_as_it_stands(zone, place, seconds):
    zone(place)
    assert target(pghalib.text.moment(seconds)) == seconds
    assert target(pghalib.text.moment(seconds + 0.75)) == seconds


def test_a_moment_is_told_by_the_clock_of_who_shows_it(zone):
    for place, shown in (("MSK-3", "2026-11-29 12:00:00+0300"), ("NST3:30", "2026-11-29 05:30:00-0330")):
        zone(place)
        assert pghalib.text.moment(NOW) == shown


PROOF = {"at": NOW + 5.5, "host": "db2", "backup": "a", "size": 5, "fetched": 2.0, "recovered": 4.0, "checked": 5.0,
         "newest": NOW, "checks": ["pg_dumpall"], "fault": None, "canary": NOW, "back": NOW - 300,
         "noted": NOW - 360}  # fmt: skip
BACKUP = {"label": "20261129-010000F", "type": "full", "start": NOW - 7260, "stop": NOW - 7200, "size": 1, "stored": 1,
          "repository": 1}  # fmt: skip
TOLD = {"repositories": [{"number": 1, "fault": None, "late": NOW - 60}], "backups": [BACKUP], "running": {}}
MEMBER = {"leads": True, "paused": False, "size": 1, "free": 2**40, "mount": False, "link": False, "tablespaces": 0,
          "first": NOW - 7200, "newest": NOW - 3600, "fault": None, "kept": {}, "timeline": [3, NOW - 9000],
          "backups": [], "restores": None, "member": True}  # fmt: skip


@pytest.fixture
def settings():
    backup = {"repositories": {"main": {"type": "s3", "endpoint": "s3.example.org", "bucket": "b", "region": "r"}}}
    hosts = {"db1": "192.0.2.21"}
    pgha = {"datacenters": {"dc": {"hosts": {"dcs1": "192.0.2.11"}}}, "clusters": {"one": {"hosts": hosts}}}
    return pghalib.inventory.settings(pgha | {"backup": backup}, shipped.defaults(), "db1")


@pytest.fixture
def texts(settings, monkeypatch, tmp_path):
    """A function: all that a person is shown, and which moments that has to name."""

    def made():
        def call(_opts, _patience, _host, function, *_given):
            overview = pghalib.backup.told.overview(TOLD, settings)
            return {"pgha_backup.overview": overview, "pgha_proof.result": PROOF}[function]

        monkeypatch.setattr(pghalib.master.asking, "call", call)
        monkeypatch.setattr(pghalib.master.alone.time, "time", lambda: NOW + 0.5)
        past = {"type": "time", "value": "x", "text": "then", "moment": NOW - 9000}
        told = {"db1": MEMBER}
        pghalib.master.alone.lock(tmp_path / "store")
        lock = (tmp_path / "store/.orchestration.lock").read_bytes()
        about = pghalib.drill.command._about(settings, 1, "master", "each once", {}, None)
        return [
            (pghalib.master.backups.table({}, "one", ["db1"]), {NOW - 7260, NOW - 7200, NOW - 7199, NOW - 60, *BACK}),
            ("\n".join(pghalib.backup.told.faults(TOLD, settings)), {NOW - 7200, NOW - 60}),
            (pghalib.backup.proof.sentence({**PROOF, "fault": "x"}), {NOW + 5}),
            ("\n".join(pghalib.master.restore.faults("one", past, told, NOW)), {NOW - 7199}),
            ("\n".join(pghalib.master.restore.asked("one", past, told, NOW)), {NOW - 9000, NOW - 3600}),
            ("\n".join(pghalib.master.restore.asked("b", past, told, NOW, source="one")), {NOW - 9000, NOW - 3600}),
            (pghalib.master.alone._refusal(lock), {NOW}),
            (about["made"], {NOW}),
        ]

    return made


BACK = (NOW + 5, NOW - 300, NOW - 360)


@pytest.mark.parametrize("place", ZONES)
def test_every_moment_that_a_person_is_shown_is_a_target_as_it_stands(zone, texts, place):
    zone(place)
    for text, moments in texts():
        assert {target(shown) for shown in SHOWN.findall(text)} == moments, text


def test_the_confirmation_of_a_restore_is_the_same_in_every_zone(zone):
    words = set()
    for place in ZONES:
        zone(place)
        given = pghalib.backup.target.parsed({"target": "2026-11-29 12:00:00+0300"})
        words.add(pghalib.master.restore.asked("one", given, {"db1": MEMBER}, NOW)[-1])
    assert words == {
        'to do it, add "confirm": "one to 2026-11-29 12:00:00+0300 from timeline 3 of 2026-11-29 06:30:00 UTC"'
    }
