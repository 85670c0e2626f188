"""Exports G as StableHLO, the portable form of JAX programs, or as ONNX.

    import jax, numpy as np
    G = jax.export.deserialize(open("g.stablehlo", "rb").read())
    x = G.call(np.random.default_rng(0).normal(size=(9, 64)).astype(np.float32))

`G.in_avals` gives the shapes of its arguments, for any n: z [n, d] float32 and, if G is class-conditional, y [n] int32,
or the parts of another condition, float32: vector, image and mask, in this order. An unknown class gives an image of
NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.errors import UserError
from jaxgan.files import write_atomically

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


# The shape of one example and the dtype of each argument of G, by name.
Inputs = Mapping[str, tuple[tuple[int, ...], Any]]


def write(path: Path, G: Callable[..., jax.Array], inputs: Inputs, classes: int) -> None:
    """Writes `G` as StableHLO for every platform and any number of examples.

    Args:
      G: arrays [n, ...] of `inputs`, in order -> x [n, *shape]; the arrays it closes over become part of the file.
      classes: of the input `y`; 0 without it.

    Raises:
      UserError: the file cannot be written.
    """
    (n,) = jax.export.symbolic_shape("n")
    arguments = [jax.ShapeDtypeStruct((n, *shape), dtype) for shape, dtype in inputs.values()]
    G = known_classes(G, classes) if classes else G
    exported = jax.export.export(jax.jit(G), platforms=PLATFORMS)(*arguments)
    write_atomically(path, bytes(exported.serialize()))


def write_onnx(path: Path, G: Callable[..., jax.Array], inputs: Inputs, classes: int) -> None:
    """Writes `G` as ONNX, with the names of `inputs` and the output `x`; arguments as in `write`.

    Raises:
      UserError: the converter is not installed or cannot convert this G, or the file cannot be written.
    """
    try:
        from jax2onnx import to_onnx
    except ImportError as error:
        raise UserError(
            f"ONNX is written by jax2onnx, which is not installed ({error}): pip install -e '.[onnx]', then pip "
            f"install --no-deps jax2onnx; a file that does not end in .onnx is StableHLO, which needs neither."
        ) from None
    arguments = [jax.ShapeDtypeStruct(("n", *shape), dtype) for shape, dtype in inputs.values()]
    G = known_classes(G, classes) if classes else G
    try:
        model = to_onnx(G, arguments, input_names=list(inputs), output_names=["x"])
    except Exception as error:  # any type of exception
        raise UserError(
            f"jax2onnx cannot convert this G ({type(error).__name__}: {' '.join(str(error).split())[:100]}); write "
            f"StableHLO instead, to a file that does not end in .onnx."
        ) from error
    write_atomically(path, model.SerializeToString())


def known_classes(G: Callable[..., jax.Array], classes: int) -> Callable[..., jax.Array]:
    """Wraps `G` to return NaN for unknown classes, which it would otherwise clip or ignore."""

    def function(z: jax.Array, *y: jax.Array) -> jax.Array:
        x = G(
            z, *(jnp.clip(labels, 0, classes - 1) for labels in y)
        )  # ONNX Runtime raises an error for indices out of range
        for labels in y:
            known = (labels >= 0) & (labels < classes)
            x = jnp.where(known.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.nan)
        return x

    return function
