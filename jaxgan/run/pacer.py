"""Dispatches steps in chunks of about a second, enqueueing the next chunk before the previous one has finished.

Used for single runs and for populations. Chunk sizes depend on the clock; the numbers of a run do not depend on them.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

# Target duration of a chunk. At most two are in flight, so a signal takes effect within twice this (or two steps).
DISPATCH_SECONDS = 1.0


class Dispatched(NamedTuple):
    """A chunk of steps that was dispatched, and what is due after it."""

    step: int  # the last one of the chunk
    steps: int  # their number
    seconds: float  # their duration
    log_due: bool
    samples_due: bool
    evaluation_due: bool
    checkpoint_due: bool
    stop: bool  # the run ends after this chunk because of a signal
    outputs: Any  # of `dispatch`


def next_event(step: int, config: ConfigDict) -> int:
    """The next step at which something is logged, sampled, evaluated or saved."""
    intervals = (config.log.every, config.sample.every, config.evaluate.every, config.checkpoint.every)
    return min(config.train.steps, *(step + every - step % every for every in intervals if every))


def is_due(step: int, every: int, config: ConfigDict) -> bool:
    """Whether an event with interval `every` (0 = only at the end) is due at `step`."""
    return step == config.train.steps or (every > 0 and step % every == 0)


def is_ready(outputs: Any) -> bool:
    """Whether all arrays of a tree have been computed."""
    leaves: list[Any] = [leaf for leaf in jax.tree.leaves(outputs) if isinstance(leaf, jax.Array)]
    return all(leaf.is_ready() for leaf in leaves)


def pace(
    *,
    step: int,
    config: ConfigDict,
    dispatch: Callable[[int, bool], Any],
    signals: list[int],
    sync: Callable[[bool, int], tuple[bool, int]] = lambda stop, n: (stop, n),
    limit: int | None = None,
) -> Iterator[Dispatched]:
    """Trains from `step` to `train.steps`, or until a signal arrives; yields finished chunks.

    Compiles before the clock starts. If at most `log_due` is set in a yielded chunk, the next one is already running
    (with several hosts, finished); otherwise the state is that of the chunk's last step.

    Args:
      dispatch: (steps, whether a log line ends with them) -> arrays to wait for; returns immediately.
      signals: received so far; see `catch_signals`.
      sync: (whether this host has to stop, its number of steps per chunk) -> the values all hosts agree on.
      limit: steps of a chunk, at most; None = any number.
    """
    jax.block_until_ready(dispatch(0, False))
    clock, chunk_steps, pending, stop = time.perf_counter(), 1, None, False

    def finish(chunk: Dispatched, end: float | None = None) -> Dispatched:
        nonlocal clock, chunk_steps
        # Block first: after running out of memory, fetching a value hangs (JAX 0.10 on CPU).
        outputs = jax.block_until_ready(chunk.outputs)
        end = time.perf_counter() if end is None else end
        seconds, clock = end - clock, end
        chunk_steps = max(1, min(2 * chunk_steps, int(DISPATCH_SECONDS * chunk.steps / seconds)))
        return chunk._replace(outputs=outputs, seconds=seconds)

    while step < config.train.steps and not stop:
        n = min(next_event(step, config) - step, chunk_steps, limit or sys.maxsize)
        log_due = step + n == next_event(step, config)
        # On GPUs dispatch blocks if the loop has many steps; the pending chunk has then ended before the call.
        end = time.perf_counter() if pending and is_ready(pending.outputs) else None
        outputs = dispatch(n, log_due)
        step += n
        if pending:
            yield finish(pending, end)
        if jax.process_count() > 1:  # two multi-host programs in flight can deadlock
            jax.block_until_ready(outputs)
        stop, agreed_steps = sync(bool(signals), chunk_steps)
        pending = Dispatched(
            step=step,
            steps=n,
            seconds=0.0,
            log_due=log_due,
            samples_due=is_due(step, config.sample.every, config),
            evaluation_due=is_due(step, config.evaluate.every, config),
            checkpoint_due=is_due(step, config.checkpoint.every, config),
            stop=stop,
            outputs=outputs,
        )
        if pending.samples_due or pending.evaluation_due or pending.checkpoint_due or stop:
            yield finish(pending)
            pending, clock = None, time.perf_counter()
        chunk_steps = agreed_steps  # `finish` set this host's own


@contextmanager
def catch_signals(*others: int) -> Iterator[list[int]]:
    """Records signals so that the loop can stop cleanly: SIGINT, SIGTERM, SIGHUP and `others`.

    A second signal takes effect immediately. SIGHUP (the terminal is gone) may arrive twice, from the kernel and from
    the shell: the second one is ignored. Under `nohup` both are. Outside the main thread, where Python handles no
    signals, none are recorded.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def receive(number: int, frame) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else previous[number])

    numbers = [signal.SIGINT, signal.SIGTERM, *others]
    numbers += [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    previous: dict[int, Any] = {n: signal.signal(n, receive) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
