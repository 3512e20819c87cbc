"""The names of the cluster in /etc/hosts: our block, and what it does to the lines of others."""

import os
import stat

import pytest
from salt.exceptions import CommandExecutionError

DEBIAN = """127.0.0.1\tlocalhost
127.0.1.1\ttest-db1.example.org\ttest-db1\tprinter

# The following lines are desirable for IPv6 capable hosts
::1     localhost ip6-localhost ip6-loopback
10.0.0.7 backup  # the tape robot"""


def cluster(name, network, vip=True):
    hosts = [{"id": f"{name}-db{n}", "name": f"{name}-db{n}", "address": f"{network}{n}"} for n in (1, 2)]
    address = {"address": f"{network}0", "prefix": 24, "name": f"{name}-db-cl"}
    return {"name": name, "hosts": hosts, "vip": address if vip else None, "kept_on": []}


def settings(domain="test.local", vip=True, role="db"):
    clusters = [cluster("test", "198.51.100.2", vip), cluster("other", "198.51.100.3")]
    return {
        "id": {"db": "test-db1", "dcs": "test-dcs1", "repository": "backup1"}[role],
        "datacenter": {
            "name": "dc",
            "servers": [{"id": "test-dcs1", "name": "test-dcs1", "address": "198.51.100.11"}],
            "repository_hosts": [{"id": "backup1", "name": "backup1", "address": "198.51.100.51"}],
        },
        "cluster": clusters[0] if role == "db" else None,
        "clusters": clusters,
        "hosts": {"manage": True, "domain": domain},
    }


@pytest.fixture
def hosts(loader_module):
    def make(**kwargs):
        return loader_module("_modules/pgha_hosts.py", salt={"pgha.settings": lambda: settings(**kwargs)})

    return make


@pytest.fixture
def state(loader_module, hosts):
    def make(test=False, **kwargs):
        module = hosts(**kwargs)
        names = ("rendered", "cleaned", "fault")
        salt = {f"pgha_hosts.{one}": getattr(module, one) for one in names}
        return loader_module("_states/pgha_hosts.py", salt=salt, opts={"test": test})

    return make


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "hosts"
    file.write_text(DEBIAN)
    return file


def test_entries_name_servers_hosts_and_vip_in_order(hosts):
    rows = hosts().entries()
    assert rows[0] == {"address": "198.51.100.11", "names": ["test-dcs1", "test-dcs1.test.local"]}
    assert rows[-1] == {"address": "198.51.100.20", "names": ["test-db-cl", "test-db-cl.test.local"]}
    plain = hosts(domain=None, vip=False).entries()
    assert [row["names"] for row in plain] == [["test-dcs1"], ["backup1"], ["test-db1"], ["test-db2"]]
    server = [row["names"][0] for row in hosts(domain=None, role="dcs").entries()]
    assert server == [
        *("test-dcs1", "backup1", "test-db1", "test-db2", "other-db1", "other-db2", "test-db-cl", "other-db-cl"),
    ]


def test_block_is_added_and_foreign_lines_stay(state, path):
    result = state().present(str(path))
    lines = path.read_text().splitlines()
    assert result["result"] is True
    assert lines[:6] == [
        "127.0.0.1\tlocalhost",
        "#pgha# 127.0.1.1\ttest-db1.example.org\ttest-db1\tprinter",
        "",
        "# The following lines are desirable for IPv6 capable hosts",
        "::1     localhost ip6-localhost ip6-loopback",
        "10.0.0.7 backup  # the tape robot",
    ]
    assert lines[6].startswith("# pgha: begin")
    assert lines[7:] == [
        "127.0.1.1 printer",
        "198.51.100.11 test-dcs1 test-dcs1.test.local",
        "198.51.100.51 backup1 backup1.test.local",
        "198.51.100.21 test-db1.example.org test-db1 test-db1.test.local",
        "198.51.100.22 test-db2 test-db2.test.local",
        "198.51.100.20 test-db-cl test-db-cl.test.local",
        "# pgha: end",
    ]


@pytest.mark.parametrize(
    ("loopback", "kept", "ours"),
    [
        ("127.0.1.1 test-db1", None, "test-db1 test-db1.test.local"),
        ("127.0.1.1 test-db1.corp.example TEST-DB1", None, "test-db1.corp.example TEST-DB1 test-db1.test.local"),
        ("127.0.1.1 test-db1.test.local test-db1", None, "test-db1.test.local test-db1"),
        (
            "127.0.1.1 test-db1.corp test-db1\n127.0.0.1 localhost test-db1 test-db1.other",
            "localhost",
            "test-db1.corp test-db1 test-db1.test.local test-db1.other",
        ),
        ("127.0.0.1 localhost test-db1 test-db10.corp", "localhost test-db10.corp", "test-db1 test-db1.test.local"),
    ],
)
def test_hostname_f_says_what_it_said_before(state, path, loopback, kept, ours):
    path.write_text(loopback + "\n")
    state().present(str(path))
    lines = path.read_text().splitlines()
    assert f"198.51.100.21 {ours}" in lines
    assert [line for line in lines if line.startswith("127.")] == ([f"127.0.0.1 {kept}"] if kept else [])
    assert state().present(str(path))["changes"] == {}


