"""Checks of the shapes and dtypes in signatures while tests run: the type checker of jaxtyping's import hook."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeCallHintParamViolation

from jaxgan.errors import UserError

# Modules whose public functions are checked.
CHECKED = (
    *(f"jaxgan.objectives.{name}" for name in ("value", "theory", "losses", "penalties")),
    *(
        f"jaxgan.metrics.{name}"
        for name in ("distances", "fid", "inception_score", "inputs", "kid", "neighbours", "parzen", "prd", "prdc")
    ),
)
with_ints_as_floats = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function: Callable) -> Callable:
    """Makes a public function check its arguments and its result; it may refuse wrong arguments itself."""
    if not inspect.isfunction(function) or function.__name__.startswith("_"):
        return function
    checked = with_ints_as_floats(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return checked(*args, **kwargs)
        except BeartypeCallHintParamViolation:
            if _refuses(function, args, kwargs):
                return function(*args, **kwargs)
            raise

    return call


def _refuses(function: Callable, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether the function of this name, without any check, raises a UserError for these arguments."""
    named = getattr(sys.modules[function.__module__], function.__name__, None)
    if named is None:  # a function of jaxtyping, which finds the argument that is wrong
        return False
    unchecked = inspect.unwrap(named)
    try:
        unchecked(*args, **kwargs)
    except UserError:
        return True
    return False
