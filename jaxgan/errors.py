"""UserError, and how the command-line programs report errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from jaxgan.output import forgiving_output

T = TypeVar("T")


class UserError(Exception):
    """An error the user can fix. One sentence: what is wrong, with the values, and what to do."""


@forgiving_output()
def run_cli(command: Callable[[], T]) -> T:
    """Calls `command`; an error becomes one line on stderr and exit code 2 (130 for Ctrl-C).

    With --debug, which is removed from the arguments, a traceback is printed instead. Expands ~ in --NAME=~/PATH, which
    shells do not.
    """
    debug = "--debug" in sys.argv
    sys.argv = [_expand_home(argument) for argument in sys.argv if argument != "--debug"]
    try:
        return command()
    except KeyboardInterrupt:
        if debug:
            raise
        print("interrupted; repeat the command to resume from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        sys.exit(2)


def _expand_home(argument: str) -> str:
    name, sign, path = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return name + sign + (os.path.expanduser(path) if path == "~" or path.startswith("~/") else path)


def describe(error: Exception) -> str:
    """One line for any exception: what is wrong and what to do."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower():
        return (
            f"out of memory ({text[:200] or 'of the host'}); make train.batch_size, evaluate.samples or the "
            f"networks smaller."
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}; fix it, then repeat the command."
    return f"unexpected {type(error).__name__}: {text[:300]}; repeat the command with --debug for the traceback."


class ArgumentParser(argparse.ArgumentParser):
    """A parser that raises a `UserError` where argparse prints the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see --help.")
