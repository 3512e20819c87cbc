"""The user of PostgreSQL: whether logind spares its memory, the host knows it, and it may run interpreters."""

import os
import pwd
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import salt.modules.cmdmod
from salt.exceptions import CommandExecutionError

STOCK = (
    "# /etc/systemd/logind.conf\n# See logind.conf(5) for details.\n\n[Login]\n#KillExcludeUsers=root\n#RemoveIPC=yes\n"
)
DROP_IN = "\n# /etc/systemd/logind.conf.d/postgres.conf\n"
GETPWNAM = pwd.getpwnam
OFF = f"{STOCK}{DROP_IN}[Login]\nRemoveIPC=no\n"


@pytest.fixture
def library(loader_module):
    return loader_module("_utils/pghalib/preflight/account.py")


@pytest.fixture
def interpreters(loader_module):
    return loader_module("_utils/pghalib/preflight/interpreters.py")


class Host:
    """The module on a host whose files and users are those of the test."""

    def __init__(self, loader_module, monkeypatch, tmp_path):
        self.tmp_path, self.ran, self.said, self.begun = tmp_path, [], STOCK, False
        self.settings = {
            "role": "db",
            "postgres": {"user": "postgres", "data_dir": str(tmp_path / "pgdata")},
            "patroni": {"python": "/usr/bin/python3"},
        }
        self.passwd, self.defs = tmp_path / "passwd", tmp_path / "login.defs"
        self.passwd.write_text("root:x:0:0:root:/root:/bin/bash\npostgres:x:1500:1500::/home/postgres:/bin/bash\n")
        self.uid, self.release, self.codes = 1500, {"ID": "debian"}, {}
        (tmp_path / "linger").mkdir()
        for name, place in (("USERS", self.passwd), ("LOGIN_DEFS", self.defs), ("LINGER", tmp_path / "linger")):
            monkeypatch.setattr(f"pghalib.preflight.account.{name}", str(place))
        monkeypatch.setattr("pghalib.postgres.member_note.NOTE", str(tmp_path / "member.json"))
        monkeypatch.setattr("pwd.getpwnam", self.known)
        monkeypatch.setattr("pghalib.host.os_release.read", lambda: self.release)
        # This machine may have attributes of a security module.
        monkeypatch.setattr("os.listxattr", lambda _path: [])
        salt = {
            "pgha.settings": lambda: self.settings,
            "pgha_founding.founding_state": lambda: {"begun": self.begun},
            "cmd.run_all": self.run,
        }
        self.module = loader_module("_modules/pgha_server_user.py", salt=salt)

    def known(self, name):
        if name != "postgres":
            return GETPWNAM(name)
        if self.uid is None:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=self.uid)

    def run(self, words, **_options):
        self.ran.append(words)
        if words[0] == "systemd-analyze":
            if self.said is None:
                raise CommandExecutionError("no such program")
            return {"retcode": 0, "stdout": self.said, "stderr": ""}
        program = words[words.index("env") + 1]
        code = self.codes.get(program, 0)
        return {"retcode": code, "stdout": "", "stderr": f"env: {program}: Permission denied" if code else ""}


@pytest.fixture
def host(loader_module, monkeypatch, tmp_path):
    return Host(loader_module, monkeypatch, tmp_path)


