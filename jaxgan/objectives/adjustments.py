"""Second-order corrections of the simultaneous gradients that damp rotation around equilibria.

The field xi(theta) stacks the gradient of each player's loss with respect to its own parameters; theta are the
parameters of both. Its Jacobian J is not symmetric, since the players minimize different losses. Simultaneous gradient
descent follows -xi; an adjustment adds to xi a linear map of it, times a weight, so it preserves the fixed points
(xi = 0). They are choices of `train.update`; the weight is `objective.adjustment`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

GradientTree: TypeAlias = Any  # a tree like the parameters of both players
LinearMap: TypeAlias = Callable[[GradientTree], GradientTree]

EPSILON = 0.1  # of the alignment: makes the sign positive near 0


def consensus(xi: GradientTree, jvp: LinearMap, vjp: LinearMap) -> GradientTree:
    """J^T xi, the gradient of |xi|^2 / 2: consensus optimization (Mescheder et al., arXiv:1705.10461, Algorithm 2).

    Args:
      xi: the field at theta.
      jvp: v -> J v.
      vjp: v -> J^T v.
    """
    del jvp
    return vjp(xi)


def symplectic(xi: GradientTree, jvp: LinearMap, vjp: LinearMap) -> GradientTree:
    """A^T xi with A = (J - J^T) / 2, the antisymmetric part of J (Balduzzi et al., arXiv:1802.05642, not aligned).

    0 if the players share one loss (A = 0), and consensus optimization if the game is Hamiltonian (J = A). Arguments as
    in `consensus`.
    """
    return _symplectic(xi, jvp, vjp(xi))


def symplectic_aligned(xi: GradientTree, jvp: LinearMap, vjp: LinearMap) -> GradientTree:
    """`symplectic` with the sign that attracts to stable fixed points and repels from unstable ones (Algorithm 1).

    The sign is that of <xi, J^T xi> <A^T xi, J^T xi> / n + 1/10, with n the number of parameter arrays, as in the
    notebook that produced the authors' results (google-deepmind/symplectic-gradient-adjustment).
    """
    gradient = vjp(xi)  # of |xi|^2 / 2
    term = _symplectic(xi, jvp, gradient)
    product = optax.tree.vdot(xi, gradient) * optax.tree.vdot(term, gradient)
    sign = jnp.sign(product / len(jax.tree.leaves(xi)) + EPSILON)
    return jax.tree.map(lambda t: sign * t, term)


def _symplectic(xi: GradientTree, jvp: LinearMap, gradient: GradientTree) -> GradientTree:
    return jax.tree.map(lambda transposed, straight: (transposed - straight) / 2, gradient, jvp(xi))


ADJUSTMENTS: dict[str, Callable[[GradientTree, LinearMap, LinearMap], GradientTree]] = {
    "consensus": consensus,
    "symplectic": symplectic,
    "symplectic_aligned": symplectic_aligned,
}
