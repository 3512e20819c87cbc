"""The locales of the system: which are missing, and how they are enabled and made."""

import os

import pghalib.postgres.locales
import pytest
from salt.exceptions import CommandExecutionError

# Of files of other users, which only root can make.
pytestmark = pytest.mark.root


@pytest.fixture
def locales(loader_module, tmp_path, monkeypatch):
    """A function (makes=True) -> the module over a locale.gen below tmp_path; what locale-gen makes, or does not."""

    def build(makes=True):
        there = ["C", "en_US.utf8"]

        def run_all(command, **_kwargs):
            if command[0] == "locale-gen" and makes:
                there.append("ru_RU.utf8")
            return {"retcode": 0, "stdout": "\n".join(there), "stderr": ""}

        module = loader_module("_modules/pgha_locales.py", salt={"cmd.run_all": run_all})
        module.ENABLED = str(tmp_path / "locale.gen")
        monkeypatch.setattr(pghalib.postgres.locales, "SUPPORTED", str(tmp_path / "i18n/SUPPORTED"))
        monkeypatch.setattr(module.shutil, "which", lambda _name: "/usr/sbin/locale-gen")
        return module

    return build


def test_those_of_another_spelling_are_there(locales):
    assert locales().missing(["en_US.UTF-8", "ru_RU.UTF-8"]) == ["ru_RU.UTF-8"]


@pytest.mark.parametrize(
    ("supported", "name", "others", "unknown"),
    [
        (["en_US.UTF-8"], "en_US.UTF8", [], []),
        (["en_US.UTF-8"], "C", ["C", "xx_XX.UTF-8"], ["xx_XX.UTF-8"]),
        (["ru_RU.UTF-8"], "ru_RU.utf8", ["en_US.UTF-8"], []),
        (["ru_RU.UTF-8"], "ru_ru.UTF-8", [], ["ru_ru.UTF-8"]),
        (None, "xx_XX.UTF-8", [], []),
    ],
)
def test_a_locale_that_is_neither_there_nor_known_is_a_fault(locales, monkeypatch, supported, name, others, unknown):
    settings = {"locale": name, "locales": others, "lc_messages": None}
    module = locales()
    module.__salt__["pgha.settings"] = lambda: {"postgres": settings}
    known = None if supported is None else dict.fromkeys(supported, "UTF-8")
    monkeypatch.setattr(pghalib.postgres.locales, "supported", lambda: known)
    assert [fault.split()[2] for fault in module.faults()] == unknown


def test_a_locale_is_enabled_once_and_the_file_is_replaced_at_once(locales, tmp_path):
    path = tmp_path / "locale.gen"
    path.write_text("# ru_RU.UTF-8 UTF-8\nen_US.UTF-8 UTF-8")
    path.chmod(0o640)
    os.chown(path, 0, 65534)
    before = path.stat()
    with path.open() as reader:
        locales().make(["ru_RU.UTF-8"])
        assert reader.read() == "# ru_RU.UTF-8 UTF-8\nen_US.UTF-8 UTF-8"
    assert path.read_text() == "# ru_RU.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\nru_RU.UTF-8 UTF-8\n"
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    locales().make(["ru_RU.UTF-8"])
    assert path.stat().st_ino == after.st_ino
    assert os.listdir(tmp_path) == ["locale.gen"]


def test_a_file_that_is_a_link_of_roots_stays_one(locales, tmp_path):
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "locale.gen").symlink_to(tmp_path / "elsewhere")
    locales().make(["ru_RU.UTF-8"])
    assert (tmp_path / "locale.gen").is_symlink()
    assert "ru_RU.UTF-8 UTF-8" in (tmp_path / "elsewhere").read_text()


def test_a_missing_file_is_made(locales, tmp_path):
    locales().make(["ru_RU.UTF-8"])
    assert (tmp_path / "locale.gen").stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_read_or_made_is_named(locales, tmp_path):
    with pytest.raises(CommandExecutionError, match="locale-gen did not make ru_RU.UTF-8"):
        locales(makes=False).make(["ru_RU.UTF-8"])
    (tmp_path / "locale.gen").unlink(missing_ok=True)
    (tmp_path / "locale.gen").mkdir()
    with pytest.raises(CommandExecutionError, match="locale.gen: Is a directory"):
        locales().make(["ru_RU.UTF-8"])


SUPPORTED = """# NAME CHARSET

ru_RU.KOI8-R KOI8-R
ru_RU.UTF-8 UTF-8
ru_RU ISO-8859-5
hy_AM UTF-8
sr_RS@latin UTF-8
broken
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ru_RU.UTF-8", "ru_RU.UTF-8 UTF-8"),
        ("ru_RU.utf8", "ru_RU.UTF-8 UTF-8"),
        ("ru_RU.KOI8-R", "ru_RU.KOI8-R KOI8-R"),
        ("ru_RU", "ru_RU ISO-8859-5"),
        ("hy_AM", "hy_AM UTF-8"),
        ("sr_RS@latin", "sr_RS@latin UTF-8"),
        # Of a person's own.
        ("xx_XX.UTF-8@mine", "xx_XX.UTF-8@mine UTF-8"),
        ("xx_XX", None),
        ("broken", None),
    ],
)
def test_the_charset_is_that_of_the_systems_table_or_of_the_name(locales, tmp_path, name, line):
    module = locales()
    (tmp_path / "i18n").mkdir()
    (tmp_path / "i18n/SUPPORTED").write_text(SUPPORTED)
    module.missing = lambda _locales: []
    module.make([name, name])
    path = tmp_path / "locale.gen"
    assert (path.read_text() if path.exists() else "") == (f"{line}\n" if line else "")


def test_without_the_package_no_locale_is_known(locales, tmp_path):
    locales()
    assert pghalib.postgres.locales.supported() is None
    (tmp_path / "i18n").mkdir()
    (tmp_path / "i18n/SUPPORTED").write_text(SUPPORTED)
    assert list(pghalib.postgres.locales.supported()) == [
        "ru_RU.KOI8-R", "ru_RU.UTF-8", "ru_RU", "hy_AM", "sr_RS@latin"
    ]  # fmt: skip


def test_without_locale_gen_the_package_is_named_and_nothing_is_written(locales, tmp_path, monkeypatch):
    module = locales()
    monkeypatch.setattr(module.shutil, "which", lambda _name: None)
    with pytest.raises(CommandExecutionError, match="locale-gen is not there: install the package locales"):
        module.make(["ru_RU.UTF-8"])
    assert not (tmp_path / "locale.gen").exists()