class TestRemoveIpc:
    @pytest.mark.parametrize(
        ("conf", "removes"),
        [
            ("", True),
            (STOCK, True),
            (OFF, False),
            (OFF.replace("=no", " = False "), False),
            (f"{OFF}\n# /etc/systemd/logind.conf.d/zz.conf\n[Login]\nRemoveIPC=on\n", True),
            (f"{STOCK.replace('#Remove', 'Remove').replace('=yes', '=0')}", False),
            # systemd passes over what has no section or another one, and over other words than its own.
            (f"{STOCK}{DROP_IN}RemoveIPC=no\n", True),
            (f"{STOCK}{DROP_IN}[Manager]\nRemoveIPC=no\n", True),
            (f"{STOCK}{DROP_IN}[Login]\nRemoveIPC=never\n", True),
            (f"{STOCK}{DROP_IN}[Login]\n#RemoveIPC=no\n; RemoveIPC=no\n", True),
            # A remark about a file is no other file.
            (f"{STOCK}{DROP_IN}[Login]\n# /etc/systemd/system.conf\n# see /etc/x\nRemoveIPC=no\n", False),
        ],
    )
    def test_the_last_word_of_systemd_counts(self, library, conf, removes):
        assert library.removes(conf) is removes

    def test_a_user_that_is_none_of_the_systems_is_a_fault_with_its_remedy(self, host):
        found = host.module.verdict()
        assert found["warnings"] == []
        (fault,) = found["faults"]
        assert "the user postgres has the UID 1500, and those of the system end at 999" in fault
        assert "RemoveIPC=no into /etc/systemd/logind.conf.d/postgres.conf, then run systemctl restart" in fault
        assert host.ran == [["systemd-analyze", "cat-config", "systemd/logind.conf"]]
        assert host.module.faults() == [fault]

    @pytest.mark.parametrize("there", ["pgdata/PG_VERSION", "member.json", None])
    def test_where_data_are_or_were_it_is_a_warning_and_the_status_names_it(self, host, there):
        if there:
            (host.tmp_path / there).parent.mkdir(exist_ok=True)
            (host.tmp_path / there).touch()
        host.begun = there is None
        found = host.module.verdict()
        assert (found["faults"], len(found["warnings"])) == ([], 1)
        assert host.module.faults() == found["warnings"]

    @pytest.mark.parametrize(
        ("uid", "defs", "odd"),
        [
            (None, "", False),
            (999, "", False),
            (1000, "", True),
            (1000, "#SYS_UID_MAX 1500\nSYS_UID_MIN\t100\n", True),
            (1500, "SYS_UID_MAX\t\t 1500\n", False),
            (600, "SYS_UID_MAX 499\n", True),
        ],
    )
    def test_users_of_the_system_are_spared(self, host, uid, defs, odd):
        host.uid = uid
        host.defs.write_text(defs)
        assert bool(host.module.faults()) is odd
        # systemd is asked about others alone.
        assert bool(host.ran) is odd

    def test_a_user_that_stays_after_its_logout_is_spared(self, host):
        (host.tmp_path / "linger/postgres").touch()
        assert host.module.faults() == []

    def test_where_it_is_off_nothing_is_said(self, host):
        host.said = OFF
        assert host.module.verdict() == {"faults": [], "warnings": []}

    def test_a_host_that_cannot_be_asked_has_the_default(self, host):
        host.said = None
        assert len(host.module.faults()) == 1

    def test_a_server_of_consul_has_no_such_user(self, host):
        host.settings = {"role": "dcs"}
        assert host.module.faults() == []

    def test_the_status_asks_for_it(self, loader_module):
        assert "pgha_server_user.faults" in loader_module("_modules/pgha.py")._FAULTS


class TestDirectoryService:
    def test_a_user_that_another_service_knows_is_a_warning(self, host):
        host.passwd.write_text("root:x:0:0:root:/root:/bin/bash\npostgres2:x:1500:1500::/:/bin/sh\n")
        host.said = OFF
        found = host.module.verdict()
        assert (found["faults"], len(found["warnings"])) == ([], 1)
        assert "the user postgres is not in" in found["warnings"][0]
        assert "while that is down, Patroni does not start here" in found["warnings"][0]

    def test_a_user_that_is_still_to_come_is_none(self, host):
        host.uid = None
        host.passwd.write_text("")
        assert host.module.account() is None
        assert host.module.verdict() == {"faults": [], "warnings": []}


