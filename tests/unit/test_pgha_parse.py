"""JSON and YAML of others: whatever the text is, it has a value or is one kind of error."""

import pghalib.parse
import pytest

BROKEN_JSON = ["", "{", "[" * 9000, '{"a":' * 9000, "9" * 5000, "\x00", b"\xff", b"\xff\xfe\x00\xd8"]
BROKEN_YAML = [
    "a: [", "[" * 9000, "- " * 9000, "9" * 5000, "\x00", b"\xff", "a: 2024-13-45", "a: 2024-01-01 99:99:99",
    "!!int ''", "!!float ''", "!!int x", "!!bool x", "!!timestamp x", "!mine x", "<<: 5", "*a", "{[a]: b}",
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN_JSON)
def test_what_is_no_json_is_one_kind_of_error(text):
    with pytest.raises(ValueError, match="."):
        pghalib.parse.from_json(text)


@pytest.mark.parametrize("text", BROKEN_YAML)
def test_what_is_no_yaml_is_one_kind_of_error_with_one_line(text):
    with pytest.raises(ValueError, match=".") as caught:
        pghalib.parse.from_yaml(text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["password: hunter2: x", "password: 'hunter2", "password: !!int hunter2", "%hunter2"])
def test_a_reason_shows_no_value(text):
    with pytest.raises(ValueError, match=".") as caught:
        pghalib.parse.from_yaml(text)
    assert "hunter2" not in str(caught.value)


def test_what_can_be_read_is_returned_whatever_its_type():
    assert pghalib.parse.from_json('{"a": [1, null]}') == {"a": [1, None]}
    assert pghalib.parse.from_json(b"7") == 7
    assert pghalib.parse.from_json('{"a": 1}', tuple) == (("a", 1),)
    assert pghalib.parse.from_yaml("a: [1, ~]") == {"a": [1, None]}
    assert pghalib.parse.from_yaml(b"") is None
