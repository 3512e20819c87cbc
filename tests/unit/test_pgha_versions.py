"""A Salt that is too old is refused in one sentence, and nothing is used that the oldest one has not."""

import ast
import sys
from pathlib import Path

import pytest
from salt.exceptions import CommandExecutionError

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "salt").glob("_*/*.py"))
# What came with Python 3.11, by the name that it is used by.
NEWER = {
    *("file_digest", "UTC", "TaskGroup", "Runner", "Barrier", "ExceptionGroup", "BaseExceptionGroup", "add_note"),
    *("StrEnum", "ReprEnum", "Self", "LiteralString", "Never", "assert_never", "reveal_type", "chdir", "tomllib"),
    *("start_tls", "getLevelNamesMapping", "cbrt", "exp2", "hash_file"),
}
# Other classes than the built-in one before Python 3.11: these must be named where they are meant.
ALIASES = {"wait_for": "asyncio.TimeoutError"}


@pytest.fixture
def versions(loader_module):
    return loader_module("_utils/pghalib/versions.py")


@pytest.mark.parametrize(
    ("salt", "python", "said"),
    [
        ("3008.3", "3.11.9", None),
        ("3006.27", "3.11", None),
        ("3007.16", "3.10.19 (main, Feb  5 2026)", None),
        ("3008.0rc1", sys.version, None),
        ("3008.3+12.gabcdef", "3.14.0", None),
        ([3008, 3], [3, 11, 2, "final", 0], None),
        (None, None, None),
        ("unknown", "", None),
        ("3005", "3.9.16", "Salt of this minion is 3005: 3006.27 or newer is needed; update salt-minion"),
        ("3006.9", "3.10.14", "Salt of this minion is 3006.9: 3006.27 or newer is needed; update salt-minion"),
        ([3004, 1], None, "Salt of this minion is 3004.1: 3006.27 or newer is needed; update salt-minion"),
        (
            "3006.30",
            "3.9.2",
            "Python of Salt of this minion is 3.9.2: 3.10 or newer is needed, Salt 3006.27 or newer is needed;"
            " update salt-minion",
        ),
    ],
)
def test_what_is_too_old_is_said_in_one_sentence(versions, salt, python, said):
    assert versions.too_old(salt, python) == said


@pytest.mark.parametrize(
    ("version", "minimum", "newer"),
    [
        ("1.22.3", "1.9", True),
        ("1.15.0", "1.15", True),
        ("1.15", "1.15.0", True),
        ("5", "5.0.0", True),
        ("v1.15.0+ent", "1.15.0", True),
        ("1.8.7+dfsg1", "1.15", False),
        ("1.8.7+dfsg1", "1.8.7", True),
        (18, "15", True),
        ("14.9", "15", False),
        ("5.0.0", "5", True),
        ("4.9.9", "5", False),
    ],
)
def test_versions_are_compared_by_their_numbers(versions, version, minimum, newer):
    assert versions.at_least(version, minimum) is newer


def test_a_word_is_no_version(versions):
    with pytest.raises(CommandExecutionError, match=r"'latest' is not a version such as 1\.22\.3"):
        versions.at_least("latest", "1.15")


def test_the_sentence_says_whose_salt_it_is(versions):
    assert versions.too_old("3005.1", None, "master").endswith("update salt-master")


def test_the_formula_asks_for_the_same_version(versions):
    assert f"minimum_version: {versions.OLDEST_SALT}\n" in (ROOT / "FORMULA").read_text()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_module_uses_what_the_oldest_python_lacks(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 10))
    names = {
        getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "name", None)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Attribute, ast.Name, ast.alias))
    }
    assert not names & NEWER
    # What asyncio raises is another class there.
    caught = {
        ast.unparse(node)
        for handler in ast.walk(tree)
        if isinstance(handler, (ast.ExceptHandler, ast.Call))
        for node in (ast.walk(handler.type) if isinstance(handler, ast.ExceptHandler) and handler.type else ())
        if isinstance(node, (ast.Name, ast.Attribute))
    }
    if "asyncio" in names and "TimeoutError" in caught:
        pytest.fail(f"{path}: asyncio.TimeoutError is no TimeoutError before Python 3.11")
