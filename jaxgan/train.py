"""The training loop: dispatches chunks of steps, and between them logs, samples, evaluates and checkpoints.

Metrics are summed step by step on the devices, so a line of metrics.jsonl does not depend on how the steps are split
into dispatches: a run that was stopped and resumed equals an uninterrupted one, bit for bit.
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
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION, make_evaluator
from jaxgan.evaluation.samples import make_sampler
from jaxgan.game.batches import TrainingSet, stored_examples
from jaxgan.game.build import build_for, data_spec
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, all_finite
from jaxgan.numerics import pinned
from jaxgan.output import forgiving_output
from jaxgan.run import curves, grids, memory, report, warm_start, workdir
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.pacer import Dispatched, catch_signals, pace
from jaxgan.run.progress import Progress, closing, opening, scores_line
from jaxgan.run.scores import evaluation_protocol, save_scores
from jaxgan.run.writers import MetricWriter, read_metrics
from jaxgan.stream import MAX_BYTES, Stream, is_resident


class Diverged(Exception):
    """A metric or a parameter is no longer finite."""


class MetricSums(NamedTuple):
    """Metric sums accumulated since the last line of metrics.jsonl."""

    steps: int  # since that line
    sums: dict[str, jax.Array] | None  # of their metrics; None = 0


# Prefix of the metric sums in a checkpoint that falls between two log lines.
PARTIAL_SUM_PREFIX = "sum."


class Run(NamedTuple):
    """The constants of a run."""

    config: ConfigDict
    workdir: Path
    gan: Gan
    hparams: HParams
    dataset: Dataset
    data: TrainingSet  # on the devices, or on the host if it is streamed
    metadata: dict[str, Any]  # of run.json
    protocol: dict[str, Any]  # of evaluation.json
    evaluate: Callable[..., dict[str, float]]
    sample: Callable[..., np.ndarray]
    checkpoints: Checkpoints
    signals: list[int]  # SIGINT, SIGTERM and SIGHUP received
    check_lock: Callable[[], None]  # raises UserError if another process has taken over the work directory


def train(config: ConfigDict, directory: Path) -> int:
    """Trains `config` in `directory`, or resumes where an earlier call stopped.

    Returns:
      The exit code: 0, or 128 + the number of the signal that stopped the run.

    Raises:
      UserError: invalid configuration, unusable data or work directory, or divergence.
    """
    validate(config)
    if config.train.deterministic:
        parallel.use_deterministic_kernels()
    distributed.initialize(config)
    with distributed.exit_without_peers():
        return run_process(config, Path(directory).expanduser())


@forgiving_output()
@pinned()
def run_process(config: ConfigDict, directory: Path) -> int:
    """This process's part of `train`."""
    parallel.check_batch(config)
    distributed.log_once(f"reading {config.data.name}")
    dataset = data.as_recorded(data.load(config.data), workdir.read_digest(directory))
    gan = build_for(config, dataset)
    evaluate = make_evaluator(config, gan, dataset)
    examples = stored_examples(gan, dataset)
    metadata = workdir.run_metadata(config, dataset, data_spec(config, dataset))
    metadata["resident"] = is_resident(config.data.resident, examples)
    primary = distributed.is_primary_host()
    checkpoints = Checkpoints(directory / "checkpoints", keep=config.checkpoint.keep, best_key=SELECTION)
    with (
        workdir.claim(directory) if primary else nullcontext(lambda: None) as check_lock,
        checkpoints,
        catch_signals() as signals,
    ):
        if primary:
            workdir.check(directory, config, metadata)
        resuming = (directory / workdir.CONFIG).exists()
        metadata["initialized_from"] = (
            workdir.read_warm_start(directory) if resuming else warm_start.source_checkpoint(config)
        )
        shapes = jax.eval_shape(jax.jit(gan.init), traced(config))
        needed = memory.estimate(shapes, memory.nbytes(examples) if metadata["resident"] else 2 * MAX_BYTES)
        memory.check(needed, metadata["resident"])
        run = Run(
            config=config,
            workdir=directory,
            gan=gan,
            hparams=parallel.replicate(traced(config)),
            dataset=dataset,
            data=parallel.replicate(examples) if metadata["resident"] else examples,
            metadata=metadata,
            protocol=evaluation_protocol(config, gan, dataset),
            evaluate=evaluate,
            sample=make_sampler(gan),
            checkpoints=checkpoints,
            signals=signals,
            check_lock=check_lock,
        )
        steps = parallel.make_train_steps(gan, not metadata["resident"])
        distributed.log_once(opening(config, dataset, shapes, directory, str(needed)))
        state, pending = restore_or_init(run)
        rollbacks = int(state.restores)
        while True:
            try:
                return train_loop(run, steps, state, pending)
            except Diverged as error:
                rollbacks += 1
                state, pending = roll_back(run, error, rollbacks)


