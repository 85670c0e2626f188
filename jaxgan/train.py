"""The training loop: pieces of steps on the devices, and between them what a user wants to see and keep.

Metrics are summed step by step on the devices, so what a line of metrics.jsonl says does not depend on
where dispatches were cut: a run that was stopped and resumed equals one that was not, bit for bit.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, distributed, parallel
from jaxgan.config import validate
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION, make_evaluator
from jaxgan.evaluation.samples import make_sampler
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build_for, data_spec
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams, traced
from jaxgan.game.state import GanState, all_finite
from jaxgan.numerics import pinned
from jaxgan.output import forgiving_output
from jaxgan.run import plots, report, warm_start, workdir
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.pacer import Reached, interruptions, pace
from jaxgan.run.progress import Progress, closing, opening, scores_line
from jaxgan.run.scores import protocol_of, save_scores
from jaxgan.run.writers import MetricWriter, read_metrics


class Diverged(Exception):
    """A number of the run is no longer finite."""


class MetricSums(NamedTuple):
    """What the next line of metrics.jsonl has to tell so far."""

    steps: int  # made since the line before
    sums: dict[str, jax.Array] | None  # of their metrics; None = 0


# A checkpoint between two lines keeps the sums under these names, beside the scores of others.
SUM = "sum."


class Run(NamedTuple):
    """What stays the same from the first step to the last."""

    config: ConfigDict
    workdir: Path
    gan: Gan
    hparams: HParams
    dataset: Dataset
    data: TrainingSet  # its training set on the devices
    facts: dict[str, Any]  # of run.json
    protocol: dict[str, Any]  # of evaluation.json
    evaluate: Callable[..., dict[str, float]]
    draw: Callable[..., np.ndarray]  # samples
    checkpoints: Checkpoints
    signals: list[int]  # SIGINT, SIGTERM and SIGHUP received
    still_mine: Callable[[], None]  # raises where another process has the work directory


def train(config: ConfigDict, directory: Path) -> int:
    """Trains `config` in `directory`, or resumes where an earlier call stopped.

    Returns:
      The exit code: 0, or 128 + the number of the signal that stopped the run.

    Raises:
      UserError: a value, the data, the work directory or the course of the training does not allow it.
    """
    validate(config)
    distributed.initialize(config)
    with distributed.exit_without_peers():
        return train_here(config, Path(directory).expanduser())


@forgiving_output()
@pinned()
def train_here(config: ConfigDict, directory: Path) -> int:
    """This process's part of `train`."""
    parallel.check_batch(config)
    distributed.log_once(f"reading {config.data.name}")
    dataset = data.as_recorded(data.load(config.data), workdir.digest_in(directory))
    gan = build_for(config, dataset)
    evaluate = make_evaluator(config, gan, dataset)
    facts = workdir.facts_of(config, dataset, data_spec(config, dataset))
    primary = distributed.is_primary_host()
    checkpoints = Checkpoints(directory / "checkpoints", keep=config.checkpoint.keep, best_key=SELECTION)
    with (
        workdir.claim(directory) if primary else nullcontext(lambda: None) as still_mine,
        checkpoints,
        interruptions() as signals,
    ):
        if primary:
            workdir.check(directory, config, facts)
        begun = (directory / workdir.CONFIG).exists()
        facts["initialized_from"] = workdir.source_in(directory) if begun else warm_start.source_of(config)
        run = Run(
            config=config,
            workdir=directory,
            gan=gan,
            hparams=parallel.replicate(traced(config)),
            dataset=dataset,
            data=parallel.replicate(on_device(gan, dataset)),
            facts=facts,
            protocol=protocol_of(config, gan, dataset),
            evaluate=evaluate,
            draw=make_sampler(gan),
            checkpoints=checkpoints,
            signals=signals,
            still_mine=still_mine,
        )
        steps = parallel.trainer(gan)
        distributed.log_once(opening(config, dataset, jax.eval_shape(jax.jit(gan.init), run.hparams), directory))
        state, sums = newest(run)
        restores = int(state.restores)
        while True:
            try:
                return train_loop(run, steps, state, sums)
            except Diverged as trouble:
                restores += 1
                state, sums = recover(run, trouble, restores)


def on_device(gan: Gan, dataset: Dataset) -> TrainingSet:
    """The training set as the step takes it: labels only where the players are told them."""
    return TrainingSet(dataset.train, dataset.train_labels if gan.num_classes else ())


