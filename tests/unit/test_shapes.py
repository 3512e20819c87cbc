"""The shapes that the type checker works with are those of the settings."""

import pghalib.inventory
import pghalib.pillar.types
import pghalib.sections
import pghalib.shapes
import pytest
import shipped

DEFAULTS = shipped.defaults()
SECTIONS = sorted(DEFAULTS.keys() - set(pghalib.inventory.PRESETS))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_has_every_setting_of_the_defaults_and_no_other(section):
    shape = getattr(pghalib.sections, section.capitalize())
    assert shape.__annotations__.keys() == pghalib.pillar.types.known(section, DEFAULTS).keys()


@pytest.mark.parametrize(("rto", "section"), [(rto, one) for rto, its in DEFAULTS["profiles"].items() for one in its])
def test_a_profile_changes_settings_that_exist_to_values_of_their_type(rto, section):
    assert pghalib.pillar.types.section("", section, DEFAULTS["profiles"][rto][section], DEFAULTS)[0] == []


def test_the_settings_of_a_host_have_every_section():
    assert set(SECTIONS) <= pghalib.shapes.Settings.__annotations__.keys()
