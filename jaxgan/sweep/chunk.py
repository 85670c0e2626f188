"""Trains a chunk of a sweep's members with one program, and resumes where it was stopped.

In the sweep's work directory, chunks/ID/ holds a chunk in progress: its checkpoints, and in history.json the names of
its members and the metrics so far. Finished members are in members/ (`finish.py`).
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
from jaxgan.game.batches import TrainingSet, stored_examples
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
from jaxgan.sweep.program import Program, get_program, zero_sums

# A line of a chunk's history: {"step": int, "metrics": {name: [value or None, per member]}}, and "pending": True if its
# evaluation was interrupted.
Line = dict[str, Any]


class Stopped(Exception):
    """The sweep was stopped by a signal, after saving what it needs to resume."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}, saved; repeat the command to resume")
        self.number = number


class Chunk(NamedTuple):
    """The constants of a chunk."""

    workdir: Path  # of the sweep
    trials: Sequence[Trial]
    program: Program
    hparams: Population
    data: TrainingSet  # on the devices
    checkpoints: Checkpoints
    progress: Progress
    signals: list[int]  # SIGINT, SIGTERM and SIGHUP received


class ChunkState(NamedTuple):
    """The state of a chunk in training."""

    step: int
    members: Population  # of `Member`
    earlier_lines: list[list[dict[str, Any]]]  # per member, lines of metrics.jsonl of an earlier sweep of fewer steps
    lines: list[Line]


