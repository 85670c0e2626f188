"""What a mutant is."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A wrong change to one file."""

    file: str  # from the root of the repository
    old: str  # the text to replace, which the file holds once
    new: str
    tests: str  # what pytest is to run: one of them has to fail
    wrong: str  # what is then wrong, in a few words