class TestInterpreters:
    @pytest.fixture(autouse=True)
    def system_user(self, host):
        host.uid = 110

    def test_no_program_is_run_where_nothing_is_odd(self, host):
        host.codes = {"/bin/sh": 126}
        assert host.module.verdict() == {"faults": [], "warnings": []}
        assert host.ran == []

    @pytest.mark.parametrize(
        ("uid", "user", "code"), [(110, "postgres", 126), (None, "nobody", 126), (110, "postgres", 137)]
    )
    def test_a_lock_of_astra_is_a_fault_with_its_remedy(self, host, uid, user, code):
        host.uid, host.release, host.codes = uid, {"ID": "astra"}, {"/bin/sh": code, "/usr/bin/python3": code}
        (fault,) = host.module.verdict()["faults"]
        assert f"the user {user} may not run what" in fault
        assert f"/bin/sh: exit code {code} env: /bin/sh: Permission denied; /usr/bin/python3: exit code" in fault
        assert "run astra-interpreters-lock disable" in fault
        assert [words[2:] for words in host.ran] == [
            ["runuser", "-u", user, "--", "env", "/bin/sh", "-c", ":"],
            ["runuser", "-u", user, "--", "env", "/usr/bin/python3", "-I", "-c", ""],
        ]

    def test_astra_without_the_lock_is_good(self, host):
        host.release = {"ID": "astra"}
        assert host.module.verdict() == {"faults": [], "warnings": []}
        assert len(host.ran) == 2

    def test_where_data_are_it_is_a_warning(self, host):
        host.release, host.codes = {"ID": "astra"}, {"/usr/bin/python3": 126}
        (host.tmp_path / "pgdata").mkdir()
        (host.tmp_path / "pgdata/PG_VERSION").touch()
        found = host.module.verdict()
        assert (found["faults"], len(found["warnings"])) == ([], 1)
        assert "/bin/sh" not in found["warnings"][0]

    def test_an_attribute_of_a_security_module_is_a_reason_to_look(self, host, monkeypatch):
        monkeypatch.setattr("os.listxattr", lambda path: ["security.interp"] if path == "/bin/sh" else ["user.x"])
        host.codes = {"/usr/bin/python3": 126}
        (fault,) = host.module.verdict()["faults"]
        assert "give everybody the right to execute it" in fault
        assert "astra" not in fault

    def test_the_interpreter_of_patroni_is_tried_too(self, host):
        other = host.tmp_path / "python3.12"
        other.touch(mode=0o750)
        host.settings["patroni"]["python"] = str(other)
        host.codes = {str(other): 126}
        (fault,) = host.module.verdict()["faults"]
        assert f"({other}: exit code 126" in fault
        other.unlink()
        # A package may still bring it.
        assert host.module.verdict()["faults"] == []

    def test_a_file_system_without_attributes_is_not_odd(self, interpreters, monkeypatch):
        def none(_path):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr("os.listxattr", none)
        assert interpreters.doubtful({"ID": "debian"}, ["/bin/sh", "/no/such"]) is False
        assert interpreters.doubtful({}, []) is False

    @pytest.mark.parametrize(("code", "refused"), [(0, False), (1, False), (126, True), (127, True), (-9, True)])
    def test_a_program_that_fails_is_not_locked(self, interpreters, code, refused):
        found = interpreters.refusal("/bin/sh", "nobody", {"retcode": code, "stdout": "", "stderr": "a\nb"})
        assert (found is not None) is refused

    @pytest.mark.root
    def test_a_real_program_that_others_may_not_run_is_found(self, host, monkeypatch, tmp_path):
        for name, value in (("__opts__", {"test": False}), ("__grains__", {"os": "Debian", "os_family": "Debian"})):
            monkeypatch.setattr(salt.modules.cmdmod, name, value, raising=False)
        for name in ("__salt__", "__pillar__"):
            monkeypatch.setattr(salt.modules.cmdmod, name, {}, raising=False)
        host.module.__salt__["cmd.run_all"] = salt.modules.cmdmod.run_all
        host.uid = None
        shell = tmp_path / "sh"
        shutil.copy(os.path.realpath("/bin/sh"), shell)
        for step in (tmp_path, *tmp_path.parents):
            if step != Path("/tmp") and step.is_relative_to("/tmp"):  # noqa: S108
                step.chmod(0o755)
        monkeypatch.setattr("pghalib.preflight.interpreters.SHELL", str(shell))
        shell.chmod(0o750)
        (found,) = host.module.refused()
        assert (found["program"], found["user"], found["code"]) == (str(shell), "nobody", 126)
        shell.chmod(0o755)
        host.release = {"ID": "astra"}
        assert host.module.refused() == []
        # A module of the kernel that kills it.
        shell.write_text("#!/bin/sh\nkill -9 $$\n")
        assert [one["code"] for one in host.module.refused()] == [137]
