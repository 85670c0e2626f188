"""The step on every device of every host: the only file that knows pmap.

State, hyperparameters and data are replicated; the minibatch is spread over the devices.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.algorithm1 import train_steps
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


def replicate(tree):
    """The tree on every device of this host; placed so before the first step, which else compiles twice."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), AXIS)
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def trainer(gan: Gan, precision: str) -> Callable:
    """The compiled, pmapped step: (hparams, state, data, n) -> (state, mean metrics of n steps).

    `state` is donated. Everything goes in and comes out replicated, without a device axis.

    Args:
      precision: of matrix products, `train.precision`.
    """
    steps = jax.pmap(
        partial(train_steps, gan, axis_name=AXIS),
        axis_name=AXIS,
        in_axes=(None, None, None, 0),  # pmap wants one mapped argument: a copy of n for each device
        out_axes=None,
        donate_argnums=1,
    )

    def run(hparams, state, data, n: int):
        with jax.default_matmul_precision(None if precision == "default" else precision):
            return steps(hparams, state, data, np.full(jax.local_device_count(), n, np.uint32))

    return run
