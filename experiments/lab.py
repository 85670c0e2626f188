"""What the experiments share: the command line, cached results, timing, runs in parallel, result.json and verdicts.

An experiment is its claim (the module's docstring), its setting and its picture; `docs/extending.md` has a skeleton.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jaxgan import errors
from jaxgan.config import fingerprint
from jaxgan.config.fields import invalid_choice_error
from jaxgan.errors import UserError
from jaxgan.files import write_atomically
from jaxgan.sweep.statistics import LEVEL, MIN_SEEDS, paired_difference

Case = TypeVar("Case")
Result = TypeVar("Result")

# A claim that the experiment shows, refutes or does not decide; a string: a published claim that it does not reproduce,
# with a sentence on what an experiment of this size can decide (`reproduced`).
Verdict = bool | str | None
VERDICTS = {True: "holds", False: "does not hold", None: "undecided at this size"}
NOT_REPRODUCED = "not reproduced in this toy"


# --- The command line -------------------------------------------------------------------------------------------------


def make_parser(name: str, about: str | None, *, quick: str = "", out: bool = True) -> argparse.ArgumentParser:
    """The parser of `python -m experiments.NAME`, whose mistakes are a `UserError`.

    Args:
      about: the module's docstring, shown by --help.
      quick: what --quick runs; without it there is no --quick.
      out: whether there is --out, the folder of the results, by default runs/NAME.
    """
    parser = errors.ArgumentParser(f"python -m experiments.{name}", description=about, allow_abbrev=False,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    if out:
        parser.add_argument("--out", type=Path, default=Path("runs", name),
                            help="folder of the results; default: %(default)s")  # fmt: skip
    return parser


def parse(parser: argparse.ArgumentParser, **defaults: tuple[Any, Any]) -> argparse.Namespace:
    """Parses the command line of an experiment with --quick.

    Args:
      defaults: by flag, its default without --quick and with it.

    Raises:
      UserError: an unknown flag, or a value of the wrong type.
    """
    set_defaults(parser, **defaults)
    return parser.parse_args()


def set_defaults(parser: argparse.ArgumentParser, **defaults: tuple[Any, Any]) -> None:
    """Sets defaults of flags, each a pair: without --quick and with it."""
    quick = "--quick" in sys.argv
    parser.set_defaults(**{name: pair[quick] for name, pair in defaults.items()})


def check_choices(flag: str, values: Iterable[str], choices: Iterable[str]) -> None:
    """Raises a `UserError` if one of the values of `flag` is not among the choices."""
    for value in values:
        if value not in choices:
            raise invalid_choice_error(flag, value, choices)


def check_positive(**counts: int) -> None:
    """Raises a `UserError` if a count, by its flag, is below 1."""
    if min(counts.values()) < 1:
        raise UserError(f"{' and '.join(f'--{flag}={count}' for flag, count in counts.items())} must be 1 or more.")


def run(main: Callable[[], int | None]) -> None:
    """Runs an experiment as a command and exits: an error of the user is one line and exit code 2, no traceback."""
    sys.exit(errors.run_cli(main))


# --- Computing --------------------------------------------------------------------------------------------------------


def cached(out: Path, setting: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
    """Returns what `compute` returned for the same setting before, from out/parts/, or calls it.

    A command that was stopped resumes at the first part that is missing; commands may share a folder.

    Args:
      setting: all that determines the result.
      compute: returns JSON values and arrays; arrays are returned as lists.
    """
    path = out / "parts" / f"{fingerprint(setting)}.json"
    if not path.exists():
        write_atomically(path, _to_json({"setting": setting, "made": compute()}))
    return json.loads(path.read_bytes())["made"]


def timed(compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The results of `compute`, and as `cpu` the seconds of CPU time it took."""
    start = time.process_time()
    return {**compute(), "cpu": time.process_time() - start}


