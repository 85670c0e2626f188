"""The one error a user can cause, and how the commands print it."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend. One sentence: what is wrong, with the values, and what to do."""


def run(command: Callable[[], int | None], *, debug: bool) -> int:
    """Runs `command`; turns a `UserError` into one line on stderr and exit code 2.

    Args:
      command: returns an exit code (None means 0).
      debug: let the traceback through instead.
    """
    try:
        return command() or 0
    except UserError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
