"""x."""

from . import Mutant

MUTANTS: list[Mutant] = []
