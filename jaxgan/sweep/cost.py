"""The cost of a sweep: members that fit in memory, and training time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.game.batches import stored_examples
from jaxgan.game.state import GanState
from jaxgan.sweep import devices, finish
from jaxgan.sweep.plan import Trial, group_by, program_key
from jaxgan.sweep.program import Program, get_program, init_members

STATE_COPIES = 3  # of a member's state: current, at the last log line, being checkpointed


class Seconds(NamedTuple):
    """Duration of a chunk, without evaluations."""

    compilation: float
    training: float
    pictures: float  # and all other files of finished members


class Memory(NamedTuple):
    """Memory in bytes."""

    member: int  # per member, between steps
    step: int  # temporary memory of one member's step
    shared: int  # the training set


def estimate_memory(trial: Trial) -> Memory:
    """The memory that a program needs, from its compiled step."""
    program = get_program(trial)
    hparams, group = init_members(program, [trial.config])
    (member,) = group
    data = stored_examples(program.gan, program.dataset)
    compiled = program.run_steps.compiled(
        hparams, [member.state], [member.sums], [member.alive], devices.replicate(data), devices.replicate(np.uint32(1))
    )
    analysis = compiled.memory_analysis()  # of one device
    state = sum(x.nbytes for x in jax.tree.leaves(member.state))
    if not devices.is_sequential():  # a copy of the member on each device
        state //= jax.local_device_count()
    shared = sum(x.nbytes for x in jax.tree.leaves(data))
    step = (
        int(analysis.temp_size_in_bytes) if analysis else STATE_COPIES * state
    )  # a guess if the backend does not report it
    return Memory(STATE_COPIES * state, step, shared)


def max_members(trial: Trial, slots: int) -> int:
    """The number of members of a program that train together in one of `slots` slots and fit in half the memory."""
    needs = estimate_memory(trial)
    if devices.is_sequential():  # slots share the memory
        usable = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // slots // 2
        return max(1, (usable - needs.shared - needs.step * devices.threads()) // needs.member)
    slot_devices = (
        jax.local_device_count() if slots == 1 else 1
    )  # one per slot if there are several: see `launchers.ray`
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:  # the backend does not report it
        return slot_devices
    usable = (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) // 2
    return slot_devices * max(1, (usable - needs.shared) // (needs.member + needs.step))


def chunk_bytes(chunk: Sequence[Trial]) -> int:
    """The memory that a chunk needs on all devices together."""
    needs = estimate_memory(chunk[0])
    working = min(devices.threads(), len(chunk)) if devices.is_sequential() else len(chunk)
    return needs.shared + needs.member * len(chunk) + needs.step * working


def describe(chunks: list[list[Trial]], slots: int, *, timed: bool) -> str:
    """'72 runs -> 3 programs, 24 members per chunk, about 5 minutes (...), 40 MB'; measures the time if `timed`."""
    start = time.process_time()  # imports, data, and programs that were compiled to measure their memory
    runs, programs = sum(map(len, chunks)), len(group_by([chunk[0] for chunk in chunks], program_key))
    largest = max(map(len, chunks))
    minutes = ""
    if timed:
        parts = Seconds(*map(sum, zip(*map(estimate_seconds, chunks), strict=True)))
        total = start + sum(parts) / slots
        listed = "".join(f", {name} {x:.0f} s" for name, x in parts._asdict().items())
        minutes = f"about {total / 60:.1f} minutes (start {start:.0f} s{listed}; without evaluations), "
    size = f"{_count(largest, 'member')} per chunk, {minutes}{max(map(chunk_bytes, chunks)) / 1e6:.0f} MB"
    return f"{_count(runs, 'run')} -> {_count(programs, 'program')}, {size}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def estimate_seconds(chunk: Sequence[Trial]) -> Seconds:
    """Extrapolates the duration of a chunk here from a few steps and from writing the files of one member."""
    program, clock = get_program(chunk[0]), time.perf_counter()
    hparams, group = init_members(program, [trial.config for trial in chunk])
    states = [member.state for member in group]
    samples = devices.gather(program.sample_for_report(hparams, states), len(chunk))[0]
    state = jax.tree.map(lambda x: np.array(x[0]), devices.gather(states, len(chunk)))  # a copy: steps donate theirs
    run = _runner(program, hparams, group, devices.replicate(stored_examples(program.gan, program.dataset)))
    run(1)
    compilation, few = time.perf_counter() - clock, run(2)
    steps = max(2, int(2 * 2 / few))  # two seconds of them
    training = chunk[0].config.train.steps * run(steps) / steps
    first, later = (seconds_to_finish(chunk[0], program, state, samples) for _ in range(2))
    return Seconds(compilation, training, first + (len(chunk) - 1) * later)


def seconds_to_finish(trial: Trial, program: Program, state: GanState, samples: np.ndarray) -> float:
    """Measures the time to write a member's work directory: pictures, metrics and a checkpoint."""
    every = trial.config.log.every
    steps = range(every, trial.config.train.steps + 1, every)
    lines = [{"step": step} | dict.fromkeys(program.sums, 0.0) for step in steps]
    with tempfile.TemporaryDirectory() as directory:
        clock = time.perf_counter()
        finish.finish(
            Path(directory),
            trial,
            program,
            finish.FinishedMember(state=state, alive=True, lines=lines, samples=samples),
        )
        return time.perf_counter() - clock


def _runner(program, hparams, group, data) -> Callable[[int], float]:
    """Returns a function that runs n steps and returns their duration in seconds."""
    states, sums, alive = ([getattr(member, name) for member in group] for name in ("state", "sums", "alive"))

    def run(steps: int) -> float:
        nonlocal states
        clock = time.perf_counter()
        done = program.run_steps(hparams, states, sums, alive, data, devices.replicate(np.uint32(steps)))
        states = [state for state, _ in jax.block_until_ready(done)]
        return time.perf_counter() - clock

    return run
