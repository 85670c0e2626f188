"""A population on the devices of this host: one compiled program per function, however many devices there are.

On an accelerator the members of a device run side by side (`vmap`), and all devices run one program (`pmap`). XLA's CPU
backend gains nothing from that; there one device has all members, each a call of the program of one member, and threads
make as many of these calls at a time as there are cores. So on CPU a member's numbers are those of a single run to the
last bit.

A population is a list: on CPU of the members' trees of arrays, on accelerators of one tree of arrays
[devices, members per device, ...], filled up with copies of the last member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import numpy as np

from jaxgan import parallel
from jaxgan.numerics import pinned

Population = list[Any]

_threads = 0  # see `use_threads`; 0 = as many as there are cores


def use_threads(count: int) -> None:
    """On CPU, trains this many members at a time, one thread each; before JAX's first use. 0 = one per core."""
    global _threads
    _threads = count
    _lanes.cache_clear()
    parallel.use_cpu_devices(1)


def threads() -> int:
    """How many members work at a time on CPU."""
    return _threads or parallel.num_cpu_cores()


def take_turns() -> bool:
    """Whether members are calls of the program of one member, as they are on CPU."""
    return jax.default_backend() == "cpu"


@cache
def _lanes() -> list[ThreadPoolExecutor]:
    """XLA works off the calls of a thread one after another, and those of several threads at the same time."""
    return [ThreadPoolExecutor(1, "member", pinned().__enter__) for _ in range(threads())]


class MemberMap:
    """A function of one member, compiled once and mapped over a population.

    Args:
      function: of `own` trees of arrays of one member, then of `shared` trees that are the same for all.
      donate: the arguments whose memory the result may take.
      side_by_side: False for what needs much memory for one member; on CPU members always take turns.
    """

    def __init__(
        self,
        function: Callable,
        *,
        num_mapped: int,
        num_shared: int = 0,
        donate: tuple[int, ...] = (),
        side_by_side: bool = True,
    ) -> None:
        self._num_mapped = num_mapped
        self._compiled: Callable | None = None
        if take_turns():
            self._map = jax.jit(function, donate_argnums=donate)
            return

        def members(*args):
            one = lambda *mine: function(*mine, *args[num_mapped:])  # noqa: E731
            if side_by_side:
                return jax.vmap(one)(*args[:num_mapped])
            return jax.lax.map(lambda mine: one(*mine), args[:num_mapped])

        self._map = parallel.map_devices(members, num_mapped=num_mapped, num_shared=num_shared, donate=donate)

    def compiled(self, *args: Any) -> jax.stages.Compiled:
        """The program for arguments like these; on CPU for all populations, whatever the number of members."""
        if self._compiled is None or not take_turns():
            first = [population[0] for population in args[: self._num_mapped]]
            self._compiled = self._map.lower(*first, *args[self._num_mapped :]).compile()
        return self._compiled

    def __call__(self, *args: Any) -> Population:
        """The function of each member: populations first, what is shared after them. Returns at once."""
        populations, shared = args[: self._num_mapped], args[self._num_mapped :]
        if not take_turns():
            return [self._map(*(population[0] for population in populations), *shared)]
        call, lanes = self.compiled(*args), _lanes()
        calls = [
            lanes[number % len(lanes)].submit(call, *mine, *shared)
            for number, mine in enumerate(zip(*populations, strict=True))
        ]
        return [call.result() for call in calls]


def map_host(function: Callable, *members: Sequence[Any]) -> list[Any]:
    """A function that itself calls compiled ones, of each member; on CPU as many at a time as there are cores."""
    if not take_turns():
        return [function(*mine) for mine in zip(*members, strict=True)]
    lanes = _lanes()
    calls = [
        lanes[number % len(lanes)].submit(function, *mine) for number, mine in enumerate(zip(*members, strict=True))
    ]
    return [call.result() for call in calls]


def shard(tree: Any, members: int) -> Population:
    """Arrays [members, ...] as a population on the devices of this host."""
    if take_turns():
        return [jax.device_put(jax.tree.map(lambda x, i=i: np.asarray(x)[i], tree)) for i in range(members)]
    devices = jax.local_device_count()
    rows = np.minimum(np.arange(devices * -(-members // devices)), members - 1).reshape(devices, -1)
    return [parallel.shard(jax.tree.map(lambda x: np.asarray(x)[rows], tree))]


def gather(population: Population, members: int) -> Any:
    """What `shard` made, or a map of it, as NumPy arrays [members, ...]."""
    if take_turns():
        return jax.tree.map(lambda *x: np.stack([np.asarray(part) for part in x]), *population)
    return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:])[:members], population[0])


def replicate(tree: Any) -> Any:
    """What all members share, on the devices."""
    return jax.device_put(tree) if take_turns() else parallel.replicate(tree)
