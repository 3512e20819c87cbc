"""os-release(5) is read by its own rules, in one place."""

import pytest

DEFAULTS = {"NAME": "Linux", "ID": "linux", "PRETTY_NAME": "Linux"}


@pytest.fixture
def utils(loader_module):
    return loader_module("_utils/pghalib/host/os_release.py")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=astra", "astra"),
        ("KEY=", ""),
        ('KEY=""', ""),
        ('KEY="Debian GNU/Linux 12 (bookworm)"', "Debian GNU/Linux 12 (bookworm)"),
        ("KEY='1.8_x86-64'", "1.8_x86-64"),
        (r'KEY="a \"b\" \$c \`d\` \\ \e"', r'a "b" $c `d` \ \e'),
        (r"KEY='a \" \\'", r"a \" \\"),
        ("""KEY='say "x"'""", 'say "x"'),
        (r"KEY=a\ b\\c", r"a b\c"),
        ('KEY="half', '"half'),
        ('KEY="', '"'),
        ("KEY=https://example.org/?a=b#c", "https://example.org/?a=b#c"),
        ('  KEY="x"  \r', "x"),
        ("KEY=first\nKEY=last", "last"),
        ('KEY="a\u2028b\x0cc"', "a\u2028b\x0cc"),
    ],
)
def test_a_value_is_what_a_shell_would_read(utils, line, value):
    assert utils.parse(f"{line}\n") == {**DEFAULTS, "KEY": value}


@pytest.mark.parametrize("text", ["", "\n\n", "# ID=astra\n", "ID\n", "=x\n", "a-b=c\n", "export ID=x\n", "0ID=x\n"])
def test_what_is_no_assignment_says_nothing(utils, text):
    assert utils.parse(text) == DEFAULTS


def test_the_first_file_that_can_be_read_counts(utils, tmp_path, monkeypatch):
    own, vendors = tmp_path / "own", tmp_path / "vendors"
    monkeypatch.setattr(utils, "PATHS", (own, vendors))
    assert utils.read() == {}
    vendors.write_text("ID=debian\nVERSION_ID=12\n")
    assert utils.read() == {**DEFAULTS, "ID": "debian", "VERSION_ID": "12"}
    own.write_bytes("# Москва\n".encode("cp1251") + b'ID="astra"\n')
    assert utils.read() == {**DEFAULTS, "ID": "astra"}


def test_it_is_read_anew_each_time(utils, tmp_path, monkeypatch):
    path = tmp_path / "os-release"
    monkeypatch.setattr(utils, "PATHS", (path,))
    for version in ("12", "13"):
        path.write_text(f"VERSION_ID={version}\n")
        assert utils.read()["VERSION_ID"] == version
