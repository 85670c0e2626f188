"""Imports point down, rooms form no circle, and functions stay short and take few arguments. Read with `ast`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "jaxgan"

# Layers of the package, from the bottom up: a module imports only from layers below its own, or from its own folder.
# A room is a folder, or a file on the front shelf.
FLOORS = [
    {"output", "arrays"},
    {"errors"},
    {"fields"},
    {"files", "flags", "schedules", "numerics"},
    {"spread", "objectives", "ema", "networks", "data", "optimizers"},
    {"features", "augment", "conditions"},
    {"metrics"},
    {"game"},
    {"algorithm1", "evaluation"},
    {"parallel", "distributed"},
    {"config"},
    {"stream"},
    {"run"},
    {"train"},
    {"sweep"},
    {"main"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# `jaxgan.load` is imported when it is called; nothing inside the package may lean on it.
FACE = "jaxgan/__init__.py"

FILES = sorted(ROOT.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}
# Rooms that know neither files nor processes.
PURE = ("objectives", "metrics")
LONGEST = 60  # lines of a function
MOST_ARGUMENTS = 7


def name_of(path: Path) -> str:
    """The dotted name of a file: 'jaxgan.data.order'."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in it; those of the package as files have them."""
    names = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {
                found if (found := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
    return names


def room_of(name: str) -> str:
    return name.split(".")[1]


INSIDE = {
    name: {other for other in imported(path) if other.partition(".")[0] == "jaxgan"}
    for name, path in MODULES.items()
    if name != "jaxgan"
}


def test_every_room_has_a_floor():
    assert {room_of(name) for name in INSIDE} <= FLOOR.keys()


@pytest.mark.parametrize("name", INSIDE)
def test_imports_point_down(name):
    for other in imported(MODULES[name]):
        assert other.partition(".")[0] not in ("experiments", "configs", "tests"), f"{name} imports {other}"
    for other in INSIDE[name]:
        assert other in MODULES, f"{name} imports {other}, which is not there"
        if other == "jaxgan":
            assert room_of(name) in ("sweep", "run", "main"), f"{name} imports the face of the package"
            continue
        below, here = FLOOR[room_of(other)], FLOOR[room_of(name)]
        assert room_of(other) == room_of(name) or below < here, f"{name} imports {other}, which is not below it"


def circle(edges: dict[str, set[str]]) -> list[str]:
    """A circle of names, or [] where there is none."""
    path: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        path.append(name)
        for other in sorted(edges.get(name, ())):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for name in edges if (found := visit(name))), [])


def test_files_form_no_circle():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []
    # A package's own files may import it back for its names, as `config.files` does: it must not need them.
    assert circle({name: others - {name} for name, others in INSIDE.items()}) == []


def test_rooms_form_no_circle():
    rooms: dict[str, set[str]] = {}
    for name, others in INSIDE.items():
        rooms.setdefault(room_of(name), set()).update(room_of(o) for o in others if o != "jaxgan")
    assert circle({room: others - {room} for room, others in rooms.items()}) == []


def names_in(tree: ast.AST) -> set[str | None]:
    """Names and attributes of the code, not of its prose."""
    return {getattr(node, "attr", getattr(node, "id", None)) for node in ast.walk(tree)}


def test_only_parallel_names_pmap():
    for path, tree in TREES.items():
        assert "pmap" not in names_in(tree) or path == ROOT / "parallel.py", path


def test_objectives_and_metrics_do_no_input_or_output():
    for room in PURE:
        for path in (ROOT / room).rglob("*.py"):
            assert not names_in(TREES[path]) & {"open", "print", "Path", "read_text", "savez", "urlopen"}, path
            assert not imported(path) & {"os", "sys", "pathlib", "io", "subprocess", "logging", "time"}, path


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name_of(path)}.{node.name}", node


def test_no_function_is_long():
    lengths = {name: node.end_lineno - node.lineno + 1 for name, node in functions()}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_functions_take_at_most_seven_arguments():
    counts = {}
    for name, node in functions():
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [argument.arg for argument in every] + [a.arg for a in (node.args.vararg, node.args.kwarg) if a]
        counts[name] = len([name for name in names if name not in ("self", "cls")])
    assert {name: n for name, n in counts.items() if n > MOST_ARGUMENTS} == {}
