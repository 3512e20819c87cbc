"""Files on a host in another encoding are read all the same, and stay byte for byte where they are not ours."""

import pytest
from salt.exceptions import CommandExecutionError

# "Москва" as an editor of another time has saved it.
BYTES = "# Москва\n".encode("cp1251")


@pytest.fixture
def locale_gen(loader_module, tmp_path, monkeypatch):
    path = tmp_path / "locale.gen"
    salt = {"cmd.run_all": lambda *_args, **_kwargs: {"stdout": "ru_RU.utf8", "stderr": "", "retcode": 0}}
    module = loader_module("_modules/pgha_locales.py", salt=salt)
    monkeypatch.setattr(module, "Path", lambda _path: path)
    monkeypatch.setattr(module.shutil, "which", lambda _name: "/usr/sbin/locale-gen")
    return module, path


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_locales_are_added_to_a_file_in_another_encoding(locale_gen, end):
    module, path = locale_gen
    path.write_bytes(BYTES + b"en_US.UTF-8 UTF-8" + end)
    for _ in range(2):
        module.make(["ru_RU.UTF-8"])
        assert path.read_bytes() == BYTES + b"en_US.UTF-8 UTF-8\nru_RU.UTF-8 UTF-8\n"


@pytest.mark.root
def test_locales_are_made_where_there_is_no_file(locale_gen):
    module, path = locale_gen
    module.make(["ru_RU.UTF-8"])
    assert path.read_text() == "ru_RU.UTF-8 UTF-8\n"


def test_a_file_that_root_cannot_write_is_named(locale_gen):
    module, path = locale_gen
    path.mkdir()
    with pytest.raises((CommandExecutionError, IsADirectoryError), match=str(path)):
        module.make(["ru_RU.UTF-8"])


@pytest.mark.parametrize(
    ("content", "release"),
    [
        (BYTES + b"ID=astra\nVERSION_ID=1.8_x86-64\n", {"ID": "astra", "VERSION_ID": "1.8_x86-64"}),
        (b'ID=debian\nPRETTY_NAME="\xcc"\n', {"ID": "debian", "PRETTY_NAME": "\ufffd"}),
        (None, {}),
    ],
)
def test_the_release_of_a_system(loader_module, tmp_path, content, release):
    path = tmp_path / "os-release"
    if content is not None:
        path.write_bytes(content)
    settings = {"role": "dcs", "consul": {"data_dir": "/"}}
    salt = {"pgha.settings": lambda: settings, "pgha_vip.addresses": list}
    utils = {"pghalib.host.os_release.PATHS": (path,)}
    found = loader_module("_modules/pgha_preflight.py", salt=salt, utils=utils).host()["release"]
    assert {key: found.get(key) for key in release} == release
    assert bool(found) is bool(release)


@pytest.mark.parametrize("content", [b"", BYTES, b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate(loader_module, tmp_path, content):
    path = tmp_path / "consul.pem"
    path.write_bytes(content)
    utils = {"pghalib.tls.pem": lambda _service: str(path)}
    with pytest.raises(CommandExecutionError, match=f"{path} holds no certificate: run the main job"):
        loader_module("_modules/pgha_tls.py", utils=utils).certificate()
    assert loader_module("_states/pgha_tls.py", utils=utils)._described(str(path)) == "no certificate"


def test_the_mark_of_an_environment(loader_module, tmp_path):
    utils = loader_module("_utils/pghalib/patroni/environment.py")
    (tmp_path / utils.MARKER).write_bytes(b"\xff\n")
    assert utils.built_from(tmp_path) == "\ufffd"


def test_requirements_are_named(loader_module, tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_bytes(BYTES)
    module = loader_module("_modules/pgha_patroni_env.py")
    with pytest.raises(CommandExecutionError, match=f"{path}: not UTF-8"):
        module._requirements({"requirements": str(path)})
