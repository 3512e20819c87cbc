"""Astra Linux is the Debian that it is; nothing else is touched."""

import pytest

ASTRA = 'PRETTY_NAME="Astra Linux"\nNAME="Astra Linux"\nID=astra\nID_LIKE=debian\nVERSION_ID=1.8_x86-64\n'
# "Москва" as an editor of another time has saved it.
FOREIGN = "# Москва\n".encode("cp1251")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (ASTRA.encode(), {"os_family": "Debian"}),
        (b'ID="astra"\n', {"os_family": "Debian"}),
        (FOREIGN + b"ID=astra\n", {"os_family": "Debian"}),
        (b"ID=debian\n", {}),
        (None, {}),
    ],
)
def test_family(loader_module, tmp_path, content, expected):
    path = tmp_path / "os-release"
    if content is not None:
        path.write_bytes(content)
    grains = loader_module("_grains/pgha.py", utils={"pghalib.host.os_release.PATHS": (path,)})
    assert grains.os_family() == expected
