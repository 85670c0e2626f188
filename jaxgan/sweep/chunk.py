"""Trains a chunk of a sweep's members, one program for all, and leaves each a work directory of its own.

In the sweep's work directory:

    members/NAME/   once the member is finished: `jaxgan.load` opens it.
                    Its metrics.jsonl has a line at each log point, null where a number is not finite or
                    the member had diverged; samples/STEP.npz are the samples of the report.
    chunks/ID/      of a chunk being trained: its checkpoints, and in history.json the names of its members
                    and the metrics so far, to go on from.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, parallel, plan, population, pretrained, results, scores
from jaxgan.algorithm1 import train_step
from jaxgan.checkpoints import Checkpoints
from jaxgan.config import fingerprint, flatten
from jaxgan.data import Dataset
from jaxgan.gan import Gan, build_for
from jaxgan.hparams import static, traced
from jaxgan.plan import Planned
from jaxgan.population import Member
from jaxgan.state import stream
from jaxgan.train import boundary, due
from jaxgan.workdir import claim, lock, write_atomically
from jaxgan.writers import METRICS, Progress

POINTS, IMAGES = 1000, 100  # samples that a member leaves for the report, of a mixture or of images

# {"setting": {config field: value}, "seed": int, "final": {metric: number}, "best": {metric: number},
#  "diverged": bool, "steps": int}. Final is the last number of each metric, and best are those at the
# evaluation with the highest score; of a member that diverged, both are from before.
Result = dict[str, Any]


class Program(NamedTuple):
    """What the members of a group share, compiled on first use."""

    dataset: Dataset
    gan: Gan
    start: Callable
    advance: Callable
    measure: Callable
    sample: Callable


_programs: dict[str, Program] = {}
_datasets: dict[str, Dataset] = {}


def program(member: Planned) -> Program:
    """The program that trains `member` and all that differ from it in traced numbers only.

    Raises:
      UserError: the data cannot be read, or has fewer examples than a minibatch.
    """
    config = member.config
    key = fingerprint(static(config))
    if key in _programs:
        return _programs[key]
    dataset = dataset_of(config)
    gan = build_for(config, dataset)
    scored = scores.measure(config, gan, dataset)
    count = IMAGES if dataset.mixture is None else POINTS

    def start(hparams, alive):
        return Member(pretrained.initialize(config, gan.init(hparams)), alive)

    def samples(hparams, member):
        return scores.draw(gan, hparams, member.state, stream(hparams, "sample"), count)

    _programs[key] = Program(
        dataset,
        gan,
        start=parallel.over_members(start, own=2),
        advance=parallel.over_members(partial(population.advance, gan), own=2, donate=1),
        measure=parallel.over_members(lambda hparams, member: scored(hparams, member.state), own=2, side_by_side=False),
        sample=parallel.over_members(samples, own=2, side_by_side=False),
    )
    return _programs[key]


def dataset_of(config: ConfigDict) -> Dataset:
    """The data of a configuration, read once."""
    key = config.data.to_json()
    if key not in _datasets:
        _datasets[key] = data.load(config.data)
    return _datasets[key]


def memory(member: Planned) -> tuple[int, int]:
    """Bytes that a member keeps from step to step, and those that a step works with, from above."""
    about = program(member)
    hparams = traced(member.config)
    state = jax.eval_shape(about.gan.init, hparams)
    kept = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    examples = jax.ShapeDtypeStruct(about.dataset.train.shape, about.dataset.train.dtype)
    step = jax.jit(partial(train_step, about.gan)).lower(hparams, state, examples)
    return 3 * kept, int(step.cost_analysis()["bytes accessed"])  # before, after, and frozen or not


def width(member: Planned, slots: int) -> int:
    """How many members of a program train together in one of so many `slots`: what half of the memory holds."""
    kept, work = memory(member)
    device = jax.local_devices()[0]
    if device.platform == "cpu":  # the members of a device take turns; devices and slots share the memory
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // slots
        return max(1, (free // 2 - work * jax.local_device_count()) // kept)
    told = device.memory_stats()
    free = told["bytes_limit"] - told["bytes_in_use"]
    devices = jax.local_device_count() if slots == 1 else 1  # one for each of several slots: see launch.ray
    return devices * max(1, free // 2 // (kept + work))


def chunks(workdir: Path, unfinished: Sequence[Planned], slots: int) -> list[list[Planned]]:
    """The members that train together, each time in one of so many `slots`.

    Chunks that have a checkpoint go on as they are; the other members of a program are cut into as many as
    there are slots, or more where memory wants it.
    """
    left = {member.name: member for member in unfinished}
    found = []
    for names in results.begun(workdir):
        if left.keys() >= set(names):  # else it was killed between its results and its end
            found.append([left.pop(name) for name in names])
    for group in plan.programs(list(left.values())):
        n = len(group)
        found += plan.chunks(group, max(min(slots, n), -(-n // width(group[0], slots))))
    return found


def describe(chunks: list[list[Planned]], slots: int, *, timed: bool) -> str:
    """'72 runs -> 3 programs, 24 members a chunk, about 5 minutes, 40 MB'; the time is measured, if asked for."""
    runs, programs = sum(map(len, chunks)), len(plan.programs([chunk[0] for chunk in chunks]))
    largest = max(len(chunk) for chunk in chunks)
    needed = []
    for chunk in chunks:
        kept, work = memory(chunk[0])
        at_work = jax.local_device_count() if jax.default_backend() == "cpu" else len(chunk)
        needed.append(kept * len(chunk) + work * at_work)
    minutes = f"about {sum(map(seconds, chunks)) / slots / 60:.1f} minutes of training, " if timed else ""
    size = f"{_count(largest, 'member')} a chunk, {minutes}{max(needed) / 1e6:.0f} MB"
    return f"{_count(runs, 'run')} -> {_count(programs, 'program')}, {size}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def seconds(members: Sequence[Planned]) -> float:
    """How long a chunk will take here; evaluations are not counted."""
    compilation, step = seconds_a_step(members)
    return compilation + members[0].config.train.steps * step


def seconds_a_step(members: Sequence[Planned]) -> tuple[float, float]:
    """Of a chunk's compilation, and of one step of all its members, from a few of them."""
    about, n = program(members[0]), len(members)
    hparams = parallel.deal(population.stacked([member.config for member in members]), n)
    group = about.start(hparams, parallel.deal(np.ones(n, bool), n))
    examples = parallel.copies(about.dataset.train)

    def lasts(steps: int) -> float:
        nonlocal group
        clock = time.perf_counter()
        done = about.advance(hparams, group, examples, parallel.copies(np.uint32(steps)))
        group, _ = zip(*jax.block_until_ready(done), strict=True)
        return time.perf_counter() - clock

    compilation, few = lasts(1), lasts(2)
    steps = max(2, int(2 * 2 / few))  # two seconds of them
    return compilation, lasts(steps) / steps


