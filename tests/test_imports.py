"""Imports point down (design: rooms), and the package uses no experiment or config of its users."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1] / "jaxgan"

# Floors from the ground up; a module imports only from floors below its own (or from its own folder).
FLOORS = [
    {"errors"},
    {"config", "objectives"},
    {"hparams"},
    {"state", "data", "networks", "optimizers"},
    {"metrics"},
    {"features"},
    {"gan"},
    {"algorithm1"},
    {"population", "parallel"},
    {"workdir"},
    {"plots", "checkpoints"},
    {"writers"},
    {"scores", "plan"},
    {"evaluate", "results"},
    {"trained"},
    {"pretrained"},
    {"train"},
    {"members", "report"},
    {"launch"},
    {"main", "sweep"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_point_down():
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in imported(path):
            assert name.split(".")[0] not in ("experiments", "configs", "tests"), f"{path} imports {name}"
            if name.startswith("jaxgan."):
                other = name.split(".")[1]
                assert other == room or FLOOR[other] < FLOOR[room], f"{path} imports {name}, which is not below it"


def test_only_parallel_names_pmap():
    # In code, not in prose: an attribute or a name.
    for path in ROOT.rglob("*.py"):
        names = {getattr(n, "attr", getattr(n, "id", None)) for n in ast.walk(ast.parse(path.read_text()))}
        assert "pmap" not in names or path.name == "parallel.py", path


def test_the_ground_does_no_input_or_output():
    for folder in ("objectives", "metrics"):
        for path in (ROOT / folder).glob("*.py"):
            names = {getattr(n, "id", None) for n in ast.walk(ast.parse(path.read_text()))}
            assert not names & {"open", "print", "Path"}, path
