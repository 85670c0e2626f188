"""Data-parallel training on all devices of all hosts; the only module that uses pmap.

State, hyperparameters and data are replicated, and the minibatch is sharded over the devices.
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
from jaxgan.networks.forward import coupled_group_size

AXIS = "data"


def check_batch(config: ConfigDict) -> None:
    """Raises UserError if a batch size is not divisible by devices x micro-batches x examples in a group of D."""
    devices, microbatches, group = jax.device_count(), config.train.accumulate, coupled_group_size(config)
    split = f"over {devices} devices" + (f", {microbatches} micro-batches each" if microbatches > 1 else "")
    split += f", in groups of {group}" if group > 1 else ""
    for name in ("batch_size", "g_batch_size"):
        m, unit = config.train[name], devices * microbatches * group
        if m % unit:
            raise UserError(
                f"train.{name}={m} does not divide {split}; make it a multiple of {unit}, such as {m + -m % unit}."
            )


def replicate(tree):
    """Copies the tree to every local device; doing so before the first step avoids a second compilation."""
    return jax.device_put(tree, _sharding(jax.sharding.PartitionSpec()))


def shard(tree):
    """Puts row i of arrays [local devices, ...] on local device i."""
    return jax.device_put(tree, _sharding(jax.sharding.PartitionSpec(AXIS)))


def _sharding(spec: jax.sharding.PartitionSpec) -> jax.sharding.NamedSharding:
    return jax.sharding.NamedSharding(jax.sharding.Mesh(np.array(jax.local_devices()), AXIS), spec)


def map_devices(function: Callable, *, num_mapped: int, num_shared: int, donate: tuple[int, ...] = ()) -> Callable:
    """Maps `function` over the local devices without collectives; compiled once.

    Args:
      function: takes `num_mapped` trees of arrays, mapped over their leading device axis, then `num_shared` others.
      donate: indices of the donated arguments.
    """
    return jax.pmap(function, in_axes=(0,) * num_mapped + (None,) * num_shared, donate_argnums=donate)


def make_train_steps(gan: Gan, streamed: bool = False) -> Callable:
    """The compiled, pmapped step: (hparams, state, data, n, sums = 0) -> (state, sums + the metrics of n steps).

    `state` is donated. Inputs and outputs are replicated, without a device axis, except for streamed data.
    """
    # A single device needs no pmean; its numbers then equal those of a population member, bit for bit.
    axis_name = AXIS if jax.device_count() > 1 else None

    def accumulate(hparams, state, sums, data, n):
        return accumulate_steps(gan=gan, hparams=hparams, state=state, sums=sums, data=data, n=n, axis_name=axis_name)

    steps = jax.pmap(
        accumulate,
        axis_name=AXIS,
        # hparams, state, sums, data, n; pmap needs one mapped argument: a copy of n per device
        in_axes=(None, None, None, 0 if streamed else None, 0),
        out_axes=None,
        donate_argnums=1,
    )

    zeros = None

    def run(hparams, state, data, n: int, sums=None):
        nonlocal zeros
        if zeros is None:
            on_one = jax.tree.map(_on_one_device, data) if streamed else data
            zeros = replicate(zero_metrics(gan, hparams, state, on_one))
        n_per_device = np.full(jax.local_device_count(), n, np.uint32)
        return steps(hparams, state, zeros if sums is None else sums, data, n_per_device)

    return run


def _on_one_device(a: jax.Array) -> jax.ShapeDtypeStruct:
    """The shape of streamed minibatches [local devices, b, m / devices, ...], or their number, on a single device."""
    shape = (a.shape[1], a.shape[2] * jax.device_count(), *a.shape[3:]) if a.ndim > 1 else ()
    return jax.ShapeDtypeStruct(shape, a.dtype)


def use_cpu_devices(devices: int) -> None:
    """Splits the CPU into this many single-threaded JAX devices; call before JAX's first use. No effect on GPUs."""
    if jax.config.jax_num_cpu_devices != devices:  # type: ignore[attr-defined]
        jax.config.update("jax_num_cpu_devices", devices)
        # Read when JAX initializes its backends. The user's own flags come last and so take precedence.
        os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}"


def use_deterministic_kernels() -> None:
    """Has GPUs compute the same bits in every process; call before JAX's first use. No effect on CPUs.

    Excludes kernels whose sums have no fixed order, the choice of kernels by their speed, and digits that a program may
    keep beyond those of its types.
    """
    flags = "--xla_gpu_exclude_nondeterministic_ops=true --xla_gpu_autotune_level=0 --xla_allow_excess_precision=false"
    os.environ["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}"


def num_cpu_cores() -> int:
    """The number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
