"""Trains every setting of an ablation with several seeds, and reports means with confidence intervals:

    python -m jaxgan.sweep --sweep=experiments/ablations/loss.py [--workdir=DIR] [--plan]
        [--launcher=local|ray|slurm] [--ray_address=ADDRESS]

A sweep file defines get_config(), the base, and get_sweep(), a list of settings (`jaxgan/sweep/plan.py`); its
docstring, with the question, heads the report. The work directory gets results.jsonl, report.md and report.html, and a
work directory for each member in members/. The same command again resumes where it stopped; a sweep file with more
settings, more seeds or more train.steps extends the sweep.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from jaxgan import errors
from jaxgan.config import files
from jaxgan.numerics import pinned
from jaxgan.run.pacer import catch_signals
from jaxgan.sweep import plan, results
from jaxgan.sweep.plan import Trial

REPORT_SHARE = 0.05  # maximum share of the elapsed time spent on intermediate reports


def arguments() -> argparse.ArgumentParser:
    parser = errors.ArgumentParser("python -m jaxgan.sweep", description=__doc__, allow_abbrev=False,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--sweep", type=Path, required=True, help="an experiments/ablations/NAME.py")
    parser.add_argument("--workdir", type=Path, help="output directory (default: runs/sweeps/NAME)")
    parser.add_argument(
        "--plan", action="store_true", help="print what would be trained, and the estimated time and memory"
    )
    parser.add_argument("--launcher", choices=["local", "ray", "slurm"], default="local")
    parser.add_argument("--ray_address", default="", help="of a Ray cluster, or 'auto'; default: start one here")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


@pinned()
def main() -> int:
    flags = arguments().parse_args()
    print("starting: importing JAX", flush=True)  # takes a second or more
    docstring, trials = read(flags.sweep)
    workdir = flags.workdir or Path("runs", "sweeps", flags.sweep.stem)
    trials = results.match_existing(workdir, trials)

    from jaxgan.sweep import cost, launchers

    launcher = launchers.get_launcher(flags.launcher, flags.ray_address)
    if flags.plan:
        chunks, _ = unfinished(workdir, trials, launcher.slots)
        if chunks:
            print(cost.describe(chunks, launcher.slots, timed=True))
        return 0
    return run(workdir, flags.sweep.stem, docstring, trials, launcher)


def run(workdir: Path, name: str, docstring: str, trials: list[Trial], launcher) -> int:
    """Trains the unfinished members of a sweep in its work directory. Returns the exit code.

    Args:
      name, docstring: for the report, which begins with the docstring.
      trials: as named by `results.match_existing`.

    Raises:
      UserError: an invalid setting, or `workdir` holds another sweep.
    """
    from jaxgan.sweep import chunk
    from jaxgan.sweep.program import get_program

    for group in plan.group_by(trials, plan.program_key):  # reports invalid settings before anything is written
        get_program(group[0])
    with catch_signals() as signals, results.open_sweep(workdir, name, docstring, trials) as trials:
        try:
            return train(workdir, trials, launcher, signals)
        except chunk.Stopped as stop:
            print(f"{stop}")
            return 128 + stop.number


def read(path: Path) -> tuple[str, list[Trial]]:
    """Reads a sweep file: its docstring and its members.

    Raises:
      UserError: no such file, a missing function, or see `plan.trials`.
    """
    definitions = files.load_functions(path, "--sweep", "experiments/ablations/loss.py", "get_config", "get_sweep")
    members = plan.trials(files.checked_config(definitions, path), files.call_function(definitions, "get_sweep", path))
    return definitions.get("__doc__") or "", members


def unfinished(workdir: Path, trials: list[Trial], slots: int) -> tuple[list[list[Trial]], dict]:
    """The chunks left to train, and the results so far."""
    from jaxgan.sweep import chunk

    lines = results.read(workdir)
    left = [trial for trial in trials if not results.is_finished(trial, lines)]
    done = {trial.name: lines[results.trial_key(trial)]["steps"] for trial in left if results.trial_key(trial) in lines}
    return chunk.make_chunks(workdir, left, done, slots), lines


def train(workdir: Path, trials: list[Trial], launcher, signals: list[int]) -> int:
    """Trains the unfinished members; writes results and reports after each chunk. Returns the exit code."""
    from jaxgan.sweep import chunk, cost

    chunks, lines = unfinished(workdir, trials, launcher.slots)
    if complete := sum(results.is_finished(trial, lines) for trial in trials):
        print(f"{complete} of {len(trials)} runs are finished already")
    if chunks:
        print(cost.describe(chunks, launcher.slots, timed=False), flush=True)
    report, failed, left = reporter(workdir), 0, len(chunks)
    for members, outcome in launcher.run(workdir, chunks, signals) if chunks else ():
        left -= 1
        if isinstance(outcome, Exception):
            failed += len(members)
            names = ", ".join(trial.name for trial in members[:3]) + (", ..." if len(members) > 3 else "")
            print(f"error: {len(members)} members failed ({names}): {outcome}", file=sys.stderr, flush=True)
            continue
        lines |= {results.trial_key(trial): result for trial, result in zip(members, outcome, strict=True)}
        results.write(workdir, trials, lines)
        chunk.delete_chunk(workdir, members)
        if left:
            report(False)
    if not failed:
        shutil.rmtree(workdir / "chunks", ignore_errors=True)  # left by a kill after the last results
    report(True)
    if failed:
        print(f"{failed} of {len(trials)} runs failed; repeat the command to try them again", file=sys.stderr)
        return 1
    print(f"finished {len(trials)} runs; the report is {workdir / 'report.html'}")
    return 0


def reporter(workdir: Path) -> Callable[[bool], None]:
    """Returns a function that writes the report, unless intermediate reports would take too much of the time."""
    start_time, spent = time.monotonic(), 0.0

    def write(last: bool) -> None:
        nonlocal spent
        clock = time.monotonic()
        if not last and spent > REPORT_SHARE * (clock - start_time):
            return
        from jaxgan.sweep import report

        try:
            report.write(workdir)
        except Exception as error:
            if last:
                raise
            print(f"warning: no report yet: {errors.describe(error)}", file=sys.stderr)
        spent += time.monotonic() - clock

    return write


if __name__ == "__main__":
    sys.exit(errors.run_cli(main))
