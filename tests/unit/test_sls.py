"""Every SLS is rendered by Salt itself, over a matrix of pillars, and its requisites are resolved."""

import copy
import importlib
import json
import logging
import pkgutil
import re
import shutil
from pathlib import Path

import jinja2
import pghalib.backup.config
import pghalib.backup.keeper
import pghalib.backup.proof
import pghalib.backup.recovering
import pghalib.backup.repositories
import pghalib.consul.access
import pghalib.consul.files
import pghalib.drill.clients
import pghalib.drill.lasting
import pghalib.host.astra
import pghalib.host.clean
import pghalib.host.listener
import pghalib.host.os_release
import pghalib.host.packages
import pghalib.host.passage
import pghalib.host.users
import pghalib.patroni.config
import pghalib.postgres.answered
import pghalib.postgres.archive
import pghalib.postgres.locales
import pghalib.postgres.member_note
import pghalib.preflight.account
import pghalib.preflight.interpreters
import pghalib.secrets.pki
import pghalib.secrets.served
import pghalib.secrets.store
import pghalib.services.started
import pghalib.tls
import pghalib.vip
import pytest
import salt.client
import salt.config
import shipped
import yaml
from salt.exceptions import SaltRenderError
from salt.loader.lazy import LazyLoader
from salt.utils.jinja import SerializerExtension
from salt.utils.yamlencoding import yaml_dquote

ROOT = Path(__file__).resolve().parents[2]
PILLAR = yaml.safe_load((ROOT / "pillar/pgha/test-dcs.sls").read_text())["pgha"]
PILLAR["clusters"] = yaml.safe_load((ROOT / "pillar/pgha/test.sls").read_text())["pgha"]["clusters"]
PILLAR["vip"] = {"hashes": {"4.0.0": "0" * 64}}
PILLAR["backup"] = {"hashes": {"2.60.0": "0" * 64}}
KEEPER = {"test-dcs-cluster": {"repository_hosts": {"test-backup1": "192.0.2.51"}}}
CANARY = "canary-that-no-sls-may-show"
TOKEN = {"accessor": "00000000-0000-4000-8000-000000000000", "secret": CANARY}
SECRETS = {
    "test-dcs1": {"gossip_key": CANARY, "agent": TOKEN, "management": TOKEN, "tokens": {"agent-test-dcs1": TOKEN}},
    "test-db2": {
        **dict.fromkeys(("gossip_key", "superuser", "replication", "rewind", "restapi"), CANARY),
        **dict.fromkeys(("agent", "patroni", "vip"), TOKEN),
    },
    "test-backup1": {"tls": {"ca": "-----BEGIN", "repository": CANARY}},
}
ROLES = {"test-dcs1": "dcs", "test-db2": "db", "test-backup1": "repository"}
VARIANTS = {
    "defaults": {},
    "plain": {"tls": {"enabled": False}},
    "encrypted": {"tls": {"enabled": True, "clients": "required"}},
    "debian": {"postgres": {"distribution": "debian", "version": 15}},
    "callback": {"vip": {"manager": "callback", "interface": "eth1"}},
    "no-vip": {"vip": {"manager": "none"}},
    "synchronous": {"patroni": {"synchronous_mode": True, "synchronous_mode_strict": True}},
    "quorum": {"patroni": {"synchronous_mode": "quorum", "synchronous_node_count": 2, "rto": "fast"}},
    "watchdog": {"patroni": {"watchdog": "automatic", "guard": False}},
    "mirror": {
        "consul": {"url": "salt://mirror/consul_{version}.zip"},
        "vip": {"url": "https://mirror.example.org/vip-manager_{version}.tar.gz", "hashes": {"4.0.0": "0" * 64}},
        "patroni": {"find_links": "https://mirror.example.org/wheels"},
        "postgres": {"repo": {"name": "deb https://mirror.example.org/apt ./", "key_url": "salt://mirror/key.asc"}},
    },
    "backup": {
        "backup": {
            "repositories": {
                "main": {"type": "s3", "endpoint": "s3.example.org", "bucket": "pgha"},
                "share": {"type": "posix", "path": "/srv/share/{cluster}"},
                "far": {"type": "host", "host": "test-backup1", "path": "/backup/{cluster}"},
            },
            "catch_up": True,
            "new_replicas": True,
        }
    },
    "own-names": {"hosts": {"manage": False, "domain": "example.org"}, "consul": {"config_dir": "/srv/consul.d"}},
}
NOT_FOR_MINIONS = {"pgha", "pgha.restart", "pgha.restore"}


def sls_names():
    base = ROOT / "salt"
    names = {".".join(path.relative_to(base).with_suffix("").parts) for path in (base / "pgha").rglob("*.sls")}
    names = {name.removesuffix(".init") for name in names}
    return sorted(name for name in names - NOT_FOR_MINIONS if not name.startswith("pgha.orchestrate"))


def merged(given, over):
    for key, value in over.items():
        if isinstance(value, dict):
            merged(given.setdefault(key, {}), value)
        else:
            given[key] = value
    return given


def pillar_of(variant, minion_id):
    pgha = merged(merged(copy.deepcopy(PILLAR), {"datacenters": copy.deepcopy(KEEPER)}), VARIANTS[variant])
    return {"pgha": pgha, "pgha_secrets": SECRETS[minion_id]}


