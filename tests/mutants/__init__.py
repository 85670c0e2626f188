"""Wrong lines, and the tests that must notice them."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    file: str  # from the root of the repository
    old: str  # occurs once in it
    new: str
    tests: str  # arguments of pytest, of which at least one test must fail
    idea: str  # what is wrong
    survives: str = ""  # why no test notices it, for those that are known to survive
