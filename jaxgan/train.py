"""The training loop: chunks of steps on the devices, and between them what a user wants to see and keep.

Metrics are summed step by step on the devices, so what a line of metrics.jsonl says does not depend on
where dispatches were cut: a run that was stopped and continued equals one that was not, bit for bit.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, parallel, plots, pretrained
from jaxgan.checkpoints import Checkpoints
from jaxgan.config import validate
from jaxgan.errors import UserError
from jaxgan.evaluate import evaluator, image_grid, sampler, save_picture, save_scores
from jaxgan.gan import Gan, build_for
from jaxgan.hparams import HParams, traced
from jaxgan.scores import SCORE
from jaxgan.state import GanState, all_finite, stream
from jaxgan.workdir import claim
from jaxgan.writers import MetricWriter, Progress, read


class Diverged(Exception):
    """A number of the run is no longer finite."""


class Since(NamedTuple):
    """What the next line of metrics.jsonl has to tell so far."""

    steps: int  # made since the line before
    sums: dict[str, jax.Array] | None  # of their metrics; None = 0


# A checkpoint between two lines keeps the sums under these names, beside the scores of others.
SUM = "sum."


class Given(NamedTuple):
    """Steps that the devices were given, and that nobody has waited for yet."""

    step: int  # the number of the last one
    n: int  # how many
    since: Since
    line: bool  # whether a line of metrics.jsonl is due


class Run(NamedTuple):
    """What stays the same from the first step to the last."""

    config: ConfigDict
    workdir: Path
    gan: Gan
    hparams: HParams
    examples: jax.Array  # the training set, on the devices
    evaluate: Callable[[HParams, GanState], dict[str, float]]
    draw: Callable[[HParams, GanState, jax.Array, int], np.ndarray]  # samples
    checkpoints: Checkpoints
    signals: list[int]  # SIGINT and SIGTERM received


# Seconds of work that the devices are given at a time. They have two such pieces at most, so a signal is
# heeded within twice this, however long a step takes.
PIECE = 1.0


def boundary(step: int, config: ConfigDict) -> int:
    """The next step at which something is logged, drawn, evaluated or saved."""
    intervals = (config.log.every, config.sample.every, config.evaluate.every, config.checkpoint.every)
    return min(config.train.steps, *(step + every - step % every for every in intervals if every))


def due(step: int, every: int, config: ConfigDict) -> bool:
    """Whether something with the interval `every` (0 = only at the end) happens at `step`."""
    return step == config.train.steps or (every > 0 and step % every == 0)


@contextmanager
def interruptions() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM for the loop to stop at the next occasion; a second one acts at once."""
    received: list[int] = []

    def receive(number: int, frame) -> None:
        received.append(number)
        signal.signal(number, previous[number])

    previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def train(config: ConfigDict, workdir: Path) -> int:
    """Trains `config` in `workdir`, or goes on where an earlier call stopped.

    Returns:
      The exit code: 0, or 128 + the number of the signal that stopped the run.

    Raises:
      UserError: a value, the data, the work directory or the course of the training forbids to go on.
    """
    validate(config)
    parallel.initialize(config)
    with parallel.together():
        return join(config, workdir)


def join(config: ConfigDict, workdir: Path) -> int:
    """This process's part of `train`."""
    parallel.check_batch(config)
    dataset = data.load(config.data)
    gan = build_for(config, dataset)
    with (
        claim(workdir, config, dataset) if parallel.primary() else nullcontext(),
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep, best_key=SCORE) as checkpoints,
        interruptions() as signals,
    ):
        run = Run(
            config,
            workdir,
            gan,
            parallel.replicate(traced(config)),
            parallel.replicate(dataset.train),
            evaluator(config, gan, dataset),
            sampler(gan),
            checkpoints,
            signals,
        )
        steps = parallel.trainer(gan)
        state, since = newest(run)
        restores = int(state.restores)
        while True:
            try:
                return advance(run, steps, state, since)
            except Diverged as trouble:
                restores += 1
                state, since = recover(run, trouble, restores)


def newest(run: Run) -> tuple[GanState, Since]:
    """The last good state, that of the newest checkpoint or of step 0, and what no line has told of yet."""
    init = jax.jit(run.gan.init)
    found = run.checkpoints.restore(jax.eval_shape(init, run.hparams))
    if found is None:
        state = jax.block_until_ready(init(run.hparams))  # here a lack of memory shows
        return parallel.replicate(pretrained.initialize(run.config, state)), Since(0, None)
    saved = {name.removeprefix(SUM): x for name, x in run.checkpoints.metrics.items() if name.startswith(SUM)}
    steps = int(saved.pop("steps", 0))
    sums = {name: np.float32(x) for name, x in saved.items()}
    return parallel.replicate(found[1]), Since(steps, parallel.replicate(sums) if steps else None)


