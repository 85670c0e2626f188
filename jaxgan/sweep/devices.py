"""Maps functions over a population on the local devices, with one compiled program per function.

On accelerators the members of a device are vectorized (`vmap`), and all devices run one program (`pmap`). XLA's CPU
backend does not benefit from vectorization; there, one device holds all members, the program of a single member is
called once per member, and threads run as many calls concurrently as there are cores. So on CPU a member's numbers are
bit-identical to those of a single run.

A population is a list: on CPU of the members' trees of arrays; on accelerators of one tree of arrays
[devices, members per device, ...], padded with copies of the last member.
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

_threads = 0  # see `use_threads`; 0 = one per core


def use_threads(count: int) -> None:
    """Sets the number of members trained concurrently on CPU, one thread each (0 = one per core); before using JAX."""
    global _threads
    _threads = count
    _executors.cache_clear()
    parallel.use_cpu_devices(1)


def threads() -> int:
    """The number of members trained concurrently on CPU."""
    return _threads or parallel.num_cpu_cores()


def is_sequential() -> bool:
    """Whether the program of a single member is called once per member (on CPU) instead of vectorized."""
    return jax.default_backend() == "cpu"


@cache
def _executors() -> list[ThreadPoolExecutor]:
    """Single-threaded executors: XLA runs the calls of one thread in order, those of several threads concurrently."""
    return [ThreadPoolExecutor(1, "member", pinned().__enter__) for _ in range(threads())]


class MemberMap:
    """Maps a function of one member over a population; compiled once.

    Args:
      function: takes `num_mapped` trees of arrays of one member, then `num_shared` trees shared by all members.
      donate: indices of the donated arguments.
      side_by_side: whether to vectorize on accelerators; False if a single member needs much memory.
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
        self._compiled: Any = None
        if is_sequential():
            self._map = jax.jit(function, donate_argnums=donate)
            return

        def members(*args):
            one = lambda *member: function(*member, *args[num_mapped:])  # noqa: E731
            if side_by_side:
                return jax.vmap(one)(*args[:num_mapped])
            return jax.lax.map(lambda member: one(*member), args[:num_mapped])

        self._map = parallel.map_devices(members, num_mapped=num_mapped, num_shared=num_shared, donate=donate)

    def compiled(self, *args: Any) -> jax.stages.Compiled:
        """The compiled program for these arguments; on CPU independent of the number of members."""
        if self._compiled is None or not is_sequential():
            first = [population[0] for population in args[: self._num_mapped]]
            self._compiled = self._map.lower(*first, *args[self._num_mapped :]).compile()
        return self._compiled

    def __call__(self, *args: Any) -> Population:
        """Applies the function to each member of populations, followed by shared arguments. Returns immediately."""
        populations, shared = args[: self._num_mapped], args[self._num_mapped :]
        if not is_sequential():
            return [self._map(*(population[0] for population in populations), *shared)]
        call, executors = self.compiled(*args), _executors()
        calls = [
            executors[i % len(executors)].submit(call, *member, *shared)
            for i, member in enumerate(zip(*populations, strict=True))
        ]
        return [call.result() for call in calls]


def map_host(function: Callable, *members: Sequence[Any]) -> list[Any]:
    """Maps a host function that calls compiled ones over members; on CPU concurrently, one thread per core."""
    if not is_sequential():
        return [function(*member) for member in zip(*members, strict=True)]
    executors = _executors()
    calls = [
        executors[number % len(executors)].submit(function, *member)
        for number, member in enumerate(zip(*members, strict=True))
    ]
    return [call.result() for call in calls]


def shard(tree: Any, members: int) -> Population:
    """Puts arrays [members, ...] on the local devices as a population."""
    if is_sequential():
        return [jax.device_put(jax.tree.map(lambda x, i=i: np.asarray(x)[i], tree)) for i in range(members)]
    devices = jax.local_device_count()
    rows = np.minimum(np.arange(devices * -(-members // devices)), members - 1).reshape(devices, -1)
    return [parallel.shard(jax.tree.map(lambda x: np.asarray(x)[rows], tree))]


def gather(population: Population, members: int) -> Any:
    """A population as NumPy arrays [members, ...]; the inverse of `shard`."""
    if is_sequential():
        return jax.tree.map(lambda *x: np.stack([np.asarray(part) for part in x]), *population)
    return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:])[:members], population[0])


def replicate(tree: Any) -> Any:
    """Puts arrays shared by all members on the devices."""
    return jax.device_put(tree) if is_sequential() else parallel.replicate(tree)