def parallel_map(function: Callable[[Case], Result], cases: Sequence[Case]) -> Iterator[Result]:
    """`function` of each case, in order, in a thread per core: compilation uses only one core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, cases)


# --- Results ----------------------------------------------------------------------------------------------------------


def write_result(out: Path, result: Mapping[str, Any]) -> None:
    """Writes result.json in the folder `out`; arrays become lists."""
    write_atomically(out / "result.json", _to_json(result))


def finish(
    out: Path, result: Mapping[str, Any], pictures: Mapping[str, bytes], verdicts: Mapping[str, Verdict] | None = None
) -> None:
    """Writes result.json, the verdicts in it as `holds`, and the pictures (PNG) by name; prints the verdicts."""
    write_result(out, {**result, **({} if verdicts is None else {"holds": verdicts})})
    for name, picture in pictures.items():
        write_atomically(out / f"{name}.png", picture)
    print()
    print_verdicts(verdicts or {})
    print(f"{result['seconds']:.0f} s; {out}" if "seconds" in result else out)


def _to_json(value: Mapping[str, Any]) -> bytes:
    """Numbers of NumPy become those of JSON, and what JSON has no type for becomes its string."""
    convert = lambda a: a.tolist() if isinstance(a, np.ndarray | np.generic) else str(a)  # noqa: E731
    return (json.dumps(value, indent=1, default=convert) + "\n").encode()


def tidy(*axes: Any) -> None:
    """Adds a light grid to Matplotlib axes and removes their top and right spines."""
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def decide(shown: bool, refuted: bool) -> bool | None:
    """The verdict on a claim that the data show, refute, or do neither."""
    return True if shown else False if refuted else None


def in_every_run(runs: Iterable[bool]) -> bool | None:
    """The verdict on a claim about every run: one counterexample refutes it. Undecided without runs."""
    runs = [bool(run) for run in runs]
    return all(runs) if runs else None


def reproduced(verdict: bool | None, limits: str) -> Verdict:
    """The verdict on a published claim from an experiment that is smaller than the published one.

    It can show the claim, as an instance, but not refute it: then the verdict is "not reproduced in this toy".

    Args:
      verdict: the verdict by the data of the toy.
      limits: a sentence on what the toy can and cannot decide.
    """
    return f"{NOT_REPRODUCED}: {limits}" if verdict is False else verdict


def is_positive(interval: Sequence[float]) -> bool | None:
    """The verdict on "the difference is positive" from its confidence interval (low, high).

    Undecided if the interval contains 0 or an end is NaN.
    """
    low, high = interval
    return decide(shown=low > 0, refuted=high < 0)


def is_positive_by_test(difference: float, p: float) -> bool | None:
    """The verdict on "the difference is positive" from its mean and its (corrected) two-sided p-value."""
    return decide(shown=p <= LEVEL and difference > 0, refuted=p <= LEVEL and difference <= 0)


def equivalence_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The 90% t interval of the mean of a - b, [n] each; (-inf, inf) if n < 3 or a value is not finite."""
    if len(a) < MIN_SEEDS or not np.all(np.isfinite([a, b])):
        return -math.inf, math.inf
    difference = paired_difference(a, b, confidence=1 - 2 * LEVEL)
    return difference.low, difference.high


def is_equivalent(intervals: Iterable[tuple[float, float]], margin: float) -> bool:
    """Whether all differences are shown to be smaller than `margin`, given their `equivalence_interval`.

    Two one-sided t tests at level .05 (TOST, doi:10.1007/BF01068419): each 90% interval lies within +-margin. A False
    is no evidence of a difference.
    """
    return all(-margin < low and high < margin for low, high in intervals)


def require(verdicts: Mapping[str, Verdict]) -> None:
    """Exits with code 1 if a claim does not hold: for theorems, where that is an error of the code."""
    if failed := [claim for claim, verdict in verdicts.items() if verdict is False]:
        sys.exit(f"Not reproduced: {'; '.join(failed)}.")


def print_verdicts(verdicts: Mapping[str, Verdict]) -> None:
    """Prints a line per claim."""
    width = max(map(len, verdicts), default=0) + 2
    for claim, verdict in verdicts.items():
        print(f"{claim:{width}}{verdict if isinstance(verdict, str) else VERDICTS[verdict]}")