def restore_or_init(run: Run) -> tuple[GanState, MetricSums]:
    """The state of the newest intact checkpoint, or of step 0, and the metric sums not yet logged."""
    init = jax.jit(run.gan.init)
    restored = run.checkpoints.restore(jax.eval_shape(init, run.hparams))
    if restored is None:
        distributed.log_once("compiling the initialization")
        state = jax.block_until_ready(init(run.hparams))  # running out of memory raises here
        state = warm_start.initialize(run.config, state, run.metadata["initialized_from"])
        return parallel.replicate(state), MetricSums(0, None)
    metrics, prefix = run.checkpoints.metrics, PARTIAL_SUM_PREFIX
    saved = {name.removeprefix(prefix): x for name, x in metrics.items() if name.startswith(prefix)}
    steps = int(saved.pop("steps", 0))
    sums = {name: np.float32(x) for name, x in saved.items()}
    return parallel.replicate(restored[1]), MetricSums(steps, parallel.replicate(sums) if steps else None)


def roll_back(run: Run, error: Diverged, rollbacks: int) -> tuple[GanState, MetricSums]:
    """The last good state, to resume from with different random numbers.

    Raises:
      UserError: `train.on_divergence` is "stop", or there were more than `train.max_restores` rollbacks.
    """
    state, pending = restore_or_init(run)
    last = f"step {int(state.step)}" + ("" if run.checkpoints.steps() else " (there is no checkpoint)")
    t = run.config.train
    if t.on_divergence == "stop":
        raise UserError(
            f"the run diverged: {error}; the last good state is {last}; lower the learning rates in a "
            f"new --workdir, or resume with different random numbers: --config.train.on_divergence=restore."
        )
    if rollbacks > t.max_restores:
        raise UserError(
            f"the run diverged again after {t.max_restores} rollbacks to a checkpoint: {error}; "
            f"the last good state is {last}; lower the learning rates in a new --workdir."
        )
    distributed.log_once(
        f"diverged: {error}; rolling back to {last} with different random numbers ({rollbacks} of {t.max_restores})"
    )
    return state._replace(restores=parallel.replicate(np.uint32(rollbacks))), pending


def train_loop(run: Run, steps: Callable, state: GanState, pending: MetricSums) -> int:
    """Trains from `state` to the last step or the first signal; returns the exit code.

    Args:
      steps: the compiled step, `parallel.make_train_steps`.
      pending: metric sums not yet logged.

    Raises:
      Diverged: a value is not finite; it was not saved.
    """
    config, step, start_time = run.config, int(state.step), time.perf_counter()
    if step > config.train.steps:
        raise UserError(
            f"{run.workdir} is already at step {step}, beyond train.steps={config.train.steps}; raise train.steps "
            f"to train further."
        )

    def dispatch(n: int, line: bool) -> MetricSums:
        nonlocal state, pending
        state, sums = steps(run.hparams, state, stream.take(n) if stream else run.data, n, pending.sums)
        metric_sums = pending = MetricSums(pending.steps + n, sums)
        if line:
            pending = MetricSums(0, None)
        return metric_sums

    with ExitStack() as stack:
        stream = None if run.metadata["resident"] else stack.enter_context(open_stream(run, state))
        writer = progress = None  # only in the process that writes
        if distributed.is_primary_host():
            workdir.record(run.workdir, config, run.metadata)
            writer = stack.enter_context(MetricWriter(run.workdir, resume_step=step))
            progress = stack.enter_context(Progress(config.train.steps, config.train.batch_size))
            if step:
                progress.log(f"resuming from step {step} of {config.train.steps} in {run.workdir}")
            progress.log("compiling the training step")
        done, seconds, hosts = 0, 0.0, {"signals": run.signals, "sync": distributed.sync_hosts}
        chunks = pace(step=step, config=config, dispatch=dispatch, limit=stream and stream.capacity, **hosts)
        for chunk in chunks:
            step, done, seconds = chunk.step, done + chunk.steps, seconds + chunk.seconds
            metrics = means(chunk.outputs, step) if chunk.log_due else {}
            if progress:
                progress.update(step, metrics or running_means(chunk.outputs), done / seconds)
            evaluation_start = time.perf_counter()
            scores = evaluate(run, state, progress) if chunk.evaluation_due else {}
            if writer and chunk.log_due:
                run.check_lock()
                speed = {"images_per_second": done / seconds * config.train.batch_size}
                speed |= {"evaluation_seconds": time.perf_counter() - evaluation_start} if scores else {}
                writer.write(step, metrics | speed | scores)
                done, seconds = 0, 0.0
            if progress and chunk.samples_due:
                progress.log(f"writing {run.workdir / 'samples' / f'{step:09d}.png'}")
            if chunk.samples_due or chunk.evaluation_due or chunk.checkpoint_due or chunk.stop:
                save_due(run, state, chunk, scores, writer)
        run.checkpoints.close()  # wait for the disk before reporting success
    if step == config.train.steps:
        finish(run, state, start_time)
        return 0
    distributed.log_once(f"stopped at step {step} of {config.train.steps}, saved; repeat the command to resume")
    return 128 + (run.signals[0] if run.signals else signal.SIGTERM)