@pytest.fixture(scope="module")
def _folders_read_once():
    """
    Salt makes thousands of loaders here, each of which reads all its folders twice. Nothing comes into them while these
    tests run, so what the first loader of some folders has found is given to the others: half of the processor's time.
    """
    refresh, found = LazyLoader._refresh_file_mapping, {}
    names = ("file_mapping", "suffix_map", "suffix_order")

    def once(loader):
        key = (tuple(loader.module_dirs), tuple(loader.static_modules), frozenset(loader.disabled))
        if key not in found:
            refresh(loader)
            found[key] = {name: getattr(loader, name) for name in names}
        for name in names:
            setattr(loader, name, copy.copy(found[key][name]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LazyLoader, "_refresh_file_mapping", once)
        yield


@pytest.fixture(scope="module")
def caller_of(tmp_path_factory, _folders_read_once):
    """Salt's own caller without a master, for a minion id; its pillar is set by the test."""
    callers = {}
    # One place for all, as the options are of whichever caller was made last.
    modules = str(tmp_path_factory.mktemp("extmods"))

    def build(minion_id, jinja=(), **over):
        key = (minion_id, *jinja)
        # Salt renders with the options of whichever caller was made last: another host, or another way of Jinja's to
        # treat lines, needs a new one.
        if key not in callers:
            callers.clear()
            home = tmp_path_factory.mktemp(minion_id)
            opts = salt.config.minion_config(None)
            opts.update(
                id=minion_id,
                root_dir=str(home),
                cachedir=str(home / "cache"),
                pki_dir=str(home / "pki"),
                sock_dir=str(home / "sock"),
                extension_modules=modules,
                file_client="local",
                file_roots={"base": [str(ROOT / "salt")]},
                pillar_roots={"base": [str(home / "pillar")]},
                module_dirs=[str(ROOT / "_modules")],
                utils_dirs=[str(ROOT / "_utils")],
                states_dirs=[str(ROOT / "_states")],
                grains_dirs=[str(ROOT / "_grains")],
                render_dirs=[str(ROOT / "tests/renderers")],
                renderer="jinja|linted|yaml",
            )
            opts.update(over)
            opts.update({name: dict.fromkeys(jinja, True) for name in ("jinja_env", "jinja_sls_env")})
            callers[key] = salt.client.Caller(mopts=opts)
        return callers[key]

    return build


def sls_of(role):
    """What can be applied to a host of a role."""
    of_others = {
        "dcs": (
            "pgha.postgres",
            "pgha.patroni",
            "pgha.guard",
            "pgha.vip",
            "pgha.backup",
            "pgha.db",
            "pgha.stages.packages",
        ),
        "db": ("pgha.dcs", "pgha.consul.acl", "pgha.repository"),
    }
    of_others["dcs"] += ("pgha.repository",)
    of_others["repository"] = (*of_others["dcs"][:-1], "pgha.dcs", "pgha.consul", "pgha.notes.secrets")
    return [name for name in sls_names() if not name.startswith(of_others[role])]


def in_hands_of_others(low):
    """
    The files that root would touch by their paths, below a directory that is another user's by the same states: he
    could exchange one for a link. The directory of the data may lie in one of anybody's.
    """
    owned = {("pgha_postgres", "data_directory_made"), ("pgha_repository", "directory")}
    made = {chunk["name"] for chunk in low if (chunk["state"], chunk["fun"]) in owned}
    given = {chunk["name"] for chunk in low if chunk["fun"] == "directory" and chunk.get("user", "root") != "root"}
    others = {Path(name) for name in made | given} | {Path(name).parent for name in made}
    return [chunk["name"] for chunk in low if chunk["state"] == "file" and others & {*Path(chunk["name"]).parents}]


@pytest.mark.parametrize("minion_id", SECRETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_sls_renders_and_shows_no_secret(caller_of, minion_id, variant):
    caller = caller_of(minion_id)
    pillar = pillar_of(variant, minion_id)
    role = ROLES[minion_id]
    # Each by itself once, since it has to include what it requires; the whole host, which includes them, every time.
    for name in sls_of(role) if variant == "defaults" else (f"pgha.{role}", "pgha.clean"):
        low = caller.cmd("state.show_low_sls", name, pillar=pillar)
        assert all(isinstance(chunk, dict) for chunk in low), (name, low)
        assert CANARY not in json.dumps(low), name
        assert in_hands_of_others(low) == [], name
        for chunk in low:
            assert f"{chunk['state']}.{chunk['fun']}" in caller.sminion.states, chunk
            # A mode that is not said is the umask's.
            if chunk["state"] == "file" and chunk["fun"] in ("managed", "directory"):
                assert "mode" in chunk, chunk
                assert "dir_mode" in chunk or not chunk.get("makedirs"), chunk
            # For these Salt looks for a function that no module has, and so imports every state module: 0.6 s of a
            # processor on each host.
            assert name.endswith("clean") or not {"unless", "onlyif", "creates"} & set(chunk), chunk
            # As a plain file systemd would neither check it first nor be told of it.
            assert chunk["fun"] != "managed" or not chunk["name"].endswith((".service", ".timer")), chunk
            # By this the service notes its unit when it starts.
            if (chunk["state"], chunk["fun"]) == ("pgha_unit", "written") and "unit" in chunk["context"]:
                assert chunk["context"]["unit"] == f"{pghalib.services.UNITS}/{chunk['unit']}"
        if any((chunk["state"], chunk["fun"]) == ("pkg", "installed") for chunk in low):
            # apt installs nothing before that.
            assert min(low, key=lambda chunk: chunk["order"])["fun"] == "settled", name
        units = {fun: {chunk["unit"] for chunk in low if chunk["fun"] == fun} for fun in ("written", "read")}
        removed = {Path(chunk["name"]) for chunk in low if (chunk["state"], chunk["fun"]) == ("file", "absent")}
        gone = {path.name for path in removed if path.suffix in (".service", ".timer")}
        assert units["written"] | gone <= units["read"], name


@pytest.mark.parametrize("what", ["backups", "proofs"])
def test_a_timer_is_started_anew_when_it_has_changed_and_when_systemd_had_an_older_one(caller_of, what):
    low = caller_of("test-db2").cmd("state.show_low_sls", "pgha.backup", pillar=pillar_of("backup", "test-db2"))
    (runs,) = [chunk for chunk in low if chunk["__id__"] == f"The timer of the {what} runs, and does after a boot"]
    watched = [one["pgha_unit"] for one in runs["watch"]]
    of_timer = {chunk["__id__"]: chunk["fun"] for chunk in low if chunk.get("unit") == runs["name"]}
    assert of_timer == dict(zip(watched, ("written", "read"), strict=True))


def through_the_renderers(caller, text):
    """What a text becomes, by the renderers that a caller has for SLS."""
    return caller.cmd("slsutil.renderer", string=text, default_renderer=caller.opts["renderer"])


def test_the_pillar_of_the_lab_renders(caller_of):
    text = (ROOT / "tests/lab/pillar/pgha.sls").read_text()
    # The lab writes it beside the pillar.
    parts = '{% set parts = {"mirror": "http://192.0.2.1", "consul": {}, "vip-manager": {}, "pgbackrest": {}} %}'
    text = text.replace('{%- import_json "parts.json" as parts %}', parts)
    pgha = through_the_renderers(caller_of("test-dcs1"), text)["pgha"]
    assert pgha["patroni"] == {"find_links": "http://192.0.2.1/wheels/"}


def parts(component, *names):
    """Those names of what a component consists of that its SLS give to the files."""
    environment = jinja2.Environment(extensions=[SerializerExtension])
    environment.filters["yaml_dquote"] = yaml_dquote
    module = environment.from_string((ROOT / "salt/pgha" / component / "parts.jinja").read_text()).module
    return {name: getattr(module, name) for name in names}


# What a master and its minions may be set up with (jinja_env, jinja_sls_env), beside nothing of it.
JINJA = [("trim_blocks",), ("lstrip_blocks",), ("trim_blocks", "lstrip_blocks")]
TEMPLATES = {
    "consul/files/consul.service.jinja": lambda pgha: {"consul": pgha["consul"]},
    "backup/files/pgha-backup.service.jinja": lambda pgha: {
        "cluster": "test",
        "user": pgha["postgres"]["user"],
        "group": pgha["postgres"]["group"],
        "program": "/usr/local/lib/pgha-backup",
        "limits": {"Nice": "10"},
    },
    "backup/files/pgha-proof.service.jinja": lambda pgha: {
        "cluster": "test",
        "user": pgha["postgres"]["user"],
        "group": pgha["postgres"]["group"],
        "program": "/usr/local/lib/pgha-proof",
        "limits": {"Nice": "15"},
    },
    "backup/files/pgha-proof.timer.jinja": lambda _pgha: {"day": "Sat"},
    "repository/files/pgha-repository.service.jinja": lambda _pgha: {
        "directories": ["/backup/one", "/backup/two"],
        "address": "192.0.2.51",
        "version": "2.57",
    },
    "guard/files/pgha-guard.service.jinja": lambda _pgha: {
        "cluster": "test",
        **parts("guard", "program", "config", "files"),
    },
    "patroni/files/patroni.service.jinja": lambda pgha: {
        "patroni": pgha["patroni"],
        "postgres": pgha["postgres"],
        "unit": "/etc/systemd/system/patroni.service",
        "mounts": ["/pgdata/test"],
    },
    "vip/files/vip-manager.service.j2": lambda pgha: {
        "vip": pgha["cluster"]["vip"],
        "cluster": "test",
        **parts("vip", "program", "config", "unit"),
        "authorities": "/etc/pgha/tls/ca.pem" if pgha["tls"]["enabled"] else None,
    },
    "vip/files/pgha-vip.j2": lambda pgha: {"vip": pgha["cluster"]["vip"], "interface": None, "address": "192.0.2.1"},
    "vip/files/sudoers.j2": lambda _pgha: {"user": "postgres", **parts("vip", "helper")},
}


@pytest.mark.thorough
# Those that take different branches.
@pytest.mark.parametrize(
    ("minion_id", "variant"),
    [
        *(("test-dcs1", variant) for variant in ("encrypted", "own-names")),
        ("test-backup1", "backup"),
        *(
            ("test-db2", variant)
            for variant in ("encrypted", "plain", "debian", "callback", "no-vip", "mirror", "watchdog")
        ),
    ],
)
def test_every_sls_is_the_same_however_jinja_treats_the_lines_of_blocks(caller_of, minion_id, variant):
    pillar = pillar_of(variant, minion_id)
    role = ROLES[minion_id]
    # Those two and all that no other one includes.
    ends = ("pgha.clean", ".restart", ".lower", ".preflight", ".modules")
    callers = [caller_of(minion_id, jinja) for jinja in [(), *JINJA]]
    for name in (f"pgha.{role}", *(name for name in sls_of(role) if name.endswith(ends))):
        plain, *others = (caller.cmd("state.show_low_sls", name, pillar=pillar) for caller in callers)
        assert all(isinstance(chunk, dict) for chunk in plain), (name, plain)
        assert others == [plain] * len(JINJA), name


@pytest.mark.thorough
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_every_file_is_the_same_however_jinja_treats_the_lines_of_blocks(caller_of, loader_module, name, tls):
    inventory = loader_module("_utils/pghalib/inventory.py")
    defaults = shipped.defaults()
    pillar = pillar_of("encrypted" if tls else "plain", "test-db2")["pgha"]
    pgha = inventory.settings(pillar, defaults, "test-db2")
    text = (ROOT / "salt/pgha" / name).read_text()

    def rendered(jinja):
        return caller_of("test-db2", jinja).cmd(
            "file.apply_template_on_contents", text, "jinja", TEMPLATES[name](pgha), {}, "base"
        )

    plain = rendered(())
    assert isinstance(plain, str)
    assert [rendered(jinja) for jinja in JINJA] == [plain] * len(JINJA)


def test_no_template_is_left_out_of_this():
    files = {str(path.relative_to(ROOT / "salt/pgha")) for path in (ROOT / "salt/pgha").rglob("files/*.j*")}
    assert files == set(TEMPLATES)


SOURCES = sorted(
    path
    for folder in ("salt", "pillar", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".sls", ".jinja") and path.parent.name != "files"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sls_can_be_read_in_an_editor(path):
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    assert lines.pop() == ""
    assert [line for line in lines if len(line) > 120 or "\t" in line or line != line.rstrip()] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a:\n  test.nop: []\na:\n  test.nop: []\n", "3: duplication of key"),
        ("a:\n  test.nop:\n    - name: b\n      - c: d\n", "4: syntax error"),
        ("a:\n  test.nop:\n     - name: b\n", "3: wrong indentation"),
        ("a:\n  test.nop:\n    - name: b \n", "3: trailing spaces"),
        ("a:\n  file.directory:\n    - mode: 0755\n", "3: forbidden implicit octal value"),
        ("a:\n  service.running:\n    - enable: yes\n", "3: truthy value"),
        ("a:\n  service.running:\n    - name:\n", "3: empty value"),
    ],
)
def test_what_is_no_clean_yaml_is_a_fault(loader_module, text, fault):
    with pytest.raises(SaltRenderError, match=f"^spoiled is no clean YAML when rendered:\n{fault}"):
        loader_module("tests/renderers/linted.py").render(text, sls="spoiled")


def test_every_rendering_here_is_checked_for_clean_yaml(caller_of):
    with pytest.raises(SaltRenderError, match='duplication of key "a" in mapping'):
        through_the_renderers(caller_of("test-dcs1"), "{% for _ in (1, 2) %}\na:\n  test.nop: []\n{% endfor %}\n")


def test_the_sync_of_the_modules_is_given_no_word_that_it_does_not_know(caller_of):
    """All other words of a state go to the function; a sync that fails leaves a host without any of the formula's."""
    known = {"saltenv", "refresh", "reload_modules", "name", "state", "fun", "order"}
    for chunk in caller_of("test-dcs1").cmd(
        "state.show_low_sls", "pgha.stages.modules", pillar=pillar_of("defaults", "test-dcs1")
    ):
        assert {key for key in chunk if not key.startswith("__")} <= known, chunk


def test_the_rights_of_sudo_take_their_place_only_when_sudo_understands_them(caller_of):
    """One file with a mistake in that directory, and nobody on the host has sudo any longer."""
    low = caller_of("test-db2").cmd("state.show_low_sls", "pgha.vip", pillar=pillar_of("callback", "test-db2"))
    (rights,) = [chunk for chunk in low if chunk.get("name", "").startswith("/etc/sudoers.d/")]
    assert (rights["state"], rights["fun"], rights["mode"]) == ("file", "managed", "0440")
    # Salt adds the path of the new file to the end.
    assert rights["check_cmd"] == "/usr/sbin/visudo -cqf"


@pytest.mark.parametrize(("variant", "what"), [("callback", "managed"), ("defaults", "absent")])
def test_a_former_address_of_the_callback_goes_before_its_helper(caller_of, variant, what):
    low = caller_of("test-db2").cmd("state.show_low_sls", "pgha.vip", pillar=pillar_of(variant, "test-db2"))
    (helper,) = [chunk for chunk in low if chunk["fun"] == what and chunk["name"] == pghalib.vip.HELPER]
    (former,) = [chunk for chunk in low if chunk["fun"] == "former_released"]
    assert {former["state"]: former["__id__"]} in helper["require"]


def test_a_certificate_that_has_ended_goes_before_patroni_is_waited_for(caller_of):
    pillar = pillar_of("encrypted", "test-db2")
    low = caller_of("test-db2").cmd("state.show_low_sls", "pgha.patroni.service", pillar=pillar)
    place = {chunk["fun"]: chunk["order"] for chunk in low if chunk["state"] in ("pgha_tls", "pgha_patroni")}
    (repair,) = [chunk for chunk in low if chunk.get("repair")]
    (accepted,) = [chunk for chunk in low if chunk["fun"] == "accepted"]
    assert {accepted["state"]: accepted["__id__"]} in repair["require"]
    assert place["installed"] < place["accepted"] < repair["order"] < place["streaming"] < place["in_use"]


@pytest.mark.parametrize("before", [None, "another", "the same"])
def test_who_has_the_masters_modules_asks_for_none(caller_of, before):
    caller = caller_of("test-dcs1")
    place = Path(caller.opts["extension_modules"], "modules")
    shutil.rmtree(place, ignore_errors=True)
    if before:
        place.mkdir(parents=True)
        shutil.copy(ROOT / "_modules/pgha_library.py", place)
    run = {"library": caller.cmd("pgha_library.here") if before == "the same" else "another"}
    pillar = pillar_of("defaults", "test-dcs1") | {"pgha_run": run}
    low = caller.cmd("state.show_low_sls", "pgha.stages.modules", pillar=pillar)
    # Whoever has one of these is taken for one who has them all by a sync.
    shutil.rmtree(place, ignore_errors=True)
    kinds = [f"sync_{kind}" for kind in ("utils", "grains", "modules", "states")]
    assert [chunk["fun"] for chunk in low] == (["nop"] if before == "the same" else kinds)


def cleaned(caller_of, minion_id):
    """The paths that clean takes away from a host."""
    low = caller_of(minion_id).cmd("state.show_low_sls", "pgha.clean", pillar=pillar_of("encrypted", minion_id))
    removed = {chunk["name"] for chunk in low if chunk["state"] == "file"}
    removed |= {f"{chunk['path']}/{name}" for chunk in low for name in chunk.get("patterns", ())}
    for chunk in (chunk for chunk in low if chunk["fun"] == "release"):
        removed |= {chunk["path"], f"{pghalib.host.clean.LINKS}/{chunk['program']}"}
    if ("pgha_backup", "absent") in functions(low):
        removed.add(pghalib.backup.config.PATH)
    return removed


def test_the_guard_of_a_former_formula_goes_with_clean_and_when_the_new_one_runs(caller_of):
    former = "/usr/local/sbin/pgha-guard"
    assert former in cleaned(caller_of, "test-db2")
    low = caller_of("test-db2").cmd("state.show_low_sls", "pgha.guard", pillar=pillar_of("defaults", "test-db2"))
    (gone,) = [chunk for chunk in low if chunk["fun"] == "absent" and chunk["name"] == former]
    (runs,) = [chunk["__id__"] for chunk in low if (chunk["state"], chunk["fun"]) == ("pgha_unit", "current")]
    assert {"pgha_unit": runs} in gone["require"]


@pytest.mark.parametrize("minion_id", SECRETS)
def test_clean_takes_away_every_file_of_the_role(caller_of, minion_id):
    removed, role = cleaned(caller_of, minion_id), ROLES[minion_id]
    noted = {pghalib.tls.CA, pghalib.secrets.served.NOTE}
    services = {"dcs": ["consul"], "db": ["consul", "patroni", "vip-manager", "pgha-guard"]}
    for service in services.get(role, ["pgha-repository"]):
        noted |= {pghalib.services.started.unit(service), pghalib.services.started.note(service)}
    for service in pghalib.secrets.pki.SERVICES[role]:
        noted |= {pghalib.tls.pem(service), pghalib.tls.unread(service)}
    notes = {"dcs": ["consul.reload-owed", "consul.restart-pending"], "repository": []}
    notes["db"] = [*notes["dcs"], "patroni.reload-owed"]
    noted |= {f"{pghalib.services.DIRECTORY}/{note}" for note in notes[role]}
    if role != "repository":
        noted |= {pghalib.consul.access.TOKEN_FILE, pghalib.consul.access.PROFILE, pghalib.consul.files.HOME}
    if role == "db":
        noted |= {pghalib.postgres.member_note.NOTE, pghalib.backup.recovering.NOTE, pghalib.patroni.config.CALLBACK}
        noted |= {pghalib.vip.PROGRAM, pghalib.vip.CONFIG, pghalib.vip.HELPER}
    assert noted - removed == set()


# What the library names and clean leaves.
LEFT = {
    *pghalib.drill.clients.PYTHONS, *pghalib.host.astra.NOCHMODX, *pghalib.host.listener.TABLES,
    *pghalib.host.os_release.PATHS, *pghalib.host.passage.PRIVATE, pghalib.drill.lasting.UNITS,
    pghalib.host.astra.DIGSIG, pghalib.host.packages.UPDATES, pghalib.host.users.SCRATCH,
    pghalib.postgres.answered.PACKAGES, pghalib.postgres.locales.SUPPORTED, pghalib.preflight.account.LINGER,
    pghalib.preflight.account.LOGIN_DEFS, pghalib.preflight.account.USERS, pghalib.preflight.interpreters.PYTHON,
    pghalib.preflight.interpreters.SHELL,
    # Directories, of which clean knows what is in them, and those that systemd removes with their units.
    pghalib.host.clean.LINKS, pghalib.services.DIRECTORY, pghalib.services.UNITS, pghalib.tls.DIRECTORY,
    pghalib.backup.keeper.LOCKS, pghalib.backup.recovering.SOCKET,
    # Of the server's user, like the data; the master's store; parts of other texts.
    pghalib.backup.config.SPOOL, pghalib.backup.proof.RESULT, pghalib.secrets.store.DEFAULT_PATH,
    pghalib.backup.repositories.PATH, pghalib.postgres.archive.REPLICA,
}  # fmt: skip


def test_clean_takes_away_every_path_that_the_library_names(caller_of):
    """Who adds one to the library says here, or in clean, what becomes of it."""
    named = set()
    for found in pkgutil.walk_packages(pghalib.__path__, "pghalib."):
        for name, value in vars(importlib.import_module(found.name)).items():
            texts = value if isinstance(value, (tuple, list, set, frozenset)) else (value,)
            named |= {text for text in texts if isinstance(text, str) and text[:1] == "/" and name[:2] != "__"}
    assert {pghalib.backup.recovering.NOTE, pghalib.consul.access.TOKEN_FILE, pghalib.vip.CONFIG} <= named
    assert named - set().union(*(cleaned(caller_of, minion_id) for minion_id in ROLES)) == LEFT


@pytest.mark.parametrize("name", ["pgha.clean", "pgha.patroni.clean"])
def test_nothing_is_cleaned_before_it_is_known_that_postgresql_stops_with_patroni(caller_of, name):
    low = caller_of("test-db2").cmd("state.show_low_sls", name, pillar=pillar_of("defaults", "test-db2"))
    first = low[0]
    assert (first["state"], first["fun"], first["failhard"]) == ("pgha_clean", "possible", True)
    assert not {"require", "watch", "onchanges", "onfail"} & set(first)
    assert [chunk for chunk in low[1:] if chunk["order"] <= first["order"]] == []


def test_the_programs_are_where_the_library_looks_for_them(caller_of):
    low = caller_of("test-db2").cmd("state.show_low_sls", "pgha.db", pillar=pillar_of("backup", "test-db2"))
    used = {
        chunk["link"]: chunk["target"] for chunk in low if (chunk["state"], chunk["fun"]) == ("pgha_release", "in_use")
    }
    assert used.keys() == {"/usr/bin/consul", pghalib.vip.PROGRAM, pghalib.postgres.archive.PGBACKREST}
    assert used["/usr/bin/consul"].startswith(f"{pghalib.consul.files.HOME}/")


def test_highstate_gives_each_role_its_states(caller_of):
    for minion_id, role in ROLES.items():
        top = yaml.safe_load((ROOT / "salt/top.sls").read_text())["base"]
        assert top[f"pgha:role:{role}"] == [{"match": "grain"}, f"pgha.{role}"]
        low = caller_of(minion_id).cmd("state.show_low_sls", f"pgha.{role}", pillar=pillar_of("defaults", minion_id))
        own = "pgha_repository" if role == "repository" else "pgha_consul"
        assert {chunk["state"] for chunk in low} >= {"grains", own, "pgha_hosts"}, low


def test_an_orchestration_says_to_whom_it_belongs(caller_of):
    for name in ("pgha", "pgha.restart"):
        low = caller_of("test-db2").cmd("state.show_low_sls", name, pillar=pillar_of("defaults", "test-db2"))
        assert [(chunk["state"], chunk["fun"]) for chunk in low] == [("test", "fail_without_changes")]
        assert f"run salt-run state.orchestrate {name} on the master" in low[0]["__id__"]


@pytest.mark.parametrize("name", ["pgha.clean", "pgha.db", "pgha.dcs", "pgha.repository"])
def test_what_is_applied_to_a_host_outside_of_the_pillar_is_one_sentence(caller_of, name):
    caller = caller_of("test-db9")
    said = "correct the inventory"
    if name == "pgha.clean":
        said = "put the host back into the pillar for pgha.clean, then remove it"
    for pillar, sentence in ((pillar_of("defaults", "test-db2"), said), ({"pgha": {}}, "given no inventory")):
        (chunk,) = caller.cmd("state.show_low_sls", name, pillar=pillar)
        assert (chunk["state"], chunk["fun"]) == ("test", "fail_without_changes")
        assert "test-db9 is " in chunk["name"]
        assert sentence in chunk["name"]
        assert chunk["comment"] == chunk["name"]


HOSTILE = "/x y'\"{{ 7 * 7 }}{% raw %}: #\n  cmd.run:\n    - name: id\n\t%h$(id)`id`\\;&|*!"


def hostile(section, *keys):
    return {key: f"{HOSTILE}{section}-{key}" for key in keys}


# A setting of each kind that goes into an SLS.
HOSTILE_PILLAR = {
    "consul": {
        **hostile("consul", "user", "group", "config_dir", "data_dir", "log_dir", "version", "url"),
        "hashes": {HOSTILE: HOSTILE},
    },
    "postgres": {
        **hostile(
            "postgres", "user", "group", "data_dir", "socket_dir", "bin_dir", "version", "locale", "createcluster"
        ),
        **dict.fromkeys(("services", "packages", "locales"), [HOSTILE]),
        "repo": {"name": "deb https://mirror.example.org/" + HOSTILE, "key_url": HOSTILE, "key_hash": HOSTILE},
    },
    "patroni": hostile("patroni", "venv", "config_dir", "log_dir", "python", "requirements", "namespace"),
    "vip": {**hostile("vip", "version", "url", "interface"), "hashes": {HOSTILE: HOSTILE}},
}


def functions(low):
    return [(chunk["state"], chunk["fun"]) for chunk in low]


@pytest.mark.parametrize("manager", ["vip-manager", "callback"])
@pytest.mark.parametrize("minion_id", SECRETS)
def test_whatever_a_setting_holds_arrives_as_written_and_adds_no_state(caller_of, minion_id, manager):
    caller = caller_of(minion_id)
    good = pillar_of("mirror", minion_id)
    good["pgha"]["vip"]["manager"] = manager
    good["pgha"].setdefault("postgres", {})["createcluster"] = "/etc/x"
    good["pgha"]["postgres"]["services"] = ["x"]
    bad = copy.deepcopy(good)
    merged(bad["pgha"], HOSTILE_PILLAR)
    of_role = ROLES[minion_id]
    for name in (f"pgha.{of_role}", "pgha.clean"):
        expected, low = (caller.cmd("state.show_low_sls", name, pillar=pillar) for pillar in (good, bad))
        assert all(isinstance(chunk, dict) for chunk in [*expected, *low]), (name, low)
        assert sorted(functions(low)) == sorted(functions(expected)), name
        for chunk in low:
            if chunk["fun"] == "directory":
                fixed = ("/", "/etc/vip-manager", "/etc/pgbackrest", "/var/lib/consul")
                assert HOSTILE in chunk["name"] or chunk["name"] in fixed, chunk
                assert all(
                    HOSTILE in user for user in (chunk.get("user"), chunk.get("group")) if user not in (None, "root")
                )


@pytest.fixture(scope="module", params=[(), ("trim_blocks",), ("trim_blocks", "lstrip_blocks")], ids="-".join)
def orchestration(request, caller_of, tmp_path_factory):
    """Render an orchestration as the master does; ``answers`` is what the hosts said."""
    home = tmp_path_factory.mktemp("master")
    (home / "modules").mkdir()
    (home / "modules/saltutil.py").write_text(
        "import ast, pathlib\n"
        "def is_running(_fun):\n    return []\n"
        "def cmd(*_args, **_kwargs):\n"
        f"    return ast.literal_eval(pathlib.Path({str(home / 'answers')!r}).read_text())\n"
    )
    module_dirs = [str(home / "modules"), str(ROOT / "_modules")]
    caller = caller_of(
        "salt_master",
        request.param,
        __role="master",
        pgha_store=str(home / "store"),
        module_dirs=module_dirs,
        pillar_roots={"base": [str(home / "pillar")]},
        pillar_dirs=[str(ROOT / "_pillar")],
        ext_pillar=[{"pgha": True}],
    )
    (home / "pillar").mkdir()
    (home / "pillar/top.sls").write_text("#!json\n" + json.dumps({"base": {"*": ["inventory"]}}))

    def render(name, answers, command_line=None, **over):
        # ascii(): half a character of UTF-16 is no UTF-8.
        (home / "answers").write_text(ascii(answers))
        pillar = {"pgha": merged(copy.deepcopy(PILLAR), over)}
        (home / "pillar/inventory.sls").write_text("#!json\n" + json.dumps(pillar))
        # What cannot be rendered is logged at great length.
        logging.disable()
        try:
            return caller.cmd("state.show_low_sls", name, pillar=command_line or {})
        finally:
            logging.disable(logging.NOTSET)

    return render


IDS = [f"test-{role}{n}" for role in ("dcs", "db") for n in (1, 2, 3)]


def restart_facts(**over):
    answer = {"pending": {"Consul": ["a sentence"]}, "leads": False, "synchronous": False, "lowered": {}}
    return {"ret": {**answer, **over}, "retcode": 0}


BEGUN = [("pgha_orchestration", "alone"), ("pgha_orchestration", "possible")]
TOLD = [("pgha_orchestration", "summarised")]


def stages(low):
    return [chunk for chunk in low if (chunk["state"], chunk["fun"]) == ("salt", "state")]


def told_of(low):
    """The ids of the states whose failure the summary at the end tells."""
    return [name for one in low[-1]["onfail"] for name in one.values()]


def test_the_main_orchestration_renders(orchestration):
    low = orchestration("pgha", {})
    gates = [("pgha_jobs", "finished"), ("pgha_secrets", "stored"), ("pgha_jobs", "pillars_fresh")]
    settled = ("pgha_secrets", "settled")
    assert functions(low) == [*BEGUN, *gates, ("salt", "state"), settled, *[("salt", "state")] * 3, *TOLD]
    assert low[1]["refused"] == []
    # What the hosts have not refused is noted, and before anything is built by it.
    assert low[6]["require"] == [{"salt": low[5]["__id__"]}]
    assert low[6]["datacenters"] == ["test-dcs-cluster"]
    ready, *rest = stages(low)
    assert ready["tgt"] == low[2]["hosts"] == IDS
    assert [chunk["test"] for chunk in stages(low)] == [False] * 4
    assert rest[-1]["__id__"] == "test has a leader and streaming replicas, and takes a write"
    # Without that note nothing is built, and the failure is told at the end.
    assert [chunk["require"] for chunk in rest[:-1]] == [[{"pgha_secrets": low[6]["__id__"]}]] * 2
    assert told_of(low) == [chunk["__id__"] for chunk in low[5:-1]]


def test_a_repository_host_takes_backups_before_a_cluster_archives_there(orchestration):
    datacenters = merged(copy.deepcopy(PILLAR["datacenters"]), copy.deepcopy(KEEPER))
    low = orchestration("pgha", {}, datacenters=datacenters)
    (keeps,) = [chunk for chunk in stages(low) if chunk["tgt"] == ["test-backup1"]]
    assert (keeps["__id__"], keeps["sls"]) == (
        "The repository hosts of test-dcs-cluster take backups",
        ["pgha.repository"],
    )
    assert keeps["require"] == [{"pgha_secrets": "The master knows which datacenters are encrypted"}]
    assert {"salt": keeps["__id__"]} in stages(low)[-1]["require"]
    assert "test-backup1" in low[2]["hosts"]
    assert "test-backup1" in stages(low)[0]["tgt"]
    given = {"pgha": {"without": ["test-backup1"]}}
    left_out = orchestration("pgha", {}, command_line=given, datacenters=datacenters)
    assert len(stages(left_out)) == len(stages(low)) - 1


def test_a_lost_cluster_has_its_data_before_patroni_starts(orchestration):
    repositories = {"share": {"type": "posix", "path": "/srv/share"}}
    given = {"pgha": {"from_backup": "test"}}
    low = orchestration("pgha", {}, command_line=given, backup={"repositories": repositories})
    *before, founded, serves, ended = stages(low)
    assert (founded["tgt"], founded["sls"]) == (["test-db1"], ["pgha.backup.restore.founded"])
    assert founded["require"] == [{"salt": chunk["__id__"]} for chunk in before[1:]]
    assert serves["require"] == [{"salt": founded["__id__"]}]
    assert (ended["tgt"], ended["require"]) == (["test-db1"], [{"salt": serves["__id__"]}])
    assert told_of(low) == [chunk["__id__"] for chunk in low[5:-1]]


def test_lost_clusters_are_founded_side_by_side(orchestration):
    repositories = {"share": {"type": "posix", "path": "/srv/share"}}
    given = {"pgha": {"from_backup": ["test", "test2"]}}
    second = {"test2": {"vip": "198.51.100.50/24", "hosts": {"test2-db1": "198.51.100.31"}}}
    low = orchestration("pgha", {}, command_line=given, backup={"repositories": repositories}, clusters=second)
    founded = [chunk for chunk in stages(low) if chunk["sls"] == ["pgha.backup.restore.founded"]]
    assert [(chunk["tgt"], chunk["parallel"]) for chunk in founded] == [(["test-db1"], True), (["test2-db1"], True)]


def test_a_cluster_without_repositories_is_not_founded_from_one(orchestration):
    low = orchestration("pgha", {}, command_line={"pgha": {"from_backup": "test"}})
    assert refused(low) == "pgha:from_backup: test has no repository whose backups it could begin with; leave it out"


def test_a_copy_is_let_in_before_anything_is_stopped_and_no_longer_when_it_has_ended(orchestration):
    backup = {"repositories": {"far": {"type": "host", "host": "test-backup1", "path": "/backup"}}}
    clusters = {"test": {"backup": backup}, "trial": {"vip": "192.0.2.90/24", "hosts": {"trial-db1": "192.0.2.91"}}}
    datacenters = merged(copy.deepcopy(PILLAR["datacenters"]), copy.deepcopy(KEEPER))
    asked = {
        "cluster": "trial",
        "from": "test",
        "target": "newest",
        "confirm": "trial from test to newest from timeline unknown",
    }
    told = {"leads": False, "paused": False, "mount": False, "size": 1, "free": 2, "tablespaces": 0, "first": 1.0}
    # At a switchover two members of the source may say that they lead.
    answers = {
        host: {"ret": {**told, "newest": 2.0, "leads": host in IDS[4:]}, "retcode": 0}
        for host in ("trial-db1", *IDS[3:])
    }
    low = orchestration(
        "pgha.restore",
        answers,
        {"pgha_restore": asked},
        tls={"enabled": True},
        clusters=clusters,
        datacenters=datacenters,
    )
    assert low[1]["refused"] == []
    flushed = [chunk["tgt"] for chunk in stages(low) if chunk["sls"] == ["pgha.backup.restore.flushed"]]
    assert flushed == [["test-db2", "test-db3"]]
    steps = [(chunk["tgt"], chunk["sls"]) for chunk in stages(low)]
    keeper = (["test-backup1"], ["pgha.repository"])
    assert steps.index(keeper) < steps.index((["trial-db1"], ["pgha.backup.restore.stopped"]))
    assert steps[-1] == keeper
    order = [(chunk["state"], chunk["fun"]) for chunk in low]
    assert order.index(("pgha_restore", "ended")) < len(order) - 1 - order[::-1].index(("pgha_jobs", "pillars_fresh"))


def test_what_is_given_for_one_run_comes_to_every_stage(orchestration):
    given = {"only": "test", "without": ["test-db1", "test-dcs2"], "new_secrets": ["test/superuser"]}
    given.update(new_data=["test-db2"], from_backup=[])
    low = orchestration("pgha", {}, command_line={"pgha": given})
    assert low[2]["hosts"] == [host for host in IDS if host not in given["without"]]
    runs = [chunk["pillar"]["pgha_run"] for chunk in stages(low)]
    # Only the first stage brings the modules, and has each host look whether its pillar has what it needs.
    assert re.fullmatch("[0-9a-f]{64}", runs[0].pop("library"))
    assert runs[0].pop("worked_on") == {"test": "test-dcs-cluster"}
    assert all(run == {**given, "only": ["test"]} for run in runs)
    assert not any(host in chunk["tgt"] for host in given["without"] for chunk in stages(low))
    said = [chunk["__id__"] for chunk in low if chunk["state"] == "test"]
    assert said == ["test-db1, test-dcs2: left out of this run; run the main job again when it answers"]


def refused(low):
    """The lines with which an orchestration refuses; it has nothing else then."""
    assert functions(low) == BEGUN, low
    return "\n".join(low[1]["refused"])


@pytest.mark.parametrize("name", ["pgha", "pgha.restart"])
def test_a_pillar_that_cannot_work_does_not_come_into_an_orchestration(orchestration, name):
    low = orchestration(name, {}, clusters={"test: x\n  cmd.run": {"hosts": {"a: {b": "192.0.2.9"}}})
    assert "the name of a cluster" in refused(low)


@pytest.mark.parametrize("name", ["pgha", "pgha.restart"])
def test_a_setting_on_the_command_line_is_refused_as_no_host_sees_it(orchestration, name):
    line = {"pgha": {"postgres": {"parameters": {"work_mem": "1GB"}}, "consul": {"version": "1.22.3"}}}
    low = orchestration(name, {}, command_line=line, consul={"version": "1.22.3"})
    assert refused(low).startswith("pgha:postgres: is given on the command line alone")
    assert "pgha:consul" not in refused(low)


@pytest.mark.parametrize("name", ["pgha", "pgha.restart"])
def test_a_master_whose_salt_is_too_old_is_told_before_anything_begins(orchestration, monkeypatch, name):
    monkeypatch.setattr("salt.version.__version__", "3006.9")
    assert refused(orchestration(name, {})).startswith("Salt of this master is 3006.9: 3006.27 or newer is needed")


def test_the_rolling_restart_renders(orchestration):
    pending = {"Consul": ["a: 'b'\n{{ 1 }}"], "vip-manager": ["c"]}
    low = orchestration("pgha.restart", {host: restart_facts(pending=pending) for host in IDS})
    assert functions(low) == [*BEGUN, *[("salt", "state")] * 6, *TOLD]
    turns = stages(low)
    assert [chunk["tgt"] for chunk in turns] == [[host] for host in IDS]
    assert turns[3]["__id__"] == "4 test-db1 runs what is installed and configured (Consul, vip-manager)"
    # What has gone wrong on one host does not happen on the next one.
    assert [chunk["require"] for chunk in turns[1:]] == [[{"salt": chunk["__id__"]}] for chunk in turns[:-1]]
    nothing = orchestration("pgha.restart", {host: restart_facts(pending={}) for host in IDS})
    assert functions(nothing) == [*BEGUN, ("test", "nop")]


INJECTED = [f"Consul):\n  cmd.run:\n    - name: touch /x\n{mark}" for mark in ("#", "{{ 7 * 7 }}", "\u2028\ud800'\"")]


@pytest.mark.thorough
@pytest.mark.parametrize("place", ["key", "sentence", "service", "leads", "synchronous", "lowered", "whole", "text"])
def test_no_answer_of_a_host_adds_to_the_rolling_restart(orchestration, place):
    for evil in INJECTED:
        spoiled = {
            "key": restart_facts(**{evil: evil}),
            "sentence": restart_facts(pending={"Consul": [evil]}),
            "service": restart_facts(pending={evil: [evil]}),
            "leads": restart_facts(leads=evil),
            "synchronous": restart_facts(synchronous=[evil]),
            "lowered": restart_facts(lowered={evil: {"old": evil, "new": evil}}),
            "whole": {"ret": [evil, {evil: evil}], "retcode": 0},
            "text": {"ret": evil, "retcode": 0},
        }[place]
        answers = {**{host: restart_facts() for host in IDS}, "test-db3": spoiled, evil: restart_facts()}
        low = orchestration("pgha.restart", answers)
        if place in ("key", "sentence"):
            assert functions(low) == [*BEGUN, *[("salt", "state")] * 6, *TOLD]
            assert stages(low)[-1]["__id__"] == "6 test-db3 runs what is installed and configured (Consul)"
        else:
            assert "test-db3: " in refused(low)
            assert "Nothing was restarted" in refused(low)


@pytest.mark.parametrize("copied", [False, True])
def test_a_host_that_gets_the_data_of_another_cluster_has_what_reads_its_backups(caller_of, copied):
    source = {"name": "one", "backup": {"version": "2.60.0", "url": "https://x", "hashes": {"2.60.0": "0" * 64},
                                        "packages": ["libxml2"]}}  # fmt: skip
    run = {"restore": {"id": "1"}, **({"copied": source} if copied else {})}
    pillar = {**pillar_of("defaults", "test-db2"), "pgha_run": run}
    low = caller_of("test-db2").cmd("state.show_low_sls", "pgha.backup.restore.data", pillar=pillar)
    assert all(isinstance(chunk, dict) for chunk in low), low
    assert (("pgha_restore", "source_known") in functions(low)) is copied
    assert in_hands_of_others(low) == []
    assert ("pgha_restore", "restored") in functions(low)