def make_chunks(workdir: Path, unfinished: Sequence[Trial], done: dict[str, int], slots: int) -> list[list[Trial]]:
    """Groups members into chunks that train together, each in one of `slots` slots.

    Chunks that have a checkpoint are kept; the other members of a program are split into as many chunks as there are
    slots, or more if the memory requires it.

    Args:
      done: by name, the steps of members that continue from an earlier sweep of fewer steps.
    """
    remaining = {trial.name: trial for trial in unfinished}
    chunks = []
    for names in results.chunks_in_progress(workdir):
        if remaining.keys() >= set(names):  # otherwise it was killed after its results were written
            chunks.append([remaining.pop(name) for name in names])
    for group in group_by(remaining.values(), lambda trial: (program_key(trial), done.get(trial.name, 0))):
        n = len(group)
        chunks += split(group, max(min(slots, n), -(-n // max_members(group[0], slots))))
    return chunks


@pinned()
def train(workdir: Path, trials: Sequence[Trial], signals: list[int]) -> list[finish.Result]:
    """Trains members of one program to the last step, or resumes where an earlier call was stopped.

    Args:
      workdir: of the sweep.
      trials: of one program.
      signals: received so far; see `pacer.catch_signals`.

    Returns:
      The results, in the order of `trials`.

    Raises:
      Stopped: a signal was received.
      UserError: unusable data or work directory.
    """
    config, n, program = trials[0].config, len(trials), get_program(trials[0])
    directory = chunk_directory(workdir, trials)
    directory.mkdir(parents=True, exist_ok=True)
    with (
        lock(directory),
        Checkpoints(directory / "checkpoints", keep=2, best_key=SELECTION) as checkpoints,
        Progress(config.train.steps, config.train.batch_size * n) as progress,
    ):
        chunk = Chunk(
            workdir=workdir,
            trials=trials,
            program=program,
            hparams=shard(population.stack_hparams([trial.config for trial in trials]), n),
            data=devices.replicate(stored_examples(program.gan, program.dataset)),
            checkpoints=checkpoints,
            progress=progress,
            signals=signals,
        )
        final = train_loop(chunk, restore_or_init(chunk))
        states = _fields(final.members, "state")
        samples = gather(program.sample_for_report(chunk.hparams, states), n)
        states, alive = gather(states, n), gather(_fields(final.members, "alive"), n)
    chunk_results = []
    for i, trial in enumerate(trials):
        if signals:  # the checkpoint of the last step exists
            raise Stopped(signals[0])
        lines = final.earlier_lines[i] + [_member_line(line, i) for line in final.lines]
        state = jax.tree.map(lambda x, i=i: x[i], states)
        member = finish.FinishedMember(state=state, alive=bool(alive[i]), lines=lines, samples=samples[i])
        chunk_results.append(finish.finish(workdir, trial, program, member))
    return chunk_results


def chunk_directory(workdir: Path, trials: Sequence[Trial]) -> Path:
    """The directory of a chunk in progress; a chunk is identified by the names of its members."""
    names = [trial.name for trial in trials]
    directories = (path.parent for path in sorted((workdir / "chunks").glob(f"*/{results.HISTORY}")))
    existing = [directory for directory in directories if results.read_history(directory)["members"] == names]
    return existing[0] if existing else workdir / "chunks" / fingerprint({"members": names})


def delete_chunk(workdir: Path, trials: Sequence[Trial]) -> None:
    """Removes a chunk's directory, once its results are written."""
    shutil.rmtree(chunk_directory(workdir, trials), ignore_errors=True)


def _member_line(line: Line, member: int) -> dict[str, Any]:
    return {"step": line["step"]} | {name: column[member] for name, column in line["metrics"].items()}


def restore_or_init(chunk: Chunk) -> ChunkState:
    """The newest checkpoint of the chunk, its members at the end of a sweep of fewer steps, or step 0."""
    program, n, directory = chunk.program, len(chunk.trials), chunk_directory(chunk.workdir, chunk.trials)
    member_state = jax.eval_shape(program.gan.init, _first_hparams(chunk.trials))
    state = jax.tree.map(lambda x: jax.ShapeDtypeStruct((n, *x.shape), x.dtype), member_state)
    zeros = zero_sums(program, n)
    saved = chunk.checkpoints.restore(Member(state, zeros, state, jax.ShapeDtypeStruct((n,), bool)))
    if saved:
        step, member = saved
        history = results.read_history(directory)
        lines = [line for line in history["lines"] if line["step"] <= step]
        chunk.progress.log(f"resuming from step {step} of {chunk.trials[0].config.train.steps}")
        return ChunkState(step, shard(member, n), history["before"], lines)
    ends = finish.load_previous_ends(chunk.workdir, chunk.trials, member_state)
    if ends:
        states = jax.tree.map(lambda *x: np.stack(x), *(end.state for end in ends))
        members = program.resume(shard(states, n), shard(zeros, n))
        return ChunkState(ends[0].step, members, [end.lines for end in ends], [])
    results.check_source(chunk.workdir, chunk.trials[0].config)
    return ChunkState(0, program.init(chunk.hparams, shard(zeros, n)), [[] for _ in chunk.trials], [])


def _first_hparams(trials: Sequence[Trial]) -> HParams:
    return {name: values[0] for name, values in population.stack_hparams([trials[0].config]).items()}


def _fields(members: Population, name: str) -> Population:
    return [getattr(member, name) for member in members]


def train_loop(chunk: Chunk, initial: ChunkState) -> ChunkState:
    """Trains to the last step.

    Raises:
      Stopped: a signal was received before; everything is saved.
    """
    config, program = chunk.trials[0].config, chunk.program
    step, members, earlier_lines, lines = initial
    n = len(chunk.trials)

    def dispatch(steps: int, line: bool) -> tuple[Population, Population]:
        nonlocal members
        states, sums, last_finite, alive = (_fields(members, name) for name in Member._fields)
        num_steps = devices.replicate(np.uint32(steps))
        updated = program.run_steps(chunk.hparams, states, sums, alive, chunk.data, num_steps)
        states, sums = ([part[i] for part in updated] for i in (0, 1))
        members = [Member(*fields) for fields in zip(states, sums, last_finite, alive, strict=True)]
        if line:
            members = [Member(*fields) for fields in program.end_log_interval(states, sums, last_finite, alive)]
        return sums, _fields(members, "alive")

    def save() -> None:
        names = [trial.name for trial in chunk.trials]
        history = {"members": names, "before": earlier_lines, "lines": lines}
        directory = chunk_directory(chunk.workdir, chunk.trials)
        write_atomically(directory / results.HISTORY, json.dumps(history).encode())
        chunk.checkpoints.save(step, gather(members, n), metrics={})

    if lines and lines[-1].get("pending") and not evaluate(chunk, members, lines[-1]):
        raise Stopped(chunk.signals[0])
    last = [*earlier_lines[0], *lines][-1:]  # the sums are of the steps since then
    since, seconds = step - (last[0]["step"] if last else 0), 0.0
    for dispatched in pace(step=step, config=config, dispatch=dispatch, signals=chunk.signals):
        step, since, seconds = dispatched.step, since + dispatched.steps, seconds + dispatched.seconds
        if dispatched.log_due:
            lines.append(line_of(dispatched, since, n))
            show(chunk, lines[-1], since / seconds)
            since, seconds = 0, 0.0
        complete = not dispatched.evaluation_due or evaluate(chunk, members, lines[-1])
        if dispatched.evaluation_due or dispatched.checkpoint_due or dispatched.stop:
            save()
        if not complete:
            break
    chunk.checkpoints.close()  # wait for the disk before reporting success
    if step < config.train.steps or (lines and lines[-1].get("pending")):
        raise Stopped(chunk.signals[0])
    return ChunkState(step, members, earlier_lines, lines)


def line_of(dispatched: Dispatched, steps: int, members: int) -> Line:
    """The metrics of a log line, per member: means over `steps` steps, bit-identical to those of a single run."""
    sums, alive = (gather(part, members) for part in dispatched.outputs)
    means = {name: total / np.float32(steps) for name, total in sums.items()}
    return {"step": dispatched.step, "metrics": {name: _finite(mean, alive) for name, mean in means.items()}}


def _finite(column: Sequence[float], alive: Sequence[bool]) -> list[float | None]:
    """Each member's value; None if it is not finite or the member has diverged."""
    return [float(x) if ok and math.isfinite(x) else None for x, ok in zip(column, alive, strict=True)]


def show(chunk: Chunk, line: Line, steps_per_second: float) -> None:
    """Displays the means over the members that have not diverged."""
    columns = {name: [x for x in column if x is not None] for name, column in line["metrics"].items()}
    means = {name: statistics.fmean(column) for name, column in columns.items() if column}
    chunk.progress.update(line["step"], means, steps_per_second)


def evaluate(chunk: Chunk, members: Population, line: Line) -> bool:
    """Adds each member's scores to a line; if a signal arrives, marks the line as pending and returns False.

    Evaluates a few members at a time: samples are large, and signals are checked in between.
    """
    program, n, states = chunk.program, len(chunk.trials), _fields(members, "state")
    alive = gather(_fields(members, "alive"), n)
    size = devices.threads() if devices.is_sequential() else len(members)
    scores: list[dict[str, float]] = []
    for i in range(0, len(members), size):
        batch = states[i : i + size]
        batch_samples = program.sample_for_evaluation(chunk.hparams[i : i + size], batch)
        pairs = [*zip(batch_samples, program.discriminator_stats(batch, batch_samples), strict=True)]
        samples, stats = gather(pairs, len(batch_samples) if devices.is_sequential() else n)
        for j in range(0, len(samples), devices.threads()):
            if chunk.signals:
                line["pending"] = True
                return False
            indices = range(j, min(j + devices.threads(), len(samples)))
            players = [jax.tree.map(lambda a, m=m: a[m], stats) for m in indices]
            scores += devices.map_host(program.measure, [samples[m] for m in indices], [None for _ in indices], players)
    line.pop("pending", None)
    for name in scores[0]:
        line["metrics"][name] = _finite([member[name] for member in scores], alive)
    return True
