"""Debian packages that have a program which the formula installs itself are named before it takes their place."""

import shutil
import subprocess

import pghalib.host.packages
import pghalib.preflight.packages
import pytest
from salt.exceptions import CommandExecutionError

CONSUL, VIP, BACKUP = (f"/usr/bin/{name}" for name in ("consul", "vip-manager", "pgbackrest"))


@pytest.mark.parametrize(
    ("role", "manager", "repositories", "paths"),
    [
        ("dcs", "vip-manager", {"main": {}}, [CONSUL]),
        ("db", "vip-manager", {"main": {}}, [CONSUL, VIP, BACKUP]),
        ("db", "callback", {}, [CONSUL]),
        ("repository", "vip-manager", {}, [BACKUP]),
    ],
)
def test_only_what_the_formula_installs_on_a_host_is_asked_for(role, manager, repositories, paths):
    settings = {"role": role, "vip": {"manager": manager}, "backup": {"repositories": repositories}}
    assert pghalib.preflight.packages.programs(settings) == paths


def test_each_package_that_has_a_program_is_named_with_what_to_do():
    diversions = f"diversion by x from: {CONSUL}\nlocal diversion to: {CONSUL}\n"
    listing = f"vip-manager2: {VIP}\n{diversions}a:amd64, b: {BACKUP}\n"
    found = pghalib.preflight.packages.warnings(listing, [CONSUL, VIP, BACKUP])
    named = [("vip-manager2", VIP), ("a:amd64", BACKUP), ("b", BACKUP)]
    for text, (package, path) in zip(found, named, strict=True):
        assert text.startswith(f"the package {package} is installed, and its update or removal takes {path} away")
        assert f"apt-get remove {package} before" in text
        assert text.endswith(f"apt-mark hold {package}")
    assert pghalib.preflight.packages.warnings(listing, ["/usr/bin/x"]) == []
    assert pghalib.preflight.packages.warnings("", [CONSUL]) == []


@pytest.fixture
def packages(loader_module, monkeypatch):
    """What the module says when it runs a command so, on a host where the formula installs /usr/bin/env."""

    def make(run_all):
        monkeypatch.setattr(pghalib.preflight.packages, "programs", lambda _settings: ["/usr/bin/env", "/usr/bin/none"])
        salt = {"cmd.run_all": run_all, "pgha.settings": dict}
        return loader_module("_modules/pgha_preflight.py", salt=salt).packages()

    return make


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="there is no dpkg-query")
def test_dpkg_is_asked_once_for_all(packages):
    asked = []

    def run_all(words, **options):
        asked.append(options)
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        return {"stdout": ran.stdout, "retcode": ran.returncode}

    listing = packages(run_all)
    (text,) = pghalib.preflight.packages.warnings(listing, ["/usr/bin/env"])
    assert "the package coreutils is installed" in text
    # A path without a package is an error to dpkg-query.
    assert asked == [{"python_shell": False, "ignore_retcode": True}]


def test_a_host_without_dpkg_has_another_fault(packages):
    def run_all(*_words, **_options):
        raise CommandExecutionError("Unable to run command")

    assert packages(run_all) == ""


PERIODIC = 'APT::Periodic "";\nAPT::Periodic::Unattended-Upgrade "1";\nUnattended-Upgrade "";\n'
REBOOT = 'Unattended-Upgrade::Automatic-Reboot "{}";\n'


@pytest.mark.parametrize("word", ["true", "1", "Yes", "on"])
def test_a_host_that_reboots_by_itself_after_updates_is_warned_of(word):
    asked = []

    def run_all(words, **_how):
        asked.append(words)
        said = PERIODIC + REBOOT.format(word) + 'Unattended-Upgrade::Automatic-Reboot-Time "02:00";\n'
        return {"stdout": said, "retcode": 0}

    (warning,) = pghalib.host.packages.reboots(run_all)
    assert "reboots by itself after updates (Unattended-Upgrade::Automatic-Reboot, 02:00)" in warning
    assert asked == [["apt-config", "dump", "Unattended-Upgrade", "APT::Periodic"]]


@pytest.mark.parametrize(
    "said",
    [
        *("", PERIODIC, PERIODIC + REBOOT.format("false"), PERIODIC + 'X::Automatic-Reboot "true";'),
        # Nothing installs updates.
        *(REBOOT.format("true"), PERIODIC.replace('"1"', '"0"') + REBOOT.format("true")),
    ],
)
def test_a_host_that_a_person_reboots_is_not_warned_of(said):
    assert pghalib.host.packages.reboots(lambda _words, **_how: {"stdout": said, "retcode": 0}) == []


def test_a_host_without_apt_has_no_such_setting():
    def run_all(*_words, **_how):
        raise CommandExecutionError("there is no apt-config")

    assert pghalib.host.packages.reboots(run_all) == []
