"""Wrong lines, and the tests that must notice them: `python -m tests.mutants` applies each to a copy of the tree.

A mutant is one small wrong idea about what a line means. They are in `game.py` (the players' updates, terms and
networks' assembly), `networks.py`, `training.py` (optimizers, schedules, EMA, penalties) and `rest.py`; `survives` explains why no test could notice it, and the run fails where more survive.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mutant(NamedTuple):
    file: str  # from the root of the repository
    old: str  # occurs once in it
    new: str
    tests: str  # arguments of pytest, of which at least one test must fail
    idea: str  # what is wrong
    survives: str = ""  # why no test notices it, for those that are known to survive

    @property
    def name(self) -> str:
        return f"{self.file}: {self.idea}"

    def stale(self, root: Path = ROOT) -> bool:
        """Whether the old text no longer occurs exactly once."""
        path = root / self.file
        return not path.exists() or path.read_text().count(self.old) != 1


def table() -> list[Mutant]:
    from . import game, networks, rest, training

    return [*game.MUTANTS, *networks.MUTANTS, *training.MUTANTS, *rest.MUTANTS]
