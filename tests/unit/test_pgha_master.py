"""What an orchestration is told before it begins: its hosts, or why it must not begin."""

import pghalib.master.compiled
import pghalib.secrets.store
import pytest
import shipped
from salt.exceptions import CommandExecutionError

DEFAULTS = shipped.defaults()
PGHA = {
    "vip": {"manager": "callback"},
    "datacenters": {"dc": {"servers": {f"dcs{number}": f"192.0.2.{number}" for number in (1, 2, 3)}}},
    "clusters": {
        "one": {"vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}},
        "two": {"vip": "192.0.2.50/24", "hosts": {"db3": "192.0.2.13", "db4": "192.0.2.14"}},
    },
}


@pytest.fixture
def master(loader_module):
    """A function (stored, kept=stored, given=stored, ext_pillar, …) -> the module on a master with these pillars."""

    def build(stored=PGHA, kept=None, given=None, ext_pillar=({"git": []}, {"pgha": True}), older=lambda _saltenv: []):
        def pillar(_opts, fresh=False):
            if isinstance(stored, Exception):
                raise stored
            return {"pgha": stored if fresh or kept is None else kept}

        return loader_module(
            "_modules/pgha_master.py",
            salt={"pgha.defaults": lambda: DEFAULTS, "pgha_library.older": older},
            utils={"pghalib.master.compiled.pillar": pillar},
            opts={"ext_pillar": ext_pillar},
            pillar={"pgha": stored if given is None else given},
        )

    return build


def test_the_hosts_of_a_sound_pillar_are_told_and_nothing_is_refused(master):
    plan = master().plan()
    assert plan["refused"] == []
    assert set(plan["hosts"]) == {"dcs1", "dcs2", "dcs3", "db1", "db2", "db3", "db4"}


@pytest.mark.parametrize(
    ("files", "named"), [(["modules/pgha.py"], "(modules/pgha.py)"), (["utils/a", "b", "c"], "(utils/a and 2 more)")]
)
def test_a_master_with_modules_of_the_former_formula_is_told_that_alone(master, files, named):
    """Its check of the pillar is of the former formula, too."""
    asked = []
    module = master(stored={"datacentres": 1}, older=lambda saltenv: asked.append(saltenv) or files)
    (refused,) = module.plan()["refused"]
    assert named in refused
    assert "salt-run saltutil.sync_all" in refused
    assert module.turns()["refused"] == [refused]
    # A formula from another branch of a repository is in another environment.
    module.__opts__["saltenv"] = "v2"
    assert module.plan(restoring=True)["refused"] == [refused]
    assert asked == ["base", "base", "v2"]


def test_a_key_that_a_person_has_yet_to_bring_holds_up_its_own_cluster_alone(master, tmp_path):
    repositories = {"main": {"type": "s3", "endpoint": "s3.example.org", "bucket": "backups"}}
    backup = {"hashes": {DEFAULTS["backup"]["version"]: "0" * 64}, "repositories": repositories}
    pgha = {**PGHA, "clusters": {**PGHA["clusters"], "two": {**PGHA["clusters"]["two"], "backup": backup}}}

    def refused(restoring=False, **given):
        module = master(pgha, given={**pgha, **given})
        module.__opts__["pgha_store"] = str(tmp_path)
        return module.plan(restoring)["refused"]

    assert [fault.split(":")[0] for fault in refused()] == ["the store has no key for the repository main of two"]
    assert refused(only="one") == []
    assert refused(restoring=True) == []


@pytest.mark.parametrize("ext_pillar", [None, [], [{"git": []}, "pgha"], [{"pgha": False}]])
def test_a_master_that_would_serve_no_secrets_begins_nothing(master, ext_pillar):
    plan = master(ext_pillar=ext_pillar).plan()
    assert list(plan) == ["refused"]
    assert len(plan["refused"]) == 1
    assert plan["refused"][0].startswith("ext_pillar: has no entry 'pgha: true'")


@pytest.mark.parametrize(("tls", "lives", "refused"), [(None, False, True), (False, False, False), (None, True, False)])
def test_a_new_datacenter_whose_name_no_certificate_can_have_is_refused(master, tmp_path, tls, lives, refused):
    """Where the pillar is silent: there the check of the pillar accepts it, as a living one may have such a name."""
    datacenters = {"my_dc": {**PGHA["datacenters"]["dc"], "tls": {"enabled": tls}}}
    pgha = {**PGHA, "datacenters": datacenters}
    module = master(pgha)
    module.__opts__["pgha_store"] = str(tmp_path)
    if lives:
        (tmp_path / "datacenter-my_dc.json").write_text("{}")
    found = module.plan()["refused"]
    assert bool(found) is refused
    if refused:
        (fault,) = found
        assert fault.startswith("pgha:datacenters:my_dc: a new datacenter is encrypted, and ")
        assert fault.endswith("give another, or set tls: false for it")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("one", None),
        ("one/superuser", None),
        ("one/agents", None),
        ("two/agents/db3", None),
        ("dc/tls", None),
        # Of a host that is not in the pillar any more.
        ("one/agents/db9", None),
        ("one/superusr", "there is no secret 'one/superusr'; did you mean one/superuser?"),
        ("dc/superuser", "there is no secret 'dc/superuser'"),
        ("one/qqq", "there is no secret 'one/qqq'; known are one/agents/db1, one/agents/db2, one/agents/db9, "),
        ("one/", "there is no secret 'one/'"),
    ],
)
def test_a_secret_that_there_never_was_is_not_to_be_made_anew(master, tmp_path, entry, said):
    module = master(given={**PGHA, "new_secrets": [entry]})
    module.__opts__["pgha_store"] = str(tmp_path)
    pghalib.secrets.store.write_index(
        tmp_path, {**pghalib.secrets.store.index(tmp_path), "made": {"one/agents/db9": "2026-11-29"}}
    )
    found = module.plan()["refused"]
    assert len(found) == bool(said)
    assert all(one.startswith(f"pgha:new_secrets: {said}") for one in found)


