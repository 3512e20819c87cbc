"""
JSON and YAML of others, and the numbers in them: of services, of files on a host, of other hosts. The text may be
damaged, or made to harm.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

import pghalib.text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pghalib.shapes import Json


def from_json(text: str | bytes, pairs: Callable[[list[tuple[str, Json]]], Json] | None = None) -> Json:
    """
    Return the value of a text in JSON. Its type is not checked.

    text
        The text; of bytes, the encoding is told by the first ones.
    pairs
        A function that makes a mapping of its keys and values. Default: a dict.

    Raises ValueError for everything that is no JSON or cannot be read, such as thousands of nested brackets.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def from_yaml(text: str | bytes) -> Json:
    """
    Return the value of a text in YAML, None of an empty one. Its type is not checked, and it may contain itself.

    text
        The text; of bytes, the encoding is told by the first ones.

    Raises ValueError, with a reason in one line that quotes no value of the text, for everything that is no YAML or
    cannot be read.
    """
    try:
        # The parser in C: the other parser needs many seconds for a large file.
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(pghalib.text.line(str(error).partition("\n")[0])) from None
    # PyYAML leaves what its constructors find to Python: a: 2024-13-45, !!int "", !!bool x, !!timestamp x.
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"a value cannot be read ({type(error).__name__})") from None


def is_amount(value: Json, end: int = 2**33) -> bool:
    """Return whether a value is a number from 0 to below ``end``, by default of seconds that are a day of some year."""
    return type(value) in (int, float) and 0 <= value < end
