"""What a member leaves in the sweep's work directory once it is finished: members/NAME/, the work directory of a run.

`jaxgan.load` opens it. Its metrics.jsonl has a line at each log point, null where a number is not finite or the member
had diverged; samples/STEP.npz are the samples of the sweep's report.
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
from jaxgan.run import plots, workdir, writers
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.scores import protocol_of, save_scores
from jaxgan.sweep import results
from jaxgan.sweep.plan import Trial
from jaxgan.sweep.program import Program

# {"setting": {config field: value}, "seed": int, "final": {metric: number}, "best": {metric: number},
#  "diverged": bool, "steps": int}. Final is what was measured at the member's last step, best at the evaluation with
# the largest selection metric; of a member that diverged both are from before, and without scores where there was no
# evaluation at that step.
Result = dict[str, Any]


class Made(NamedTuple):
    """What became of a member."""

    state: GanState  # NumPy arrays
    alive: bool
    lines: list[dict[str, Any]]  # of its metrics.jsonl
    samples: np.ndarray


class Ended(NamedTuple):
    """A member at the end of a sweep of fewer steps."""

    step: int
    state: GanState
    lines: list[dict[str, Any]]


def finish(directory: Path, trial: Trial, about: Program, made: Made) -> Result:
    """Writes the work directory of a member that is at its end, and returns its result."""
    place, step = directory / "members" / trial.name, int(made.state.step)
    shutil.rmtree(place, ignore_errors=True)  # of a sweep that was stopped here, or of fewer steps
    scored = [line for line in made.lines if line.get(SELECTION) is not None]
    at_end = scores_of(about, scored[-1]) if scored and scored[-1]["step"] == step else {}
    with (
        workdir.claim(place),
        Checkpoints(place / "checkpoints", keep=1, best_key=SELECTION) as checkpoints,
    ):
        source = results.source_in(directory, trial.config)
        workdir.record(place, trial.config, about.facts | {"initialized_from": source})
        checkpoints.save(step, made.state, metrics=at_end)
        writers.write_record(place, made.lines)
        if scored:
            protocol = protocol_of(trial.config, about.gan, about.dataset)
            save_scores(place, scored[-1]["step"], scores_of(about, scored[-1]), protocol)
        draw(place, trial, about, made)
    return result_of(trial, made)


def scores_of(about: Program, line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line that evaluation measured."""
    trained = {"step", *about.sums}
    return {name: number for name, number in line.items() if name not in trained and number is not None}


def draw(place: Path, trial: Trial, about: Program, made: Made) -> None:
    """Writes the samples, as numbers and as a picture, real examples beside them, and the curves."""
    packed, step, classes = io.BytesIO(), int(made.state.step), about.gan.num_classes
    np.savez_compressed(packed, samples=made.samples)
    write_atomically(place / "samples" / f"{step:09d}.npz", packed.getvalue())
    names = about.dataset.class_names
    plots.save_samples(place / "samples" / f"{step:09d}.png", trial.config, made.samples, classes, names)
    if made.samples.ndim == 4:
        plots.save_png(place / "samples" / plots.REAL, plots.real_grid(trial.config, about.dataset, classes))
    plots.curves(place / "curves.png", made.lines, trial.config)


def result_of(trial: Trial, made: Made) -> Result:
    """The member's line of results.jsonl."""
    step = int(made.state.step)
    lines = [{name: x for name, x in line.items() if x is not None} for line in made.lines]
    best = max((line for line in lines if SELECTION in line), key=lambda line: line[SELECTION], default={})
    last = next((line for line in lines if line["step"] == step), {})
    return {
        "setting": trial.setting,
        "seed": trial.config.seed,
        "final": {name: x for name, x in last.items() if name != "step"},
        "best": best,
        "diverged": not made.alive,
        "steps": step,
    }


def ended(directory: Path, trials: Sequence[Trial], like: GanState) -> list[Ended] | None:
    """The members at the end of a sweep of fewer steps; None where they have not begun.

    Raises:
      UserError: a member's work directory is damaged.
    """
    found = []
    for trial in trials:
        place = directory / "members" / trial.name
        if not (place / workdir.CONFIG).exists():
            return None
        with Checkpoints(place / "checkpoints", keep=1, best_key=SELECTION) as checkpoints:
            saved = checkpoints.restore(like)
        if saved is None:
            return None
        lines = [line for line in writers.read_metrics(place) if line["step"] <= saved[0]]
        found.append(Ended(saved[0], saved[1], lines))
    return found if len({end.step for end in found}) == 1 else None