def open_stream(run: Run, state: GanState) -> Stream:
    """The examples of the steps after `state`."""
    step, restores, config = int(state.step), int(state.restores), run.config
    return Stream(run.gan, run.data, seed=config.seed, restores=restores, step=step, last=config.train.steps)


def evaluate(run: Run, state: GanState, progress: Progress | None) -> dict[str, float]:
    """Computes and prints the scores of `state`."""
    metrics, step = run.config.evaluate.metrics, int(state.step)
    if progress and metrics:
        progress.log(f"evaluating {', '.join(metrics)} on {run.config.evaluate.samples:,} samples")
    scores = run.evaluate(run.hparams, state)
    if progress and (line := scores_line(scores)):
        progress.log(f"step {step}: {line}")
    return scores


def finish(run: Run, state: GanState, start_time: float) -> None:
    """Writes the report of a finished run and prints a summary.

    Args:
      start_time: of training in this call, from `time.perf_counter`.
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
    print(closing(run.workdir, int(state.step), time.perf_counter() - start_time), flush=True)


def running_means(pending: MetricSums) -> dict[str, float]:
    """Mean metrics since the last log line, for the display; unlike in `means`, they need not be finite."""
    return {name: float(total) / pending.steps for name, total in (pending.sums or {}).items()}


def means(metric_sums: MetricSums, step: int) -> dict[str, float]:
    """The metrics of a log line; raises Diverged if one is not finite."""
    sums = {name: float(total) for name, total in metric_sums.sums.items()}
    metrics = {name: float(np.float32(total) / np.float32(metric_sums.steps)) for name, total in sums.items()}
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Diverged(f"{name} is {value} by step {step}")
    return metrics


def save_due(
    run: Run, state: GanState, chunk: Dispatched, scores: dict[str, float], writer: MetricWriter | None
) -> None:
    """Writes what is due after a chunk of steps: samples, scores, and last the checkpoint.

    Raises:
      Diverged: a parameter or an optimizer moment is not finite.
    """
    if not jax.jit(all_finite)(state):
        raise Diverged(f"the parameters are not finite at step {chunk.step}")
    run.check_lock()
    if chunk.samples_due and writer:
        save_samples(run, state, chunk.step, writer)
    if chunk.evaluation_due and writer and scores:
        save_scores(run.workdir, chunk.step, scores, run.protocol)
    if chunk.evaluation_due or chunk.checkpoint_due or chunk.stop:  # last: a resumed run repeats the rest after a kill
        metrics = scores if chunk.log_due else partial_sums(chunk.outputs, chunk.step)
        run.checkpoints.save(chunk.step, state, metrics=metrics)


def partial_sums(pending: MetricSums, step: int) -> dict[str, float]:
    """The metrics of a checkpoint between two log lines: the sums that the next line continues from.

    Raises:
      Diverged: one is not finite.
    """
    sums = {name: float(total) for name, total in pending.sums.items()}
    for name, total in sums.items():
        if not math.isfinite(total):
            raise Diverged(f"{name} is {total} by step {step}")
    saved = {"steps": pending.steps} | sums
    return {f"{PARTIAL_SUM_PREFIX}{name}": x for name, x in saved.items()}


def fixed_samples(run: Run, state: GanState) -> np.ndarray:
    """The samples of the run's pictures: `grids.fixed_samples`."""
    return grids.fixed_samples(
        run.sample, config=run.config, gan=run.gan, hparams=run.hparams, state=state, dataset=run.dataset
    )


def save_samples(run: Run, state: GanState, step: int, writer: MetricWriter) -> None:
    """Writes samples at the run's fixed z, the training curves, and, the first time, real examples for comparison."""
    samples, directory, classes = fixed_samples(run, state), run.workdir / "samples", run.gan.num_classes
    path = directory / f"{step:09d}.png"
    if samples.ndim == 2:
        grids.save_samples(path, run.config, samples)
    else:
        picture = grids.run_grid(run.config, run.gan, run.hparams, run.dataset, samples)
        grids.save_png(path, picture)
        writer.images(step, "samples", picture)
        if not (directory / grids.REAL).exists():
            grids.save_png(directory / grids.REAL, grids.real_grid(run.config, run.dataset, classes))
    curves.save_curves(run.workdir / "curves.png", read_metrics(run.workdir), run.config)