def newest(run: Run) -> tuple[GanState, MetricSums]:
    """The last good state, that of the newest checkpoint or of step 0, and what no line has told of yet."""
    init = jax.jit(run.gan.init)
    found = run.checkpoints.restore(jax.eval_shape(init, run.hparams))
    if found is None:
        distributed.log_once("compiling the initialization")
        state = jax.block_until_ready(init(run.hparams))  # here a lack of memory shows
        state = warm_start.initialize(run.config, state, run.facts["initialized_from"])
        return parallel.replicate(state), MetricSums(0, None)
    saved = {name.removeprefix(SUM): x for name, x in run.checkpoints.metrics.items() if name.startswith(SUM)}
    steps = int(saved.pop("steps", 0))
    sums = {name: np.float32(x) for name, x in saved.items()}
    return parallel.replicate(found[1]), MetricSums(steps, parallel.replicate(sums) if steps else None)


def recover(run: Run, trouble: Diverged, restores: int) -> tuple[GanState, MetricSums]:
    """The last good state, to resume with different random numbers; or the end of the run, as configured."""
    state, sums = newest(run)
    last = f"step {int(state.step)}" + ("" if run.checkpoints.steps() else " (there is no checkpoint)")
    t = run.config.train
    if t.on_divergence == "stop":
        raise UserError(
            f"the run diverged: {trouble}; the last good state is {last}; lower the learning rates in a "
            f"new --workdir, or resume with different random numbers: --config.train.on_divergence=restore."
        )
    if restores > t.max_restores:
        raise UserError(
            f"the run diverged again after {t.max_restores} returns to a checkpoint: {trouble}; "
            f"the last good state is {last}; lower the learning rates in a new --workdir."
        )
    distributed.log_once(
        f"diverged: {trouble}; going back to {last} with different random numbers ({restores} of {t.max_restores})"
    )
    return state._replace(restores=parallel.replicate(np.uint32(restores))), sums


def train_loop(run: Run, steps: Callable, state: GanState, since: MetricSums) -> int:
    """Trains from `state` to the last step or the first signal; returns the exit code.

    Raises:
      Diverged: before anything is saved that is not finite.
    """
    config, step, begun = run.config, int(state.step), time.perf_counter()
    if step > config.train.steps:
        raise UserError(
            f"{run.workdir} is at step {step} already, beyond train.steps={config.train.steps}; raise train.steps "
            f"to train further."
        )

    def dispatch(n: int, line: bool) -> MetricSums:
        nonlocal state, since
        state, sums = steps(run.hparams, state, run.data, n, since.sums)
        told = since = MetricSums(since.steps + n, sums)
        if line:
            since = MetricSums(0, None)
        return told

    with ExitStack() as stack:
        writer = progress = None  # of the one process that writes
        if distributed.is_primary_host():
            workdir.record(run.workdir, config, run.facts)
            writer = stack.enter_context(MetricWriter(run.workdir, resume_step=step))
            progress = stack.enter_context(Progress(config.train.steps, config.train.batch_size))
            if step:
                progress.log(f"resuming from step {step} of {config.train.steps} in {run.workdir}")
            progress.log("compiling the training step")
        pieces = pace(step=step, config=config, dispatch=dispatch, signals=run.signals, sync=distributed.sync_hosts)
        done, seconds = 0, 0.0
        for reached in pieces:
            step, done, seconds = reached.step, done + reached.steps, seconds + reached.seconds
            numbers = means(reached.handle, step) if reached.line else {}
            if progress:
                progress.update(step, numbers or running_means(reached.handle), done / seconds)
            started = time.perf_counter()
            scores = evaluate(run, state, progress) if reached.evaluation else {}
            if writer and reached.line:
                run.still_mine()
                speed = {"images_per_second": done / seconds * config.train.batch_size}
                speed |= {"evaluation_seconds": time.perf_counter() - started} if scores else {}
                writer.write(step, numbers | speed | scores)
                done, seconds = 0, 0.0
            if progress and reached.samples:
                progress.log(f"drawing {run.workdir / 'samples' / f'{step:09d}.png'}")
            if reached.samples or reached.evaluation or reached.checkpoint or reached.stop:
                keep(run, state, reached, scores, writer)
        run.checkpoints.close()  # wait for the disk before promising anything
    if step == config.train.steps:
        finish(run, state, begun)
        return 0
    distributed.log_once(f"stopped at step {step} of {config.train.steps}, saved; repeat the command to resume")
    return 128 + (run.signals[0] if run.signals else signal.SIGTERM)


