"""The step on every device of every host: the only file that names pmap.

State, hyperparameters and data are replicated, and the minibatch is spread over the devices.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.errors import UserError
from jaxgan.game.gan import Gan

AXIS = "data"


def check_batch(config: ConfigDict) -> None:
    """Raises UserError where a minibatch does not divide over the devices and parts, or not in whole packs."""
    devices, parts, together = jax.device_count(), config.train.accumulate, config.discriminator.packing
    together *= config.discriminator.get("minibatch_deviation", 0) or 1
    how = f"over {devices} devices" if parts == 1 else f"over {devices} devices, {parts} parts on each"
    how += f" in groups of {together}" if together > 1 else ""
    for name in ("batch_size", "g_batch_size"):
        m, unit = config.train[name], devices * parts * together
        if m % unit:
            raise UserError(
                f"train.{name}={m} does not divide {how}; make it a multiple of {unit}, such as {m + -m % unit}."
            )


def replicate(tree):
    """The tree on every device of this host; placed so before the first step, which else compiles twice."""
    return jax.device_put(tree, _sharding(jax.sharding.PartitionSpec()))


def spread(tree):
    """Arrays [devices of this host, ...] with a row on each device."""
    return jax.device_put(tree, _sharding(jax.sharding.PartitionSpec(AXIS)))


def _sharding(spec: jax.sharding.PartitionSpec) -> jax.sharding.NamedSharding:
    return jax.sharding.NamedSharding(jax.sharding.Mesh(np.array(jax.local_devices()), AXIS), spec)


def map_devices(function: Callable, *, own: int, shared: int, donate: tuple[int, ...] = ()) -> Callable:
    """`function` on all devices of this host, which have nothing to tell each other, compiled once for all of them.

    Args:
      function: of `own` trees of arrays, which get a leading axis of devices, then of `shared` ones without.
      donate: the arguments whose memory the result may take.
    """
    return jax.pmap(function, in_axes=(0,) * own + (None,) * shared, donate_argnums=donate)


def trainer(gan: Gan) -> Callable:
    """The compiled, pmapped step: (hparams, state, data, n, sums = 0) -> (state, sums + the metrics of n steps).

    `state` is donated. Everything goes in and comes out replicated, without a device axis.
    """
    # One device has nobody to average with: its numbers are those of a member of a population, bit for bit.
    axis_name = AXIS if jax.device_count() > 1 else None

    def accumulate(hparams, state, sums, data, n):
        return accumulate_steps(gan=gan, hparams=hparams, state=state, sums=sums, data=data, n=n, axis_name=axis_name)

    steps = jax.pmap(
        accumulate,
        axis_name=AXIS,
        in_axes=(None, None, None, None, 0),  # pmap wants one mapped argument: a copy of n for each device
        out_axes=None,
        donate_argnums=1,
    )

    zeros = None

    def run(hparams, state, data, n: int, sums=None):
        nonlocal zeros
        if zeros is None:
            zeros = replicate(zero_metrics(gan, hparams, state, data))
        numbers = np.full(jax.local_device_count(), n, np.uint32)
        return steps(hparams, state, zeros if sums is None else sums, data, numbers)

    return run


def use_cpu_devices(devices: int) -> None:
    """Makes JAX see the CPU as this many devices of one thread each; before its first use. GPUs stay as they are."""
    if jax.config.jax_num_cpu_devices != devices:  # type: ignore[attr-defined]
        jax.config.update("jax_num_cpu_devices", devices)
        # Read when JAX first looks for devices. Ahead of the user's own flags, which so take precedence.
        os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}"


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
