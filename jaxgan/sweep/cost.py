"""What a sweep costs: how many members the memory holds, and how long they take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.sweep import devices
from jaxgan.sweep.plan import Trial, group_by, program_key
from jaxgan.sweep.program import program, start_members
from jaxgan.train import on_device

COPIES = 3  # of a member's state at a time: before or after a step, of the last line, on its way to the disk


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
    data = on_device(about.gan, about.dataset)
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
    """'72 runs -> 3 programs, 24 members a chunk, about 5 minutes, 40 MB'; the time is measured, if asked for."""
    runs, programs = sum(map(len, chunks)), len(group_by([chunk[0] for chunk in chunks], program_key))
    largest = max(map(len, chunks))
    minutes = f"about {sum(map(seconds, chunks)) / slots / 60:.1f} minutes of training, " if timed else ""
    size = f"{_count(largest, 'member')} a chunk, {minutes}{max(map(bytes_of, chunks)) / 1e6:.0f} MB"
    return f"{_count(runs, 'run')} -> {_count(programs, 'program')}, {size}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def seconds(chunk: Sequence[Trial]) -> float:
    """How long a chunk takes here; evaluations are not counted."""
    compilation, step = seconds_per_step(chunk)
    return compilation + chunk[0].config.train.steps * step


def seconds_per_step(chunk: Sequence[Trial]) -> tuple[float, float]:
    """Of a chunk's compilation, and of one step of all its members, from a few of them."""
    about = program(chunk[0])
    hparams, group = start_members(about, [trial.config for trial in chunk])
    run = _runner(about, hparams, group, devices.replicate(on_device(about.gan, about.dataset)))
    compilation, few = run(1), run(2)
    steps = max(2, int(2 * 2 / few))  # two seconds of them
    return compilation, run(steps) / steps


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
