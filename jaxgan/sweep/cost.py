"""What a sweep costs: how many members the memory holds, and how long they take."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.game.state import GanState
from jaxgan.sweep import devices, finish
from jaxgan.sweep.plan import Trial, group_by, program_key
from jaxgan.sweep.program import Program, program, start_members
from jaxgan.train import training_set

COPIES = 3  # of a member's state at a time: before or after a step, of the last line, on its way to the disk


class Seconds(NamedTuple):
    """What a chunk takes, but for evaluations."""

    compilation: float
    training: float
    pictures: float  # and all else that members leave


class Memory(NamedTuple):
    """Bytes."""

    member: int  # kept for a member from step to step
    step: int  # what a step of one member works with
    shared: int  # the training set


def memory(trial: Trial) -> Memory:
    """What a program needs, as its compiled step says."""
    about = program(trial)
    hparams, group = start_members(about, [trial.config])
    (member,) = group
    data = training_set(about.gan, about.dataset)
    compiled = about.advance.compiled(
        hparams, [member.state], [member.sums], [member.alive], devices.replicate(data), devices.replicate(np.uint32(1))
    )
    analysis = compiled.memory_analysis()  # of one device
    state = sum(x.nbytes for x in jax.tree.leaves(member.state))
    if not devices.take_turns():  # a copy of the member on each device
        state //= jax.local_device_count()
    shared = sum(x.nbytes for x in jax.tree.leaves(data))
    step = int(analysis.temp_size_in_bytes) if analysis else COPIES * state  # a guess where the backend doesn't say
    return Memory(COPIES * state, step, shared)


def max_members(trial: Trial, slots: int) -> int:
    """How many members of a program train together in one of `slots` slots: what half of the memory holds."""
    needs = memory(trial)
    if devices.take_turns():  # slots share the memory
        half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // slots // 2
        return max(1, (half - needs.shared - needs.step * devices.threads()) // needs.member)
    at_hand = jax.local_device_count() if slots == 1 else 1  # one for each of several slots: see `launchers.ray`
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:  # the backend doesn't say
        return at_hand
    half = (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) // 2
    return at_hand * max(1, (half - needs.shared) // (needs.member + needs.step))


def bytes_of(chunk: Sequence[Trial]) -> int:
    """What a chunk needs on all devices together."""
    needs = memory(chunk[0])
    working = min(devices.threads(), len(chunk)) if devices.take_turns() else len(chunk)
    return needs.shared + needs.member * len(chunk) + needs.step * working


def describe(chunks: list[list[Trial]], slots: int, *, timed: bool) -> str:
    """'72 runs -> 3 programs, 24 members a chunk, about 5 minutes (...), 40 MB'; the time is measured, if asked for."""
    start = time.process_time()  # imports, data, and programs that were compiled to learn what memory they need
    runs, programs = sum(map(len, chunks)), len(group_by([chunk[0] for chunk in chunks], program_key))
    largest = max(map(len, chunks))
    minutes = ""
    if timed:
        parts = Seconds(*map(sum, zip(*map(seconds, chunks), strict=True)))
        total = start + sum(parts) / slots
        listed = "".join(f", {name} {x:.0f} s" for name, x in parts._asdict().items())
        minutes = f"about {total / 60:.1f} minutes (start {start:.0f} s{listed}; without evaluations), "
    size = f"{_count(largest, 'member')} a chunk, {minutes}{max(map(bytes_of, chunks)) / 1e6:.0f} MB"
    return f"{_count(runs, 'run')} -> {_count(programs, 'program')}, {size}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def seconds(chunk: Sequence[Trial]) -> Seconds:
    """Measures how long a chunk takes here, from a few steps and from what one member leaves."""
    about, clock = program(chunk[0]), time.perf_counter()
    hparams, group = start_members(about, [trial.config for trial in chunk])
    states = [member.state for member in group]
    samples = devices.gather(about.draw_shown(hparams, states), len(chunk))[0]
    state = jax.tree.map(lambda x: np.array(x[0]), devices.gather(states, len(chunk)))  # a copy: steps donate theirs
    run = _runner(about, hparams, group, devices.replicate(training_set(about.gan, about.dataset)))
    run(1)
    compilation, few = time.perf_counter() - clock, run(2)
    steps = max(2, int(2 * 2 / few))  # two seconds of them
    training = chunk[0].config.train.steps * run(steps) / steps
    first, later = (seconds_to_finish(chunk[0], about, state, samples) for _ in range(2))
    return Seconds(compilation, training, first + (len(chunk) - 1) * later)


def seconds_to_finish(trial: Trial, about: Program, state: GanState, samples: np.ndarray) -> float:
    """How long a member takes to leave its work directory: pictures, metrics and a checkpoint."""
    every = trial.config.log.every
    steps = range(every, trial.config.train.steps + 1, every)
    lines = [{"step": step} | dict.fromkeys(about.sums, 0.0) for step in steps]
    with tempfile.TemporaryDirectory() as place:
        clock = time.perf_counter()
        finish.finish(Path(place), trial, about, finish.Made(state=state, alive=True, lines=lines, samples=samples))
        return time.perf_counter() - clock


def _runner(about, hparams, group, data) -> Callable[[int], float]:
    """A function that makes some steps and returns the seconds that they took."""
    states, sums, alive = ([getattr(member, name) for member in group] for name in ("state", "sums", "alive"))

    def run(steps: int) -> float:
        nonlocal states
        clock = time.perf_counter()
        done = about.advance(hparams, states, sums, alive, data, devices.replicate(np.uint32(steps)))
        states = [state for state, _ in jax.block_until_ready(done)]
        return time.perf_counter() - clock

    return run
