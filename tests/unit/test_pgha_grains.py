"""Astra Linux is the Debian that it is; nothing else is touched."""

import pytest

ASTRA = 'PRETTY_NAME="Astra Linux"\nNAME="Astra Linux"\nID=astra\nID_LIKE=debian\nVERSION_ID=1.8_x86-64\n'


@pytest.mark.parametrize(
    ("content", "expected"),
    [(ASTRA, {"os_family": "Debian"}), ('ID="astra"\n', {"os_family": "Debian"}), ("ID=debian\n", {}), (None, {})],
)
def test_family(loader_module, tmp_path, content, expected):
    grains = loader_module("_grains/pgha.py")
    grains.OS_RELEASE = tmp_path / "os-release"
    if content is not None:
        grains.OS_RELEASE.write_text(content)
    assert grains.os_family() == expected