def train(workdir: Path, members: Sequence[Planned]) -> list[Result]:
    """Trains members of one program to the end, or goes on where an earlier call was cut off.

    Args:
      workdir: of the sweep.
      members: of one program.

    Returns:
      The results, in the order of `members`.

    Raises:
      UserError: the data or the work directory forbid to go on.
    """
    config, n = members[0].config, len(members)
    about = program(members[0])
    place = chunk_directory(workdir, members)
    place.mkdir(parents=True, exist_ok=True)
    with (
        lock(place),
        Checkpoints(place / "checkpoints", keep=2, best_key=scores.SCORE) as checkpoints,
        Progress(config.train.steps, config.train.batch_size * n) as progress,
    ):
        hparams = parallel.deal(population.stacked([member.config for member in members]), n)
        group = about.start(hparams, parallel.deal(np.ones(n, bool), n))
        step = 0
        lines: list[dict[str, Any]] = []  # {"step": step, "metrics": {name: [a number for each member]}}
        saved = checkpoints.restore(parallel.collect(group))
        if saved:
            step, group = saved[0], parallel.deal(saved[1], n)
            history = json.loads((place / results.HISTORY).read_text())
            lines = [line for line in history["lines"] if line["step"] <= step]
            progress.say(f"going on from step {step} of {config.train.steps}")
        examples = parallel.copies(about.dataset.train)
        while step < config.train.steps:
            end, clock = boundary(step, config), time.perf_counter()
            done = about.advance(hparams, group, examples, parallel.copies(np.uint32(end - step)))
            group, metrics = zip(*done, strict=True)
            found = parallel.collect(metrics)
            if due(end, config.evaluate.every, config):
                found |= parallel.collect(about.measure(hparams, group))
            alive = parallel.collect(hand.alive for hand in group)
            numbers = {name: _finite(x, alive) for name, x in found.items()}
            lines.append({"step": end, "metrics": numbers})
            shown = {name: [x for x in column if x is not None] for name, column in numbers.items()}
            means = {name: statistics.fmean(column) for name, column in shown.items() if column}
            progress.update(end, means, (end - step) / (time.perf_counter() - clock))
            step = end
            if due(step, config.checkpoint.every, config):
                history = {"members": [member.name for member in members], "lines": lines}
                write_atomically(place / results.HISTORY, json.dumps(history).encode())
                checkpoints.save(step, parallel.collect(group), metrics={})
        samples = parallel.collect(about.sample(hparams, group))
        group = parallel.collect(group)

    def one(i: int) -> Result:
        mine = [{"step": line["step"]} | {k: v[i] for k, v in line["metrics"].items()} for line in lines]
        return _finish(workdir, members[i], about.dataset, jax.tree.map(lambda x: x[i], group), mine, samples[i])

    return [one(i) for i in range(n)]


