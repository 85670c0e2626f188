"""Trains a chunk of a sweep's members, one program for all, and resumes where it was stopped.

In the sweep's work directory, chunks/ID/ is of a chunk in progress: its checkpoints, and in history.json the names of
its members and the metrics so far. What its members leave is in members/ (`finish.py`).
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan.config import fingerprint
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.files import write_atomically
from jaxgan.game.batches import TrainingSet
from jaxgan.game.hparams import HParams
from jaxgan.numerics import pinned
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.lock import lock
from jaxgan.run.pacer import Dispatched, pace
from jaxgan.run.progress import Progress
from jaxgan.sweep import devices, finish, population, results
from jaxgan.sweep.cost import max_members
from jaxgan.sweep.devices import Population, gather, shard
from jaxgan.sweep.plan import Trial, group_by, program_key, split
from jaxgan.sweep.population import Member
from jaxgan.sweep.program import Program, program, zero_sums
from jaxgan.train import training_set

# A line of a chunk's history: {"step": int, "metrics": {name: [a number per member, None where there is none]}}, and
# "pending": True where its evaluation was interrupted.
Line = dict[str, Any]


class Stopped(Exception):
    """The sweep was asked to stop by a signal, and has saved what it needs to resume."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}, saved; repeat the command to resume")
        self.number = number


class Chunk(NamedTuple):
    """What stays the same from the first step to the last."""

    workdir: Path  # of the sweep
    trials: Sequence[Trial]
    about: Program
    hparams: Population
    data: TrainingSet  # on the devices
    checkpoints: Checkpoints
    progress: Progress
    signals: list[int]  # SIGINT, SIGTERM and SIGHUP received


class Progressed(NamedTuple):
    """How far a chunk is."""

    step: int
    group: Population  # of `Member`
    before: list[list[dict[str, Any]]]  # per member the lines of metrics.jsonl of a sweep of fewer steps
    lines: list[Line]