def evaluate(run: Run, state: GanState, progress: Progress | None) -> dict[str, float]:
    """The scores of `state`, announced before they are computed and printed after."""
    metrics, step = run.config.evaluate.metrics, int(state.step)
    if progress and metrics:
        progress.log(f"evaluating {', '.join(metrics)} on {run.config.evaluate.samples:,} samples")
    scores = run.evaluate(run.hparams, state)
    if progress and (line := scores_line(scores)):
        progress.log(f"step {step}: {line}")
    return scores


def finish(run: Run, state: GanState, begun: float) -> None:
    """Writes the report of a finished run, and prints how the run ended and what to open.

    Args:
      begun: when this call began to train, by `time.perf_counter`.
    """
    if not distributed.is_primary_host():
        return
    path = run.workdir / report.REPORT
    print(f"writing {path}", flush=True)
    report.write(
        run.workdir,
        gan=run.gan,
        hparams=run.hparams,
        state=state,
        dataset=run.dataset,
        samples=fixed_samples(run, state),
    )
    print(closing(run.workdir, int(state.step), time.perf_counter() - begun), flush=True)


def running_means(told: MetricSums) -> dict[str, float]:
    """The means since the last line of metrics, for the display: unlike `means` it accepts numbers of any kind."""
    return {name: float(total) / told.steps for name, total in (told.sums or {}).items()}


def means(told: MetricSums, step: int) -> dict[str, float]:
    """The metrics of a line; raises Diverged where one is not finite."""
    sums = {name: float(total) for name, total in told.sums.items()}
    numbers = {name: float(np.float32(total) / np.float32(told.steps)) for name, total in sums.items()}
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise Diverged(f"{name} is {number} by step {step}")
    return numbers


def keep(run: Run, state: GanState, reached: Reached, scores: dict[str, float], writer: MetricWriter | None) -> None:
    """Writes what is due at a step: samples, scores, and last the checkpoint.

    Raises:
      Diverged: a parameter or an optimizer number is not finite.
    """
    if not jax.jit(all_finite)(state):
        raise Diverged(f"the parameters are not finite at step {reached.step}")
    run.still_mine()
    if reached.samples and writer:
        save_samples(run, state, reached.step, writer)
    if reached.evaluation and writer and scores:
        save_scores(run.workdir, reached.step, scores, run.protocol)
    if reached.evaluation or reached.checkpoint or reached.stop:  # last: what a kill before it loses is made again
        metrics = scores if reached.line else partial_sums(reached.handle, reached.step)
        run.checkpoints.save(reached.step, state, metrics=metrics)


def partial_sums(told: MetricSums, step: int) -> dict[str, float]:
    """What a checkpoint between two lines of metrics.jsonl keeps for the next one.

    Raises:
      Diverged: it is not finite.
    """
    sums = {name: float(total) for name, total in told.sums.items()}
    for name, total in sums.items():
        if not math.isfinite(total):
            raise Diverged(f"{name} is {total} by step {step}")
    return {f"{SUM}steps": told.steps} | {f"{SUM}{name}": total for name, total in sums.items()}


def fixed_samples(run: Run, state: GanState) -> np.ndarray:
    """The samples of the run's pictures: `plots.fixed_samples`."""
    return plots.fixed_samples(
        run.draw, config=run.config, gan=run.gan, hparams=run.hparams, state=state, dataset=run.dataset
    )


def save_samples(run: Run, state: GanState, step: int, writer: MetricWriter) -> None:
    """Writes the samples at the run's fixed z, real examples beside them once, and the curves so far."""
    samples, directory, classes = fixed_samples(run, state), run.workdir / "samples", run.gan.num_classes
    plots.save_samples(directory / f"{step:09d}.png", run.config, samples, classes, run.dataset.class_names)
    if samples.ndim == 4:
        writer.images(step, "samples", plots.sample_grid(run.config, samples, classes, run.dataset.class_names))
        if not (directory / plots.REAL).exists():
            plots.save_png(directory / plots.REAL, plots.real_grid(run.config, run.dataset, classes))
    plots.curves(run.workdir / "curves.png", read_metrics(run.workdir), run.config)
