"""The members of a population on the devices of this host: each device has members of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np


def map_members(
    function: Callable, *, own: int, donate: int | None = None, side_by_side: bool | None = None
) -> Callable:
    """`function` of one member of a population, compiled for all of them.

    Members have nothing to tell each other, so each device runs a program of its own, that of one device.
    (In one program for all, XLA's partitioner rewrites the step, and a member is no longer the run alone.)

    The members of an accelerator run side by side. On CPU, where that would gain nothing, they take turns, and
    a member's numbers are those of the member alone to the last bit.

    Args:
      function: of `own` trees of arrays of one member, then others that are the same for all.
      donate: the argument whose memory the result may take.
      side_by_side: None chooses as said; False is for what needs much memory for one member.

    Returns:
      The same function of lists with an entry for each device, as `shard` and `replicate` make them.
    """
    together = jax.default_backend() != "cpu" if side_by_side is None else side_by_side

    def members(*args):
        def one(*mine):
            return function(*mine, *args[own:])

        return jax.vmap(one)(*args[:own]) if together else jax.lax.map(lambda mine: one(*mine), args[:own])

    compiled = jax.jit(members, donate_argnums=() if donate is None else donate)

    def on_devices(*args) -> list:
        with ThreadPoolExecutor(len(args[0])) as devices:  # the first time they compile, at once
            return list(devices.map(compiled, *args))

    return on_devices


def shard(tree, members: int) -> list:
    """Arrays [members, ...] as a list of trees of them, one on each device of this host, as even as possible."""
    devices = jax.local_devices()[:members]
    shards = np.array_split(np.arange(members), len(devices))
    return [
        jax.device_put(jax.tree.map(lambda x, part=part: np.asarray(x)[part], tree), device)
        for part, device in zip(shards, devices, strict=True)
    ]


def gather(shards: Iterable):
    """What `shard` made, as NumPy arrays [members, ...]."""
    return jax.tree.map(lambda *x: np.concatenate(x), *shards)


def replicate(tree) -> list:
    """The tree on each device of this host."""
    return [jax.device_put(tree, device) for device in jax.local_devices()]
