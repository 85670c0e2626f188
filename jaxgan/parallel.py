"""The step on every device of every host: the only file that knows pmap.

State, hyperparameters and data are replicated; the minibatch is spread over the devices.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxgan.algorithm1 import no_steps, sum_steps
from jaxgan.errors import UserError
from jaxgan.gan import Gan

AXIS = "data"


def initialize(config: ConfigDict) -> None:
    """Joins the other hosts of a run (`distributed.enabled`); what is not given, JAX detects.

    Raises:
      UserError: the coordinator is not reached, or the values do not fit together.
    """
    d = config.distributed
    if not d.enabled:
        return
    try:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            coordinator_address=d.coordinator or None,
            num_processes=d.processes or None,
            process_id=d.process if d.process >= 0 else None,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot join the other processes ({reason}); set distributed.coordinator=HOST:PORT, "
            f"distributed.processes and distributed.process, or start under SLURM or on a TPU pod."
        ) from None


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


def trainer(gan: Gan, precision: str) -> Callable:
    """The compiled, pmapped step: (hparams, state, data, n, sums = 0) -> (state, sums + the metrics of n steps).

    `state` is donated. Everything goes in and comes out replicated, without a device axis.

    Args:
      precision: of matrix products, `train.precision`.
    """
    steps = jax.pmap(
        partial(sum_steps, gan, axis_name=AXIS),
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
        with jax.default_matmul_precision(None if precision == "default" else precision):
            numbers = np.full(jax.local_device_count(), n, np.uint32)
            return steps(hparams, state, zeros if sums is None else sums, data, numbers)

    return run


def over_members(
    function: Callable, precision: str, *, own: int, shared: int = 0, donate: int | None = None
) -> Callable:
    """`function` of one member of a population, compiled for all of them.

    Each device of this host has its members to itself, and nothing passes between devices. On CPU the
    members of a device take turns: joined they would gain nothing there, and this way a member's numbers
    are those of the member alone to the last bit. Other devices run their members side by side.

    Args:
      function: of `own` trees of arrays of one member, then `shared` ones that are the same for all.
      precision: of matrix products, `train.precision`.
      donate: the argument whose memory the result may take.

    Returns:
      The same function of trees `[devices, members, ...]` as `deal` makes them, then the shared ones.
    """
    taking_turns = jax.default_backend() == "cpu"

    def members(*args):
        def one(*mine):
            return function(*mine, *args[own:])

        return (
            jax.lax.map(lambda mine: one(*mine), args[:own]) if taking_turns else jax.vmap(one)(*args[:own])
        )

    axes = (0,) * own + (None,) * shared
    mapped = jax.pmap(members, in_axes=axes, donate_argnums=() if donate is None else donate)

    def run(*args):
        with jax.default_matmul_precision(None if precision == "default" else precision):
            return mapped(*args)

    return run


def deal(tree, members: int):
    """Arrays [members, ...] as [devices, members / devices, ...], the last member repeated to fill up."""
    devices = jax.local_device_count()
    numbers = np.minimum(np.arange(-(-members // devices) * devices), members - 1).reshape(devices, -1)
    return jax.tree.map(lambda x: np.asarray(x)[numbers], tree)


def collect(tree, members: int):
    """What `deal` made, as NumPy arrays [members, ...]."""
    return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:])[:members], tree)


def split_cpu(devices: int) -> None:
    """Makes JAX see the CPU as so many devices; before its first use, and no matter where there is a GPU."""
    if jax.config.jax_num_cpu_devices != devices:
        jax.config.update("jax_num_cpu_devices", devices)


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0))
