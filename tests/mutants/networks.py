"""Wrong changes to the networks and their layers."""

from tests.mutants.table import Mutant

MUTANTS: list[Mutant] = []