def recover(run: Run, trouble: Diverged, restores: int) -> tuple[GanState, Since]:
    """The last good state, to go on with other draws; or the end of the run, as configured."""
    state, since = newest(run)
    last = f"step {int(state.step)}" + ("" if run.checkpoints.steps() else " (there is no checkpoint)")
    t = run.config.train
    if t.on_divergence == "stop":
        raise UserError(
            f"the run diverged: {trouble}; the last good state is {last}; lower the learning rates in a "
            f"new --workdir, or go on with other draws: --config.train.on_divergence=restore."
        )
    if restores > t.max_restores:
        raise UserError(
            f"the run diverged again after {t.max_restores} returns to a checkpoint: {trouble}; "
            f"the last good state is {last}; lower the learning rates in a new --workdir."
        )
    say(f"diverged: {trouble}; going back to {last} with other draws ({restores} of {t.max_restores})")
    return state._replace(restores=parallel.replicate(np.uint32(restores))), since


def advance(run: Run, steps, state: GanState, since: Since) -> int:
    """Trains from `state` to the last step or the first signal; returns the exit code.

    Raises:
      Diverged: before anything is saved that is not finite.
    """
    config, step = run.config, int(state.step)
    if step > config.train.steps:
        raise UserError(
            f"{run.workdir} is at step {step} already, beyond train.steps={config.train.steps}; raise train.steps "
            f"to go on."
        )
    with ExitStack() as stack:
        writer = progress = None  # of the one process that writes
        if parallel.primary():
            writer = stack.enter_context(MetricWriter(run.workdir, resume_step=step))
            progress = stack.enter_context(Progress(config.train.steps, config.train.batch_size))
            if step:
                progress.say(f"going on from step {step} of {config.train.steps} in {run.workdir}")
        clock, done, seconds, piece = time.perf_counter(), 0, 0.0, 1

        def report(given: Given, evaluate: bool = False) -> dict[str, float]:
            """Waits, and writes the line of metrics.jsonl if one is due; returns the scores."""
            nonlocal clock, done, seconds, piece
            # Waited for first: where memory was too small, fetching a number hangs (JAX 0.10 on CPU).
            sums = {name: float(total) for name, total in jax.block_until_ready(given.since.sums).items()}
            now = time.perf_counter()
            piece = max(1, min(2 * piece, int(PIECE * given.n / (now - clock))))
            clock, done, seconds = now, done + given.n, seconds + now - clock
            if not given.line:
                return {}
            numbers = {name: float(np.float32(x) / np.float32(given.since.steps)) for name, x in sums.items()}
            for name, number in numbers.items():
                if not math.isfinite(number):
                    raise Diverged(f"{name} is {number} by step {given.step}")
            scores = run.evaluate(run.hparams, state) if evaluate else {}
            if writer:
                images = {"images_per_second": done / seconds * config.train.batch_size}
                writer.write(given.step, numbers | images | scores)
                progress.update(given.step, numbers, done / seconds)
            done, seconds = 0, 0.0
            return scores

        given, stopping = None, False
        while step < config.train.steps and not stopping:
            line = boundary(step, config)
            n = min(line - step, piece)
            state, sums = steps(run.hparams, state, run.examples, n, since.sums)
            step, since = step + n, Since(since.steps + n, sums)
            if given:  # the steps before: waited for while the devices work on these
                report(given)
            given = Given(step, n, since, step == line)
            if given.line:
                since = Since(0, None)

            draws, evaluates, saves = (
                due(step, every, config)
                for every in (config.sample.every, config.evaluate.every, config.checkpoint.every)
            )
            stopping, agreed = parallel.agree(bool(run.signals), piece)
            piece = agreed
            if not (draws or evaluates or saves or stopping):
                continue
            scores = report(given, evaluate=evaluates)
            piece = agreed  # each process has measured its own since
            if not jax.jit(all_finite)(state):
                raise Diverged(f"the parameters are not finite at step {step}")
            if draws and writer:
                draw_samples(run, state, step, writer)
            if evaluates and writer:
                save_scores(run.workdir, step, scores)
            if evaluates or saves or stopping:  # last: what a kill before it loses is made again
                run.checkpoints.save(step, state, metrics=scores if given.line else untold(given))
            given, clock = None, time.perf_counter()

        run.checkpoints.close()  # wait for the disk before promising anything
    if step == config.train.steps:
        say(f"finished {step} steps; everything is in {run.workdir}")
        return 0
    say(f"stopped at step {step} of {config.train.steps}, saved; repeat the command to go on")
    return 128 + (run.signals[0] if run.signals else signal.SIGTERM)


def untold(given: Given) -> dict[str, float]:
    """What a checkpoint between two lines of metrics.jsonl keeps for the next one.

    Raises:
      Diverged: it is not finite.
    """
    sums = {name: float(total) for name, total in given.since.sums.items()}
    for name, total in sums.items():
        if not math.isfinite(total):
            raise Diverged(f"{name} is {total} by step {given.step}")
    return {f"{SUM}steps": given.since.steps} | {f"{SUM}{name}": total for name, total in sums.items()}


def say(line: str) -> None:
    """Prints a line once, however many processes run."""
    if parallel.primary():
        print(line, flush=True)


def draw_samples(run: Run, state: GanState, step: int, writer: MetricWriter) -> None:
    """The samples at the run's fixed z, and the curves so far."""
    samples = run.draw(run.hparams, state, stream(run.hparams, "sample"), run.config.sample.rows**2)
    save_picture(run.workdir / "samples" / f"{step:09d}.png", run.config, samples)
    if samples.ndim == 4:
        writer.images(step, "samples", image_grid(run.config, samples))
    plots.curves(run.workdir / "curves.png", read(run.workdir))
