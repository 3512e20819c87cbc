"""The documents say what is there: every setting, every state that is named, every link."""

import ast
import re
from pathlib import Path

import pytest
import shipped
import yaml
from lab import saltstack

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
RUSSIAN = [name for name in NAMES if name.endswith(".ru.md")]


def headings(text):
    """Yield (heading, text below it up to the next one)."""
    parts = re.split(r"^#+ +(.+)$", prose(text), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def prose(text):
    """A document without its blocks of code, where a # begins no heading."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchor(heading):
    """The anchor of a heading the way GitHub makes it."""
    heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def shape(text):
    """What a document has in any language: levels of its headings, rows of its tables, code without comments."""
    blocks = re.findall(r"^ *```.*?^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    return {
        "headings": re.findall(r"^#+(?= )", prose(text), flags=re.MULTILINE),
        "rows": [len(re.findall(r"^ *\|", part, flags=re.MULTILINE)) for _, part in headings(text)],
        "code": [re.sub(r"\s*#.*", "", block) for block in blocks],
    }


@pytest.mark.parametrize("name", RUSSIAN)
def test_a_document_says_the_same_in_both_languages(name):
    russian = (ROOT / name).read_text(encoding="utf-8")
    english = (ROOT / name.replace(".ru.md", ".md")).read_text(encoding="utf-8")
    assert shape(russian) == shape(english)
    # Each leads to the other.
    assert Path(name).name in english
    assert Path(name).name.replace(".ru.md", ".md") in russian


def documented(name):
    """The keys in the first column of the tables of a reference, by the heading they stand under."""
    found = {}
    for heading, text in headings((ROOT / "docs" / name).read_text(encoding="utf-8")):
        found[heading] = set(re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE))
    return found


def known():
    """The keys of defaults.yaml by section; of `distributions` those of all presets, `repo` with its own keys."""
    defaults = shipped.defaults()
    presets = defaults.pop("distributions").values()
    # Their settings have their own sections.
    defaults.pop("profiles")
    found = {name: set(section) for name, section in defaults.items()}
    found["distributions"] = {key for preset in presets for key in preset}
    found["distributions"] |= {f"repo:{key}" for preset in presets for key in preset["repo"] or ()}
    return found


@pytest.mark.parametrize("name", ["settings.md", "settings.ru.md"])
@pytest.mark.parametrize("section", known())
def test_every_setting_is_in_the_reference_and_no_other(section, name):
    assert documented(name).get(section) == known()[section]


@pytest.mark.parametrize("name", ["settings.md", "settings.ru.md"])
def test_a_default_in_the_reference_is_the_default(name):
    defaults = shipped.defaults()
    compared = 0
    for heading, text in headings((ROOT / "docs" / name).read_text(encoding="utf-8")):
        for key, value in re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", text, flags=re.MULTILINE):
            if heading in defaults and heading != "distributions":
                default = defaults[heading][key]
                # A release such as 1.22.3 is text in both; what YAML reads as the same value is the same.
                assert yaml.safe_load(value) == default, f"{heading}:{key}"
                compared += 1
    assert compared > 40


@pytest.mark.parametrize("name", ["procedure.md", "procedure.ru.md"])
def test_every_state_in_the_procedure_is_in_the_sls_that_it_names(name):
    ids = {}
    for path in (ROOT / "salt/pgha").rglob("*.sls"):
        text = path.read_text(encoding="utf-8")
        # States that come from a macro are counted to every SLS that imports it.
        for source in re.findall(r'from "(pgha/[^"]+)" import', text):
            text += (ROOT / "salt" / source).read_text(encoding="utf-8")
        found = re.findall(r"^(\S.*?):(?: .*)?$", text, flags=re.MULTILINE)
        patterns = [".+".join(map(re.escape, re.split(r"\{\{.*?\}\}", one))) for one in found]
        ids[".".join(path.relative_to(ROOT / "salt/pgha").with_suffix("").parts)] = patterns
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    cited = re.findall(r"`([\w.]+)`: (\*[^*]+\*(?:, \*[^*]+\*)*)", text)
    assert len(cited) > 30
    for sls, listed in cited:
        for state in re.findall(r"\*([^*]+)\*", listed):
            assert any(re.fullmatch(pattern, state) for pattern in ids[sls]), f"{sls} has no state {state!r}"


@pytest.mark.parametrize("name", NAMES)
def test_every_row_stands_in_a_table(name):
    text = prose((ROOT / name).read_text(encoding="utf-8"))
    blocks = re.findall(r"(?:^ *\|.*\n)+", text, flags=re.MULTILINE)
    assert [block for block in blocks if not re.match(r" *\|.*\n *\|(?: *:?-+:? *\|)+\n", block)] == []


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_lead_somewhere(name):
    path = ROOT / name
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, fragment = target.partition("#")
        there = (path.parent / place).resolve() if place else path
        if not there.exists():
            broken.append(target)
        elif fragment:
            anchors = {anchor(heading) for heading, _ in headings(there.read_text(encoding="utf-8"))}
            broken += [] if fragment in anchors else [target]
    assert not broken


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_the_pillar_of_the_readme_works_once_its_hash_is_there(loader_module, name):
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    (pillar,) = [block for block in blocks if "pgha:\n" in block]
    faults = loader_module("_utils/pghalib/pillar/validate.py").faults
    defaults = shipped.defaults()
    assert faults(yaml.safe_load(pillar.replace("…", "a" * 64))["pgha"], defaults) == []
    assert len(faults(yaml.safe_load(pillar)["pgha"], defaults)) == 1


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_the_lab_has_the_master_of_the_readme(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    (master,) = [block for block in blocks if "ext_pillar:" in block]
    lab = yaml.safe_load(saltstack.MASTER_CONFIG)
    # For a machine of two cores.
    del lab["worker_threads"]
    assert lab == yaml.safe_load(master)


def test_nothing_that_the_master_serves_is_a_link():
    """A master with fileserver_followsymlinks: False does not serve what is behind one."""
    assert [path for path in (ROOT / "salt").rglob("*") if path.is_symlink()] == []


def test_the_version_of_the_formula_is_the_newest_of_the_changelog():
    formula = yaml.safe_load((ROOT / "FORMULA").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest[1] == formula["version"]


def test_decisions_stand_in_the_order_of_their_dates():
    records = [heading for heading, _ in headings((ROOT / "docs/decisions.md").read_text(encoding="utf-8"))[1:]]
    dates = [re.match(r"\d{4}-\d\d-\d\d ", heading)[0] for heading in records]
    assert dates == sorted(dates)


def test_every_file_that_the_guide_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:_\w+|salt|tests|\.ci)/[\w./-]+)`", text)
    assert len(named) > 20
    assert [one for one in named if not (ROOT / one).exists()] == []


def decided():
    """Yield (file, names in brackets behind it) of the guide's table. A bare name lies beside the file before it."""
    text = dict(headings((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))["Where is it decided?"]
    for places in re.findall(r"^\|[^|]+\|([^|]+)\|$", text, flags=re.MULTILINE)[2:]:
        path = ROOT
        for name, brackets in re.findall(r"`([\w./-]+\.\w+)`(?: \(([^)]+)\))?", places):
            path = ROOT / name if "/" in name else path.parent / name
            yield path, re.findall(r"`([^`]+)`", brackets)


def test_whatever_decides_by_the_guide_is_there():
    places = list(decided())
    assert len(places) > 50
    assert [str(path) for path, _ in places if not path.is_file()] == []
    named = [(path, name) for path, names in places for name in names]
    assert len(named) > 5
    for path, name in named:
        # A function, a constant, or a section of YAML.
        defined = rf"^(?:def {re.escape(name)}\(|{re.escape(name)}\b.* = |{re.escape(name)}:)"
        assert re.search(defined, path.read_text(encoding="utf-8"), flags=re.MULTILINE), f"{path.name}: {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "salt/_modules").glob("*.py")), ids=lambda path: path.stem)
def test_every_execution_function_shows_how_it_is_called(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            example = re.search(r"CLI Example:\n\n.*\n\n((?: +salt.*\n?)+)", ast.get_docstring(node) or "")
            called = rf"salt.* {path.stem}\.{node.name}\b"
            assert example, node.name
            assert re.search(called, example[1]), node.name


def raises(function):
    """Whether a function itself raises an exception; what functions within it do is not looked at."""
    waiting = list(function.body)
    for node in waiting:
        if isinstance(node, ast.Raise):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return False


@pytest.mark.parametrize("folder", ["salt/_modules", "salt/_utils/pghalib"])
def test_a_function_that_raises_says_so(folder):
    silent = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and raises(node):
                said = re.search(r"\b[Rr]aises?\b", ast.get_docstring(node) or "")
                silent |= set() if said else {f"{path.stem}.{node.name}"}
    assert silent == set()


@pytest.mark.parametrize("name", ["security.md", "security.ru.md", "odd.md"])
def test_every_test_that_a_page_names_is_there(name):
    words = r"(?:test_|Test)\w+"
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    rows = re.findall(rf"`(test_\w+)`: ((?:`{words}`(?:, )?)+)", text)
    assert len(rows) > 20
    for file, names in rows:
        (path,) = (ROOT / "tests").rglob(f"{file}.py")
        defined = set(re.findall(rf"(?:def|class) ({words})[(:]", path.read_text(encoding="utf-8")))
        assert set(re.findall(rf"`({words})`", names)) <= defined, file