def make_chunks(workdir: Path, unfinished: Sequence[Trial], done: dict[str, int], slots: int) -> list[list[Trial]]:
    """The members that train together, each time in one of `slots` slots.

    Chunks that have a checkpoint stay as they are; the other members of a program are cut into as many as there are
    slots, or more where the memory needs it.

    Args:
      done: by name, the steps of members that resume at the end of a sweep of fewer steps.
    """
    left = {trial.name: trial for trial in unfinished}
    found = []
    for names in results.chunks_in_progress(workdir):
        if left.keys() >= set(names):  # else it was killed between its results and its end
            found.append([left.pop(name) for name in names])
    for group in group_by(left.values(), lambda trial: (program_key(trial), done.get(trial.name, 0))):
        n = len(group)
        found += split(group, max(min(slots, n), -(-n // max_members(group[0], slots))))
    return found


@pinned()
def train(workdir: Path, trials: Sequence[Trial], signals: list[int]) -> list[finish.Result]:
    """Trains members of one program to the end, or resumes where an earlier call was stopped.

    Args:
      workdir: of the sweep.
      trials: of one program.
      signals: received so far; see `pacer.catch_signals`.

    Returns:
      The results, in the order of `trials`.

    Raises:
      Stopped: a signal came.
      UserError: the data or the work directory do not allow it.
    """
    config, n, about = trials[0].config, len(trials), program(trials[0])
    place = chunk_directory(workdir, trials)
    place.mkdir(parents=True, exist_ok=True)
    with (
        lock(place),
        Checkpoints(place / "checkpoints", keep=2, best_key=SELECTION) as checkpoints,
        Progress(config.train.steps, config.train.batch_size * n) as progress,
    ):
        chunk = Chunk(
            workdir=workdir,
            trials=trials,
            about=about,
            hparams=shard(population.stacked([trial.config for trial in trials]), n),
            data=devices.replicate(training_set(about.gan, about.dataset)),
            checkpoints=checkpoints,
            progress=progress,
            signals=signals,
        )
        ended = train_loop(chunk, newest(chunk))
        states = _parts(ended.group, "state")
        samples = gather(about.draw_shown(chunk.hparams, states), n)
        states, alive = gather(states, n), gather(_parts(ended.group, "alive"), n)
    found = []
    for i, trial in enumerate(trials):
        if signals:  # the checkpoint of the last step is there
            raise Stopped(signals[0])
        lines = ended.before[i] + [_line_of(line, i) for line in ended.lines]
        state = jax.tree.map(lambda x, i=i: x[i], states)
        made = finish.Made(state=state, alive=bool(alive[i]), lines=lines, samples=samples[i])
        found.append(finish.finish(workdir, trial, about, made))
    return found


def chunk_directory(workdir: Path, trials: Sequence[Trial]) -> Path:
    """Where a chunk keeps what it resumes from: a chunk is its members, whose configurations the sweep watches over."""
    names = [trial.name for trial in trials]
    places = (path.parent for path in sorted((workdir / "chunks").glob(f"*/{results.HISTORY}")))
    begun = [place for place in places if results.read_history(place)["members"] == names]
    return begun[0] if begun else workdir / "chunks" / fingerprint({"members": names})


def delete_chunk(workdir: Path, trials: Sequence[Trial]) -> None:
    """Removes what a chunk would resume from, once its results are kept."""
    shutil.rmtree(chunk_directory(workdir, trials), ignore_errors=True)


def _line_of(line: Line, member: int) -> dict[str, Any]:
    return {"step": line["step"]} | {name: column[member] for name, column in line["metrics"].items()}


def newest(chunk: Chunk) -> Progressed:
    """Where to resume: the newest checkpoint of the chunk, its members' ends of a sweep of fewer steps, or step 0."""
    about, n, place = chunk.about, len(chunk.trials), chunk_directory(chunk.workdir, chunk.trials)
    state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((n, *x.shape), x.dtype), jax.eval_shape(about.gan.init, _first(chunk.trials))
    )
    zeros = zero_sums(about, n)
    saved = chunk.checkpoints.restore(Member(state, zeros, state, jax.ShapeDtypeStruct((n,), bool)))
    if saved:
        step, member = saved
        history = results.read_history(place)
        lines = [line for line in history["lines"] if line["step"] <= step]
        chunk.progress.log(f"resuming from step {step} of {chunk.trials[0].config.train.steps}")
        return Progressed(step, shard(member, n), history["before"], lines)
    earlier = finish.ended(chunk.workdir, chunk.trials, jax.eval_shape(about.gan.init, _first(chunk.trials)))
    if earlier:
        states = jax.tree.map(lambda *x: np.stack(x), *(end.state for end in earlier))
        group = about.resume(shard(states, n), shard(zeros, n))
        return Progressed(earlier[0].step, group, [end.lines for end in earlier], [])
    results.check_source(chunk.workdir, chunk.trials[0].config)
    return Progressed(0, about.start(chunk.hparams, shard(zeros, n)), [[] for _ in chunk.trials], [])


def _first(trials: Sequence[Trial]) -> HParams:
    return {name: values[0] for name, values in population.stacked([trials[0].config]).items()}


def _parts(group: Population, name: str) -> Population:
    return [getattr(member, name) for member in group]


def train_loop(chunk: Chunk, begin: Progressed) -> Progressed:
    """Trains to the last step.

    Raises:
      Stopped: a signal came first; all is saved.
    """
    config, about = chunk.trials[0].config, chunk.about
    step, group, before, lines = begin
    n = len(chunk.trials)

    def dispatch(steps: int, line: bool) -> tuple[Population, Population]:
        nonlocal group
        columns = [_parts(group, name) for name in Member._fields]
        states, _, kept, alive = columns
        moved = about.advance(chunk.hparams, states, columns[1], alive, chunk.data, devices.replicate(np.uint32(steps)))
        states, sums = ([part[i] for part in moved] for i in (0, 1))
        group = [Member(*parts) for parts in zip(states, sums, kept, alive, strict=True)]
        if line:
            group = [Member(*parts) for parts in about.close_line(states, sums, kept, alive)]
        return sums, _parts(group, "alive")

    def save() -> None:
        names = [trial.name for trial in chunk.trials]
        history = {"members": names, "before": before, "lines": lines}
        place = chunk_directory(chunk.workdir, chunk.trials)
        write_atomically(place / results.HISTORY, json.dumps(history).encode())
        chunk.checkpoints.save(step, gather(group, n), metrics={})

    if lines and lines[-1].get("pending") and not evaluate(chunk, group, lines[-1]):
        raise Stopped(chunk.signals[0])
    last = [*before[0], *lines][-1:]  # the sums are of the steps since then
    since, seconds = step - (last[0]["step"] if last else 0), 0.0
    for dispatched in pace(step=step, config=config, dispatch=dispatch, signals=chunk.signals):
        step, since, seconds = dispatched.step, since + dispatched.steps, seconds + dispatched.seconds
        if dispatched.log_due:
            lines.append(line_of(dispatched, since, n))
            show(chunk, lines[-1], since / seconds)
            since, seconds = 0, 0.0
        complete = not dispatched.evaluation_due or evaluate(chunk, group, lines[-1])
        if dispatched.evaluation_due or dispatched.checkpoint_due or dispatched.stop:
            save()
        if not complete:
            break
    chunk.checkpoints.close()  # wait for the disk before promising anything
    if step < config.train.steps or (lines and lines[-1].get("pending")):
        raise Stopped(chunk.signals[0])
    return Progressed(step, group, before, lines)


def line_of(dispatched: Dispatched, steps: int, members: int) -> Line:
    """What a line of each member's metrics.jsonl says: means over `steps` steps, to the bit those of a single run."""
    sums, alive = (gather(part, members) for part in dispatched.outputs)
    means = {name: total / np.float32(steps) for name, total in sums.items()}
    return {"step": dispatched.step, "metrics": {name: _finite(mean, alive) for name, mean in means.items()}}


def _finite(column: Sequence[float], alive: Sequence[bool]) -> list[float | None]:
    """Each member's number, None where it is not finite or the member is not alive."""
    return [float(x) if ok and math.isfinite(x) else None for x, ok in zip(column, alive, strict=True)]


def show(chunk: Chunk, line: Line, steps_per_second: float) -> None:
    """Shows the means over the members that are alive."""
    columns = {name: [x for x in column if x is not None] for name, column in line["metrics"].items()}
    means = {name: statistics.fmean(column) for name, column in columns.items() if column}
    chunk.progress.update(line["step"], means, steps_per_second)


def evaluate(chunk: Chunk, group: Population, line: Line) -> bool:
    """Adds the scores of each member to a line; False where a signal came first, and the line is marked as pending.

    A few members at a time: samples are large, and a signal is heeded after each of these.
    """
    about, n, states = chunk.about, len(chunk.trials), _parts(group, "state")
    alive = gather(_parts(group, "alive"), n)
    size = devices.threads() if devices.take_turns() else len(group)
    found: list[dict[str, float]] = []
    for i in range(0, len(group), size):
        some_states = states[i : i + size]
        drawn = about.draw_scored(chunk.hparams[i : i + size], some_states)
        both = [*zip(drawn, about.judge(some_states, drawn), strict=True)]
        samples, judged = gather(both, len(drawn) if devices.take_turns() else n)
        for j in range(0, len(samples), devices.threads()):
            if chunk.signals:
                line["pending"] = True
                return False
            some = range(j, min(j + devices.threads(), len(samples)))
            players = [jax.tree.map(lambda a, m=m: a[m], judged) for m in some]
            found += devices.map_host(about.measure, [samples[m] for m in some], [None for _ in some], players)
    line.pop("pending", None)
    for name in found[0]:
        line["metrics"][name] = _finite([scores[name] for scores in found], alive)
    return True
