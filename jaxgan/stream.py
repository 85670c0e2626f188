"""Reads examples on the host, ahead of the devices, for data that do not fit in device memory (`data.resident`).

Which examples a step uses depends only on its number (`Update.draws`). So one thread can read the steps in order,
however many are dispatched at once, and resuming needs no stored state. The examples are bit-identical to those of
resident data.
"""

from __future__ import annotations

import math
import queue
import threading
from typing import NamedTuple

import jax
import numpy as np

from jaxgan import parallel
from jaxgan.algorithm1 import UPDATES
from jaxgan.data import host_order, source, stacked
from jaxgan.data.rows import Rows
from jaxgan.errors import UserError
from jaxgan.game.batches import Draw, Minibatches, StreamedSet, TrainingSet
from jaxgan.game.gan import Gan
from jaxgan.game.state import stream

MAX_STEPS = 64  # per piece, which is what one dispatch runs
MAX_BYTES = 2**26  # per piece, for its examples

READ_AHEAD = 4  # a full piece is read in this many parts

# The examples of one step: by stream, arrays [minibatches, devices, examples, ...] of x and, if used, labels and pairs.
Step = dict[str, list[np.ndarray]]


def is_resident(choice: str, examples: TrainingSet) -> bool:
    """Whether the devices hold the whole training set.

    Args:
      choice: `data.resident`; with "auto", they do if it takes at most half of this machine's memory and half of the
        free memory of a device.

    Raises:
      UserError: they do not, and a term of D's loss takes labelled examples.
    """
    resident = _fits(examples) if choice == "auto" and not isinstance(examples.x, Rows) else choice == "true"
    if examples.labelled and not resident:
        raise UserError(
            "objective.labelled needs the whole training set on the devices; set data.resident=true, or use fewer "
            "examples (data.limit)."
        )
    return resident


def _fits(examples: TrainingSet) -> bool:
    size = sum(a.nbytes for a in jax.tree.leaves(examples))
    stats = jax.local_devices()[0].memory_stats()  # None on CPUs
    free = stats["bytes_limit"] - stats["bytes_in_use"] if stats else math.inf
    return size <= min(source.MEMORY_LIMIT, free / 2)


class Reader(NamedTuple):
    """Determines the examples of any step from its number."""

    gan: Gan
    examples: TrainingSet  # on the host, or in files
    keys: dict[str, np.ndarray]  # of the data orders, by stream

    def draws(self, steps: range) -> dict[str, list[Draw]]:
        """The minibatches of these steps, by stream."""
        by_stream: dict[str, list[Draw]] = {}
        for draw in (draw for step in steps for draw in UPDATES[self.gan.update].draws(self.gan, step)):
            by_stream.setdefault(draw.stream, []).append(draw)
        return by_stream

    def read(self, steps: range) -> list[Step]:
        """The examples of each of these steps, for the local devices."""
        by_stream = {name: self._read(self.keys[name], draws) for name, draws in self.draws(steps).items()}
        split = {name: [np.split(a, len(steps)) for a in arrays] for name, arrays in by_stream.items()}
        return [{name: [parts[i] for parts in arrays] for name, arrays in split.items()} for i in range(len(steps))]

    def _read(self, key: np.ndarray, draws: list[Draw]) -> list[np.ndarray]:
        gan, examples, m = self.gan, self.examples, draws[0].size
        positions = np.arange(m, dtype=np.uint32).reshape(jax.device_count(), -1)[_local_indices()]
        first = np.array([int(draw.number) * m for draw in draws], np.uint32)
        counters = first[:, None, None] + positions
        rows = host_order.rows(key, counters.reshape(-1), len(examples.x), gan.num_stacked)
        arrays = [stacked.gather(examples.x, rows)]
        if gan.num_classes:
            arrays.append(stacked.gather_labels(examples.y, rows, gan.num_label_classes))
        if gan.paired:
            arrays.append(stacked.gather(examples.paired, rows))
        return [np.asarray(a).reshape(*counters.shape, *a.shape[1:]) for a in arrays]


def _local_indices() -> list[int]:
    """The indices of this process's devices in `jax.devices()`."""
    indices = {device: index for index, device in enumerate(jax.devices())}
    return [indices[device] for device in jax.local_devices()]


class Stream:
    """The examples of the steps of a run, read ahead by a thread inside a `with` block.

    Args:
      gan: the game.
      examples: the training set, arrays of the host or rows of files.
      seed, restores: see `state.stream`.
      step: steps already made.
      last: steps of the whole run.
    """

    def __init__(
        self, gan: Gan, examples: TrainingSet, *, seed: int, restores: int = 0, step: int = 0, last: int
    ) -> None:
        names = ("order", "fresh")
        keys = {name: np.asarray(jax.random.key_data(stream(np.uint32(seed), name, restores))) for name in names}
        self._reader = Reader(gan, examples, keys)
        self._like = self._reader.read(range(step, step + 1))[0]  # for its shapes; errors of reading are raised here
        size = sum(a.nbytes for arrays in self._like.values() for a in arrays)
        self.capacity = max(1, min(MAX_STEPS, MAX_BYTES // size))  # steps of a piece, at most
        self._step, self._last = step, last
        self._ready: queue.Queue[Step | BaseException] = queue.Queue(maxsize=2 * self.capacity)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read_ahead, args=(step,), name="stream", daemon=True)

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def take(self, n: int) -> StreamedSet:
        """The examples of the next n steps, at most `capacity`, on the devices; re-raises errors of the reading thread.

        The arrays have the same shapes for every n, so that one compiled program works for all.
        """
        steps = []
        for _ in range(n):
            step = self._ready.get()
            if isinstance(step, BaseException):
                raise step
            steps.append(step)
        draws = self._reader.draws(range(self._step, self._step + 1))
        self._step += n
        return parallel.shard({name: self._piece(name, first, steps) for name, (first, *_) in draws.items()})

    def _piece(self, name: str, first: Draw, steps: list[Step]) -> Minibatches:
        """The minibatches of one stream, arrays [devices, capacity x minibatches, ...], unset beyond `steps`."""
        pieces = []
        for i, like in enumerate(self._like[name]):
            k, devices, *shape = like.shape
            piece = np.empty((devices, self.capacity * k, *shape), like.dtype)
            for j, step in enumerate(steps):
                piece[:, j * k : (j + 1) * k] = step[name][i].swapaxes(0, 1)
            pieces.append(piece)
        gan, number = self._reader.gan, np.full(jax.local_device_count(), int(first.number), np.uint32)
        return Minibatches(number, pieces[0], pieces[1] if gan.num_classes else (), pieces[-1] if gan.paired else ())

    def _read_ahead(self, step: int) -> None:
        """Reads until the last step, an error or the end of the block."""
        n = max(1, self.capacity // READ_AHEAD)
        try:
            for start in range(step, self._last, n):
                for read in self._reader.read(range(start, min(start + n, self._last))):
                    if not self._put(read):
                        return
        except BaseException as error:  # for the thread that takes the steps
            self._put(error)

    def _put(self, step: Step | BaseException) -> bool:
        """Puts a step in the queue once there is space; returns False if the block ended first."""
        while not self._stopped.is_set():
            try:
                self._ready.put(step, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