def test_a_host_that_the_pillar_names_in_full_keeps_its_short_name(path, hosts):
    path.write_text("127.0.1.1 test-db1.example.org test-db1\n")
    module = hosts(domain=None)
    rows = [{"address": "198.51.100.21", "names": ["test-db1.example.org"]}]
    new = module._with_block(path.read_text().splitlines(keepends=True), None, rows)
    assert "198.51.100.21 test-db1.example.org test-db1\n" in new


def test_second_run_changes_nothing(state, path):
    state().present(str(path))
    before = path.stat()
    result = state().present(str(path))
    assert (result["result"], result["changes"]) == (True, {})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_dry_run_shows_the_change_and_touches_nothing(state, path):
    result = state(test=True).present(str(path))
    assert result["result"] is None
    assert "+198.51.100.21 test-db1.example.org test-db1 test-db1.test.local" in result["changes"]["diff"]
    assert path.read_text() == DEBIAN


def test_mode_is_kept(state, path):
    path.chmod(0o640)
    state().present(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_link_is_followed(state, path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    state().present(str(link))
    assert link.is_symlink()
    assert "test-db2" in path.read_text()


def test_block_is_renewed_where_it_stands(state, path):
    state().present(str(path))
    path.write_text(path.read_text() + "10.9.9.9 later\n")
    result = state(domain="other").present(str(path))
    text = path.read_text()
    assert result["changes"]
    assert text.count("# pgha: begin") == 1
    assert "test.local" not in text
    assert text.endswith("# pgha: end\n10.9.9.9 later\n")


def test_taken_away_the_file_is_as_before(state, path):
    state().present(str(path))
    result = state().absent(str(path))
    assert result["changes"]
    assert path.read_text() == DEBIAN + "\n"
    assert state().absent(str(path))["changes"] == {}


def test_comment_of_the_installer_that_comes_back_is_taken_again(state, path):
    state().present(str(path))
    path.write_text("127.0.1.1 test-db1\n" + path.read_text())
    state().present(str(path))
    assert path.read_text().startswith("#pgha# 127.0.1.1 test-db1\n")


def test_foreign_address_for_one_of_our_names_fails_and_names_every_line(state, path):
    path.write_text("10.0.0.1 TEST-DB1\n10.0.0.2 other test-db2.test.local\n10.0.0.3 test-db1.example.org\n")
    before = path.read_text()
    result = state().present(str(path))
    assert result["result"] is False
    assert "TEST-DB1 the address 198.51.100.21" in result["comment"]
    assert "'10.0.0.2 other test-db2.test.local'" in result["comment"]
    assert "example.org" not in result["comment"]
    assert path.read_text() == before


def test_foreign_line_with_the_right_address_is_no_conflict(state, path):
    path.write_text("198.51.100.22 test-db2\n")
    assert state().present(str(path))["result"] is True


def test_second_family_and_cloud_init_are_told(state, path):
    path.write_text('# Your system has configured "manage_etc_hosts" as True (cloud-init).\n2001:db8::22 test-db2\n')
    result = state().present(str(path))
    assert result["result"] is True
    assert f"{path} was written. {path} also gives test-db2 the address 2001:db8::22; " in result["comment"]
    assert "cloud-init" in result["comment"]


@pytest.mark.parametrize("text", ["# pgha: begin\n10.0.0.1 x\n", "# pgha: end\n", "# pgha: end\n# pgha: begin\n"])
def test_broken_block_is_not_guessed_at(hosts, path, text):
    path.write_text(text)
    with pytest.raises(CommandExecutionError, match="delete what is left"):
        hosts().rendered(str(path))


@pytest.mark.root
@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("127.0.0.1 localhost\n{begin}\n198.51.100.21 \n{end}\n", "is no line of a hosts file"),
        ("127.0.0.1 localhost\n{begin}\n198.51.100.21test-db1\n{end}\n", "is no line of a hosts file"),
        ("{begin}\n198.51.100.21 test-db1\n{end}\n", "no line gives localhost"),
        ("10.0.0.1 localhost\n{begin}\n{end}\n", "no line gives localhost"),
    ],
)
def test_a_result_that_would_break_the_host_does_not_replace_the_file(loader_module, hosts, path, new, words):
    module = hosts()
    text = new.format(begin=module.BEGIN, end=module.END)
    wanted = {"path": str(path), "new": text, "user": "root", "group": "root", "mode": "0644", "warnings": []}
    salt = {"pgha_hosts.rendered": lambda _name: wanted, "pgha_hosts.fault": module.fault}
    result = loader_module("_states/pgha_hosts.py", salt=salt).present(str(path))
    assert (result["result"], result["changes"]) == (False, {})
    assert words in result["comment"]
    assert path.read_text() == DEBIAN


def test_a_file_without_localhost_is_no_reason_to_do_nothing(hosts, tmp_path):
    module = hosts()
    (tmp_path / "new").write_text(f"{module.BEGIN}\n198.51.100.21 test-db1\n{module.END}\n")
    assert module.fault(str(tmp_path / "new"), str(tmp_path / "none")) is None


def test_missing_file_is_made(state, tmp_path):
    path = tmp_path / "hosts"
    module = state(test=os.geteuid() != 0)
    assert module.present(str(path))["changes"]
