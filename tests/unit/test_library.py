"""The library: rooms whose arrows go one way, and no loader in it."""

import ast
import graphlib
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "salt/_utils/pghalib"
FILES = sorted(LIBRARY.rglob("*.py"))
# Names that Salt's loader puts into a module.
LOADED = {f"__{name}__" for name in ("salt", "opts", "pillar", "grains", "utils", "states", "context", "runner")}


def imported(path):
    """The names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def dotted(node):
    """The dotted name that an expression is, or an empty text."""
    if isinstance(node, ast.Attribute):
        above = dotted(node.value)
        return f"{above}.{node.attr}" if above else ""
    return node.id if isinstance(node, ast.Name) else ""


def room(name):
    """The room of a module of the library: its folder, or the module itself where that lies above them."""
    return name.split(".")[1]


def test_no_two_rooms_of_the_library_need_each_other():
    needs = {}
    for path in FILES:
        own = room(".".join(("pghalib", *path.relative_to(LIBRARY).with_suffix("").parts)))
        others = {room(name) for name in imported(path) if name.startswith("pghalib.")}
        needs.setdefault(own, set()).update(others - {own})
    assert len(needs) > 15
    # Raises CycleError, which names the rooms.
    assert set(graphlib.TopologicalSorter(needs).static_order()) == set(needs)


def test_no_two_files_of_the_library_need_each_other():
    """Types count too: a reader who follows a name never comes back to where he began."""
    files = {".".join(("pghalib", *path.relative_to(LIBRARY).with_suffix("").parts)): path for path in FILES}
    needs = {own: {name for name in imported(path) if name in files} - {own} for own, path in files.items()}
    assert sum(map(len, needs.values())) > 150
    assert set(graphlib.TopologicalSorter(needs).static_order()) == set(needs)


def test_the_library_knows_no_loader_and_nothing_above_it():
    for path in FILES:
        assert not [name for name in imported(path) if name.startswith("pgha_")], path
        used = {node.id for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Name)}
        assert not used & LOADED, path


def named(path):
    """The name of a file of the library in an import; a room's own file has the name of the room."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(("pghalib", *parts)).removesuffix(".__init__")


def used(path, modules):
    """The modules of the library of which a file uses something by the whole name."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)]
    inner = {id(node.value) for node in nodes}
    for name in [dotted(node) for node in nodes if id(node) not in inner]:
        above = [name.rsplit(".", number)[0] for number in range(1, name.count(".") + 1)]
        yield from [one for one in above if one in modules][:1]


def test_a_module_imports_what_it_uses_of_the_library_and_nothing_else():
    """What another module has imported is there only as long as that was loaded before. Ruff sees `pghalib` alone."""
    modules = {named(path) for path in FILES} - {"pghalib"}
    lacking, idle = set(), set()
    for path in [*(LIBRARY.parents[1]).glob("_*/*.py"), *FILES]:
        tree = ast.parse(path.read_text("utf-8"))
        whole = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names} & modules
        needed = set(used(path, modules))
        above = {one.rpartition(".")[0] for one in whole}
        lacking |= {f"{path.name}: {one}" for one in needed - whole - above}
        idle |= {f"{path.name}: {one}" for one in whole - needed}
    assert lacking == set()
    assert idle == set()


def test_json_of_others_is_read_in_one_place():
    """Nested deeply enough, it ends Python's reader with another error than what is no JSON."""
    own = {"parse.py": "the place", "config.py": "a copy of its own value", "files.py": "words, of one value each"}
    files = [*(LIBRARY.parents[1]).glob("_*/*.py"), *FILES]
    assert {path.name for path in files if "json.loads(" in path.read_text("utf-8")} == set(own)


def test_every_file_can_be_read_at_one_sitting():
    files = [*(LIBRARY.parents[1]).glob("_*/*.py"), *FILES]
    assert {path.name: lines for path in files if (lines := len(path.read_text("utf-8").splitlines())) > 300} == {}


def test_every_room_says_what_it_is_for():
    rooms = [path for path in FILES if path.name == "__init__.py"]
    assert len(rooms) > 8
    assert [path for path in rooms if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []
