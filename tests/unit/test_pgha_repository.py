"""Where apt has PostgreSQL from."""

import hashlib
import subprocess
from pathlib import Path

import pytest
import shipped
from salt.exceptions import CommandExecutionError

SALT = Path(__file__).parents[2] / "salt/pgha"
DEFAULTS = shipped.defaults()
VENDOR = DEFAULTS["distributions"]["postgrespro-1c"]["repo"]
DEBIAN = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
ASTRA = {"ID": "astra", "VERSION_ID": "1.8_x86-64", "VERSION_CODENAME": "1.8_x86-64"}
KEYRING = "/etc/apt/keyrings/pgha-postgres"


@pytest.fixture
def utils(loader_module):
    return loader_module("_utils/pghalib/postgres/repository.py")


@pytest.mark.parametrize(
    ("release", "source"),
    [
        (DEBIAN, "debian bookworm main"),
        (ASTRA, "astra-smolensk/1.8 1.8_x86-64 main"),
        ({**ASTRA, "VERSION_CODENAME": ""}, "astra-smolensk/1.8 1.8_x86-64 main"),
        ({**ASTRA, "VARIANT_ID": "orel"}, "astra-orel/1.8 1.8_x86-64 main"),
    ],
)
def test_the_vendors_line_is_that_of_the_hosts_system(utils, release, source):
    name = VENDOR["name"].replace("{version}", "18")
    place = "https://repo.postgrespro.ru/1c/1c-18"
    assert utils.line(name, VENDOR["key_url"], release) == f"deb [signed-by={KEYRING}.asc] {place}/{source}"


def test_a_host_that_does_not_tell_its_system_needs_a_line_of_its_own(utils):
    with pytest.raises(CommandExecutionError, match=r"no /etc/os-release.* set postgres:repo:name"):
        utils.line(VENDOR["name"], None, {})
    assert utils.line("deb https://m/a x main", None, {}) == "deb https://m/a x main"


@pytest.mark.parametrize(
    ("name", "key_url", "line"),
    [
        ("deb https://m/a x main", None, "deb https://m/a x main"),
        ("deb https://m/a x main", "https://m/k", f"deb [signed-by={KEYRING}.asc] https://m/a x main"),
        (
            "deb [arch=amd64] https://m/a ./",
            "https://m/k.gpg",
            f"deb [arch=amd64 signed-by={KEYRING}.gpg] https://m/a ./",
        ),
        ("deb [signed-by=/k] https://m/a ./", "https://m/k", "deb [signed-by=/k] https://m/a ./"),
    ],
)
def test_a_source_trusts_its_own_key_only(utils, name, key_url, line):
    assert utils.line(name, key_url, DEBIAN) == line


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# deb https://m/a x main\ndeb-src https://m/b x main\n\n", set()),
        ("deb [arch=amd64 signed-by=/k] https://m/a/ x main\ndeb http://m/b x main", {"m/a", "m/b"}),
        ("Types: deb\nURIs: https://m/a https://m/b/\nSuites: x\n", {"m/a", "m/b"}),
        ("deb [arch=amd64 trusted=yes]\ndeb\n", set()),
    ],
)
def test_sources_of_apt_are_read_in_both_styles(utils, text, found):
    assert utils.sources(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("deb http://repo.postgrespro.ru/1c/1c-18/astra-smolensk/1.8 1.8_x86-64 main", True),
        ("deb [signed-by=/k] https://repo.postgrespro.ru/1c/1c-18/debian bookworm main", True),
        ("Types: deb\nURIs: https://repo.postgrespro.ru/1c/1c-18/debian/\nSuites: bookworm\n", True),
        ("deb https://repo.postgrespro.ru/1c/1c-17/debian bookworm main", False),
        ("deb https://repo.postgrespro.ru/1c/1c-181/debian bookworm main", False),
        ("# deb http://repo.postgrespro.ru/1c/1c-18/debian bookworm main", False),
        ("deb https://mirror.example.org/1c/1c-18/debian bookworm main", False),
    ],
)
def test_what_the_vendors_script_left_is_the_same_repository(utils, text, found):
    assert utils.named(VENDOR["name"].replace("{version}", "18"), text) is found


def test_the_key_is_the_vendors(tmp_path):
    armoured = (SALT / "postgres/files/postgrespro.asc").read_text()
    assert VENDOR["key_url"] == "salt://pgha/postgres/files/postgrespro.asc"
    # RFC 4880, 12.2: the digest of the packet of the public key, which stands first.
    body = armoured.split("\n\n", 1)[1].split("\n=")[0]
    packets = subprocess.run(["base64", "-d"], input=body.encode(), capture_output=True, check=True).stdout
    assert packets[0] == 0x99
    length = int.from_bytes(packets[1:3], "big")
    digest = hashlib.sha1(packets[: 3 + length]).hexdigest().upper()
    assert digest == "AE12BB3929E62B65B5D7F0C07F9AE5A62D2DF0B4"
