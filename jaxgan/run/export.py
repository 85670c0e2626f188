"""G as a file of StableHLO, the portable form of compiled JAX programs.

    import jax, numpy as np
    G = jax.export.deserialize(open("g.stablehlo", "rb").read())
    x = G.call(np.random.default_rng(0).normal(size=(9, 64)).astype(np.float32))

`G.in_avals` gives the shapes of its arguments: z [n, d] float32 and, where G is told classes, y [n] int32, for any n.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxgan.run.files import write_atomically

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(path: Path, G: Callable[..., jax.Array], *, z_size: int, classes: int) -> None:
    """Writes `G` for every platform and any number of examples.

    Args:
      G: (z [n, z_size] float32) -> x [n, *shape], or (z, y [n] int32) -> x where there are `classes`; what it closes
        over becomes part of the file.

    Raises:
      UserError: the file cannot be written.
    """
    (n,) = jax.export.symbolic_shape("n")
    arguments = [jax.ShapeDtypeStruct((n, z_size), jnp.float32)]
    if classes:
        arguments.append(jax.ShapeDtypeStruct((n,), jnp.int32))
    exported = jax.export.export(jax.jit(G), platforms=PLATFORMS)(*arguments)
    write_atomically(path, bytes(exported.serialize()))
