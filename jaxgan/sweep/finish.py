"""Writes finished members to members/NAME/ in the sweep's work directory, each a work directory of a run.

`jaxgan.load` opens it. Its metrics.jsonl has a line per log point, with null for values that are not finite and after
divergence; samples/STEP.npz are the samples of the sweep's report.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.files import write_atomically
from jaxgan.game.state import GanState
from jaxgan.run import curves, grids, workdir, writers
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.scores import evaluation_protocol, save_scores
from jaxgan.sweep import results
from jaxgan.sweep.plan import Trial
from jaxgan.sweep.program import Program

# {"setting": {config field: value}, "seed": int, "final": {metric: number}, "best": {metric: number},
#  "diverged": bool, "steps": int}. "final" has the metrics at the member's last step, "best" those at the evaluation
# with the highest selection metric; for a member that diverged, both are from before, and "final" has scores only if
# it was evaluated at that step.
Result = dict[str, Any]


class FinishedMember(NamedTuple):
    """Final state, log lines and samples of a member."""

    state: GanState  # NumPy arrays
    alive: bool
    lines: list[dict[str, Any]]  # of its metrics.jsonl
    samples: np.ndarray


class PreviousEnd(NamedTuple):
    """A member at the end of a sweep of fewer steps."""

    step: int
    state: GanState
    lines: list[dict[str, Any]]


def finish(sweep_directory: Path, trial: Trial, program: Program, member: FinishedMember) -> Result:
    """Writes the work directory of a finished member, and returns its result."""
    directory, step = sweep_directory / "members" / trial.name, int(member.state.step)
    shutil.rmtree(directory, ignore_errors=True)  # of a sweep that was stopped here, or of fewer steps
    scored = [line for line in member.lines if line.get(SELECTION) is not None]
    at_end = scores_in(program, scored[-1]) if scored and scored[-1]["step"] == step else {}
    with (
        workdir.claim(directory),
        Checkpoints(directory / "checkpoints", keep=1, best_key=SELECTION) as checkpoints,
    ):
        source = results.read_warm_start(sweep_directory, trial.config)
        workdir.record(directory, trial.config, program.metadata | {"initialized_from": source})
        checkpoints.save(step, member.state, metrics=at_end)
        writers.write_finished_run(directory, member.lines)
        if scored:
            protocol = evaluation_protocol(trial.config, program.gan, program.dataset)
            save_scores(directory, scored[-1]["step"], scores_in(program, scored[-1]), protocol)
        save_samples(directory, trial, program, member)
    return result_of(trial, member)


def scores_in(program: Program, line: dict[str, Any]) -> dict[str, float]:
    """The evaluation scores in a log line."""
    training_metrics = {"step", *program.sums}
    return {name: value for name, value in line.items() if name not in training_metrics and value is not None}


def save_samples(directory: Path, trial: Trial, program: Program, member: FinishedMember) -> None:
    """Writes samples as arrays and as a picture, real examples for comparison, and the training curves."""
    packed, step, classes = io.BytesIO(), int(member.state.step), program.gan.num_classes
    np.savez_compressed(packed, samples=member.samples)
    write_atomically(directory / "samples" / f"{step:09d}.npz", packed.getvalue())
    names = program.dataset.class_names
    grids.save_samples(directory / "samples" / f"{step:09d}.png", trial.config, member.samples, classes, names)
    if member.samples.ndim == 4:
        grids.save_png(directory / "samples" / grids.REAL, grids.real_grid(trial.config, program.dataset, classes))
    curves.save_curves(directory / "curves.png", member.lines, trial.config)


def result_of(trial: Trial, member: FinishedMember) -> Result:
    """The member's line of results.jsonl."""
    step = int(member.state.step)
    lines = [{name: x for name, x in line.items() if x is not None} for line in member.lines]
    best = max((line for line in lines if SELECTION in line), key=lambda line: line[SELECTION], default={})
    last = next((line for line in lines if line["step"] == step), {})
    return {
        "setting": trial.setting,
        "seed": trial.config.seed,
        "final": {name: x for name, x in last.items() if name != "step"},
        "best": best,
        "diverged": not member.alive,
        "steps": step,
    }


def load_previous_ends(sweep_directory: Path, trials: Sequence[Trial], target: GanState) -> list[PreviousEnd] | None:
    """Loads the members at the end of a sweep of fewer steps; None if there was none.

    Args:
      target: shapes and dtypes of a member's state.

    Raises:
      UserError: a member's work directory is damaged.
    """
    ends = []
    for trial in trials:
        directory = sweep_directory / "members" / trial.name
        if not (directory / workdir.CONFIG).exists():
            return None
        with Checkpoints(directory / "checkpoints", keep=1, best_key=SELECTION) as checkpoints:
            saved = checkpoints.restore(target)
        if saved is None:
            return None
        lines = [line for line in writers.read_metrics(directory) if line["step"] <= saved[0]]
        ends.append(PreviousEnd(saved[0], saved[1], lines))
    return ends if len({end.step for end in ends}) == 1 else None