def chunk_directory(workdir: Path, members: Sequence[Planned]) -> Path:
    """Where a chunk keeps what it goes on from."""
    return workdir / "chunks" / fingerprint({member.name: flatten(member.config) for member in members})


def forget(workdir: Path, members: Sequence[Planned]) -> None:
    """Removes what a chunk would go on from, once its results are kept."""
    shutil.rmtree(chunk_directory(workdir, members), ignore_errors=True)


def _finite(x: np.ndarray, alive: np.ndarray) -> list[float | None]:
    """Each member's number, None where it is not finite or the member is not alive."""
    return [float(v) if ok and math.isfinite(v) else None for v, ok in zip(x, alive, strict=True)]


def _finish(
    workdir: Path, planned: Planned, dataset: Dataset, member: Member, lines: list[dict], samples: np.ndarray
) -> Result:
    """Writes the work directory of a member that is at its end, and returns its result."""
    place = workdir / "members" / planned.name
    shutil.rmtree(place, ignore_errors=True)  # of a sweep that was cut off here
    step = int(member.state.step)
    final: dict[str, float] = {}
    for line in lines:
        final |= {name: number for name, number in line.items() if number is not None and name != "step"}
    scored = [line for line in lines if line.get(scores.SCORE) is not None]
    best = max(scored, key=lambda line: line[scores.SCORE], default={})
    with (
        claim(place, planned.config, dataset),
        Checkpoints(place / "checkpoints", keep=1, best_key=scores.SCORE) as checkpoints,
    ):
        at_end = bool(scored) and scored[-1]["step"] == step  # else the scores are of another state
        checkpoints.save(step, member.state, metrics=final if at_end else {})
        write_atomically(place / METRICS, "".join(json.dumps(line) + "\n" for line in lines).encode())
        if scored:
            write_atomically(place / "evaluation.json", (json.dumps(scored[-1], indent=2) + "\n").encode())
        packed = io.BytesIO()
        np.savez_compressed(packed, samples=samples)
        write_atomically(place / "samples" / f"{step:09d}.npz", packed.getvalue())
    return {
        "setting": planned.setting,
        "seed": planned.config.seed,
        "final": final,
        "best": {name: number for name, number in best.items() if number is not None},
        "diverged": not bool(member.alive),
        "steps": step,
    }
