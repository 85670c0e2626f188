"""A lower bound on the device memory that a run needs, checked before anything is put there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxgan.errors import UserError
from jaxgan.game.state import GanState


class Memory(NamedTuple):
    """Bytes on one device, without a step's temporary memory such as activations, which depends on the compiler."""

    data: int  # the training set, or the parts of it that are buffered
    state: int  # parameters, moments of the optimizers, averages, statistics
    gradient: int  # of the larger player
    free: int  # of the device, or of the machine, divided by its devices

    def __str__(self) -> str:
        parts = f"data {size(self.data)}, state {size(self.state)}, gradient {size(self.gradient)}"
        return f"{parts}, plus activations; {size(self.free)} free per device"


def size(count: int) -> str:
    """Bytes to three digits: '12 B', '1.5 KiB', '456 MiB' or '1.23 GiB'."""
    power = min(max(count, 1).bit_length() // 10, 3)
    return f"{count / 2 ** (10 * power):.3g} {('B', 'KiB', 'MiB', 'GiB')[power]}"


def estimate(state: GanState, data: int) -> Memory:
    """The memory that a run needs on a device.

    Args:
      state: of the run, or its shapes.
      data: bytes of the examples on each device.
    """
    players = (state.generator.params, state.discriminator.params)
    return Memory(data, nbytes(state), max(map(nbytes, players)), free_bytes())


def nbytes(tree: Any) -> int:
    """Bytes of a tree of arrays or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def free_bytes() -> int:
    """Free bytes of the local device with the fewest; on CPUs, those of the machine divided by the devices."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    if all(stats):
        return min(device["bytes_limit"] - device["bytes_in_use"] for device in stats)
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 2**10
    except (OSError, LookupError, ValueError):  # not Linux
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return free // len(stats)


def check(memory: Memory, resident: bool) -> None:
    """Raises UserError if a run cannot fit."""
    if (needed := memory.data + memory.state + memory.gradient) <= memory.free:
        return
    levers = "data.resident=false, " if resident and memory.data > needed / 4 else ""
    raise UserError(
        f"the run needs more than {size(needed)} of memory per device ({memory}); try {levers}smaller networks, a "
        f"smaller train.batch_size or a larger train.accumulate."
    )
