"""The step on every device of every host: the only file that knows pmap.

Of a single run, state, hyperparameters and data are replicated and the minibatch is spread over the devices
(`trainer`); of a population, each device has members of its own (`over_members`).
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxgan.algorithm1 import no_steps, sum_steps
from jaxgan.errors import UserError
from jaxgan.gan import Gan

AXIS = "data"

# Seconds without a sign of life after which a process of a distributed run counts as dead.
SILENCE = 30


def initialize(config: ConfigDict) -> None:
    """Joins the other hosts of a run (`distributed.enabled`); what is not given, JAX detects.

    Raises:
      UserError: the coordinator is not reached, or the values do not fit together.
    """
    d = config.distributed
    if not d.enabled:
        return check_devices()
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator_address=d.coordinator or None,
            num_processes=d.processes or None,
            process_id=d.process if d.process >= 0 else None,
            heartbeat_timeout_seconds=SILENCE,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot join the other processes ({reason}); set distributed.coordinator=HOST:PORT, "
            f"distributed.processes and distributed.process, or start under SLURM or on a TPU pod."
        ) from None
    _LIBC.signal(signal.SIGABRT, _aborted)
    check_devices()


def check_devices() -> None:
    """Raises UserError where JAX finds no device."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion, where the plugin of a known platform is missing
        wanted = jax.config.jax_platforms
        raise UserError(
            f"JAX finds no device for JAX_PLATFORMS={wanted} ({' '.join(str(error).split()) or 'not installed'}); "
            f"mend that variable or the installation of JAX."
        ) from error


LOST = "another process of the run ended or cannot be reached"
AGAIN = "find out why, then start all processes again to go on from the last checkpoint."
_LIBC = ctypes.CDLL(None)


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _aborted(_: int) -> None:
    """In C's place for SIGABRT: JAX's runtime aborts a process, from a thread of its own, where another is lost."""
    os.write(2, f"error: {LOST}; {AGAIN}\n".encode())
    os._exit(2)


@contextmanager
def together() -> Iterator[None]:
    """Where one process fails in the block, none waits for the others.

    Raises:
      UserError: another process of the run was lost.
    """
    try:
        yield
    except BaseException as error:
        if jax.process_count() > 1:  # at exit JAX would wait minutes for the others to end as well
            atexit.register(_leave, 130 if isinstance(error, KeyboardInterrupt) else 2)
        if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
            raise UserError(f"{LOST} ({str(error).splitlines()[0][:200]}); {AGAIN}") from error
        raise


def _leave(code: int) -> None:
    sys.stdout.flush()
    os._exit(code)


def check_batch(config: ConfigDict) -> None:
    """Raises UserError where the minibatch does not divide over the devices."""
    m, devices = config.train.batch_size, jax.device_count()
    if m % devices:
        raise UserError(
            f"train.batch_size={m} does not divide over {devices} devices; "
            f"make it a multiple of {devices}, such as {m + -m % devices}."
        )


def primary() -> bool:
    """Whether this is the process that writes what only one may write."""
    return jax.process_index() == 0


def agree(stop: bool, n: int) -> tuple[bool, int]:
    """Whether any process of the run has to `stop`, and the smallest `n` of all; every process has to ask."""
    if jax.process_count() == 1:
        return stop, n
    told = multihost_utils.process_allgather(np.array([stop, n], np.int32))
    return bool(told[:, 0].any()), int(told[:, 1].min())


def replicate(tree):
    """The tree on every device of this host; placed so before the first step, which else compiles twice."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), AXIS)
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def trainer(gan: Gan) -> Callable:
    """The compiled, pmapped step: (hparams, state, data, n, sums = 0) -> (state, sums + the metrics of n steps).

    `state` is donated. Everything goes in and comes out replicated, without a device axis.
    """
    # One device has nobody to average with: its numbers are those of a member of a population, bit for bit.
    axis_name = AXIS if jax.device_count() > 1 else None
    steps = jax.pmap(
        partial(sum_steps, gan, axis_name=axis_name),
        axis_name=AXIS,
        in_axes=(None, None, None, None, 0),  # pmap wants one mapped argument: a copy of n for each device
        out_axes=None,
        donate_argnums=1,
    )

    zeros = None

    def run(hparams, state, data, n: int, sums=None):
        nonlocal zeros
        if zeros is None:
            zeros = replicate(no_steps(gan, hparams, state, data))
        numbers = np.full(jax.local_device_count(), n, np.uint32)
        return steps(hparams, state, zeros if sums is None else sums, data, numbers)

    return run


def over_members(
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
      The same function of lists with an entry for each device, as `deal` and `copies` make them.
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


def deal(tree, members: int) -> list:
    """Arrays [members, ...] as a list of trees of them, one on each device of this host, as even as possible."""
    devices = jax.local_devices()[:members]
    hands = np.array_split(np.arange(members), len(devices))
    return [
        jax.device_put(jax.tree.map(lambda x, hand=hand: np.asarray(x)[hand], tree), device)
        for hand, device in zip(hands, devices, strict=True)
    ]


def collect(hands: Iterable):
    """What `deal` dealt, as NumPy arrays [members, ...]."""
    return jax.tree.map(lambda *x: np.concatenate(x), *hands)


def copies(tree) -> list:
    """The tree on each device of this host."""
    return [jax.device_put(tree, device) for device in jax.local_devices()]


def split_cpu(devices: int) -> None:
    """Makes JAX see the CPU as so many devices of one thread each; before its first use. GPUs stay as they are."""
    if jax.config.jax_num_cpu_devices != devices:
        jax.config.update("jax_num_cpu_devices", devices)
        # Read when JAX first looks for devices. Ahead of the user's own flags, which so prevail.
        os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}"


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
