"""The table of wrong lines fits the code. `python -m tests.mutants` applies them, which takes long."""

import re
from collections import Counter

from tests.mutants import ROOT, table


def test_every_wrong_line_has_a_place():
    """If a text no longer occurs exactly once, update it in tests/mutants such that the mutation keeps its purpose."""
    assert [mutant.name for mutant in table() if mutant.stale()] == []


def test_the_table():
    mutants = table()
    assert len(mutants) >= 100 and sum(bool(mutant.survives) for mutant in mutants) <= 5
    assert [name for name, count in Counter(mutant.name for mutant in mutants).items() if count > 1] == []
    assert all(mutant.old != mutant.new for mutant in mutants)
    files = {file for mutant in mutants for file in re.findall(r"tests/[\w/]+\.py", mutant.tests)}
    assert [file for file in files if not (ROOT / file).exists()] == []
