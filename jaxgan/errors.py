"""The one kind of error that a user causes, and how the commands print it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class UserError(Exception):
    """Something the user can mend. One sentence: what is wrong, with the values, and what to do."""


def exit_on(command: Callable[[], T], *, debug: bool) -> T:
    """Calls `command`; a `UserError` becomes one line on stderr and exit code 2, or with `debug` a traceback."""
    try:
        return command()
    except UserError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def fail(sentence: str) -> None:
    """Raises a `UserError`; for argparse, which would print a page."""
    raise UserError(f"{sentence}; see --help.")