def test_all_that_is_wrong_is_told_at_once_each_in_one_line(master, monkeypatch):
    module = master(CommandExecutionError("It does not render: a\nb"), ext_pillar=[])
    monkeypatch.setattr(module.salt.version, "__version__", "3005.1")
    plan = module.plan()
    pillar, served, old = plan["refused"]
    assert list(plan) == ["refused"]
    assert pillar.startswith("It does not render: a")
    assert served.startswith("ext_pillar: ")
    assert old.startswith("Salt of this master is 3005.1: ")
    assert not [line for line in plan["refused"] if "\n" in line]
    assert module.turns() == {"refused": plan["refused"], "turns": [], "run": {}}


def inventory(module):
    """The inventory as the module of a master finds it."""
    return pghalib.master.compiled.inventory(module.__opts__, module.__pillar__, DEFAULTS)


def test_an_option_of_the_run_counts_and_a_setting_on_its_command_line_is_a_fault(master):
    plan = master(given={**PGHA, "only": ["one"]}).plan()
    assert (plan["refused"], plan["clusters"]) == ([], {"one": ["db1", "db2"]})
    pgha, faults = inventory(master(given={**PGHA, "only": ["one"], "consul": {"version": "1.15.0"}}))
    assert pgha == {**PGHA, "only": ["one"]}
    assert len(faults) == 1
    assert faults[0].startswith("pgha:consul: is given on the command line alone, where no host sees it: ")


def test_what_only_the_cache_of_the_pillar_still_has_did_not_come_from_the_command_line(master):
    old = {**PGHA, "consul": {"version": "1.15.0"}}
    assert inventory(master(kept=old, given=old)) == (PGHA, [])


@pytest.mark.parametrize("stored", [[], "text", 7])
def test_a_pillar_that_is_no_mapping_is_a_fault_and_no_traceback(master, stored):
    refused = master(stored).plan()["refused"]
    assert refused
    assert all(isinstance(line, str) for line in refused)
