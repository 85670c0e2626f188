"""How steps are handed to the devices: in pieces of about a second, the next one while the last is at work.

One pacer for a single run and for a population. Where the pieces are cut depends on the clock, and no number of a run
depends on where they are cut.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

# Seconds of work that the devices are given at a time. They have two such pieces at most, so a signal is
# heeded within twice this, however long a step takes.
PIECE_SECONDS = 1.0


class Reached(NamedTuple):
    """Steps that are done."""

    step: int  # the number of the last one
    steps: int  # how many
    seconds: float  # that they took
    line: bool  # a line of metrics is due
    samples: bool  # ... a picture of samples
    evaluation: bool
    checkpoint: bool
    stop: bool  # the run has been asked to stop, and ends after this
    handle: Any  # what `dispatch` gave for them


def next_event(step: int, config: ConfigDict) -> int:
    """The next step at which something is logged, drawn, evaluated or saved."""
    intervals = (config.log.every, config.sample.every, config.evaluate.every, config.checkpoint.every)
    return min(config.train.steps, *(step + every - step % every for every in intervals if every))


def is_due(step: int, every: int, config: ConfigDict) -> bool:
    """Whether something with the interval `every` (0 = only at the end) happens at `step`."""
    return step == config.train.steps or (every > 0 and step % every == 0)


def is_ready(handle: Any) -> bool:
    """Whether the devices are done with all of its arrays."""
    leaves: list[Any] = [leaf for leaf in jax.tree.leaves(handle) if isinstance(leaf, jax.Array)]
    return all(leaf.is_ready() for leaf in leaves)


def pace(
    *,
    step: int,
    config: ConfigDict,
    dispatch: Callable[[int, bool], Any],
    signals: list[int],
    sync: Callable[[bool, int], tuple[bool, int]] = lambda stop, n: (stop, n),
) -> Iterator[Reached]:
    """Trains from `step` to `train.steps`, or until a signal arrives.

    Compiles before the clock starts. While the caller has a `Reached` in hand on which nothing but `line` is due, the
    next piece is at work already, or, on several hosts, done; else the state is that of its step.

    Args:
      dispatch: (steps, whether they end a line of metrics) -> arrays to wait for; returns at once.
      signals: received so far; see `interruptions`.
      sync: what all hosts agree on, from whether this one has to stop and how many steps it would take at a time.
    """
    jax.block_until_ready(dispatch(0, False))
    clock, piece, waiting, stop = time.perf_counter(), 1, None, False

    def finish(reached: Reached, ended: float | None = None) -> Reached:
        nonlocal clock, piece
        # Waited for first: where memory was too small, fetching a number hangs (JAX 0.10 on CPU).
        handle = jax.block_until_ready(reached.handle)
        ended = time.perf_counter() if ended is None else ended
        seconds, clock = ended - clock, ended
        piece = max(1, min(2 * piece, int(PIECE_SECONDS * reached.steps / seconds)))
        return reached._replace(handle=handle, seconds=seconds)

    while step < config.train.steps and not stop:
        n = min(next_event(step, config) - step, piece)
        line = step + n == next_event(step, config)
        # A GPU returns from a loop of so many steps when it is done. Then the time of that call is of this piece.
        ended = time.perf_counter() if waiting and is_ready(waiting.handle) else None
        handle = dispatch(n, line)
        step += n
        if waiting:
            yield finish(waiting, ended)
        if jax.process_count() > 1:  # two programs of several hosts at work at once may wait for each other for ever
            jax.block_until_ready(handle)
        stop, agreed = sync(bool(signals), piece)
        waiting = Reached(
            step=step,
            steps=n,
            seconds=0.0,
            line=line,
            samples=is_due(step, config.sample.every, config),
            evaluation=is_due(step, config.evaluate.every, config),
            checkpoint=is_due(step, config.checkpoint.every, config),
            stop=stop,
            handle=handle,
        )
        if waiting.samples or waiting.evaluation or waiting.checkpoint or stop:
            yield finish(waiting)
            waiting, clock = None, time.perf_counter()
        piece = agreed  # each host has measured its own since


@contextmanager
def interruptions() -> Iterator[list[int]]:
    """Collects SIGINT, SIGTERM and SIGHUP for the loop to stop at the next occasion; a second one acts at once.

    SIGHUP, that the terminal is gone, may come twice, from the kernel and from the shell: the second is ignored. Both
    are where `nohup` says so.

    Off the main thread, where Python handles no signals, it collects none.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def receive(number: int, frame) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else previous[number])

    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    previous: dict[int, Any] = {n: signal.signal(n, receive) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
