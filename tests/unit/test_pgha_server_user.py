"""The user of PostgreSQL: whether logind spares its memory, and the host knows it."""

from types import SimpleNamespace

import pytest
from salt.exceptions import CommandExecutionError

STOCK = (
    "# /etc/systemd/logind.conf\n# See logind.conf(5) for details.\n\n[Login]\n#KillExcludeUsers=root\n#RemoveIPC=yes\n"
)
DROP_IN = "\n# /etc/systemd/logind.conf.d/postgres.conf\n"
OFF = f"{STOCK}{DROP_IN}[Login]\nRemoveIPC=no\n"


@pytest.fixture
def library(loader_module):
    return loader_module("_utils/pghalib/preflight/account.py")


class Host:
    """The module on a host whose files and users are those of the test."""

    def __init__(self, loader_module, monkeypatch, tmp_path):
        self.tmp_path, self.ran, self.said, self.begun = tmp_path, [], STOCK, False
        self.settings = {
            "role": "db",
            "postgres": {"user": "postgres", "data_dir": str(tmp_path / "pgdata")},
        }
        self.passwd, self.defs = tmp_path / "passwd", tmp_path / "login.defs"
        self.passwd.write_text("root:x:0:0:root:/root:/bin/bash\npostgres:x:1500:1500::/home/postgres:/bin/bash\n")
        self.uid = 1500
        (tmp_path / "linger").mkdir()
        for name, place in (("USERS", self.passwd), ("LOGIN_DEFS", self.defs), ("LINGER", tmp_path / "linger")):
            monkeypatch.setattr(f"pghalib.preflight.account.{name}", str(place))
        monkeypatch.setattr("pghalib.postgres.member_note.NOTE", str(tmp_path / "member.json"))
        monkeypatch.setattr("pwd.getpwnam", self.known)
        salt = {
            "pgha.settings": lambda: self.settings,
            "pgha_founding.founding_state": lambda: {"begun": self.begun},
            "cmd.run_all": self.run,
        }
        self.module = loader_module("_modules/pgha_server_user.py", salt=salt)

    def known(self, name):
        if self.uid is None:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=self.uid)

    def run(self, words, **_options):
        self.ran.append(words)
        if self.said is None:
            raise CommandExecutionError("no such program")
        return {"retcode": 0, "stdout": self.said, "stderr": ""}


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
