"""G as a file of StableHLO, the portable form of compiled JAX programs.

    import jax, numpy as np
    G = jax.export.deserialize(open("g.stablehlo", "rb").read())
    x = G.call(np.random.default_rng(0).normal(size=(9, 64)).astype(np.float32))

`G.in_avals` gives the shapes of its arguments: z [n, d] float32 and, if G is class-conditional, y [n] int32, for any n.
A class that G does not know gives an image of NaN.
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
      G: (z [n, z_size] float32) -> x [n, *shape], or (z, y [n] int32) -> x if there are `classes`; the arrays it
        closes over become part of the file.

    Raises:
      UserError: the file cannot be written.
    """
    (n,) = jax.export.symbolic_shape("n")
    arguments = [jax.ShapeDtypeStruct((n, z_size), jnp.float32)]
    if classes:
        arguments.append(jax.ShapeDtypeStruct((n,), jnp.int32))

    def function(z: jax.Array, *y: jax.Array) -> jax.Array:
        x = G(z, *y)
        for labels in y:  # G itself would clip or ignore them, and return some image
            known = (labels >= 0) & (labels < classes)
            x = jnp.where(known.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.nan)
        return x

    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    write_atomically(path, bytes(exported.serialize()))
